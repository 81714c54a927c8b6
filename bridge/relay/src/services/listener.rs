//! Who gets what comes on the connection that watches the bus.

use futures_util::future::BoxFuture;
use zbus::Message;

use crate::{
    export::Exporter,
    import::Importer,
    own_names::OwnNames,
    programs::Programs,
    watch::{Listener, Question},
};

/// Gives both halves, and who follows programs, what comes on the connection that watches the bus.
pub(super) struct CompositeListener {
    pub(super) own_names: OwnNames,
    pub(super) exporter: Exporter,
    pub(super) importer: Importer,
    pub(super) programs: [Programs; 2],
}

impl Listener for CompositeListener {
    fn connected(&self) {
        self.exporter.connected();
        self.importer.connected();
    }

    fn lost(&self) {
        self.own_names.clear();
        self.exporter.lost();
        self.importer.lost();
        self.programs.iter().for_each(Programs::lost);
    }

    fn owner_changed(&self, name: &str, old: Option<&str>, new: Option<&str>) {
        if old.is_some() && new.is_none() && name.starts_with(':') {
            self.importer.program_gone(name);
            self.exporter.program_gone(name);
            self.programs
                .iter()
                .for_each(|programs| programs.left(name));
            self.own_names.remove(name);
        }
        self.exporter.owner_changed(name, new);
    }

    fn answered(&self, question: Question, answer: &Message) {
        if let Question::Program(program) = &question {
            if matches!(answer.body().deserialize(), Ok(false)) {
                self.importer.program_gone(program);
                self.exporter.program_gone(program);
                self.programs
                    .iter()
                    .for_each(|programs| programs.left(program));
            }
            return;
        }
        self.exporter.answered(&question, answer);
    }

    fn signal(&self, message: &Message) {
        self.exporter.signal(message);
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.exporter.busy()
    }
}

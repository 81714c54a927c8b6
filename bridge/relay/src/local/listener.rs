//! What the connection that watches the bus of the bridge says.

use futures_util::future::BoxFuture;
use zbus::Message;

use super::LocalServices;
use crate::watch::{Listener, Question};

/// The bus of the bridge, with the services.
pub(super) struct OwnBus(pub(super) LocalServices);

impl Listener for OwnBus {
    fn connected(&self) {
        self.0.shared.own_watch.ask_names();
    }

    fn lost(&self) {
        self.0.input(super::State::handle_own_bus_lost);
    }

    fn owner_changed(&self, name: &str, _: Option<&str>, new: Option<&str>) {
        self.0.input(|state| state.handle_owner(name, new));
    }

    fn answered(&self, question: Question, answer: &Message) {
        match question {
            Question::Names | Question::Activatable => {
                let is_activatable = matches!(question, Question::Activatable);
                let names: Vec<String> = answer.body().deserialize().unwrap_or_default();
                self.0
                    .input(|state| state.handle_names(&names, is_activatable));
            }
            Question::Owner(name) => {
                let body = answer.body();
                let owner = body.deserialize::<&str>().ok();
                let owner = owner.filter(|owner| owner.starts_with(':'));
                self.0.input(|state| state.handle_owner(&name, owner));
            }
            Question::Start(name) => {
                let error = answer.header().error_name().map(ToString::to_string);
                let error = error.map(|error| (error, text_of(answer)));
                self.0.input(|state| state.handle_started(&name, error));
            }
            _ => {}
        }
    }

    fn signal(&self, message: &Message) {
        self.0.input(|state| state.handle_signal(message));
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().full().map(|connection| {
            let room: BoxFuture<'static, ()> = Box::pin(async move { connection.room().await });
            room
        })
    }
}

/// The text of an error.
fn text_of(error: &Message) -> String {
    let body = error.body();
    body.deserialize::<&str>().unwrap_or_default().to_owned()
}

//! The task that makes the tree match what is offered.
//!
//! Model: a [`Publisher`] has a [`Service`] for each that has details. It gives each what comes for it, and carries out the
//! steps that follow: questions over the connection that watches the bus, so that replies and signals of a service come in
//! its order, and changes of the tree.
//! Invariants: PUBLISHER-1. A question gets one reply, or is given up after [`ANSWER_TIME_MAX`]. PUBLISHER-2. Changes of a
//! value that follow each other are made in one; emissions are made one by one, after the values before them.
//! Limits: those of `limits`.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, sync::Arc};

use tokio::time::{Instant, sleep, sleep_until};
use zbus::Message;
use zocp_node::{CapPath, Node, NodeError, Value};

use super::{
    Shared,
    emissions::Audience,
    inbox::Input,
    interface_files::InterfaceFiles,
    limits::{ALL_MEMBERS_MAX, ALL_TEXTS_LEN_MAX, ANSWER_TIME_MAX, IDLE_PAUSE},
    place::{Detail, Place, Question},
    service::{Room, Service, Step},
};
use crate::{deadlines::Deadlines, export::state::Announced, lock::lock, watch::Watch};
use zocp_dbus::message::Outgoing;

/// See the [module](self).
pub(super) struct Publisher {
    pub(super) node: Node,
    pub(super) watch: Watch,
    pub(super) shared: Arc<Shared>,
    directories: Vec<PathBuf>,
    installed: Option<Arc<InterfaceFiles>>,
    pub(super) announced_now: BTreeMap<Arc<str>, Announced>,
    /// Those with details.
    pub(super) services: BTreeMap<Arc<str>, Service>,
    /// When questions are given up.
    deadlines: Deadlines<NonZeroU32>,
    /// Values that the tree is still to have.
    pub(super) values: BTreeMap<CapPath, Value>,
}

impl Publisher {
    pub(super) fn new(
        node: Node,
        watch: Watch,
        shared: Arc<Shared>,
        directories: Vec<PathBuf>,
    ) -> Self {
        Self {
            node,
            watch,
            shared,
            directories,
            installed: None,
            announced_now: BTreeMap::new(),
            services: BTreeMap::new(),
            deadlines: Deadlines::default(),
            values: BTreeMap::new(),
        }
    }

    /// Works until the node ends.
    pub(super) async fn run(mut self) {
        while self.turn().await.is_ok() {
            let due = self.due();
            tokio::select! {
                () = self.shared.inbox.notice.notified() => {}
                () = self.next_signals() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Looks at all that is there. The only error is that the node ended.
    async fn turn(&mut self) -> Result<(), NodeError> {
        self.follow_offers().await?;
        let (inputs, missed) = self.shared.inbox.take();
        for input in inputs {
            self.take(input).await?;
        }
        for owner in missed {
            for name in self.owned(&owner) {
                self.with(&name, Service::missed).await?;
            }
        }
        self.expire().await?;
        self.ask_again().await?;
        self.write_values().await
    }

    /// Waits for signals; where nobody waits for them, until there may be several.
    async fn next_signals(&self) {
        self.shared.inbox.signals.notified().await;
        if self.audience() == Audience::Nobody {
            sleep(IDLE_PAUSE).await;
        }
    }

    async fn take(&mut self, input: Input) -> Result<(), NodeError> {
        match input {
            Input::Answer(detail, answer) => self.answered(&detail, Some(&answer)).await,
            Input::Signal(owner, signal) => {
                let audience = self.audience();
                for name in self.owned(&owner) {
                    self.with(&name, |service| service.handle_signal(&signal, audience))
                        .await?;
                }
                Ok(())
            }
            Input::Set(path, value) => {
                let Some((service, place, name)) = Place::of(&path) else {
                    return Ok(());
                };
                // It is in the tree already, and newer than what waits.
                self.values.remove(&path);
                self.with(&service, |service| service.set(&place, &name, value))
                    .await
            }
            Input::Wanted(name) => self.with(&name, Service::is_wanted).await,
        }
    }

    async fn answered(
        &mut self,
        detail: &Detail,
        answer: Option<&Message>,
    ) -> Result<(), NodeError> {
        let room = self.room(&detail.service);
        let revision = detail.revision;
        let answer_to = |service: &mut Service| {
            if service.revision == revision {
                service.answered(&detail.question, answer, room);
            }
        };
        self.with(&detail.service, answer_to).await
    }

    /// Has a service look at something, and carries out what follows.
    pub(super) async fn with(
        &mut self,
        name: &Arc<str>,
        look: impl FnOnce(&mut Service),
    ) -> Result<(), NodeError> {
        let Some(service) = self.services.get_mut(name) else {
            return Ok(());
        };
        look(service);
        let (revision, steps) = (service.revision, service.steps());
        self.carry_out(name, revision, steps).await
    }

    async fn carry_out(
        &mut self,
        service: &Arc<str>,
        revision: u64,
        steps: Vec<Step>,
    ) -> Result<(), NodeError> {
        for step in steps {
            let outcome = match step {
                Step::Ask(question, call) => {
                    self.ask(service.clone(), revision, question, call);
                    continue;
                }
                Step::Methods(methods) => {
                    lock(&self.shared.methods).insert(service.clone(), methods);
                    continue;
                }
                Step::Value(path, value) => {
                    self.values.insert(path, value);
                    continue;
                }
                Step::Emit(path, value) => {
                    self.write_values().await?;
                    self.node.emit(path, value).await
                }
                Step::Describe(object, entries) => self.node.describe(object, entries).await,
                Step::Publish(path, capability) => {
                    self.values.remove(&path);
                    self.node.publish(path, capability).await
                }
                Step::Unpublish(path) => {
                    self.values.remove(&path);
                    self.node.unpublish(path).await
                }
                Step::Remove(object) => {
                    self.values
                        .retain(|path, _| !path.object.starts_with(&object));
                    self.node.remove_object(object).await
                }
            };
            self.check(service, outcome)?;
        }
        Ok(())
    }

    async fn write_values(&mut self) -> Result<(), NodeError> {
        for (path, value) in std::mem::take(&mut self.values) {
            let outcome = self.node.set_local(path, value).await;
            self.check("", outcome)?;
        }
        Ok(())
    }

    fn ask(&mut self, service: Arc<str>, revision: u64, question: Question, call: Outgoing) {
        let detail = Detail {
            service,
            revision,
            question,
        };
        let serial = call.serial();
        let mut questions = lock(&self.shared.questions);
        questions.insert(serial, detail);
        let waits = |serial: &NonZeroU32| questions.contains_key(serial);
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        self.deadlines.add(deadline, serial, waits);
        drop(questions);
        self.watch.ask_service(call);
    }

    /// Gives up questions whose time is over (PUBLISHER-1).
    async fn expire(&mut self) -> Result<(), NodeError> {
        while let Some(serial) = self.deadlines.pop(Instant::now()) {
            self.watch.forget_question(serial);
            let unanswered = lock(&self.shared.questions).remove(&serial);
            if let Some(detail) = unanswered {
                self.answered(&detail, None).await?;
            }
        }
        Ok(())
    }

    /// Asks services again what they have, where it is time.
    async fn ask_again(&mut self) -> Result<(), NodeError> {
        let now = Instant::now();
        let services = self.services.iter();
        let due = services.filter(|(_, service)| service.due().is_some_and(|due| due <= now));
        let due: Vec<Arc<str>> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            self.begin(&name).await?;
        }
        Ok(())
    }

    pub(super) async fn begin(&mut self, name: &Arc<str>) -> Result<(), NodeError> {
        if !self.services.contains_key(name) {
            return Ok(());
        }
        let (installed, room) = (self.installed().await, self.room(name));
        self.with(name, |service| service.begin(&installed, room))
            .await
    }

    fn due(&self) -> Option<Instant> {
        let question = self.deadlines.next();
        let crawls = self.services.values().filter_map(Service::due);
        crawls.chain(question).min()
    }

    /// What the others leave.
    fn room(&self, name: &str) -> Room {
        let others = self.services.iter().filter(|(other, _)| ***other != *name);
        let mut room = Room {
            members: ALL_MEMBERS_MAX,
            octets: ALL_TEXTS_LEN_MAX,
        };
        for used in others.map(|(_, service)| service.used()) {
            room.members = room.members.saturating_sub(used.members);
            room.octets = room.octets.saturating_sub(used.octets);
        }
        room
    }

    fn owned(&self, owner: &str) -> Vec<Arc<str>> {
        let services = self.services.iter();
        let owned = services.filter(|(_, service)| *service.owner == *owner);
        owned.map(|(name, _)| name.clone()).collect()
    }

    /// What is installed, read when it is first needed.
    async fn installed(&mut self) -> Arc<InterfaceFiles> {
        if let Some(installed) = &self.installed {
            return installed.clone();
        }
        let directories = self.directories.clone();
        let read = tokio::task::spawn_blocking(move || InterfaceFiles::read(&directories));
        let installed = Arc::new(read.await.unwrap_or_default());
        self.installed = Some(installed.clone());
        installed
    }

    /// Everything but the node's end only leaves something out.
    pub(super) fn check(
        &self,
        service: &str,
        outcome: Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        match outcome {
            Err(NodeError::Closed) => Err(NodeError::Closed),
            Err(error) => {
                tracing::debug!(service, %error, "something of a service is not in the tree");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

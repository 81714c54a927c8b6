//! The connection that watches the bus: who owns which name, and the broadcast signals of exported services.
//!
//! Model: a [`Watch`] is one connection, made when it is first needed. It asks the bus, and gives a [`Listener`] the
//! answers, changes of owners, and the signals of services that peers subscribed to.
//! Invariants: BUSWATCH-1. [`Watch::barrier`] is passed when everything was handled that the bus had for this
//! connection when the barrier was raised. So a reply that came on another connection is passed on only after the
//! signals before it.
//! Limits: those of `zocp_dbus::connection`; while a peer that subscribed to signals takes no more, nothing is read.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, message::Type};

use crate::{lock::lock, own_names::OwnNames};
use zocp_dbus::connection::{
    BUS_NAME, Backoff, BusConnection, Ended, Handler, ReadBarrier, connect, run,
};
use zocp_dbus::errors::Refusal;
use zocp_dbus::message::Outgoing;

/// The connection that watches the bus. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connection: BusConnection,
    /// Locked because any task asks, and the task of the connection gets the answers.
    questions: Mutex<HashMap<NonZeroU32, Question>>,
    wanted: Notify,
    barriers: AtomicU64,
    passed: AtomicU64,
    /// Locked because the barrier belongs to the present connection, and callers' connections ask it.
    read_barrier: Mutex<Option<ReadBarrier>>,
    /// Whether the bus tells this connection that it can start other services.
    follows_activatable: AtomicBool,
}

/// What the bus was asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// All names.
    Names,
    /// All names that it can start a service for. Asked again when they are others.
    Activatable,
    /// To start this service.
    Start(Arc<str>),
    /// Who owns this name.
    Owner(Arc<str>),
    /// Whether this program is still there.
    Program(Arc<str>),
    /// For the signals of this service, by the asker's number.
    Match(Arc<str>, u64),
    /// Nothing: the answer comes behind all that was sent before.
    Barrier(u64, BusConnection),
    /// Not the bus but a service, by this serial. Who asks keeps what.
    Service(NonZeroU32),
}

/// Receives what comes on the connection.
pub(crate) trait Listener: Send + Sync + 'static {
    /// There is a new connection: everything is to be asked for.
    fn connected(&self);

    /// The connection is lost; what was known is not known any more.
    fn lost(&self);

    /// A name has another owner, or none.
    fn owner_changed(&self, name: &str, old: Option<&str>, new: Option<&str>);

    /// The answer to a question.
    fn answered(&self, question: Question, answer: &Message);

    /// A signal that is not the bus's own.
    fn signal(&self, message: &Message);

    /// Something to wait for before more is read.
    fn busy(&self) -> Option<BoxFuture<'static, ()>>;
}

impl Watch {
    /// Watches the bus at `address` once it is wanted.
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// Serves until `stop`.
    pub(crate) fn start(
        &self,
        tasks: &TaskTracker,
        address: Arc<str>,
        own_names: OwnNames,
        listener: Arc<dyn Listener>,
        stop: CancellationToken,
    ) {
        let watch = self.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.shared.wanted.notified() => {}
            }
            let mut backoff = Backoff::default();
            while !stop.is_cancelled() {
                match connect(&address).await {
                    Ok(connected) => {
                        backoff.reset();
                        own_names.add(connected.unique_name());
                        *watch.read_barrier() = Some(connected.read_barrier());
                        watch.follow_owners();
                        listener.connected();
                        let mut handler = WatchHandler {
                            watch: &watch,
                            listener: &*listener,
                        };
                        let ended =
                            run(&watch.shared.connection, connected, &mut handler, &stop).await;
                        watch.forget();
                        listener.lost();
                        if let Ended::Failed(reason) = ended {
                            tracing::warn!(reason, "the connection that watches the bus is lost");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "the bus cannot be watched"),
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        });
    }

    /// Has it connect, if it does not yet.
    pub(crate) fn want(&self) {
        self.shared.wanted.notify_one();
    }

    /// Asks for all names, and all that the bus can start a service for.
    pub(crate) fn ask_names(&self) {
        let follows = &self.shared.follows_activatable;
        if !follows.swap(true, Ordering::Relaxed) {
            let rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                        member='ActivatableServicesChanged'";
            self.shared.connection.ask_bus("AddMatch", &rule);
        }
        self.ask("ListNames", &(), Question::Names);
        self.ask_activatable();
    }

    fn ask_activatable(&self) {
        self.ask("ListActivatableNames", &(), Question::Activatable);
    }

    /// Has the bus start a service.
    pub(crate) fn start_service(&self, name: &Arc<str>) {
        let body = (&**name, 0u32);
        self.ask("StartServiceByName", &body, Question::Start(name.clone()));
    }

    /// Asks who owns a name.
    pub(crate) fn ask_owner(&self, name: &Arc<str>) {
        self.ask("GetNameOwner", &&**name, Question::Owner(name.clone()));
    }

    /// Asks whether a program is still there.
    pub(crate) fn ask_program(&self, program: &Arc<str>) {
        let question = Question::Program(program.clone());
        self.ask("NameHasOwner", &&**program, question);
    }

    /// Has the bus send the signals of a service from now on.
    pub(crate) fn listen(&self, service: &Arc<str>, question: u64) {
        let rule = format!("type='signal',sender='{service}'");
        self.ask(
            "AddMatch",
            &rule,
            Question::Match(service.clone(), question),
        );
    }

    /// Has the bus send them no more.
    pub(crate) fn ignore(&self, service: &str) {
        let rule = format!("type='signal',sender='{service}'");
        self.shared.connection.ask_bus("RemoveMatch", &rule);
    }

    /// Has the bus send what a rule matches.
    pub(crate) fn add_rule(&self, rule: &str) {
        self.shared.connection.ask_bus("AddMatch", &rule);
    }

    /// The opposite; each rule as often as it was added.
    pub(crate) fn remove_rule(&self, rule: &str) {
        self.shared.connection.ask_bus("RemoveMatch", &rule);
    }

    /// Asks a service. Who asks keeps what, by the serial of the call, before; when the connection is lost, no answer
    /// comes.
    pub(crate) fn ask_service(&self, call: Outgoing) {
        let serial = call.serial();
        self.questions().insert(serial, Question::Service(serial));
        self.shared.connection.push(call);
    }

    /// Waits for an answer of a service no longer.
    pub(crate) fn forget_question(&self, question: NonZeroU32) {
        self.questions().remove(&question);
    }

    /// Raises a barrier (BUSWATCH-1); its number. `connection` is woken when it is passed.
    pub(crate) fn barrier(&self, connection: &BusConnection) -> u64 {
        let number = self.shared.barriers.fetch_add(1, Ordering::AcqRel) + 1;
        self.ask("GetId", &(), Question::Barrier(number, connection.clone()));
        number
    }

    /// Whether a barrier is passed.
    pub(crate) fn is_passed(&self, barrier: u64) -> bool {
        self.shared.passed.load(Ordering::Acquire) >= barrier
    }

    /// Whether everything was handled that the bus had for this connection when a message that has come on another one
    /// was sent: then that message needs to wait for no barrier. `false` where that is not known.
    pub(crate) fn is_level(&self) -> bool {
        self.read_barrier()
            .as_ref()
            .is_some_and(ReadBarrier::is_level)
    }

    fn read_barrier(&self) -> MutexGuard<'_, Option<ReadBarrier>> {
        lock(&self.shared.read_barrier)
    }

    fn follow_owners(&self) {
        let rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                    member='NameOwnerChanged'";
        self.shared.connection.ask_bus("AddMatch", &rule);
    }

    /// No answer comes any more, and nothing waits for a barrier.
    fn forget(&self) {
        let follows = &self.shared.follows_activatable;
        follows.store(false, Ordering::Relaxed);
        let mut questions = self.questions();
        let last = self.shared.barriers.load(Ordering::Acquire);
        self.shared.passed.fetch_max(last, Ordering::AcqRel);
        for (_, question) in questions.drain() {
            if let Question::Barrier(_, connection) = question {
                connection.nudge();
            }
        }
    }

    fn ask<B>(&self, member: &'static str, body: &B, question: Question)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        // The lock is held so that the answer cannot come before the question is kept.
        let mut questions = self.questions();
        if let Some(serial) = self.shared.connection.ask_bus(member, body) {
            questions.insert(serial, question);
        }
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<NonZeroU32, Question>> {
        lock(&self.shared.questions)
    }
}

struct WatchHandler<'a> {
    watch: &'a Watch,
    listener: &'a dyn Listener,
}

impl Handler for WatchHandler<'_> {
    fn hear(&mut self, message: Message) {
        match message.message_type() {
            Type::Signal => self.handle_signal(&message),
            Type::MethodReturn | Type::Error => {
                let serial = message.header().reply_serial();
                let question = serial.and_then(|serial| self.watch.questions().remove(&serial));
                match question {
                    Some(Question::Barrier(number, connection)) => {
                        self.watch.shared.passed.fetch_max(number, Ordering::AcqRel);
                        connection.nudge();
                    }
                    Some(question) => self.listener.answered(question, &message),
                    None => {}
                }
            }
            Type::MethodCall => {
                let refusal = Refusal::AccessDenied(
                    "this connection of the bridge offers no methods".to_owned(),
                );
                self.watch.shared.connection.refuse(&message, &refusal);
            }
        }
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.listener.busy()
    }
}

impl WatchHandler<'_> {
    fn handle_signal(&self, message: &Message) {
        let header = message.header();
        let from_bus = header
            .sender()
            .is_some_and(|name| name.as_str() == BUS_NAME);
        if !from_bus {
            return self.listener.signal(message);
        }
        match header.member().map(|name| name.as_str()) {
            Some("NameOwnerChanged") => {}
            Some("ActivatableServicesChanged") => return self.watch.ask_activatable(),
            _ => return,
        }
        let body = message.body();
        if let Ok((name, old, new)) = body.deserialize::<(&str, &str, &str)>() {
            let some = |owner: &'_ str| (!owner.is_empty()).then(|| owner.to_owned());
            let (old, new) = (some(old), some(new));
            self.listener
                .owner_changed(name, old.as_deref(), new.as_deref());
        }
    }
}

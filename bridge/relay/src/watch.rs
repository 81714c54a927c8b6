//! The connection that watches the bus: who owns which name, and what exported services tell all.
//!
//! Model: a [`Watch`] is one line, made when it is first needed. It asks the bus and hears answers,
//! changes of owners, and the broadcast signals of services that peers subscribed to.
//! Invariants: B1. [`Watch::barrier`] is passed when everything was heard that the bus had for this
//! connection when the barrier was asked for: so an answer that came on another connection is passed on
//! only after the signals before it.
//! Limits: those of `line`; while a peer that is to hear of signals takes nothing, nothing is read.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{sync::Notify, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, message::Type};

use crate::own_names::OwnNames;
use zocp_dbus::errors::Refusal;
use zocp_dbus::line::{Ear, Ended, Gauge, Line, connect, live};
use zocp_dbus::message::Outgoing;

/// The connection that watches the bus. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    line: Line,
    asked: Mutex<HashMap<NonZeroU32, Asked>>,
    wanted: Notify,
    barriers: AtomicU64,
    passed: AtomicU64,
    gauge: Mutex<Option<Gauge>>,
}

/// What the bus was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// All names.
    Names,
    /// All names that it can start a service for.
    Activatable,
    /// Who owns this name.
    Owner(Arc<str>),
    /// Whether this caller is still there.
    Caller(Arc<str>),
    /// For the signals of this service.
    Match(Arc<str>),
    /// When all before is heard.
    Barrier(u64, Line),
    /// Not the bus but a program. Who asks keeps what, by this number.
    Program(NonZeroU32),
}

/// Who is told what the watch hears.
pub(crate) trait Follower: Send + Sync + 'static {
    /// There is a new connection: everything is to be asked for.
    fn connected(&self);

    /// The connection is lost; what was known is not known any more.
    fn lost(&self);

    /// A name has another owner, or none.
    fn owner_changed(&self, name: &str, old: Option<&str>, new: Option<&str>);

    /// What the bus says to a question.
    fn answered(&self, asked: Asked, answer: &Message);

    /// A signal that is not the bus's own.
    fn signal(&self, message: &Message);

    /// Something to wait for before more is heard.
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
        follower: Arc<dyn Follower>,
        stop: CancellationToken,
    ) {
        let watch = self.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.shared.wanted.notified() => {}
            }
            while !stop.is_cancelled() {
                match connect(&address).await {
                    Ok(connected) => {
                        own_names.add(connected.unique_name());
                        *watch.gauge() = Some(connected.gauge());
                        watch.follow_owners();
                        follower.connected();
                        let mut ear = WatchEar {
                            watch: &watch,
                            follower: &*follower,
                        };
                        let ended = live(&watch.shared.line, connected, &mut ear, &stop).await;
                        watch.forget();
                        follower.lost();
                        if let Ended::Failed(reason) = ended {
                            tracing::warn!(reason, "the connection that watches the bus is lost");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "the bus cannot be watched"),
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(RETRY) => {}
                }
            }
        });
    }

    /// Has it connect, if it does not yet.
    pub(crate) fn want(&self) {
        self.shared.wanted.notify_one();
    }

    /// All names, and all that the bus can start a service for.
    pub(crate) fn ask_names(&self) {
        self.ask("ListNames", &(), Asked::Names);
        self.ask("ListActivatableNames", &(), Asked::Activatable);
    }

    /// Who owns a name.
    pub(crate) fn ask_owner(&self, name: &Arc<str>) {
        self.ask("GetNameOwner", &&**name, Asked::Owner(name.clone()));
    }

    /// Whether a caller is still there.
    pub(crate) fn ask_caller(&self, caller: &Arc<str>) {
        self.ask("NameHasOwner", &&**caller, Asked::Caller(caller.clone()));
    }

    /// To hear the signals of a service from now on.
    pub(crate) fn listen(&self, service: &Arc<str>) {
        let rule = format!("type='signal',sender='{service}'");
        self.ask("AddMatch", &rule, Asked::Match(service.clone()));
    }

    /// Not to hear them any more.
    pub(crate) fn ignore(&self, service: &str) {
        let rule = format!("type='signal',sender='{service}'");
        self.shared.line.ask_bus("RemoveMatch", &rule);
    }

    /// Has the bus tell what a rule matches.
    pub(crate) fn add_rule(&self, rule: &str) {
        self.shared.line.ask_bus("AddMatch", &rule);
    }

    /// The opposite; each rule as often as it was added.
    pub(crate) fn remove_rule(&self, rule: &str) {
        self.shared.line.ask_bus("RemoveMatch", &rule);
    }

    /// Asks a program. Who asks keeps what, by the serial of the call, before; when the connection is lost, no answer
    /// comes.
    pub(crate) fn ask_program(&self, call: Outgoing) {
        let serial = call.serial();
        self.asked().insert(serial, Asked::Program(serial));
        self.shared.line.push(call);
    }

    /// Waits for an answer of a program no longer.
    pub(crate) fn forget_question(&self, question: NonZeroU32) {
        self.asked().remove(&question);
    }

    /// Asks for a barrier (B1); its number. `line` is nudged when it is passed.
    pub(crate) fn barrier(&self, line: &Line) -> u64 {
        let number = self.shared.barriers.fetch_add(1, Ordering::AcqRel) + 1;
        self.ask("GetId", &(), Asked::Barrier(number, line.clone()));
        number
    }

    /// Whether a barrier is passed.
    pub(crate) fn is_passed(&self, barrier: u64) -> bool {
        self.shared.passed.load(Ordering::Acquire) >= barrier
    }

    /// Whether everything was heard that the bus had for this connection when something that has come
    /// elsewhere was sent: then nobody needs to wait for a barrier. `false` where that is not known.
    pub(crate) fn is_level(&self) -> bool {
        self.gauge().as_ref().is_some_and(Gauge::is_level)
    }

    fn gauge(&self) -> MutexGuard<'_, Option<Gauge>> {
        self.shared
            .gauge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn follow_owners(&self) {
        let rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                    member='NameOwnerChanged'";
        self.shared.line.ask_bus("AddMatch", &rule);
    }

    /// Nothing that was asked will be answered. Barriers hold nobody up any more.
    fn forget(&self) {
        let mut asked = self.asked();
        let last = self.shared.barriers.load(Ordering::Acquire);
        self.shared.passed.fetch_max(last, Ordering::AcqRel);
        for (_, asked) in asked.drain() {
            if let Asked::Barrier(_, line) = asked {
                line.nudge();
            }
        }
    }

    fn ask<B>(&self, member: &'static str, body: &B, asked: Asked)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        // The lock is held so that the answer cannot come before the question is kept.
        let mut questions = self.asked();
        if let Some(serial) = self.shared.line.ask_bus(member, body) {
            questions.insert(serial, asked);
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<NonZeroU32, Asked>> {
        self.shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct WatchEar<'a> {
    watch: &'a Watch,
    follower: &'a dyn Follower,
}

impl Ear for WatchEar<'_> {
    fn hear(&mut self, message: Message) {
        match message.message_type() {
            Type::Signal => self.hear_signal(&message),
            Type::MethodReturn | Type::Error => {
                let serial = message.header().reply_serial();
                let asked = serial.and_then(|serial| self.watch.asked().remove(&serial));
                match asked {
                    Some(Asked::Barrier(number, line)) => {
                        self.watch.shared.passed.fetch_max(number, Ordering::AcqRel);
                        line.nudge();
                    }
                    Some(asked) => self.follower.answered(asked, &message),
                    None => {}
                }
            }
            Type::MethodCall => {
                let refusal = Refusal::AccessDenied("this connection only listens".to_owned());
                self.watch.shared.line.refuse(&message, &refusal);
            }
        }
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.follower.busy()
    }
}

impl WatchEar<'_> {
    fn hear_signal(&self, message: &Message) {
        let header = message.header();
        let from_bus = header
            .sender()
            .is_some_and(|name| name.as_str() == "org.freedesktop.DBus");
        if !from_bus {
            return self.follower.signal(message);
        }
        if header
            .member()
            .is_none_or(|name| name != "NameOwnerChanged")
        {
            return;
        }
        let body = message.body();
        if let Ok((name, old, new)) = body.deserialize::<(&str, &str, &str)>() {
            let some = |owner: &'_ str| (!owner.is_empty()).then(|| owner.to_owned());
            let (old, new) = (some(old), some(new));
            self.follower
                .owner_changed(name, old.as_deref(), new.as_deref());
        }
    }
}

/// Between two connections.
const RETRY: Duration = Duration::from_millis(500);

//! Signals and answers of the bridge become changes of a model.
//!
//! Model: one connection listens and asks. While a connection of the bridge is being asked for all that it has, what it
//! signals is kept, and applied behind the answer if it came behind it: the order is that of the connection.
//! Layout: `schedule` says who is asked when, `question` asks, `answers` and `signals` change the model.
//! Invariants: FEED-1. the stream of messages is always read, also while questions are under way: an answer waits behind
//! what is not read. FEED-2. a value that came before an answer never replaces what the answer says.
//! Limits: `ASKING_MAX` questions at once; those of `schedule`.
//! Spec: docs/reference/dbus.md

mod answers;
mod question;
mod schedule;
mod signals;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use zbus::{Connection, Message, MessageStream, fdo::DBusProxy, message::Type};
use zocp_interfaces::{BRIDGE_NAME, NODE_PATH, OBJECT_INTERFACE, VALUES_INTERFACE};

use self::{
    question::{Answer, Question, ask},
    schedule::{Due, Schedule, Whom},
};
use crate::model::Model;

/// A model that is kept up to date, and a notice of each change.
#[derive(Debug, Clone)]
pub struct Followed {
    /// Locked because the connection changes the model while programs read it.
    model: Arc<Mutex<Model>>,
    version: watch::Receiver<u64>,
}

impl Followed {
    /// The model as it is now. The lock is held for as long as it is looked at, by nobody across an await.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the model has changed since this was asked last. `false` when nobody feeds it any more.
    pub async fn changed(&mut self) -> bool {
        self.version.changed().await.is_ok()
    }
}

/// Follows a bridge, which need not be there yet. The connection is for this alone: it has to be read all the time.
/// The future ends with the bus.
pub fn follow(connection: Connection) -> (Followed, impl Future<Output = zbus::Result<()>>) {
    let (version, receiver) = watch::channel(0);
    let model = Arc::new(Mutex::new(Model::default()));
    let followed = Followed {
        model: Arc::clone(&model),
        version: receiver,
    };
    let feed = Feed {
        connection,
        model,
        version,
        started: Instant::now(),
        schedule: Schedule::default(),
        asking: JoinSet::new(),
    };
    (followed, feed.run())
}

struct Feed {
    connection: Connection,
    /// Locked because it is the model of [`Followed`], which programs read meanwhile.
    model: Arc<Mutex<Model>>,
    version: watch::Sender<u64>,
    started: Instant,
    schedule: Schedule<Message>,
    asking: JoinSet<(Question, zbus::Result<Answer>)>,
}

impl Feed {
    async fn run(mut self) -> zbus::Result<()> {
        let mut stream = MessageStream::from(&self.connection);
        let dbus = DBusProxy::new(&self.connection).await?;
        for rule in rules() {
            dbus.add_match_rule(rule.as_str().try_into()?).await?;
        }
        self.schedule.seek(Instant::now(), Whom::Bridge);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask_further();
            let due = self.schedule.poll_timeout();
            let due = due.filter(|_| self.asking.len() < ASKING_MAX);
            tokio::select! {
                // Each is cancel safe: what is not taken stays in the queue, the set or the interval.
                message = stream.next() => match message {
                    Some(message) => self.heard(&message?),
                    None => return Ok(()),
                },
                Some(answered) = self.asking.join_next() => match answered {
                    Ok((question, answer)) => self.answered(question, answer),
                    Err(error) => tracing::warn!(%error, "a question to the bridge ended"),
                },
                _ = tick.tick() => self.tick(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            let version = self.lock().version();
            self.version
                .send_if_modified(|sent| std::mem::replace(sent, version) != version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self) {
        self.lock().expire(self.now());
        if self.schedule.has_bridge() {
            self.asking
                .spawn(ask(self.connection.clone(), Question::Statistics));
        }
        self.schedule.forget_asked(Instant::now());
    }

    /// Asks as many questions as may be under way at once.
    fn ask_further(&mut self) {
        while self.asking.len() < ASKING_MAX {
            let question = match self.schedule.next(Instant::now()) {
                Some(Due::Owner(whom)) => Question::Owner(whom),
                Some(Due::All(whom, owner)) => Question::All(whom, owner),
                None => return,
            };
            self.asking.spawn(ask(self.connection.clone(), question));
        }
    }

    fn heard(&mut self, message: &Message) {
        let header = message.header();
        let Some(sender) = header
            .sender()
            .filter(|_| header.message_type() == Type::Signal)
        else {
            return;
        };
        if header
            .member()
            .is_some_and(|member| member == "NameOwnerChanged")
            && sender == "org.freedesktop.DBus"
        {
            if let Ok((name, old, new)) = message.body().deserialize::<(String, String, String)>() {
                self.owned(&name, &old, &new);
            }
            return;
        }
        let heard = self.schedule.heard(sender.as_str(), message.clone());
        if let Some((whom, message)) = heard {
            self.apply(&whom, &message);
        }
    }

    fn owned(&mut self, name: &str, old: &str, new: &str) {
        if name != BRIDGE_NAME {
            return;
        }
        if !old.is_empty() {
            self.schedule.clear();
            let now = self.now();
            self.lock().lose_bridge(now);
        }
        if !new.is_empty() {
            self.schedule.seek(Instant::now(), Whom::Bridge);
        }
    }
}

/// What the bus is asked to send. Nodes have connections of their own, so what is theirs is known by its path.
fn rules() -> [String; 6] {
    let properties =
        "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'";
    let objects = "type='signal',interface='org.freedesktop.DBus.ObjectManager'";
    [
        format!(
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{BRIDGE_NAME}'"
        ),
        format!("{properties},path_namespace='{NODE_PATH}',arg0='{VALUES_INTERFACE}'"),
        format!("{properties},path_namespace='{NODE_PATH}',arg0='{OBJECT_INTERFACE}'"),
        format!("{objects},path='{NODE_PATH}'"),
        format!("{properties},sender='{BRIDGE_NAME}'"),
        format!("{objects},sender='{BRIDGE_NAME}'"),
    ]
}

/// Questions under way at once: so many nodes are read at the start without flooding the bridge.
const ASKING_MAX: usize = 16;
/// How often counters are read, and old nodes forgotten.
const TICK: Duration = Duration::from_secs(2);

//! A program on a bus that calls, and keeps books on its calls.
//!
//! Model: one task reads all that comes; an answer goes to whom it is for by its serial number.
//! Invariants: I1 of `ledger.rs`; an answer to nothing, and so a second answer, is a finding.
//! Limits: [`ANSWER_MAX`] for an answer, more than the bridge's own 20 s.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use zbus::{
    Connection, DynamicType, Message, MessageStream, export::serde::Serialize, message::Type,
};
use zocp_testkit::{Bus, message};

use crate::{ledger::Ledger, standing::Stamp};

/// A service, a path and an interface.
pub(crate) type Place<'p> = (&'p str, &'p str, &'p str);

/// A connection that calls.
pub(crate) struct Caller {
    connection: Connection,
    waiting: Rc<RefCell<Waiting>>,
    reader: JoinHandle<()>,
    ledger: Rc<Ledger>,
}

#[derive(Default)]
struct Waiting {
    answers: HashMap<u32, oneshot::Sender<Message>>,
    /// Answered, or given up.
    past: HashSet<u32>,
}

/// A call that was sent.
pub(crate) struct Pending {
    what: String,
    answer: oneshot::Receiver<Message>,
}

impl Caller {
    pub(crate) async fn on(bus: &Bus, ledger: &Rc<Ledger>) -> Self {
        let connection = bus.connect().await;
        let waiting = Rc::new(RefCell::new(Waiting::default()));
        let messages = MessageStream::from(&connection);
        let reader = read(messages, Rc::clone(&waiting), Rc::clone(ledger));
        Self {
            reader: tokio::task::spawn_local(reader),
            connection,
            waiting,
            ledger: Rc::clone(ledger),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends a call; the answer is waited for later, if at all.
    pub(crate) async fn begin<B: Serialize + DynamicType>(
        &self,
        (service, path, interface): Place<'_>,
        method: &str,
        body: &B,
    ) -> Pending {
        let call = message(service, path, interface, method).build(body);
        let call = call.unwrap_or_else(|error| panic!("{method}: {error}"));
        let (to, answer) = oneshot::channel();
        let serial = call.primary_header().serial_num().get();
        self.waiting.borrow_mut().answers.insert(serial, to);
        self.ledger.sent();
        if let Err(error) = self.connection.send(&call).await {
            self.ledger.finding(format!("{method} not sent: {error}"));
        }
        Pending {
            what: format!("{method} of {service} at {path}"),
            answer,
        }
    }

    /// The answer to a call. An error is a finding unless something moved since the stamp was taken, or `expected`
    /// says that it may be so.
    pub(crate) async fn end(
        &self,
        pending: Pending,
        stamp: &Stamp,
        expected: impl Fn(&str) -> bool,
    ) -> Option<Message> {
        let Pending { what, answer } = pending;
        let Ok(Ok(answer)) = timeout(ANSWER_MAX, answer).await else {
            self.ledger
                .finding(format!("no answer within {ANSWER_MAX:?}: {what}"));
            return None;
        };
        if answer.message_type() == Type::MethodReturn {
            return Some(answer);
        }
        let header = answer.header();
        let name = header.error_name().map_or("", |name| name.as_str());
        if !expected(name) && (stamp.holds() || !is_of_moving(name)) {
            let text: String = answer.body().deserialize().unwrap_or_default();
            self.ledger.finding(format!("{what}: {name}: {text}"));
        }
        None
    }

    /// Calls, and waits for the answer.
    pub(crate) async fn call<B: Serialize + DynamicType>(
        &self,
        place: Place<'_>,
        method: &str,
        body: &B,
        stamp: &Stamp,
    ) -> Option<Message> {
        let pending = self.begin(place, method, body).await;
        self.end(pending, stamp, |_| false).await
    }

    /// Leaves the bus in order, without calls under way.
    pub(crate) async fn leave(self) {
        let left = self.waiting.borrow().answers.len();
        self.ledger.abandoned(left);
        self.reader.abort();
        // The bus may be gone already.
        let _ = self.connection.close().await;
    }

    /// Is gone from one moment to the next, whatever is under way.
    pub(crate) fn die(self) {
        let left = self.waiting.borrow().answers.len();
        self.ledger.abandoned(left);
        self.reader.abort();
    }
}

async fn read(mut messages: MessageStream, waiting: Rc<RefCell<Waiting>>, ledger: Rc<Ledger>) {
    while let Some(Ok(message)) = messages.next().await {
        let Some(serial) = message.header().reply_serial() else {
            continue;
        };
        if message
            .header()
            .sender()
            .is_some_and(|sender| sender == BUS)
            && !waiting.borrow().answers.contains_key(&serial.get())
        {
            // To a call of zbus itself, for a name or a rule.
            continue;
        }
        let mut waiting = waiting.borrow_mut();
        match waiting.answers.remove(&serial.get()) {
            Some(to) => {
                waiting.past.insert(serial.get());
                match message.header().error_name() {
                    None => ledger.answered(),
                    Some(name) => ledger.refused(name),
                }
                // Who gave up waiting has said so.
                let _ = to.send(message);
            }
            None => {
                let second = waiting.past.contains(&serial.get());
                let which = if second {
                    "a second answer"
                } else {
                    "an answer to nothing"
                };
                ledger.finding(format!("{which}: {message:?}"));
            }
        }
    }
}

/// Whether an error is one that something which comes or goes may lead to.
fn is_of_moving(name: &str) -> bool {
    OF_MOVING.contains(&name)
}

const BUS: &str = "org.freedesktop.DBus";
const ANSWER_MAX: Duration = Duration::from_secs(40);
const OF_MOVING: [&str; 10] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Timeout",
    "org.freedesktop.DBus.Error.UnknownObject",
    "org.freedesktop.DBus.Error.UnknownProperty",
    "org.freedesktop.DBus.Error.UnknownMethod",
    "org.freedesktop.DBus.Error.UnknownInterface",
    "org.freedesktop.DBus.Error.InvalidArgs",
    "org.z25.Zocp1.Error.NodeGone",
];

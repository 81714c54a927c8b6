//! A program on a bus that sees every message as it is: its octets, its byte order, its place in the row.
//!
//! Model: what comes is read in order; what a verb does not look for is *kept* and found by a later one.
//! Limits: so many messages wait unread as no test makes ([`QUEUE`]).
//! Not here: calls whose answers are values (`object.rs`).

use std::{collections::VecDeque, num::NonZero};

use futures_util::StreamExt;
use zbus::{
    Connection, DynamicType, Message, MessageStream, connection::Builder, export::serde::Serialize,
    message::Type,
};

use crate::{Bus, in_time};

/// A connection whose messages a test takes one by one.
pub struct Client {
    connection: Connection,
    stream: MessageStream,
    kept: VecDeque<Message>,
}

impl Client {
    /// A new connection to `bus`.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn on(bus: &Bus) -> Self {
        let builder = Builder::address(bus.address()).max_queued(QUEUE);
        let connection = in_time("a bus connection", builder.build()).await;
        let connection = connection.unwrap_or_else(|error| panic!("no connection: {error}"));
        Self {
            stream: MessageStream::from(&connection),
            connection,
            kept: VecDeque::new(),
        }
    }

    /// A connection that sees what passes on `bus` between others, if `rule` says so.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn watching(bus: &Bus, rule: &str) -> Self {
        let mut client = Self::on(bus).await;
        let monitoring = "org.freedesktop.DBus.Monitoring";
        let watch = message(BUS, BUS_PATH, monitoring, "BecomeMonitor")
            .build(&(vec![rule], 0u32))
            .unwrap_or_else(|error| panic!("{rule}: {error}"));
        let answer = client.ask(&watch).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
        client
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Hears the signals that `service` broadcasts from now on.
    pub async fn hear(&mut self, service: &str) {
        let rule = format!("type='signal',sender='{service}'");
        let call = message(BUS, BUS_PATH, BUS, "AddMatch").build(&rule);
        let call = call.unwrap_or_else(|error| panic!("{rule}: {error}"));
        let answer = self.ask(&call).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
    }

    /// Calls a method and waits for the answer, whichever it is.
    ///
    /// # Panics
    /// When there is none, or no message can be made of this.
    pub async fn call<B: Serialize + DynamicType>(
        &mut self,
        (service, path, interface): (&str, &str, &str),
        method: &str,
        body: &B,
    ) -> Message {
        let call = message(service, path, interface, method).build(body);
        self.ask(&call.unwrap_or_else(|error| panic!("{method}: {error}")))
            .await
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When the bus is gone.
    pub async fn send(&self, message: &Message) {
        let sent = self.connection.send(message).await;
        sent.unwrap_or_else(|error| panic!("{message:?}: {error}"));
    }

    /// Sends many, one right after the other.
    ///
    /// # Panics
    /// When the bus is gone.
    pub async fn send_all(&self, messages: &[Message]) {
        let sent = self.connection.send_all(messages).await;
        sent.unwrap_or_else(|error| panic!("{} messages: {error}", messages.len()));
    }

    /// Sends a call and waits for its answer, whichever it is.
    pub async fn ask(&mut self, call: &Message) -> Message {
        self.send(call).await;
        self.answer(call).await
    }

    /// The answer to a call that was sent.
    pub async fn answer(&mut self, call: &Message) -> Message {
        let serial = call.primary_header().serial_num();
        self.find(&format!("the answer to {call:?}"), |message| {
            message.header().reply_serial() == Some(serial)
        })
        .await
    }

    /// The next signal of this name.
    pub async fn signal(&mut self, member: &str) -> Message {
        self.find(&format!("the signal {member}"), |message| {
            is_signal(message, member)
        })
        .await
    }

    /// The first message like this, of those that came and those that come.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn find(&mut self, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        if let Some(found) = self.take_kept(&is_it) {
            return found;
        }
        in_time(what, async {
            loop {
                let message = self.next().await;
                if is_it(&message) {
                    return message;
                }
                self.kept.push_back(message);
            }
        })
        .await
    }

    /// All that came before the answer to this call, and was not looked for. What must not come is told from what
    /// is not there yet by a call that is answered behind it: one that goes through the same bridges.
    ///
    /// # Panics
    /// When the call fails.
    pub async fn heard_before(&mut self, object: (&str, &str, &str), method: &str) -> Vec<Message> {
        let answer = self.call(object, method, &()).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
        self.kept.drain(..).collect()
    }

    /// Leaves the bus.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn leave(self) {
        let closed = self.connection.close().await;
        closed.unwrap_or_else(|error| panic!("cannot leave: {error}"));
    }

    fn take_kept(&mut self, is_it: impl Fn(&Message) -> bool) -> Option<Message> {
        let at = self.kept.iter().position(is_it)?;
        self.kept.remove(at)
    }

    async fn next(&mut self) -> Message {
        match self.stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => panic!("the bus: {error}"),
            None => panic!("the bus hung up"),
        }
    }
}

/// The name of the error that an answer is.
#[must_use]
pub fn error_name(answer: &Message) -> Option<String> {
    answer.header().error_name().map(ToString::to_string)
}

/// Whether it is a signal of this name.
#[must_use]
pub fn is_signal(message: &Message, member: &str) -> bool {
    message.message_type() == Type::Signal
        && message.header().member().is_some_and(|it| it == member)
}

/// A call of a method that is yet without a body.
///
/// # Panics
/// When a name is none.
#[must_use]
pub fn message<'m>(
    service: &'m str,
    path: &'m str,
    interface: &'m str,
    method: &'m str,
) -> zbus::message::Builder<'m> {
    Message::method_call(path, method)
        .destination(service)
        .interface(interface)
}

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const QUEUE: NonZero<usize> = match NonZero::new(100_000) {
    Some(number) => number,
    None => NonZero::<usize>::MIN,
};

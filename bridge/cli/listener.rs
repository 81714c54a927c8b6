//! Signals that a command waits for, on a connection of their own.
//!
//! Model: this connection asks nothing, so signals that nobody takes yet never hold up an answer.
//! Limits: what comes within [`TOGETHER`] is told as one change.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;
use zbus::{Message, MessageStream, fdo::DBusProxy};
use zocp_interfaces::{BRIDGE_NAME, BRIDGE_PATH, PEERS_PATH, WIRES_PATH};

use crate::{
    client::Client,
    exit::{Exit, Failure},
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Listener {
    signals: MessageStream,
}

impl Listener {
    /// Listens for what fits one of the rules.
    pub(crate) async fn new<R: AsRef<str>>(client: &Client, rules: &[R]) -> Result<Self, Failure> {
        let listener = client.again().await?;
        let signals = MessageStream::from(&listener.connection);
        let dbus = DBusProxy::new(&listener.connection).await?;
        for rule in rules {
            dbus.add_match_rule(rule.as_ref().try_into()?).await?;
        }
        Ok(Self { signals })
    }

    /// The next signal. Cancel safe: it is taken, or stays in the queue.
    pub(crate) async fn next(&mut self) -> Result<Message, Failure> {
        match self.signals.next().await.transpose()? {
            Some(signal) => Ok(signal),
            None => Err(Failure::new(Exit::NoBus, "the bus is gone")),
        }
    }

    /// Waits for a signal that matters, and takes what comes together with it. Who drops it before its end looks again:
    /// a change may have been taken.
    pub(crate) async fn change(
        &mut self,
        matters: impl Fn(&Message) -> bool,
    ) -> Result<(), Failure> {
        while !matters(&self.next().await?) {}
        sleep(TOGETHER).await;
        while let Some(Some(_)) = self.signals.next().now_or_never() {}
        Ok(())
    }
}

/// The rule for properties of the peers.
pub(crate) fn peers_rule() -> String {
    properties_below(PEERS_PATH)
}

/// The rule for properties of the wires.
pub(crate) fn wires_rule() -> String {
    properties_below(WIRES_PATH)
}

/// The rule for peers and wires that come and go.
pub(crate) fn objects_rule() -> String {
    format!(
        "type='signal',sender='{BRIDGE_NAME}',path='{BRIDGE_PATH}',\
         interface='org.freedesktop.DBus.ObjectManager'"
    )
}

/// The rule for the bridge itself.
pub(crate) fn bridge_rule() -> String {
    format!(
        "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{BRIDGE_NAME}'"
    )
}

/// Who is the bridge now, by the unique name, if a signal says so; empty for nobody.
pub(crate) fn new_bridge(signal: &Message) -> Result<Option<String>, Failure> {
    let header = signal.header();
    let member = header.member();
    if member.is_none_or(|member| *member != "NameOwnerChanged") {
        return Ok(None);
    }
    let (name, _, owner): (String, String, String) = signal.body().deserialize()?;
    Ok((name == BRIDGE_NAME).then_some(owner))
}

fn properties_below(path: &str) -> String {
    format!(
        "type='signal',sender='{BRIDGE_NAME}',path_namespace='{path}',\
         interface='org.freedesktop.DBus.Properties'"
    )
}

const TOGETHER: Duration = Duration::from_millis(100);

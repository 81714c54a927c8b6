//! The ends of wires that are members of services on this bus.
//!
//! Model: two connections, made when they are first needed. On one, the [`Caller`], properties are set and methods are
//! called; on the other, the [`Listener`], signals are received. Were they one, a wire whose queue is full would hold
//! up the replies that it waits for.
//! Invariants: WIRESBUS-1. Sending a call is never cancelled half way. WIRESBUS-2. A signal belongs to a service if
//! its sender owns the name of the service.
//! Limits: [`ANSWER_MAX`] for a reply; those of `zocp_dbus::connection`.

mod caller;
mod listener;
mod sink;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) use self::{
    caller::Caller,
    listener::Listener,
    sink::{Sink, current},
};
use zocp_dbus::connection::{Backoff, BusConnection, Ended, Handler, connect, run};

/// Why a call failed. The service may have done part of it, unless its error says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The service, or the bus on its behalf, answered with an error.
    #[error("{name}: {text}")]
    Answered {
        /// The name of the error.
        name: String,
        /// The text of the error.
        text: String,
    },
    /// The service did not answer in time.
    #[error("the service did not answer within {} s", ANSWER_MAX.as_secs())]
    Timeout,
    /// The message is longer than the bus accepts, which would end the connection. It was not sent.
    #[error("the value is larger than the {max} octets that the bus takes")]
    TooLarge {
        /// The limit of the bus for a message.
        max: usize,
    },
    /// The connection to the bus is lost.
    #[error("the connection to the bus is lost")]
    Lost,
    /// The value cannot be converted to the type of the member.
    #[error("the member takes \"{0}\", to which the value cannot be converted")]
    Type(String),
    /// The member cannot be a target; the text says why.
    #[error("{0}")]
    Unfit(String),
}

/// Serves a connection from when it is first needed until `stop` is cancelled, and reconnects when it fails.
async fn serve<E: Handler>(
    connection: &BusConnection,
    address: Arc<str>,
    wanted: &Notify,
    handler: &mut E,
    on_change: impl Fn(bool),
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = wanted.notified() => {}
    }
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        match connect(&address).await {
            Ok(stream) => {
                backoff.reset();
                on_change(true);
                let ended = run(connection, stream, handler, &stop).await;
                on_change(false);
                if let Ended::Failed(reason) = ended {
                    tracing::warn!(reason, "lost a bus connection of the wires");
                }
            }
            Err(error) => tracing::warn!(%error, "the wires cannot connect to the bus"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = backoff.wait() => {}
        }
    }
}

/// How long a wire waits for a reply: as long as for the reply of a node.
const ANSWER_MAX: Duration = Duration::from_secs(20);

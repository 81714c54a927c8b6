//! The ends of wires that are members of services of this bus.
//!
//! Model: two connections, made when they are first needed. On one, the [`Caller`], properties are set and
//! methods are called; on the other, the [`Listener`], signals are heard. Were they one, a wire whose
//! queue is full would hold up the answers that it waits for.
//! Invariants: WIRESBUS-1. what is sent is not cancelled half way. WIRESBUS-2. a signal counts as a service's when its
//! sender owns the service's name.
//! Limits: [`ANSWER_MAX`] for an answer; those of `connection`.

mod caller;
mod listener;
mod sink;

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

pub(super) use self::{
    caller::Caller,
    listener::Listener,
    sink::{Sink, current},
};
use zocp_dbus::connection::{BusConnection, Ended, Handler, connect, run};

/// Why a call was not done. The service may have done part of it, unless it said so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The service, or the bus in its place, answered with an error.
    #[error("{name}: {text}")]
    Answered {
        /// The error's name.
        name: String,
        /// What it says.
        text: String,
    },
    /// No answer in time.
    #[error("the service did not answer within {} s", ANSWER_MAX.as_secs())]
    Timeout,
    /// The bus would take it for a reason to throw us off. Nothing was sent.
    #[error("the value is larger than the {max} octets that the bus takes")]
    TooLarge {
        /// The bus's limit for a message.
        max: usize,
    },
    /// The bus is gone.
    #[error("the bus is gone")]
    Lost,
    /// The value is not of the type that the member takes.
    #[error("the member takes \"{0}\", and the value is none")]
    Type(String),
    /// The member cannot be a target.
    #[error("{0}")]
    Unfit(String),
}

/// Serves a connection with one connection after the other, from when it is first wanted until `stop`.
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
    while !stop.is_cancelled() {
        match connect(&address).await {
            Ok(stream) => {
                on_change(true);
                let ended = run(connection, stream, handler, &stop).await;
                on_change(false);
                if let Ended::Failed(reason) = ended {
                    tracing::warn!(reason, "a connection of wires is lost");
                }
            }
            Err(error) => tracing::warn!(%error, "wires cannot reach the bus"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(RETRY) => {}
        }
    }
}

/// As long as a node's answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Between two attempts to reach the bus.
const RETRY: Duration = Duration::from_secs(1);

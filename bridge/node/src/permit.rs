//! Capacity for one command, reserved before it is known what the command will be.
//!
//! Model: commands run in the order in which they are sent. A program that must keep an order among several tasks
//! reserves capacity first, and then sends without waiting.

use tokio::sync::mpsc::{OwnedPermit, error::TrySendError};
use tokio::sync::oneshot;
use zocp_model::{CapPath, Value};

use crate::actor::Actor;
use crate::command::Command;
use crate::error::NodeError;
use crate::shared::Commands;

/// Capacity for one command. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    permit: OwnedPermit<Command<Actor>>,
}

/// An operation that is under way. Dropping it does not stop it.
#[derive(Debug)]
pub struct PendingOperation {
    result: oneshot::Receiver<Result<(), NodeError>>,
}

impl PendingOperation {
    /// Waits for its result.
    ///
    /// # Errors
    /// As [`Node::set_local`](crate::Node::set_local) and [`Node::emit`](crate::Node::emit).
    pub async fn done(self) -> Result<(), NodeError> {
        self.result.await.unwrap_or(Err(NodeError::Closed))
    }
}

/// What is done with a new value of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// It is a state: those who follow it are told if it differs from the last one.
    State,
    /// It is emitted: an event each time, also of an equal value.
    Emission,
}

impl Permit {
    /// Waits for capacity in a queue. First come, first served.
    pub(crate) async fn reserve(queue: &Commands) -> Result<Self, NodeError> {
        let permit = queue.clone().reserve_owned().await;
        let permit = permit.map_err(|_| NodeError::Closed)?;
        Ok(Self { permit })
    }

    /// Takes capacity of a queue, or fails with `Busy`.
    pub(crate) fn try_reserve(queue: &Commands) -> Result<Self, NodeError> {
        let permit = queue.clone().try_reserve_owned();
        let permit = permit.map_err(|error| match error {
            TrySendError::Full(_) => NodeError::Busy,
            TrySendError::Closed(_) => NodeError::Closed,
        })?;
        Ok(Self { permit })
    }

    /// Sets or emits a value of this node. [`Event::Marked`](crate::Event::Marked) with `mark` follows the events that
    /// come of it. The operation is under way when this returns; its result can be awaited.
    pub fn set_local(
        self,
        path: CapPath,
        value: Value,
        setting: Setting,
        mark: u64,
    ) -> PendingOperation {
        let (reply, result) = oneshot::channel();
        let command = Command::Run(Box::new(move |actor: &mut Actor, now| {
            let outcome = match setting {
                Setting::State => actor.set_local(&path, value),
                Setting::Emission => actor.emit(&path, value),
            };
            actor.mark(now, mark);
            // The caller may be gone; the work is done all the same.
            let _ = reply.send(outcome);
        }));
        self.permit.send(command);
        PendingOperation { result }
    }
}

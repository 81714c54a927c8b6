//! Room for one command, taken before it is known what it will be.
//!
//! Model: commands are done in the order in which they are handed over. Whoever must keep an order among
//! many tasks takes room first, and hands over without waiting.

use tokio::sync::{
    mpsc::{OwnedPermit, error::TrySendError},
    oneshot,
};
use zocp_model::{CapPath, Value};

use crate::error::NodeError;
use crate::node::{Command, Node};

/// Room for one command. Dropping it gives it back.
#[derive(Debug)]
pub struct Room {
    permit: OwnedPermit<Command>,
}

/// Something that is under way. Dropping it does not stop it.
#[derive(Debug)]
pub struct Begun {
    answered: oneshot::Receiver<Result<(), NodeError>>,
}

impl Begun {
    /// Waits for what comes of it.
    ///
    /// # Errors
    /// As [`Node::set_local`] and [`Node::emit`].
    pub async fn done(self) -> Result<(), NodeError> {
        self.answered.await.unwrap_or(Err(NodeError::Closed))
    }
}

/// What is done with a value of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Those who follow it are told if it is another one.
    State,
    /// It is emitted: an event, also of an equal value.
    Emission,
}

impl Node {
    /// Waits for room. First come, first served.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn room(&self) -> Result<Room, NodeError> {
        let permit = self.commands().clone().reserve_owned().await;
        let permit = permit.map_err(|_| NodeError::Closed)?;
        Ok(Room { permit })
    }

    /// Takes room if there is some.
    ///
    /// # Errors
    /// `Busy`, `Closed`.
    pub fn try_room(&self) -> Result<Room, NodeError> {
        let permit = self.commands().clone().try_reserve_owned();
        let permit = permit.map_err(|error| match error {
            TrySendError::Full(_) => NodeError::Busy,
            TrySendError::Closed(_) => NodeError::Closed,
        })?;
        Ok(Room { permit })
    }
}

impl Room {
    /// Sets or emits a value of this node, and has [`Event::Marked`](crate::Event::Marked) told with `mark`
    /// behind all that came of it. It is under way when this returns; the outcome can be awaited.
    pub fn set_local(self, path: CapPath, value: Value, setting: Setting, mark: u64) -> Begun {
        let (answer, answered) = oneshot::channel();
        let command = Command::Run(Box::new(move |house, now| {
            let outcome = match setting {
                Setting::State => house.set_local(&path, value),
                Setting::Emission => house.emit(&path, value),
            };
            house.mark(now, mark);
            // The asker may have gone; the work is done all the same.
            let _ = answer.send(outcome);
        }));
        self.permit.send(command);
        Begun { answered }
    }
}

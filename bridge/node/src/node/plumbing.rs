//! Operations that only the bridge needs. See [`crate::plumbing`].

use zocp_model::{CapPath, Cause, Value};
use zocp_zre::PeerId;

use super::Node;
use crate::actor::Actor;
use crate::command::{Command, Work};
use crate::error::NodeError;
use crate::permit::Permit;
use crate::target::{End, IntoCapPath};

#[doc(hidden)]
impl Node {
    /// As [`set`](Self::set), of a value that came through so many wires and from this touch, which
    /// [`Event::Set`](crate::Event::Set) then reports.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_through(
        &self,
        peer: PeerId,
        path: impl IntoCapPath,
        value: impl Into<Value>,
        through: (u8, Option<Cause>),
    ) -> Result<(), NodeError> {
        let (path, value) = (path.into_cap_path()?, value.into());
        self.command(move |actor, _| actor.set(peer, &path, value, through))
            .await?
    }

    /// Hands a value to a capability of this node as a wire would: a sensor receives it as an emission, and another
    /// capability is set if it is writable. `emitter` names the origin.
    ///
    /// # Errors
    /// `Invalid` when there is no such capability or it does not take the value; `Closed`.
    pub async fn receive(
        &self,
        path: CapPath,
        value: Value,
        emitter: &str,
        cause: Option<Cause>,
    ) -> Result<(), NodeError> {
        let emitter = emitter.to_owned();
        self.command(move |actor, _| actor.receive(&path, &value, &emitter, cause.as_ref()))
            .await?
    }

    /// As [`emit`](Self::emit), of a value that comes from this touch.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_from(
        &self,
        path: CapPath,
        value: Value,
        cause: Option<Cause>,
    ) -> Result<(), NodeError> {
        self.command(move |actor, _| actor.emit_from(&path, value, cause.as_ref()))
            .await?
    }

    /// As [`subscribe`](Self::subscribe); with `first` the sensor gets the present value, if the emitter's node knows
    /// how to send it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(
        &self,
        emitter: End,
        sensor: End,
        first: bool,
    ) -> Result<(), NodeError> {
        self.command(move |actor, _| actor.subscribe(&emitter, &sensor, first))
            .await?
    }

    /// Has [`Event::Marked`](crate::Event::Marked) reported with this number after all events of what this handle did
    /// before. The reader of the events then knows that it has read them.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn mark(&self, number: u64) -> Result<(), NodeError> {
        let work: Work<Actor> = Box::new(move |actor, now| actor.mark(now, number));
        let sent = self.commands().send(Command::Run(work)).await;
        sent.map_err(|_| NodeError::Closed)
    }

    /// Waits for the capacity for one command. First come, first served.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn reserve(&self) -> Result<Permit, NodeError> {
        Permit::reserve(self.commands()).await
    }

    /// Takes the capacity for one command if there is some.
    ///
    /// # Errors
    /// `Busy`; `Closed`.
    pub fn try_reserve(&self) -> Result<Permit, NodeError> {
        Permit::try_reserve(self.commands())
    }
}

//! The model's side of the actor: trees, values, subscriptions, calls.
//!
//! Model: outputs of the model become whispers of the mesh and events of the node. What handles request goes in, and
//! the errors of the model become those of this crate.
//! Invariants: CALL-1. A call has its sender in `calls` until the model reports its end, once.
//! Limits: those of the model; a request to a peer whose send credit is spent fails with `Busy`.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{debug, warn};
use zocp_model::{
    CallError, CallFailure, CallId, CapPath, Capability, Cause, Method, ObjectPath, Output,
    PublishError, ReplyError, RequestId, SetError, SubscribeError, Tree, Value,
};
use zocp_zre::{Content, PeerId, SendError};

use super::Actor;
use super::mesh::{node_id, peer_id};
use crate::call::{Call, CallResult};
use crate::error::{Invalid, NodeError, RemoteError};
use crate::event::Event;
use crate::target::End;
use crate::traffic_kinds::Rejection;

impl Actor {
    /// Takes the outputs of the model; returns whether there were any.
    pub(super) fn settle_model(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(output) = self.model.poll_output() {
            any = true;
            match output {
                Output::Whisper { peer, octets } => self.send_zocp(now, peer_id(peer), octets),
                Output::Event(event) => self.route_model_event(event),
            }
        }
        any
    }

    /// Sends a ZOCP message to a peer.
    fn send_zocp(&mut self, now: Instant, peer: PeerId, octets: Vec<u8>) {
        if let Some(via) = self.passing.via(peer) {
            return self.ask_away(via, peer, octets);
        }
        if self.passing.linked(peer).is_some() {
            return self.queue_own(peer, octets);
        }
        match self
            .zre
            .whisper(now, peer, Content::from_iter([Bytes::from(octets)]))
        {
            Ok(()) => {}
            Err(SendError::Busy) => self.give_up(now, peer),
            // The peer left within this turn, and the model is told next.
            Err(error) => debug!(peer = %peer.short(), %error, "a message was not sent"),
        }
    }

    /// Gives a message to the model; returns whether it is ZOCP.
    pub(super) fn is_zocp(&mut self, now: Instant, peer: PeerId, content: &[Bytes]) -> bool {
        let [octets] = content else { return false };
        match self.model.handle_message(now, node_id(peer), octets) {
            Ok(zocp) => zocp,
            Err(error) => {
                self.traffic.reject(Rejection::Message, None, || {
                    format!("{}: {error}", peer.short())
                });
                warn!(peer = %peer.short(), %error, "a message could not be understood");
                true
            }
        }
    }

    /// A call is over: of a linked peer, or of a handle, which may be gone.
    fn call_done(&mut self, id: CallId, result: Result<Vec<Value>, CallFailure>) {
        if let Some(asked) = self.passing.calls.remove(&id) {
            self.answer_away(asked, result);
        } else if let Some((peer, answer)) = self.calls.remove(&id) {
            let _ = answer.send(result.map_err(|failure| call_error(peer, failure)));
        }
    }

    fn route_model_event(&mut self, event: zocp_model::Event) {
        use zocp_model::Event as Zocp;
        self.pass_on(&event);
        let event = match event {
            Zocp::TreeKnown { peer } => {
                let Some(tree) = self.model.remote(peer) else {
                    return;
                };
                Event::TreeKnown {
                    peer: peer_id(peer),
                    tree: Box::new(tree.clone()),
                }
            }
            Zocp::Changed { peer, changes } => Event::Changed {
                peer: peer_id(peer),
                changes,
            },
            Zocp::Emitted {
                peer,
                path,
                value,
                cause,
            } => Event::Emitted {
                peer: peer_id(peer),
                path,
                value,
                cause,
            },
            Zocp::Set {
                peer,
                path,
                value,
                hops,
                cause,
            } => Event::Set {
                peer: peer_id(peer),
                path,
                value,
                hops,
                cause,
            },
            Zocp::LocalChanged { changes } => Event::LocalChanged { changes },
            Zocp::LocalEmitted { path, value, cause } => Event::LocalEmitted { path, value, cause },
            Zocp::LocalSet { peer, path, value } => Event::LocalSet {
                peer: peer_id(peer),
                path,
                value,
            },
            Zocp::LocalSensed {
                peer,
                emitter,
                receiver,
                value,
                cause,
            } => Event::LocalSensed {
                peer: peer_id(peer),
                emitter,
                sensor: receiver,
                value,
                cause,
            },
            Zocp::Subscribed {
                peer,
                emitter,
                receiver,
            } => Event::Subscribed {
                peer: peer_id(peer),
                emitter,
                sensor: receiver,
            },
            Zocp::Unsubscribed {
                peer,
                emitter,
                receiver,
            } => Event::Unsubscribed {
                peer: peer_id(peer),
                emitter,
                sensor: receiver,
            },
            Zocp::Called {
                peer,
                id,
                object,
                method,
                args,
            } => Event::Called(Call {
                peer: peer_id(peer),
                path: object.capability(&method),
                args,
                id,
            }),
            Zocp::CallDone { id, result } => return self.call_done(id, result),
            Zocp::Ignored { peer, reason } => {
                debug!(%peer, %reason, "part of a message was ignored");
                self.traffic.reject(Rejection::Message, None, || {
                    format!("{}: {reason}", peer_id(peer).short())
                });
                return;
            }
            _ => return,
        };
        self.events.push(event);
    }
}

// What handles request.
impl Actor {
    pub(crate) fn tree(&self, peer: PeerId) -> Option<Tree> {
        let id = node_id(peer);
        if id == self.model.id() {
            return Some(self.model.local().clone());
        }
        self.model.remote(id).cloned()
    }

    pub(crate) fn set(
        &mut self,
        peer: PeerId,
        path: &CapPath,
        value: Value,
        through: (u8, Option<Cause>),
    ) -> Result<(), NodeError> {
        self.refuse_when_full(peer)?;
        self.model
            .set_through(node_id(peer), path, value, through)
            .map_err(|error| match error {
                SetError::NodeGone => NodeError::NodeGone(peer),
                other => Invalid::Set(other).into(),
            })
    }

    pub(crate) fn call(
        &mut self,
        now: Instant,
        peer: PeerId,
        method: &CapPath,
        args: Vec<Value>,
    ) -> Result<oneshot::Receiver<CallResult>, NodeError> {
        self.refuse_when_full(peer)?;
        let deadline = now + self.call_max;
        let id = self
            .model
            .call(
                now,
                node_id(peer),
                &method.object,
                &method.name,
                args,
                deadline,
            )
            .map_err(|error| match error {
                CallError::NodeGone => NodeError::NodeGone(peer),
                CallError::NotSupported => NodeError::NotSupported,
                CallError::Busy => NodeError::Busy,
                other => Invalid::Call(other).into(),
            })?;
        let (answer, answered) = oneshot::channel();
        self.calls.insert(id, (peer, answer));
        Ok(answered)
    }

    pub(crate) fn reply(
        &mut self,
        peer: PeerId,
        id: RequestId,
        result: Result<Vec<Value>, RemoteError>,
    ) -> Result<(), NodeError> {
        let result = result.map_err(|error| (error.name, error.message));
        self.model
            .reply(node_id(peer), id, result)
            .map_err(|error| match error {
                ReplyError::NodeGone => NodeError::NodeGone(peer),
                other @ ReplyError::NotOpen => Invalid::Reply(other).into(),
            })
    }

    pub(crate) fn publish(
        &mut self,
        path: CapPath,
        capability: Capability,
    ) -> Result<(), NodeError> {
        self.model
            .publish(path, capability)
            .map_err(|error| Invalid::Publish(error).into())
    }

    pub(crate) fn unpublish(&mut self, path: &CapPath) -> Result<(), NodeError> {
        let unknown = || Invalid::Publish(PublishError::UnknownCapability).into();
        self.model.unpublish(path).then_some(()).ok_or_else(unknown)
    }

    pub(crate) fn describe(
        &mut self,
        object: &ObjectPath,
        entries: Vec<(String, Value)>,
    ) -> Result<(), NodeError> {
        for (name, value) in entries {
            self.model
                .set_data(object, &name, value)
                .map_err(|error| NodeError::from(Invalid::Publish(error)))?;
        }
        Ok(())
    }

    pub(crate) fn remove_object(&mut self, object: &ObjectPath) -> Result<(), NodeError> {
        let unknown = || Invalid::Publish(PublishError::UnknownCapability).into();
        let existed = self.model.remove_object(object);
        existed.then_some(()).ok_or_else(unknown)
    }

    pub(crate) fn publish_method(
        &mut self,
        path: &CapPath,
        method: &Method,
    ) -> Result<(), NodeError> {
        self.model
            .publish_method(&path.object, &path.name, method)
            .map_err(|error| Invalid::Publish(error).into())
    }

    /// Reports `Marked` after the model's events of this turn.
    pub(crate) fn mark(&mut self, now: Instant, number: u64) {
        self.settle_model(now);
        self.events.push(Event::Marked(number));
    }

    pub(crate) fn unpublish_method(&mut self, path: &CapPath) -> Result<(), NodeError> {
        let unknown = || Invalid::Publish(PublishError::UnknownCapability).into();
        let existed = self.model.unpublish_method(&path.object, &path.name);
        existed.then_some(()).ok_or_else(unknown)
    }

    pub(crate) fn set_local(&mut self, path: &CapPath, value: Value) -> Result<(), NodeError> {
        self.model
            .set_value(path, value)
            .map_err(|error| Invalid::Publish(error).into())
    }

    pub(crate) fn receive(
        &mut self,
        path: &CapPath,
        value: &Value,
        emitter: &str,
        cause: Option<&Cause>,
    ) -> Result<(), NodeError> {
        self.model
            .receive(path, value, emitter, cause)
            .map_err(|error| Invalid::Set(error).into())
    }

    pub(crate) fn emit(&mut self, path: &CapPath, value: Value) -> Result<(), NodeError> {
        self.model
            .emit(path, value)
            .map_err(|error| Invalid::Publish(error).into())
    }

    pub(crate) fn emit_from(
        &mut self,
        path: &CapPath,
        value: Value,
        cause: Option<&Cause>,
    ) -> Result<(), NodeError> {
        self.model
            .emit_from(path, value, cause)
            .map_err(|error| Invalid::Publish(error).into())
    }

    pub(crate) fn subscribe(
        &mut self,
        emitter: &End,
        sensor: &End,
        first: bool,
    ) -> Result<(), NodeError> {
        let (from, to) = (node_id(emitter.node), node_id(sensor.node));
        let (emitter, sensor) = (emitter.name.as_deref(), sensor.name.as_deref());
        self.model
            .subscribe_with((from, emitter), (to, sensor), first)
            .map_err(subscribe_error)
    }

    pub(crate) fn unsubscribe(&mut self, emitter: &End, sensor: &End) -> Result<(), NodeError> {
        let (from, to) = (node_id(emitter.node), node_id(sensor.node));
        let (emitter, sensor) = (emitter.name.as_deref(), sensor.name.as_deref());
        self.model
            .unsubscribe(from, emitter, to, sensor)
            .map_err(subscribe_error)
    }

    /// Fails for a peer that cannot be sent to, and for one whose send credit is spent, or of another venue for which much
    /// waits: what a caller waits for is not queued behind megabytes.
    fn refuse_when_full(&self, peer: PeerId) -> Result<(), NodeError> {
        let peer = self.passing.via(peer).unwrap_or(peer);
        let is_behind = self.passing.linked(peer).map(|link| link.outbox.is_busy());
        if self.zre.peer(peer).is_some_and(|it| it.is_unreachable()) {
            Err(NodeError::Unreachable(peer))
        } else if is_behind.unwrap_or_else(|| self.credits.is_full(peer)) {
            Err(NodeError::Busy)
        } else {
            Ok(())
        }
    }
}

fn call_error(peer: PeerId, failure: CallFailure) -> NodeError {
    match failure {
        CallFailure::Timeout => NodeError::Timeout,
        CallFailure::NodeGone => NodeError::NodeGone(peer),
        CallFailure::Remote { error, message } => RemoteError {
            name: error,
            message,
        }
        .into(),
    }
}

fn subscribe_error(error: SubscribeError) -> NodeError {
    match error {
        SubscribeError::NodeGone(node) => NodeError::NodeGone(peer_id(node)),
        other => Invalid::Subscribe(other).into(),
    }
}

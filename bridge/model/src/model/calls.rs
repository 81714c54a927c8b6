//! Calls with an answer, in both directions. Only between extended peers: in pyZOCP
//! `CALL` and `REP` do nothing.
//! Spec: docs/reference/protocol.md §6.3.

use std::time::Instant;

use serde_json::Value;

use super::{Model, OpenCall};
use crate::{
    NodeId, ObjectPath,
    event::{CallFailure, CallId, Event, Ignored, RequestId},
    json,
    message::{self, Answer, Call},
};

impl Model {
    /// Calls a peer's method. One [`Event::CallDone`] reports its end, by `deadline` at the latest.
    pub fn call(
        &mut self,
        now: Instant,
        peer: NodeId,
        object: &ObjectPath,
        method: &str,
        args: Vec<Value>,
        deadline: Instant,
    ) -> Result<CallId, CallError> {
        self.handle_timeout(now);
        let known = self.peers.get_mut(&peer).ok_or(CallError::NodeGone)?;
        if !known.kind.extended {
            return Err(CallError::NotSupported);
        }
        let declared = known
            .tree
            .as_ref()
            .and_then(|tree| tree.object(object)?.methods.get(method));
        let inputs = &declared.ok_or(CallError::UnknownMethod)?.inputs;
        if inputs.len() != args.len() {
            return Err(CallError::WrongCount {
                expected: inputs.len(),
                found: args.len(),
            });
        }
        if is_too_deep(&args, self.limits.depth()) {
            return Err(CallError::TooDeep);
        }
        if known.calls >= self.limits.calls_max {
            return Err(CallError::Busy);
        }
        known.calls += 1;
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.calls.insert(id, OpenCall { peer, deadline });
        self.deadlines.insert((deadline, id));
        let call = Call {
            method: method.to_owned(),
            args,
            id: Some(id.0),
            object: object.to_string(),
        };
        self.whisper(peer, message::call_with_answer(call));
        Ok(id)
    }

    /// Answers a call of a peer with results, or with an error's name and message. Results that exceed the limits of a
    /// message are replaced by an error.
    pub fn reply(
        &mut self,
        peer: NodeId,
        id: RequestId,
        result: Result<Vec<Value>, (String, String)>,
    ) -> Result<(), ReplyError> {
        let known = self.peers.get_mut(&peer).ok_or(ReplyError::NodeGone)?;
        if !known.requests.remove(&id) {
            return Err(ReplyError::NotOpen);
        }
        let result = result.and_then(|results| {
            if is_too_deep(&results, self.limits.depth()) {
                let text = "a result is nested too deep".to_owned();
                return Err((LIMITS_EXCEEDED.to_owned(), text));
            }
            Ok(results)
        });
        self.whisper(peer, message::rep(Answer { id: id.0, result }));
        Ok(())
    }

    pub(super) fn called(&mut self, peer: NodeId, call: Call) {
        let Call {
            method,
            args,
            id,
            object,
        } = call;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let id = id.filter(|_| known.kind.extended).map(RequestId);
        let path = self.tree.resolve_object(&object);
        let has_method = |path: &ObjectPath| {
            self.tree
                .object(path)
                .is_some_and(|o| o.methods.contains_key(&method))
        };
        let Some(object) = path.filter(has_method) else {
            self.refuse(peer, id, UNKNOWN_METHOD, "no such method");
            return self.ignore(peer, Ignored::UnknownMethod(method));
        };
        if let Some(id) = id
            && (known.requests.len() >= self.limits.calls_max || !known.requests.insert(id))
        {
            // With the number of an open call an answer would end that one.
            if !known.requests.contains(&id) {
                self.refuse(peer, Some(id), LIMITS_EXCEEDED, "too many calls are open");
            }
            return self.ignore(peer, Ignored::TooManyCalls);
        }
        self.event(Event::Called {
            peer,
            id,
            object,
            method,
            args,
        });
    }

    fn refuse(&mut self, peer: NodeId, id: Option<RequestId>, error: &str, text: &str) {
        if let Some(id) = id {
            let result = Err((error.to_owned(), text.to_owned()));
            self.whisper(peer, message::rep(Answer { id: id.0, result }));
        }
    }

    pub(super) fn answered(&mut self, peer: NodeId, answer: Answer) {
        let id = CallId(answer.id);
        if self.calls.get(&id).is_none_or(|call| call.peer != peer) {
            return self.ignore(peer, Ignored::UnexpectedAnswer);
        }
        let remote = |(error, message)| CallFailure::Remote { error, message };
        self.end_call(id, answer.result.map_err(remote));
    }

    pub(super) fn end_call(&mut self, id: CallId, result: Result<Vec<Value>, CallFailure>) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        self.deadlines.remove(&(call.deadline, id));
        if let Some(known) = self.peers.get_mut(&call.peer) {
            known.calls = known.calls.saturating_sub(1);
        }
        self.event(Event::CallDone { id, result });
    }
}

fn is_too_deep(values: &[Value], max: usize) -> bool {
    let mut measures = values.iter().map(|value| json::measure(value, max));
    measures.any(|measure| measure.depth > max)
}

/// The error for a call of a method that does not exist.
const UNKNOWN_METHOD: &str = "org.freedesktop.DBus.Error.UnknownMethod";
/// The error for a call beyond the limit.
const LIMITS_EXCEEDED: &str = "org.freedesktop.DBus.Error.LimitsExceeded";

/// Why a call was not made. Nothing was sent; no `CallDone` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer is not present.
    #[error("the node is gone")]
    NodeGone,
    /// The peer is an old one, which does not know calls.
    #[error("the node does not support calls")]
    NotSupported,
    /// The peer has no such method, or its tree is not known yet.
    #[error("unknown method")]
    UnknownMethod,
    /// The number of arguments is not the declared one. The caller's fault.
    #[error("{found} arguments instead of {expected}")]
    WrongCount {
        /// The declared number.
        expected: usize,
        /// The given number.
        found: usize,
    },
    /// An argument nests deeper than a message may. The caller's fault.
    #[error("an argument is nested too deep")]
    TooDeep,
    /// Too many calls of this peer have no answer yet.
    #[error("too many calls are open")]
    Busy,
}

/// Why a reply was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The caller has left.
    #[error("the node is gone")]
    NodeGone,
    /// The call is not open: it was answered already.
    #[error("no such call is open")]
    NotOpen,
}

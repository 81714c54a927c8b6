//! The calls of a server: from the queue to the handler, and their replies.

use futures_util::FutureExt;

use super::Connected;
use crate::{
    errors::Refusal,
    objects::{Call, Dispatch, ReplyToken, Set},
    server::{
        Answer, CallRequest, ObjectHandler, PENDING_MAX, PENDING_PER_CALLER_MAX, SetRequest,
        authority::AuthorizationRequest,
    },
};

impl<O: ObjectHandler> Connected<'_, O> {
    /// Whether a call waits and few enough replies wait to be written.
    pub(super) fn may_serve(&self) -> bool {
        let has_room = || self.options.table.lock().outgoing_len() < ANSWERS_WAITING_MAX;
        !self.waiting.is_empty() && has_room()
    }

    /// Processes the next calls.
    pub(super) fn serve(&mut self) {
        for _ in 0..SERVED_AT_ONCE_MAX {
            if !self.may_serve() {
                break;
            }
            let Some(call) = self.waiting.pop() else {
                break;
            };
            let dispatch = self.options.table.lock().handle(&call);
            match dispatch {
                Dispatch::Done => {}
                Dispatch::Call(call) => self.pass_call(call),
                Dispatch::Set(set) => self.pass_set(set),
            }
        }
    }

    fn pass_call(&mut self, call: Call) {
        let Some(ticket) = self.admit(call.ticket) else {
            return;
        };
        let request = CallRequest {
            path: call.path,
            interface: call.interface,
            member: call.member,
            arguments: call.arguments,
            caller: ticket.caller(),
        };
        let authorization = call.action.map(|action| AuthorizationRequest {
            action,
            caller: ticket.caller(),
            may_ask: ticket.may_ask(),
        });
        let (options, handler) = (self.options, self.handler);
        let done = async move {
            if let Some(authorization) = authorization
                && let Err(refusal) = options
                    .site
                    .authority()
                    .grant(&options.table, authorization)
                    .await
            {
                return (ticket, Err(refusal));
            }
            let answer = handler.call(request).await;
            (ticket, answer)
        };
        self.pending.push(done.boxed());
    }

    fn pass_set(&mut self, set: Set) {
        let Some(ticket) = self.admit(set.ticket) else {
            return;
        };
        let request = SetRequest {
            path: set.path,
            interface: set.interface,
            property: set.property,
            value: set.value,
            caller: ticket.caller(),
        };
        let done = self.handler.set(request);
        let done = done.map(|done| (ticket, done.map(|()| Vec::new())));
        self.pending.push(done.boxed());
    }

    /// Counts a call and returns its token. If too many calls are pending, answers it with `Busy`.
    fn admit(&mut self, ticket: ReplyToken) -> Option<ReplyToken> {
        let refused = if self.pending.len() >= PENDING_MAX {
            format!("{PENDING_MAX} calls are waiting")
        } else if self.in_flight.take(ticket.caller()) {
            return Some(ticket);
        } else {
            format!("{PENDING_PER_CALLER_MAX} of your calls are waiting")
        };
        let busy: Answer = Err(Refusal::Busy(refused));
        self.options.table.lock().answer(ticket, busy);
        None
    }
}

/// Calls that are processed before newly arrived messages are received.
const SERVED_AT_ONCE_MAX: usize = 8;

/// Replies that may wait to be written before calls are processed: a later reply waits for all of them.
const ANSWERS_WAITING_MAX: usize = 32;

//! Connections of the program that the bus is a part of, without a socket.
//!
//! Model: messages go in as octets with their descriptors, and come out so. Nothing is written or read: what is sent is
//! carried out at once, in the task of who sends it.
//! Limits: what is not taken is bounded like that of any connection; one that takes nothing is ended by the bus.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Link, Shared};
use crate::{
    ConnectionId,
    core::{Backlog, Credentials},
    message::{Invalid, Message, RawMessage},
};

/// A connection without a socket. It ends when this is dropped.
#[derive(Debug)]
pub struct Attached {
    shared: Arc<Shared>,
    id: ConnectionId,
    link: Arc<LocalLink>,
}

/// Why a message cannot be sent on a connection without a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// What was sent is no message: the program's own fault. The connection has ended.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The bus has ended the connection, or is ended itself.
    #[error("the bus has ended the connection")]
    Closed,
}

#[derive(Debug)]
pub(super) struct LocalLink {
    backlog: Arc<Backlog>,
    /// Locked because the bus puts messages in from the task of any sender, and the owner of the connection takes them
    /// out.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<RawMessage>,
    waker: Option<Waker>,
    is_closed: bool,
}

impl Attached {
    pub(super) fn new(shared: Arc<Shared>, credentials: Credentials) -> Self {
        let mut link = None;
        let (id, _) = shared.connect(credentials, true, |backlog| {
            let new = LocalLink {
                backlog,
                state: Mutex::default(),
            };
            Link::Local(link.insert(Arc::new(new)).clone())
        });
        let link = link.unwrap_or_else(|| unreachable!("connect makes a link"));
        Self { shared, id, link }
    }

    /// Sends messages, in this order; what comes of them is written at once for all.
    ///
    /// # Errors
    /// See [`AttachError`]. The messages before the one that is none are sent.
    pub fn send(&self, messages: impl IntoIterator<Item = RawMessage>) -> Result<(), AttachError> {
        if self.link.lock().is_closed {
            return Err(AttachError::Closed);
        }
        self.shared.carry_out(|bus| {
            for raw in messages {
                match Message::of_raw(&raw, &self.shared.limits) {
                    Ok(message) => bus.receive(self.id, &message),
                    Err(invalid) => {
                        bus.reject(self.id, invalid);
                        return Err(invalid.into());
                    }
                }
            }
            Ok(())
        })
    }

    /// The next message; `None` at the end of the connection. Cancel safe.
    pub async fn receive(&self) -> Option<RawMessage> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// As [`receive`](Self::receive), for who waits for other things as well. The last who polled is woken.
    pub fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Option<RawMessage>> {
        let mut state = self.link.lock();
        if let Some(message) = state.messages.pop_front() {
            self.link.backlog.lower(&message);
            return Poll::Ready(Some(message));
        }
        if state.is_closed {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.disconnect(self.id);
    }
}

impl LocalLink {
    /// Queues a message; whether somebody is to be woken for it.
    pub(super) fn push(&self, message: RawMessage) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            self.backlog.lower(&message);
            return false;
        }
        state.messages.push_back(message);
        state.messages.len() == 1
    }

    pub(super) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends it. What was queued can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

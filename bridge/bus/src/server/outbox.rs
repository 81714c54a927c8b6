//! What waits to be written to a socket.
//!
//! Model: messages in order, the first of which may be written in part. As many as there are go out at once, up to the
//! next one with descriptors, which go with the first octet of their message. Who queues something has it written. A
//! socket that takes nothing more has a task that waits until it does, and that everybody else leaves the writing to.
//! Invariants: OUTBOX-1. the descriptors of a message go out once. OUTBOX-2. at most one task waits for a socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;

use super::socket;
use crate::{
    core::Backlog,
    message::{Descriptors, RawMessage},
};

/// The way to a connection that has a socket.
#[derive(Debug)]
pub(super) struct SocketLink {
    fd: Arc<OwnedFd>,
    backlog: Arc<Backlog>,
    /// Locked because the task of any sender may write to this socket, and continues where another one stopped.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outbox: Outbox,
    /// Somebody has promised to write what is there.
    is_promised: bool,
    /// A task waits until the socket takes something.
    is_blocked: bool,
    is_closed: bool,
}

/// Messages that are not written, or in part.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<RawMessage>,
    /// Octets of the first one that are written.
    written: usize,
}

impl Outbox {
    /// What can go out at once, and the descriptors of the first message, if none of it is written.
    fn batch(&self) -> (SmallVec<[IoSlice<'_>; 32]>, Option<&Descriptors>) {
        let mut slices = SmallVec::new();
        let mut skipped = self.written;
        let mut descriptors = None;
        for (at, message) in self.messages.iter().enumerate() {
            if at == 0 && self.written == 0 {
                descriptors = message.descriptors();
            }
            if (at > 0 && message.descriptors().is_some()) || slices.len() >= SLICES_MAX {
                break;
            }
            for part in message.parts() {
                let from = skipped.min(part.len());
                skipped -= from;
                if from < part.len() {
                    slices.push(IoSlice::new(&part[from..]));
                }
            }
        }
        (slices, descriptors)
    }

    /// So many octets were written; the messages that are written as a whole.
    fn advance(&mut self, len: usize, mut done: impl FnMut(&RawMessage)) {
        self.written += len;
        while let Some(first) = self.messages.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            done(first);
            self.messages.pop_front();
        }
    }
}

impl SocketLink {
    pub(super) fn new(fd: Arc<OwnedFd>, backlog: Arc<Backlog>) -> Self {
        Self {
            fd,
            backlog,
            state: Mutex::default(),
        }
    }

    /// Queues a message; whether nobody has promised yet to write it.
    pub(super) fn push(&self, message: RawMessage) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            self.backlog.lower(&message);
            return false;
        }
        state.outbox.messages.push_back(message);
        !state.is_blocked && !std::mem::replace(&mut state.is_promised, true)
    }

    /// Writes what is there.
    pub(super) fn flush(self: &Arc<Self>, runtime: &tokio::runtime::Handle) {
        let mut state = self.lock();
        state.is_promised = false;
        if state.is_blocked || state.is_closed {
            return;
        }
        if !self.write(&mut state) {
            state.is_blocked = true;
            runtime.spawn(self.clone().write_rest());
        }
    }

    /// Writes what the socket takes; `false` if it takes nothing more.
    fn write(&self, state: &mut State) -> bool {
        loop {
            let (slices, descriptors) = state.outbox.batch();
            if slices.is_empty() {
                return true;
            }
            let sent = socket::send(&self.fd, &slices, descriptors);
            drop(slices);
            match sent {
                Ok(Some(len)) => state
                    .outbox
                    .advance(len, |message| self.backlog.lower(message)),
                Ok(None) => return false,
                Err(error) => {
                    // Its end is noticed by who reads from it.
                    tracing::debug!(%error, "a connection of the bus takes nothing more");
                    self.close_now(state);
                    return true;
                }
            }
        }
    }

    /// Writes all that is there, as fast as it is taken.
    async fn write_rest(self: Arc<Self>) {
        loop {
            let waited: io::Result<()> = socket::writable(&self.fd).await;
            let mut state = self.lock();
            if let Err(error) = waited {
                tracing::debug!(%error, "a connection of the bus cannot be waited for");
                self.close_now(&mut state);
            }
            if state.is_closed || self.write(&mut state) {
                state.is_blocked = false;
                return;
            }
        }
    }

    /// Ends the connection; what waits is dropped.
    pub(super) fn close(&self) {
        self.close_now(&mut self.lock());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn close_now(&self, state: &mut State) {
        if std::mem::replace(&mut state.is_closed, true) {
            return;
        }
        for message in std::mem::take(&mut state.outbox).messages {
            self.backlog.lower(&message);
        }
        socket::hang_up(&self.fd);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of messages that go out at once; one message may add one more.
const SLICES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::fs::File;

    use bytes::Bytes;

    use super::*;

    fn message(text: &'static str, has_descriptor: bool) -> RawMessage {
        let file = || Arc::from([File::open("/dev/null").unwrap().into()]);
        RawMessage::new(Bytes::from(text), has_descriptor.then(file))
    }

    #[test]
    fn descriptors_go_out_once_and_with_their_message_first() {
        let mut outbox = Outbox::default();
        outbox.messages.extend([
            message("ab", false),
            message("cd", true),
            message("ef", false),
        ]);
        let batch = |outbox: &Outbox| {
            let (slices, descriptors) = outbox.batch();
            let octets: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            (String::from_utf8(octets).unwrap(), descriptors.is_some())
        };
        let mut done = 0;
        assert_eq!(batch(&outbox), ("ab".into(), false));
        outbox.advance(1, |_| done += 1);
        assert_eq!(batch(&outbox), ("b".into(), false));
        outbox.advance(1, |_| done += 1);
        assert_eq!(batch(&outbox), ("cdef".into(), true));
        outbox.advance(1, |_| done += 1);
        assert_eq!(batch(&outbox), ("def".into(), false));
        outbox.advance(3, |_| done += 1);
        assert_eq!((batch(&outbox), done), ((String::new(), false), 3));
    }
}

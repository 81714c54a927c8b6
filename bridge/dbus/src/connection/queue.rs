//! The queue of messages that wait to be written to a bus.
//!
//! Model: encoded messages in order, and how many octets of the first one are written. A write passes as many messages
//! as possible to the kernel in one system call.
//! Invariants: QUEUE-1. A partly written message is continued before anything else is written. QUEUE-2. The descriptors of
//! a message are sent with its first octet.

use std::{
    collections::VecDeque,
    io,
    io::IoSlice,
    os::fd::{AsFd, BorrowedFd},
};

use bytes::Bytes;
use zbus::Message;

use super::socket::Socket;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Waiting>,
    /// How many octets of the first message are written.
    written: usize,
    /// The size of all messages, with their overhead.
    octets: usize,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) octets: Bytes,
    /// The message whose descriptors go with it, until they are sent.
    pub(super) holder: Option<Message>,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The socket accepts no more octets at the moment.
    Some,
}

impl Queue {
    /// Queues an encoded message, whose descriptors `holder` has.
    pub(super) fn push(&mut self, octets: Bytes, holder: Option<Message>) {
        self.octets += octets.len() + OVERHEAD;
        self.messages.push_back(Waiting { octets, holder });
    }

    /// The size of all messages, with their overhead.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Takes all messages, of which none may be partly written.
    pub(super) fn take(&mut self) -> VecDeque<Waiting> {
        std::mem::take(self).messages
    }

    /// Writes as much as the socket accepts.
    pub(super) fn write(&mut self, socket: &Socket) -> io::Result<Written> {
        self.write_by(|slices, holder| match holder {
            None => socket.try_write(slices),
            Some(holder) => {
                let fds = holder.data().fds().iter();
                let fds: Vec<BorrowedFd<'_>> = fds.map(AsFd::as_fd).collect();
                socket.try_write_with(slices, &fds)
            }
        })
    }

    fn write_by(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>], Option<&Message>) -> io::Result<Option<usize>>,
    ) -> io::Result<Written> {
        while let Some(first) = self.messages.front() {
            let mut slices = [IoSlice::new(&[]); AT_ONCE_MAX];
            let mut count = 0;
            for (slice, message) in slices.iter_mut().zip(&self.messages) {
                // Descriptors are sent with the first octet of a write, so their message must begin one.
                if count > 0 && message.holder.is_some() {
                    break;
                }
                let from = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&message.octets[from..]);
                count += 1;
            }
            match write(&slices[..count], first.holder.as_ref())? {
                Some(len) => self.advance(len),
                None => return Ok(Written::Some),
            }
        }
        Ok(Written::All)
    }

    fn advance(&mut self, len: usize) {
        self.written += len;
        while let Some(first) = self.messages.front_mut() {
            // They were sent with the first octet.
            first.holder = None;
            let octets = first.octets.len();
            if octets > self.written {
                return;
            }
            self.written -= octets;
            self.octets -= octets + OVERHEAD;
            self.messages.pop_front();
            if self.written == 0 {
                return;
            }
        }
    }
}

/// Messages in one system call.
const AT_ONCE_MAX: usize = 64;
/// Memory that a message needs besides its octets.
const OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that accepts at most `max` octets at once, and nothing at every third write.
    fn trickle(queue: &mut Queue, max: usize) -> (Vec<u8>, usize) {
        let (mut taken, mut pauses, mut turn) = (Vec::new(), 0, 0);
        loop {
            let written = queue.write_by(|slices, _| {
                turn += 1;
                if turn % 3 == 0 {
                    return Ok(None);
                }
                let before = taken.len();
                for slice in slices {
                    let room = max - (taken.len() - before);
                    taken.extend_from_slice(&slice[..room.min(slice.len())]);
                }
                Ok(Some(taken.len() - before))
            });
            match written.unwrap() {
                Written::All => return (taken, pauses),
                Written::Some => pauses += 1,
            }
        }
    }

    #[test]
    fn what_is_written_in_part_is_continued_where_it_stopped() {
        let messages: Vec<Bytes> = (1..200u8).map(|n| vec![n; usize::from(n)].into()).collect();
        let all = messages.concat();
        for max in [1, 7, 64, 1000, all.len()] {
            let mut queue = Queue::default();
            messages
                .iter()
                .for_each(|message| queue.push(message.clone(), None));
            assert!(queue.octets() > all.len());
            let (taken, pauses) = trickle(&mut queue, max);
            assert!(taken == all, "in writes of {max}");
            assert!(pauses > 0 && queue.octets() == 0);
        }
    }

    #[test]
    fn what_waits_goes_out_in_one_write() {
        let mut queue = Queue::default();
        (0..AT_ONCE_MAX).for_each(|_| queue.push(Bytes::from_static(b"message"), None));
        let mut writes = 0;
        let written = queue.write_by(|slices, _| {
            writes += 1;
            Ok(Some(slices.iter().map(|slice| slice.len()).sum()))
        });
        assert_eq!((written.unwrap(), writes), (Written::All, 1));
    }

    #[test]
    fn an_error_ends_the_writing() {
        let mut queue = Queue::default();
        queue.push(Bytes::from_static(b"message"), None);
        let written = queue.write_by(|_, _| Err(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

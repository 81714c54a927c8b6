//! The queue of messages that wait to be written to a bus.
//!
//! Model: encoded messages in order, and how many octets of the first one are written. A write passes as many messages
//! as possible to the kernel in one system call.
//! Invariants: QUEUE-2. The descriptors of a message are sent with its first octet. QUEUE-1. A partly written message is continued before anything else is written.

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
    messages: VecDeque<Bytes>,
    /// The messages that have descriptors, each with how many octets were ever queued before it.
    holders: VecDeque<(u64, Message)>,
    /// Octets that were ever queued, and ever written.
    totals: (u64, u64),
    /// How many octets of the first message are written.
    written: usize,
    /// The size of all messages, with their overhead.
    octets: usize,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The socket accepts no more octets at the moment.
    Some,
}

impl Queue {
    pub(super) fn push(&mut self, message: Bytes) {
        self.push_with(message, None);
    }

    /// Queues a message whose descriptors another message has.
    pub(super) fn push_with(&mut self, message: Bytes, holder: Option<Message>) {
        if let Some(holder) = holder {
            self.holders.push_back((self.totals.0, holder));
        }
        self.totals.0 += message.len() as u64;
        self.octets += message.len() + OVERHEAD;
        self.messages.push_back(message);
    }

    /// The size of all messages, with their overhead.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Takes all messages, of which none may be partly written.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        std::mem::take(self).messages
    }

    /// Writes as much as the socket accepts.
    pub(super) fn write(&mut self, socket: &Socket) -> io::Result<Written> {
        while let Some((at, holder)) = self.holders.front() {
            // Descriptors are sent with the first octet of a write, so their message must begin one.
            let before = usize::try_from(at - self.totals.1).unwrap_or(usize::MAX);
            if before == 0 {
                let fds: Vec<BorrowedFd<'_>> =
                    holder.data().fds().iter().map(AsFd::as_fd).collect();
                let first = self.messages.front().map(|first| IoSlice::new(first));
                let Some(len) = socket.try_write_with(first.as_slice(), &fds)? else {
                    return Ok(Written::Some);
                };
                self.holders.pop_front();
                self.advance(len);
            } else if self.write_up_to(before, |slices| socket.try_write(slices))? == Written::Some
            {
                return Ok(Written::Some);
            }
        }
        self.write_by(|slices| socket.try_write(slices))
    }

    /// Writes the messages within the first octets that wait, as much as the socket accepts.
    fn write_up_to(
        &mut self,
        mut octets: usize,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<Option<usize>>,
    ) -> io::Result<Written> {
        while octets > 0 {
            let Some(first) = self.messages.front() else {
                break;
            };
            match write(&[IoSlice::new(&first[self.written..])])? {
                Some(len) => {
                    self.advance(len);
                    octets = octets.saturating_sub(len);
                }
                None => return Ok(Written::Some),
            }
        }
        Ok(Written::All)
    }

    fn write_by(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<Option<usize>>,
    ) -> io::Result<Written> {
        while !self.messages.is_empty() {
            let mut slices = [IoSlice::new(&[]); AT_ONCE_MAX];
            let mut count = 0;
            for (slice, message) in slices.iter_mut().zip(&self.messages) {
                let from = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(&message[from..]);
                count += 1;
            }
            match write(&slices[..count])? {
                Some(len) => self.advance(len),
                None => return Ok(Written::Some),
            }
        }
        Ok(Written::All)
    }

    fn advance(&mut self, len: usize) {
        self.written += len;
        self.totals.1 += len as u64;
        while let Some(first) = self.messages.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.octets -= first.len() + OVERHEAD;
            self.messages.pop_front();
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
            let written = queue.write_by(|slices| {
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
                .for_each(|message| queue.push(message.clone()));
            assert!(queue.octets() > all.len());
            let (taken, pauses) = trickle(&mut queue, max);
            assert!(taken == all, "in writes of {max}");
            assert!(pauses > 0 && queue.octets() == 0);
        }
    }

    #[test]
    fn what_waits_goes_out_in_one_write() {
        let mut queue = Queue::default();
        (0..AT_ONCE_MAX).for_each(|_| queue.push(Bytes::from_static(b"message")));
        let mut writes = 0;
        let written = queue.write_by(|slices| {
            writes += 1;
            Ok(Some(slices.iter().map(|slice| slice.len()).sum()))
        });
        assert_eq!((written.unwrap(), writes), (Written::All, 1));
    }

    #[test]
    fn an_error_ends_the_writing() {
        let mut queue = Queue::default();
        queue.push(Bytes::from_static(b"message"));
        let written = queue.write_by(|_| Err(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

//! Messages out of the octets that a bus sends.
//!
//! Model: [`Incoming::feed`] takes what one read brought; whole messages are then to be had one by one.
//! What is left of one that is not whole is kept until the rest comes.
//! Invariants: N1. messages come out as they were sent, wherever reads cut them. N2. memory grows with
//! what has come, not with what a header announces. N3. descriptors are kept until the message that
//! brought them has come. N4. a message that is not understood is left out, and no more: buses pass on
//! types and fields of messages that nobody has defined yet, and whoever is on the bus can send them.
//! Limits: [`MESSAGE_LEN_MAX`], which is the specification's; a bus that sends more is none.

use std::{collections::VecDeque, os::fd::OwnedFd};

use zbus::Message;

use crate::transport::received;

/// What has come. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Incoming {
    whole: VecDeque<Message>,
    /// The beginning of a message.
    partial: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Whether a message was left out, which is told once.
    has_left_out: bool,
}

impl Incoming {
    /// Takes what a read brought.
    ///
    /// # Errors
    /// The bus's fault: no D-Bus message begins so. Nothing more can be understood of the connection.
    pub(super) fn feed(
        &mut self,
        mut octets: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> zbus::Result<()> {
        self.descriptors.extend(descriptors);
        while !self.partial.is_empty() && !octets.is_empty() {
            let len = message_len(&self.partial)?.unwrap_or(HEAD_LEN);
            let (more, rest) = octets.split_at(octets.len().min(len - self.partial.len()));
            self.partial.extend_from_slice(more);
            octets = rest;
            // A head that is whole only now says how long the message is.
            if message_len(&self.partial)? == Some(self.partial.len()) {
                let message = std::mem::take(&mut self.partial);
                self.add(message);
            }
        }
        while let Some(len) = message_len(octets)?
            && len <= octets.len()
        {
            let (message, rest) = octets.split_at(len);
            self.add(message.to_vec());
            octets = rest;
        }
        self.partial.extend_from_slice(octets);
        Ok(())
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<Message> {
        self.whole.pop_front()
    }

    /// Whether there is a whole message.
    pub(super) fn has_next(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Whether all that came was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.partial.is_empty()
    }

    fn add(&mut self, octets: Vec<u8>) {
        match received(octets, &mut self.descriptors) {
            Ok(message) => self.whole.push_back(message),
            Err(error) if !std::mem::replace(&mut self.has_left_out, true) => {
                tracing::warn!(%error, "messages that are not understood are left out");
            }
            Err(_) => {}
        }
    }
}

/// How long the message is that begins with these octets; `None` where they do not say yet.
fn message_len(octets: &[u8]) -> zbus::Result<Option<usize>> {
    let Some(head) = octets.first_chunk::<HEAD_LEN>() else {
        return Ok(None);
    };
    let number = |at: usize| {
        let octets = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let number = match head[0] {
            b'B' => u32::from_be_bytes(octets),
            _ => u32::from_le_bytes(octets),
        };
        u64::from(number)
    };
    if ![b'l', b'B'].contains(&head[0]) {
        return Err(zbus::Error::IncorrectEndian);
    }
    // The fields, padded, and the body.
    let len = HEAD_LEN as u64 + number(12).next_multiple_of(8) + number(4);
    match usize::try_from(len) {
        Ok(len) if len <= MESSAGE_LEN_MAX => Ok(Some(len)),
        _ => Err(zbus::Error::ExcessData),
    }
}

/// The octets of a message up to its fields: they say how long it is.
const HEAD_LEN: usize = 16;
const MESSAGE_LEN_MAX: usize = 128 << 20;

#[cfg(test)]
mod tests {
    use zbus::wire::Endian;

    use super::*;

    fn messages() -> Vec<Message> {
        let long = vec![7u64; 30_000];
        let signal = |endian| Message::signal("/a", "org.a.B", "C").endian(endian);
        vec![
            signal(Endian::Little).build(&("body", vec![1u64])).unwrap(),
            signal(Endian::Big).build(&()).unwrap(),
            signal(Endian::Big).build(&long).unwrap(),
            signal(Endian::Little).build(&"end").unwrap(),
        ]
    }

    #[test]
    fn messages_come_out_wherever_reads_cut_them() {
        let sent = messages();
        let stream: Vec<u8> = sent.iter().flat_map(|it| it.data().to_vec()).collect();
        for len in [1, 2, 15, 16, 17, 50, 4096, 100_000, stream.len()] {
            let mut incoming = Incoming::default();
            let mut heard = Vec::new();
            for part in stream.chunks(len) {
                incoming.feed(part, Vec::new()).unwrap();
                while let Some(message) = incoming.next() {
                    heard.push(message.data().to_vec());
                }
            }
            let sent = sent.iter().map(|it| it.data().to_vec());
            assert!(heard.into_iter().eq(sent), "in reads of {len}");
            assert!(incoming.is_empty());
        }
    }

    #[test]
    fn half_a_message_is_not_nothing() {
        let octets = messages()[0].data().to_vec();
        let mut incoming = Incoming::default();
        incoming
            .feed(&octets[..octets.len() - 1], Vec::new())
            .unwrap();
        assert!(!incoming.is_empty() && !incoming.has_next());
        incoming
            .feed(&octets[octets.len() - 1..], Vec::new())
            .unwrap();
        assert!(incoming.has_next());
        assert!(incoming.next().is_some() && incoming.is_empty());
    }

    #[test]
    fn what_announces_too_much_is_refused_before_it_comes() {
        let mut head = *b"l\x04\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00";
        head[7] = 0x10;
        assert!(Incoming::default().feed(&head, Vec::new()).is_err());
        head[7] = 0x07;
        let mut incoming = Incoming::default();
        incoming.feed(&head, Vec::new()).unwrap();
        assert!(incoming.partial.capacity() < 1024, "nothing came yet");
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_what_follows_it_is_not() {
        let understood = messages()[0].data().to_vec();
        let mut of_unknown_type = understood.clone();
        of_unknown_type[1] = 5;
        let mut with_unknown_field = understood.clone();
        with_unknown_field[16] = 77;
        let mut incoming = Incoming::default();
        for octets in [&of_unknown_type, &with_unknown_field, &understood] {
            incoming.feed(octets, Vec::new()).unwrap();
        }
        assert_eq!(incoming.next().unwrap().data().to_vec(), understood);
        assert!(incoming.is_empty());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(Incoming::default().feed(&[0; 32], Vec::new()).is_err());
    }
}

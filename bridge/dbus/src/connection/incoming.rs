//! Decodes the octets that a bus sends into messages.
//!
//! Model: [`Incoming::feed`] takes the octets of one read; [`Incoming::next`] then returns the complete messages one by
//! one. The beginning of an incomplete message is stored until the rest arrives.
//! Invariants: CONNECTIONINCOMING-1. The decoded messages do not depend on how reads split the octets.
//! CONNECTIONINCOMING-2. Memory grows with the octets that have arrived, not with the length that a header announces.
//! CONNECTIONINCOMING-3. File descriptors are held until their message is complete; when no message is incomplete, none
//! is held. CONNECTIONINCOMING-4. A malformed message does not end the connection and loses no reply: a malformed call is
//! answered with an error, a malformed reply becomes an error reply, and any other malformed message is dropped. A bus
//! may forward such messages, because it checks less than zbus does.
//! Limits: [`MESSAGE_LEN_MAX`](crate::message::received::MESSAGE_LEN_MAX), as in the specification; a longer message is a protocol error. [`DESCRIPTORS_MAX`] file
//! descriptors of one message.

use std::{collections::VecDeque, io, os::fd::OwnedFd};

use zbus::Message;
use zocp_bus::RawMessage;

use super::socket::DESCRIPTORS_MAX;
use crate::{
    errors::Refusal,
    message::received::{HEAD_LEN, message_len, received},
};

/// The decoder. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Incoming {
    complete: VecDeque<Inbound>,
    /// The beginning of an incomplete message.
    partial: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    /// Whether a malformed message was logged; only the first one is.
    was_unreadable: bool,
}

/// A complete message.
#[derive(Debug)]
pub(super) enum Inbound {
    /// A well-formed message.
    Message(Message),
    /// A malformed call: a substitute with the same header fields, and the error for its sender.
    Unreadable(Message, Refusal),
}

impl Incoming {
    /// Decodes the octets and descriptors of one read.
    ///
    /// # Errors
    /// The octets are not the beginning of a D-Bus message: the bus's fault. Nothing after them can be decoded.
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
            // The length of a message is known once its fixed header is complete.
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
        // Descriptors arrive with the first octet of their message, so these belong to no message.
        if self.partial.is_empty() || self.descriptors.len() > DESCRIPTORS_MAX {
            self.descriptors.clear();
        }
        Ok(())
    }

    /// Decodes a message that came whole, from a bus within this process.
    ///
    /// # Errors
    /// No further file descriptor can be opened.
    pub(super) fn take(&mut self, message: &RawMessage) -> io::Result<()> {
        for descriptor in message.descriptors().into_iter().flat_map(|all| all.iter()) {
            self.descriptors.push(descriptor.try_clone()?);
        }
        self.add(message.parts().map(|part| &part[..]).concat());
        self.descriptors.clear();
        Ok(())
    }

    /// The next complete message.
    pub(super) fn next(&mut self) -> Option<Inbound> {
        self.complete.pop_front()
    }

    /// Whether there is a complete message.
    pub(super) fn has_next(&self) -> bool {
        !self.complete.is_empty()
    }

    /// Whether every octet that arrived belongs to a message that was returned.
    pub(super) fn is_empty(&self) -> bool {
        self.complete.is_empty() && self.partial.is_empty()
    }

    fn add(&mut self, octets: Vec<u8>) {
        let unreadable = match received(octets, &mut self.descriptors) {
            Ok(message) => return self.complete.push_back(Inbound::Message(message)),
            Err(unreadable) => unreadable,
        };
        if !std::mem::replace(&mut self.was_unreadable, true) {
            tracing::warn!(%unreadable, "malformed message; further ones on this connection are not logged");
        }
        if let Some(answer) = unreadable.answer() {
            self.complete.push_back(Inbound::Message(answer));
        } else if let Some(call) = unreadable.call() {
            let refusal = Refusal::InvalidArgs(unreadable.to_string());
            self.complete.push_back(Inbound::Unreadable(call, refusal));
        }
    }
}

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
                while let Some(Inbound::Message(message)) = incoming.next() {
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

    fn next_message(incoming: &mut Incoming) -> Message {
        match incoming.next() {
            Some(Inbound::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_or_left_out_and_what_follows_it_is_heard() {
        let call = Message::method_call("/a", "Do").sender(":1.7");
        let call = call.build(&"body").unwrap();
        let reply = Message::method_return(&call.header()).sender(":1.9");
        let of_other_version = |message: &Message| {
            let mut octets = message.data().to_vec();
            octets[3] = 2;
            octets
        };
        let understood = messages()[0].data().to_vec();
        let mut of_unknown_type = understood.clone();
        of_unknown_type[1] = 5;
        let mut incoming = Incoming::default();
        for octets in [
            &of_unknown_type,
            &of_other_version(&messages()[0]),
            &of_other_version(&call),
            &of_other_version(&reply.build(&()).unwrap()),
            &understood,
        ] {
            incoming.feed(octets, Vec::new()).unwrap();
        }
        let serial = call.primary_header().serial_num();
        let Some(Inbound::Unreadable(stand_in, Refusal::InvalidArgs(_))) = incoming.next() else {
            panic!("the call is refused");
        };
        assert_eq!(stand_in.primary_header().serial_num(), serial);
        let answer = next_message(&mut incoming);
        assert_eq!(answer.header().reply_serial(), Some(serial));
        assert!(answer.header().error_name().is_some());
        assert_eq!(next_message(&mut incoming).data().to_vec(), understood);
        assert!(incoming.is_empty());
    }

    #[test]
    fn descriptors_outlive_no_message() {
        let (kept, file) = std::io::pipe().unwrap();
        let file = OwnedFd::from(file);
        let plain = messages()[0].data().to_vec();
        let mut incoming = Incoming::default();
        let brought = || vec![file.try_clone().unwrap(), file.try_clone().unwrap()];
        incoming.feed(&plain[..20], brought()).unwrap();
        assert_eq!(
            incoming.descriptors.len(),
            2,
            "they may belong to what is not whole"
        );
        incoming.feed(&plain[20..], Vec::new()).unwrap();
        assert!(incoming.descriptors.is_empty());
        for _ in 0..1000 {
            incoming.feed(&plain, brought()).unwrap();
        }
        let long = messages()[2].data().to_vec();
        for octet in long[..200].chunks(1) {
            incoming.feed(octet, brought()).unwrap();
            assert!(incoming.descriptors.len() <= DESCRIPTORS_MAX);
        }
        drop((kept, file));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(Incoming::default().feed(&[0; 32], Vec::new()).is_err());
    }
}

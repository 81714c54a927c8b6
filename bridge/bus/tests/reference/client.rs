//! A connection of a test: blocking, and without the code under test.

use std::{
    collections::VecDeque,
    io::{Read as _, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::{
    harness::Bus,
    message::{Draft, Read, length},
};

/// A connection.
pub struct Client {
    pub name: String,
    pub unique: String,
    stream: UnixStream,
    read: Vec<u8>,
    pub descriptors: VecDeque<OwnedFd>,
    serial: u32,
    /// What came and was not asked for.
    other: Vec<Read>,
    pub is_closed: bool,
}

impl Client {
    pub fn open(bus: &Bus, name: &str) -> Self {
        let stream = UnixStream::connect(&bus.path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            name: name.to_owned(),
            unique: String::new(),
            stream,
            read: Vec::new(),
            descriptors: VecDeque::new(),
            serial: 0,
            other: Vec::new(),
            is_closed: false,
        }
    }

    pub fn authenticate(&mut self, with_descriptors: bool) {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes());
        assert!(self.line().starts_with("OK "));
        if with_descriptors {
            self.write(b"NEGOTIATE_UNIX_FD\r\n");
            assert_eq!(self.line(), "AGREE_UNIX_FD");
        }
        self.write(b"BEGIN\r\n");
    }

    /// A line of the conversation; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut octet = [0];
        while !line.ends_with(b"\r\n") {
            match self.stream.read(&mut octet) {
                Ok(1) => line.push(octet[0]),
                _ => return String::new(),
            }
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Writes octets; what cannot be written is noticed when something is read.
    pub fn write(&mut self, octets: &[u8]) {
        if let Err(error) = self.stream.write_all(octets) {
            assert!(matches!(
                error.kind(),
                std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
            ));
        }
    }

    pub fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    pub fn send(&mut self, draft: Draft) -> u32 {
        let serial = self.serial();
        self.write(&draft.build(serial));
        serial
    }

    pub fn send_descriptors(&mut self, draft: Draft, descriptors: &[&dyn AsFd]) {
        let serial = self.serial();
        let octets = draft.build(serial);
        let descriptors: Vec<_> = descriptors.iter().map(|one| one.as_fd()).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let slices = [std::io::IoSlice::new(&octets)];
        let sent = rustix::net::sendmsg(&self.stream, &slices, &mut control, SendFlags::NOSIGNAL);
        assert_eq!(sent.unwrap(), octets.len());
    }

    /// The next message; `None` at the end.
    pub fn next(&mut self) -> Option<Read> {
        loop {
            if let Some(len) = length(&self.read)
                && self.read.len() >= len
            {
                let octets: Vec<u8> = self.read.drain(..len).collect();
                return Some(Read::parse(&octets));
            }
            let mut buffer = [0; 65536];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let slices = &mut [std::io::IoSliceMut::new(&mut buffer)];
            let received =
                rustix::net::recvmsg(&self.stream, slices, &mut control, RecvFlags::CMSG_CLOEXEC);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    self.descriptors.extend(rights);
                }
            }
            match received {
                Ok(received) if received.bytes > 0 => self.read.extend(&buffer[..received.bytes]),
                Err(error) if error == rustix::io::Errno::AGAIN => {
                    panic!("{}: nothing comes", self.name)
                }
                _ => {
                    self.is_closed = true;
                    return None;
                }
            }
        }
    }

    /// Sends a call and waits for its answer; what comes before is kept.
    pub fn ask(&mut self, draft: Draft) -> Read {
        let serial = self.send(draft);
        self.answer(serial)
            .unwrap_or_else(|| panic!("{}: the bus hung up", self.name))
    }

    pub fn answer(&mut self, serial: u32) -> Option<Read> {
        let is_it =
            |message: &Read| message.reply_serial == serial && matches!(message.kind, 2 | 3);
        if let Some(at) = self.other.iter().position(is_it) {
            return Some(self.other.remove(at));
        }
        loop {
            let message = self.next()?;
            if is_it(&message) {
                return Some(message);
            }
            self.other.push(message);
        }
    }

    /// What came until the bus answers a question.
    pub fn drain(&mut self) -> Vec<Read> {
        let serial = self.send(Draft::bus("GetId"));
        self.answer(serial);
        std::mem::take(&mut self.other)
    }

    /// What comes until the end of the connection, for who may not ask.
    pub fn drain_to_end(&mut self) -> Vec<Read> {
        while let Some(message) = self.next() {
            self.other.push(message);
        }
        std::mem::take(&mut self.other)
    }

    /// What comes until a message with this member.
    pub fn drain_until(&mut self, member: &str) -> Vec<Read> {
        loop {
            let message = self.next().expect("the message comes");
            let is_it = message.field(3) == member;
            self.other.push(message);
            if is_it {
                return std::mem::take(&mut self.other);
            }
        }
    }
}

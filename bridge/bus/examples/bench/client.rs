//! A client with plain octets: a library would be slower than what is measured.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::message::{body_len, length, message, sender, serial};

pub(super) struct Client {
    pub(super) stream: UnixStream,
    pub(super) name: String,
    read: Vec<u8>,
}

impl Client {
    pub(super) fn open(path: &Path) -> Self {
        let mut stream = UnixStream::connect(path).unwrap();
        stream
            .write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            .unwrap();
        let mut lines = Vec::new();
        while lines.iter().filter(|octet| **octet == b'\n').count() < 2 {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            lines.push(octet[0]);
        }
        let mut client = Self {
            stream,
            name: String::new(),
            read: Vec::new(),
        };
        client.write(&message(
            1,
            1,
            0,
            "org.freedesktop.DBus",
            "org.freedesktop.DBus",
            "Hello",
            "",
        ));
        // The answer, whose argument is the name, and the signal about it.
        while client.read.len() < 16 || client.read.len() < length(&client.read) {
            client.fill();
        }
        let len = length(&client.read);
        let name = &client.read[len - body_len(&client.read) + 4..len - 1];
        client.name = String::from_utf8(name.to_vec()).unwrap();
        client.next();
        client.next();
        client
    }

    pub(super) fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    fn fill(&mut self) {
        assert!(self.try_fill(), "the bus hung up");
    }

    fn try_fill(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        let len = self.stream.read(&mut buffer).unwrap_or(0);
        self.read.extend_from_slice(&buffer[..len]);
        len > 0
    }

    /// The serial of the next message, or of the call that it answers.
    pub(super) fn next(&mut self) -> u32 {
        loop {
            if self.read.len() >= 16 && self.read.len() >= length(&self.read) {
                let len = length(&self.read);
                let serial = serial(&self.read);
                self.read.drain(..len);
                return serial;
            }
            self.fill();
        }
    }

    /// The serials of the messages that are there, one at least.
    pub(super) fn next_many(&mut self) -> Vec<u32> {
        self.try_next_many().expect("the bus hung up")
    }

    /// The same; `None` at the end of the connection.
    pub(super) fn try_next_many(&mut self) -> Option<Vec<u32>> {
        self.each(|message| Some(serial(message)))
    }

    /// The calls that are there, one at least: who calls, and the serial.
    pub(super) fn next_calls(&mut self) -> Vec<(String, u32)> {
        let calls = self.each(|message| {
            let is_call = message[1] == 1;
            is_call.then(|| (sender(message), serial(message)))
        });
        calls.unwrap_or_default()
    }

    /// What is made of the messages that are there, one at least.
    fn each<T>(&mut self, make: impl Fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
        let mut made = Vec::new();
        while made.is_empty() {
            if !self.try_fill() {
                return None;
            }
            let mut at = 0;
            while self.read.len() - at >= 16 && self.read.len() - at >= length(&self.read[at..]) {
                made.extend(make(&self.read[at..]));
                at += length(&self.read[at..]);
            }
            self.read.drain(..at);
        }
        Some(made)
    }
}

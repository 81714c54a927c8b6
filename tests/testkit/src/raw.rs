//! A program on a bus that says what no library would: octets, as they are.
//!
//! Model: a [`Raw`] sends octets and reads whole messages, of which it knows what a [`Heard`] has. An [`Odd`] is a
//! message in the making, with fields of any code and type, in either byte order.
//! Limits: it reads what our own programs and buses send: fields that have the types of the specification.
//! Not here: descriptors (`Client` sends those).

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{Bus, in_time};

/// A connection whose octets the test makes.
pub struct Raw {
    stream: UnixStream,
    name: String,
    serial: u32,
}

/// A message that came.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Its type.
    pub kind: u8,
    /// Its number.
    pub serial: u32,
    /// The call that it answers.
    pub reply_serial: Option<u32>,
    /// Method or signal.
    pub member: Option<String>,
    /// The name of the error that it is.
    pub error: Option<String>,
    /// From whom.
    pub sender: Option<String>,
}

/// A message in the making.
#[derive(Debug, Clone)]
pub struct Odd {
    /// 1 for a call, 2 for a return, 3 for an error, 4 for a signal.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The version of the protocol.
    pub version: u8,
    /// Whether the highest octet of a number comes first.
    pub is_big: bool,
    /// What each octet between header and body is.
    pub padding: u8,
    /// The fields, each a code, a signature and the octets of a value that begins behind four octets.
    pub fields: Vec<(u8, &'static str, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Odd {
    /// A message with nothing in it.
    #[must_use]
    pub fn new(kind: u8, is_big: bool) -> Self {
        Self {
            kind,
            flags: 0,
            version: 1,
            is_big,
            padding: 0,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With a field that has a text.
    #[must_use]
    pub fn text(mut self, code: u8, kind: &'static str, text: &str) -> Self {
        let mut value = self
            .number(u32::try_from(text.len()).unwrap_or(u32::MAX))
            .to_vec();
        value.extend_from_slice(text.as_bytes());
        value.push(0);
        self.fields.push((code, kind, value));
        self
    }

    /// With a field that has a number.
    #[must_use]
    pub fn count(mut self, code: u8, number: u32) -> Self {
        let value = self.number(number).to_vec();
        self.fields.push((code, "u", value));
        self
    }

    /// A number in the message's byte order.
    #[must_use]
    pub fn number(&self, number: u32) -> [u8; 4] {
        match self.is_big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    /// Its octets, with this number.
    #[must_use]
    pub fn octets(&self, serial: u32) -> Vec<u8> {
        let len = |octets: usize| self.number(u32::try_from(octets).unwrap_or(u32::MAX));
        let order = if self.is_big { b'B' } else { b'l' };
        let mut octets = vec![order, self.kind, self.flags, self.version];
        octets.extend_from_slice(&len(self.body.len()));
        octets.extend_from_slice(&self.number(serial));
        octets.extend_from_slice(&[0; 4]);
        for (code, kind, value) in &self.fields {
            octets.resize(octets.len().next_multiple_of(8), 0);
            octets.extend_from_slice(&[*code, kind.len() as u8]);
            octets.extend_from_slice(kind.as_bytes());
            octets.push(0);
            octets.extend_from_slice(value);
        }
        let fields = len(octets.len() - HEAD_LEN);
        octets[HEAD_LEN - 4..HEAD_LEN].copy_from_slice(&fields);
        octets.resize(octets.len().next_multiple_of(8), self.padding);
        octets.extend_from_slice(&self.body);
        octets
    }
}

impl Raw {
    /// A new connection.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn on(bus: &Bus) -> Self {
        let path = bus.address().trim_start_matches("unix:path=");
        let path = path.split(',').next().unwrap_or(path);
        let stream = UnixStream::connect(path).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("no connection to {path}: {error}"));
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        let auth = format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n");
        let written = stream.write_all(auth.as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let octet = in_time("the bus to accept", stream.read_u8()).await;
            line.push(octet.unwrap_or_else(|error| panic!("{path}: {error}")));
        }
        assert!(
            line.starts_with(b"OK"),
            "{}",
            String::from_utf8_lossy(&line)
        );
        let mut raw = Self {
            stream,
            name: String::new(),
            serial: 0,
        };
        let hello = raw.ask_bus("Hello", "", Vec::new()).await;
        assert_eq!(hello.kind, RETURN, "{hello:?}");
        raw
    }

    /// Takes a name.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn own(&mut self, name: &str) {
        let message = Odd::new(CALL, false);
        let mut body = message
            .number(u32::try_from(name.len()).unwrap_or(u32::MAX))
            .to_vec();
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend_from_slice(&message.number(DO_NOT_QUEUE));
        let answer = self.ask_bus("RequestName", "su", body).await;
        assert_eq!(answer.kind, RETURN, "{answer:?}");
        self.name = name.to_owned();
    }

    /// Calls the bus itself, which looks at each message of this connection in its turn; the answer.
    ///
    /// # Panics
    /// When the bus has hung up.
    pub async fn ask_bus(&mut self, member: &str, signature: &str, body: Vec<u8>) -> Heard {
        let mut call = Odd::new(CALL, false)
            .text(1, "o", "/org/freedesktop/DBus")
            .text(2, "s", "org.freedesktop.DBus")
            .text(3, "s", member)
            .text(6, "s", "org.freedesktop.DBus");
        if !signature.is_empty() {
            let mut value = vec![signature.len() as u8];
            value.extend_from_slice(signature.as_bytes());
            value.push(0);
            call.fields.push((8, "g", value));
        }
        call.body = body;
        let serial = self.send(&call).await;
        let answer = self.answer(serial, &mut Vec::new()).await;
        answer.unwrap_or_else(|| panic!("the bus has hung up at {member}"))
    }

    /// Sends a message; its number. Whether the bus takes it is seen by what comes.
    pub async fn send(&mut self, message: &Odd) -> u32 {
        self.serial += 1;
        // Who was hung up on sees that when it reads.
        let _ = self.stream.write_all(&message.octets(self.serial)).await;
        self.serial
    }

    /// The answer to a call; `None` where the bus has hung up. What comes before it goes to `others`.
    pub async fn answer(&mut self, serial: u32, others: &mut Vec<Heard>) -> Option<Heard> {
        loop {
            let heard = self.next().await?;
            if heard.reply_serial == Some(serial) {
                return Some(heard);
            }
            others.push(heard);
        }
    }

    /// The next message; `None` where the bus has hung up.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn next(&mut self) -> Option<Heard> {
        let mut head = [0; HEAD_LEN];
        let what = format!("a message for {}", self.name);
        in_time(&what, self.stream.read_exact(&mut head))
            .await
            .ok()?;
        let is_big = head[0] == b'B';
        let number = |at: usize| {
            let octets = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            number_of(octets, is_big)
        };
        let (body, fields) = (number(4), number(12));
        let mut rest = vec![0; (fields.next_multiple_of(8) + body) as usize];
        in_time(&what, self.stream.read_exact(&mut rest))
            .await
            .ok()?;
        rest.truncate(fields as usize);
        let mut heard = Heard {
            kind: head[1],
            serial: number(8),
            ..Heard::default()
        };
        heard.read(&rest, is_big);
        Some(heard)
    }
}

impl Heard {
    fn read(&mut self, fields: &[u8], is_big: bool) {
        let mut at = 0;
        while at < fields.len() {
            let (code, kind, value) = (fields[at], fields[at + 2], at + 4);
            let octets = |at: usize| [fields[at], fields[at + 1], fields[at + 2], fields[at + 3]];
            let text = |from: usize, len: usize| {
                String::from_utf8_lossy(&fields[from..from + len]).into_owned()
            };
            let (end, text, number) = match kind {
                b'u' => (value + 4, String::new(), number_of(octets(value), is_big)),
                b'g' => (value + 2 + usize::from(fields[value]), String::new(), 0),
                _ => {
                    let len = number_of(octets(value), is_big) as usize;
                    (value + 4 + len + 1, text(value + 4, len), 0)
                }
            };
            match code {
                3 => self.member = Some(text),
                4 => self.error = Some(text),
                5 => self.reply_serial = Some(number),
                7 => self.sender = Some(text),
                _ => {}
            }
            at = end.next_multiple_of(8);
        }
    }
}

fn number_of(octets: [u8; 4], is_big: bool) -> u32 {
    match is_big {
        true => u32::from_be_bytes(octets),
        false => u32::from_le_bytes(octets),
    }
}

const CALL: u8 = 1;
const RETURN: u8 = 2;
const DO_NOT_QUEUE: u32 = 4;
const HEAD_LEN: usize = 16;

//! Messages for the tests, made and read without the code under test.

/// A message in the making. Little endian.
#[derive(Clone)]
pub struct Draft {
    kind: u8,
    flags: u8,
    fields: Vec<u8>,
    signature: String,
    body: Vec<u8>,
    descriptors: u32,
}

fn align(octets: &mut Vec<u8>, to: usize) {
    octets.resize(octets.len().next_multiple_of(to), 0);
}

fn put_text(octets: &mut Vec<u8>, text: &str) {
    align(octets, 4);
    octets.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    octets.extend(text.as_bytes());
    octets.push(0);
}

impl Draft {
    pub fn new(kind: u8) -> Self {
        Self {
            kind,
            flags: 0,
            fields: Vec::new(),
            signature: String::new(),
            body: Vec::new(),
            descriptors: 0,
        }
    }

    pub fn call(destination: &str, member: &str) -> Self {
        let draft = Self::new(1).field(1, "o", "/").field(3, "s", member);
        match destination {
            "" => draft,
            name => draft.field(6, "s", name),
        }
    }

    /// A call of a method of the bus.
    pub fn bus(member: &str) -> Self {
        Self::bus_of("org.freedesktop.DBus", member)
    }

    pub fn bus_of(interface: &str, member: &str) -> Self {
        let draft = Self::new(1)
            .field(1, "o", "/org/freedesktop/DBus")
            .field(2, "s", interface);
        draft
            .field(3, "s", member)
            .field(6, "s", "org.freedesktop.DBus")
    }

    pub fn signal(path: &str, interface: &str, member: &str) -> Self {
        Self::new(4)
            .field(1, "o", path)
            .field(2, "s", interface)
            .field(3, "s", member)
    }

    pub fn reply(to: &str, serial: u32) -> Self {
        Self::new(2).field(6, "s", to).number(5, serial)
    }

    pub fn to(self, destination: &str) -> Self {
        self.field(6, "s", destination)
    }

    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    pub fn field(mut self, code: u8, kind: &str, text: &str) -> Self {
        align(&mut self.fields, 8);
        self.fields.extend([code, 1, kind.as_bytes()[0], 0]);
        put_text(&mut self.fields, text);
        self
    }

    pub fn number(mut self, code: u8, number: u32) -> Self {
        align(&mut self.fields, 8);
        self.fields.extend([code, 1, b'u', 0]);
        self.fields.extend(number.to_le_bytes());
        self
    }

    /// Any field.
    pub fn raw_field(mut self, octets: &[u8]) -> Self {
        align(&mut self.fields, 8);
        self.fields.extend(octets);
        self
    }

    pub fn descriptors(mut self, count: u32) -> Self {
        self.descriptors = count;
        self
    }

    pub fn s(mut self, text: &str) -> Self {
        self.signature.push('s');
        put_text(&mut self.body, text);
        self
    }

    pub fn o(mut self, path: &str) -> Self {
        self.signature.push('o');
        put_text(&mut self.body, path);
        self
    }

    pub fn u(mut self, number: u32) -> Self {
        self.signature.push('u');
        align(&mut self.body, 4);
        self.body.extend(number.to_le_bytes());
        self
    }

    /// `as`
    pub fn strings(mut self, texts: &[&str]) -> Self {
        self.signature.push_str("as");
        align(&mut self.body, 4);
        let mut array = Vec::new();
        texts.iter().for_each(|text| put_text(&mut array, text));
        self.body
            .extend(u32::try_from(array.len()).unwrap().to_le_bytes());
        self.body.extend(array);
        self
    }

    /// Any types and octets.
    pub fn body(mut self, signature: &str, octets: &[u8]) -> Self {
        signature.clone_into(&mut self.signature);
        self.body = octets.to_vec();
        self
    }

    pub fn build(mut self, serial: u32) -> Vec<u8> {
        if !self.signature.is_empty() {
            align(&mut self.fields, 8);
            self.fields
                .extend([8, 1, b'g', 0, u8::try_from(self.signature.len()).unwrap()]);
            self.fields.extend(self.signature.as_bytes());
            self.fields.push(0);
        }
        if self.descriptors > 0 {
            let count = self.descriptors;
            self = self.number(9, count);
        }
        let mut octets = vec![b'l', self.kind, self.flags, 1];
        octets.extend(u32::try_from(self.body.len()).unwrap().to_le_bytes());
        octets.extend(serial.to_le_bytes());
        octets.extend(u32::try_from(self.fields.len()).unwrap().to_le_bytes());
        octets.extend(self.fields);
        align(&mut octets, 8);
        octets.extend(self.body);
        octets
    }
}

/// A message that was read.
#[derive(Debug, Clone, Default)]
pub struct Read {
    pub kind: u8,
    pub flags: u8,
    pub serial: u32,
    pub reply_serial: u32,
    /// By code: path, interface, member, error, destination, sender, signature.
    pub fields: Vec<(u8, String)>,
    /// The arguments, as text.
    pub body: String,
}

/// The length of the message that begins so.
pub fn length(octets: &[u8]) -> Option<usize> {
    let is_big = octets.first() == Some(&b'B');
    let number = |at: usize| {
        let octets = octets.get(at..at + 4)?.try_into().unwrap();
        let number = if is_big {
            u32::from_be_bytes(octets)
        } else {
            u32::from_le_bytes(octets)
        };
        Some(number as usize)
    };
    Some((16 + number(12)?).next_multiple_of(8) + number(4)?)
}

impl Read {
    pub fn field(&self, code: u8) -> &str {
        self.fields
            .iter()
            .find(|(one, _)| *one == code)
            .map_or("", |(_, text)| text)
    }

    pub fn parse(octets: &[u8]) -> Self {
        let mut reader = Reader {
            octets,
            at: 0,
            is_big: octets[0] == b'B',
        };
        let mut read = Self {
            kind: octets[1],
            flags: octets[2],
            ..Self::default()
        };
        reader.at = 8;
        read.serial = reader.u32();
        let end = 16 + reader.u32() as usize;
        let mut signature = String::new();
        while reader.at < end {
            reader.align(8);
            let code = reader.byte();
            let kind = reader.signature();
            let mut text = String::new();
            reader.value(kind.as_bytes(), &mut text);
            match code {
                5 => read.reply_serial = text.parse().unwrap(),
                8 => signature = text.trim_matches('"').to_owned(),
                _ => read.fields.push((code, text.trim_matches('"').to_owned())),
            }
        }
        reader.align(8);
        let mut types = signature.as_bytes();
        while !types.is_empty() {
            let len = first(types);
            if !read.body.is_empty() {
                read.body.push_str(", ");
            }
            reader.value(&types[..len], &mut read.body);
            types = &types[len..];
        }
        read
    }
}

/// The length of the first type.
fn first(types: &[u8]) -> usize {
    match types[0] {
        b'a' => 1 + first(&types[1..]),
        b'(' | b'{' => {
            let mut len = 1;
            while !matches!(types[len], b')' | b'}') {
                len += first(&types[len..]);
            }
            len + 1
        }
        _ => 1,
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    is_big: bool,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.octets[self.at - 1]
    }

    fn u32(&mut self) -> u32 {
        self.align(4);
        let octets = self.octets[self.at..self.at + 4].try_into().unwrap();
        self.at += 4;
        if self.is_big {
            u32::from_be_bytes(octets)
        } else {
            u32::from_le_bytes(octets)
        }
    }

    fn text(&mut self, len: usize) -> String {
        let text = String::from_utf8(self.octets[self.at..self.at + len].to_vec()).unwrap();
        self.at += len + 1;
        text
    }

    fn signature(&mut self) -> String {
        let len = self.byte().into();
        self.text(len)
    }

    fn value(&mut self, kind: &[u8], out: &mut String) {
        match kind[0] {
            b'y' => *out += &self.byte().to_string(),
            b'u' | b'h' => *out += &self.u32().to_string(),
            b'b' => *out += if self.u32() == 1 { "true" } else { "false" },
            b's' | b'o' => {
                let len = self.u32() as usize;
                *out += &format!("{:?}", self.text(len));
            }
            b'g' => *out += &format!("{:?}", self.signature()),
            b'v' => {
                let inner = self.signature();
                self.value(inner.as_bytes(), out);
            }
            b'(' | b'{' => {
                self.align(8);
                let mut types = &kind[1..kind.len() - 1];
                while !types.is_empty() {
                    let len = first(types);
                    self.value(&types[..len], out);
                    out.push(' ');
                    types = &types[len..];
                }
            }
            b'a' => {
                let len = self.u32() as usize;
                self.align(if matches!(kind[1], b'(' | b'{') {
                    8
                } else if kind[1] == b'y' {
                    1
                } else {
                    4
                });
                let end = self.at + len;
                out.push('[');
                while self.at < end {
                    self.value(&kind[1..], out);
                    out.push(' ');
                }
                out.push(']');
            }
            other => panic!("a type that no test has: {}", char::from(other)),
        }
    }
}

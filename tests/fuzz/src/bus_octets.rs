//! Messages as a client of a bus would make them, without the code under test.

/// A message in the making.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// The serial of the call that it answers.
    pub(crate) answers: Option<u32>,
    /// Empty: none. So are the others.
    pub(crate) to: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) types: &'a str,
    pub(crate) body: &'a [u8],
}

impl Draft<'_> {
    pub(crate) fn octets(&self, serial: u32) -> Vec<u8> {
        let mut fields = Vec::new();
        let path = if self.kind == 2 {
            ""
        } else {
            "/org/freedesktop/DBus"
        };
        for (code, kind, text) in [
            (1, b'o', path),
            (2, b's', self.interface),
            (3, b's', self.member),
            (6, b's', self.to),
        ] {
            if !text.is_empty() {
                begin(&mut fields, code, kind);
                fields.extend(marshalled("s", text, 0));
            }
        }
        if let Some(serial) = self.answers {
            begin(&mut fields, 5, b'u');
            fields.extend(serial.to_le_bytes());
        }
        if !self.types.is_empty() {
            begin(&mut fields, 8, b'g');
            fields.push(u8::try_from(self.types.len()).unwrap());
            fields.extend(self.types.as_bytes());
            fields.push(0);
        }
        let mut octets = vec![b'l', self.kind, self.flags, 1];
        for number in [self.body.len(), serial as usize, fields.len()] {
            octets.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        octets.extend(fields);
        octets.resize(octets.len().next_multiple_of(8), 0);
        octets.extend(self.body);
        octets
    }
}

fn begin(fields: &mut Vec<u8>, code: u8, kind: u8) {
    fields.resize(fields.len().next_multiple_of(8), 0);
    fields.extend([code, 1, kind, 0]);
}

/// `s`, `su` or `asu`.
pub(crate) fn marshalled(types: &str, text: &str, number: u32) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    let mut string = len.to_le_bytes().to_vec();
    string.extend(text.as_bytes());
    string.push(0);
    let mut octets = match types {
        "" => return Vec::new(),
        "asu" => [
            &u32::try_from(string.len()).unwrap().to_le_bytes()[..],
            &string,
        ]
        .concat(),
        _ => string,
    };
    if types.ends_with('u') {
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets.extend((number % 8).to_le_bytes());
    }
    octets
}

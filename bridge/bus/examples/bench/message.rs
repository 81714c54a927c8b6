//! Octets of messages that are made before and patched, as cheap as can be.

fn number(octets: &[u8], at: usize) -> usize {
    u32::from_le_bytes(octets[at..at + 4].try_into().unwrap()) as usize
}

pub(super) fn body_len(octets: &[u8]) -> usize {
    number(octets, 4)
}

pub(super) fn length(octets: &[u8]) -> usize {
    (16 + number(octets, 12)).next_multiple_of(8) + body_len(octets)
}

pub(super) fn serial(octets: &[u8]) -> u32 {
    match octets[1] {
        2 | 3 => u32::try_from(number(octets, find_reply_serial(octets))).unwrap(),
        _ => u32::try_from(number(octets, 8)).unwrap(),
    }
}

/// The place of the serial of the call that is answered.
pub(super) fn find_reply_serial(octets: &[u8]) -> usize {
    let end = length(octets) - body_len(octets);
    let places = octets[16..end].chunks(8).enumerate();
    let mut places = places.filter(|(_, field)| field.starts_with(&[5, 1, b'u', 0]));
    16 + 8 * places.next().expect("it is an answer").0 + 4
}

/// The field of a message that says who sent it.
pub(super) fn sender(octets: &[u8]) -> String {
    let end = 16 + number(octets, 12);
    let mut at = 16;
    // The fields that there are: their types are one letter long.
    while at < end {
        let (code, kind) = (octets[at], octets[at + 2]);
        let len = match kind {
            b's' | b'o' => 8 + number(octets, at + 4) + 1,
            b'g' => 4 + usize::from(octets[at + 4]) + 2,
            _ => 8,
        };
        if code == 7 {
            return String::from_utf8(octets[at + 8..at + len - 1].to_vec()).unwrap();
        }
        at = (at + len).next_multiple_of(8);
    }
    panic!("it has a sender");
}

pub(super) fn message(
    kind: u8,
    serial: u32,
    answers: u32,
    to: &str,
    interface: &str,
    member: &str,
    text: &str,
) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut field = |code: u8, kind: u8, text: &str| {
        if !text.is_empty() {
            fields.resize(usize::next_multiple_of(fields.len(), 8), 0);
            fields.extend([code, 1, kind, 0]);
            fields.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            fields.extend(text.as_bytes());
            fields.push(0);
        }
    };
    if kind != 2 {
        field(1, b'o', "/");
    }
    field(2, b's', interface);
    field(3, b's', member);
    field(6, b's', to);
    if answers > 0 {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([5, 1, b'u', 0]);
        fields.extend(answers.to_le_bytes());
    }
    let mut body = Vec::new();
    if !text.is_empty() {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        body.extend(text.as_bytes());
        body.push(0);
    }
    finish(kind, serial, &fields, &body)
}

/// A call with texts as its arguments.
pub(super) fn call(to: &str, path: &str, interface: &str, member: &str, texts: &[&str]) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, kind, text) in [
        (1, b'o', path),
        (2, b's', interface),
        (3, b's', member),
        (6, b's', to),
    ] {
        fields.resize(usize::next_multiple_of(fields.len(), 8), 0);
        fields.extend([code, 1, kind, 0]);
        string(&mut fields, text);
    }
    let mut body = Vec::new();
    if !texts.is_empty() {
        fields.resize(fields.len().next_multiple_of(8), 0);
        let len = u8::try_from(texts.len()).unwrap();
        fields.extend([8, 1, b'g', 0, len]);
        fields.extend(std::iter::repeat_n(b's', texts.len()).chain([0]));
    }
    for text in texts {
        body.resize(body.len().next_multiple_of(4), 0);
        string(&mut body, text);
    }
    finish(1, 0, &fields, &body)
}

fn string(octets: &mut Vec<u8>, text: &str) {
    octets.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    octets.extend(text.as_bytes());
    octets.push(0);
}

fn finish(kind: u8, serial: u32, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let mut octets = vec![b'l', kind, 0, 1];
    octets.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    octets.extend(serial.to_le_bytes());
    octets.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
    octets.extend_from_slice(fields);
    octets.resize(octets.len().next_multiple_of(8), 0);
    octets.extend_from_slice(body);
    octets
}

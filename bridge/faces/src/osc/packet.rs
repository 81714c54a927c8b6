//! OSC packets as octets: messages and bundles, read and written.
//!
//! Model: [`decode`] reads one packet (a datagram, or one packet of a stream) into [`Group`]s: messages that take
//! effect together, with the time at which they do. Bundles within bundles are flattened, and an array is a pair of
//! marks among the arguments, so that nothing here is a recursion and nothing that it makes is nested.
//! Invariants: OSCPACKET-1. A packet is read as a whole or not at all. OSCPACKET-2. No length that a packet names is
//! reserved before the octets are there. OSCPACKET-3. What [`encode`] writes, [`decode`] reads as the same.
//! Limits: [`PACKET_LEN_MAX`], [`DEPTH_MAX`], [`ARGS_MAX`], [`ADDRESS_LEN_MAX`]; a packet beyond one is malformed.
//! Not here: framing in streams, see `stream`; patterns, see `pattern`; what arguments mean, see `types`.
//! Spec: OSC 1.0, and the types of OSC 1.1.

mod packing;

pub(crate) use self::packing::Packing;
pub use self::packing::packets;

/// One argument of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// `i`
    Int(i32),
    /// `h`
    Long(i64),
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `s`, and `S` when read.
    Text(String),
    /// `b`
    Blob(Vec<u8>),
    /// `t`: seconds since 1900 in the upper half, their fraction in the lower.
    Time(u64),
    /// `c`
    Char(char),
    /// `r`: red, green, blue, alpha.
    Color([u8; 4]),
    /// `m`: port, status, two octets of data.
    Midi([u8; 4]),
    /// `T` and `F`
    Bool(bool),
    /// `N`
    Nil,
    /// `I`
    Impulse,
    /// `[`
    ArrayBegin,
    /// `]`
    ArrayEnd,
}

/// A message: an address or a pattern, and arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The address, which begins with a slash.
    pub address: String,
    /// The arguments. Marks of arrays are in pairs.
    pub args: Vec<Arg>,
}

/// Messages that take effect together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// When: a time tag, [`AT_ONCE`] for now.
    pub time: u64,
    /// What, in order.
    pub messages: Vec<Message>,
}

/// The time tag of what takes effect as soon as it is read.
pub const AT_ONCE: u64 = 1;

/// Why a packet is not understood. Fault of who sent it; nothing of it takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It is longer than [`PACKET_LEN_MAX`].
    #[error("a packet of more than {PACKET_LEN_MAX} octets")]
    TooLong,
    /// It ends within something.
    #[error("the packet ends too early")]
    Truncated,
    /// The size of an element of a bundle is no multiple of four or goes beyond the bundle.
    #[error("an element of a bundle has an impossible size")]
    ElementSize,
    /// Neither an address nor a bundle.
    #[error("neither a message nor a bundle")]
    NoAddress,
    /// The address is too long or has control characters.
    #[error("the address is longer than {ADDRESS_LEN_MAX} octets or has control characters")]
    Address,
    /// Text is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// What follows the address are no type tags.
    #[error("no type tags behind the address")]
    NoTypes,
    /// A type tag that is not known.
    #[error("the type tag {0:?} is not known")]
    Tag(char),
    /// The marks of arrays are not in pairs.
    #[error("the brackets of an array do not match")]
    Brackets,
    /// A character that is none.
    #[error("a character that does not exist")]
    Char,
    /// Too many arguments.
    #[error("more than {ARGS_MAX} arguments")]
    TooManyArgs,
    /// Bundles in bundles, too deep.
    #[error("bundles nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// Octets behind the last argument.
    #[error("octets behind the last argument")]
    Rest,
}

/// Reads one packet.
///
/// # Errors
/// See [`PacketError`].
pub fn decode(octets: &[u8]) -> Result<Vec<Group>, PacketError> {
    if octets.len() > PACKET_LEN_MAX {
        return Err(PacketError::TooLong);
    }
    let mut groups: Vec<Group> = Vec::new();
    if !octets.starts_with(BUNDLE) {
        add(&mut groups, AT_ONCE, message(octets)?);
        return Ok(groups);
    }
    // The bundles that are open: what is left of each, and its time.
    let mut open = vec![bundle(octets, AT_ONCE)?];
    while let Some((rest, time)) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let time = *time;
        let mut reader = Reader(rest);
        let size = reader.u32()? as usize;
        if !size.is_multiple_of(4) || size == 0 || size > reader.0.len() {
            return Err(PacketError::ElementSize);
        }
        let element = reader.take(size)?;
        *rest = reader.0;
        if !element.starts_with(BUNDLE) {
            add(&mut groups, time, message(element)?);
        } else if open.len() == DEPTH_MAX {
            return Err(PacketError::TooDeep);
        } else {
            open.push(bundle(element, time)?);
        }
    }
    Ok(groups)
}

/// The elements of a bundle, and its time, which is not before that of the bundle around it.
fn bundle(octets: &[u8], around: u64) -> Result<(&[u8], u64), PacketError> {
    let mut reader = Reader(octets);
    reader.take(BUNDLE.len())?;
    let time = reader.u64()?;
    Ok((reader.0, time.max(around)))
}

fn add(groups: &mut Vec<Group>, time: u64, message: Message) {
    match groups.last_mut() {
        Some(group) if group.time == time => group.messages.push(message),
        _ => groups.push(Group {
            time,
            messages: vec![message],
        }),
    }
}

fn message(octets: &[u8]) -> Result<Message, PacketError> {
    let mut reader = Reader(octets);
    if octets.first() != Some(&b'/') {
        return Err(PacketError::NoAddress);
    }
    let address = reader.text()?;
    if address.len() > ADDRESS_LEN_MAX || address.chars().any(char::is_control) {
        return Err(PacketError::Address);
    }
    let address = address.to_owned();
    if reader.0.is_empty() {
        // OSC 1.0: older programs leave out the type tags.
        let args = Vec::new();
        return Ok(Message { address, args });
    }
    if reader.0.first() != Some(&b',') {
        return Err(PacketError::NoTypes);
    }
    let tags = &reader.text()?[1..];
    if tags.len() > ARGS_MAX {
        return Err(PacketError::TooManyArgs);
    }
    let mut args = Vec::with_capacity(tags.len());
    let mut arrays = 0_usize;
    for tag in tags.chars() {
        let arg = argument(tag, &mut reader)?;
        match arg {
            Arg::ArrayBegin => arrays += 1,
            Arg::ArrayEnd => arrays = arrays.checked_sub(1).ok_or(PacketError::Brackets)?,
            _ => {}
        }
        args.push(arg);
    }
    match (arrays, reader.0) {
        (0, []) => Ok(Message { address, args }),
        (0, _) => Err(PacketError::Rest),
        _ => Err(PacketError::Brackets),
    }
}

fn argument(tag: char, reader: &mut Reader<'_>) -> Result<Arg, PacketError> {
    Ok(match tag {
        'i' => Arg::Int(i32::from_be_bytes(reader.array()?)),
        'h' => Arg::Long(i64::from_be_bytes(reader.array()?)),
        'f' => Arg::Float(f32::from_be_bytes(reader.array()?)),
        'd' => Arg::Double(f64::from_be_bytes(reader.array()?)),
        's' | 'S' => Arg::Text(reader.text()?.to_owned()),
        'b' => Arg::Blob(reader.blob()?.to_vec()),
        't' => Arg::Time(reader.u64()?),
        'c' => Arg::Char(char::from_u32(reader.u32()?).ok_or(PacketError::Char)?),
        'r' => Arg::Color(reader.array()?),
        'm' => Arg::Midi(reader.array()?),
        'T' => Arg::Bool(true),
        'F' => Arg::Bool(false),
        'N' => Arg::Nil,
        'I' => Arg::Impulse,
        '[' => Arg::ArrayBegin,
        ']' => Arg::ArrayEnd,
        other => return Err(PacketError::Tag(other)),
    })
}

/// What is left to read of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, PacketError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, PacketError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Text up to its first zero, and the zeros behind it.
    fn text(&mut self) -> Result<&'a str, PacketError> {
        let len = self.0.iter().position(|octet| *octet == 0);
        let len = len.ok_or(PacketError::Truncated)?;
        let taken = self.take(padded(len + 1))?;
        std::str::from_utf8(&taken[..len]).map_err(|_| PacketError::NotText)
    }

    fn blob(&mut self) -> Result<&'a [u8], PacketError> {
        let len = self.u32()? as usize;
        if len > self.0.len() {
            return Err(PacketError::Truncated);
        }
        Ok(&self.take(padded(len))?[..len])
    }
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// Appends a message to a packet.
pub fn encode(message: &Message, packet: &mut Vec<u8>) {
    put_text(packet, &message.address);
    let tags: String = std::iter::once(',')
        .chain(message.args.iter().map(tag))
        .collect();
    put_text(packet, &tags);
    for arg in &message.args {
        match arg {
            Arg::Int(value) => packet.extend(value.to_be_bytes()),
            Arg::Long(value) => packet.extend(value.to_be_bytes()),
            Arg::Float(value) => packet.extend(value.to_be_bytes()),
            Arg::Double(value) => packet.extend(value.to_be_bytes()),
            Arg::Time(value) => packet.extend(value.to_be_bytes()),
            Arg::Char(value) => packet.extend(u32::from(*value).to_be_bytes()),
            Arg::Color(value) | Arg::Midi(value) => packet.extend(value),
            Arg::Text(value) => put_text(packet, value),
            Arg::Blob(value) => {
                let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
                packet.extend(len.to_be_bytes());
                packet.extend(value);
                packet.resize(padded(packet.len()), 0);
            }
            Arg::Bool(_) | Arg::Nil | Arg::Impulse | Arg::ArrayBegin | Arg::ArrayEnd => {}
        }
    }
}

fn put_text(packet: &mut Vec<u8>, text: &str) {
    // A zero would end it: what is behind one is not told.
    let text = text.split('\0').next().unwrap_or_default();
    packet.extend(text.as_bytes());
    packet.push(0);
    packet.resize(padded(packet.len()), 0);
}

/// The type tag of an argument.
pub fn tag(arg: &Arg) -> char {
    match arg {
        Arg::Int(_) => 'i',
        Arg::Long(_) => 'h',
        Arg::Float(_) => 'f',
        Arg::Double(_) => 'd',
        Arg::Text(_) => 's',
        Arg::Blob(_) => 'b',
        Arg::Time(_) => 't',
        Arg::Char(_) => 'c',
        Arg::Color(_) => 'r',
        Arg::Midi(_) => 'm',
        Arg::Bool(true) => 'T',
        Arg::Bool(false) => 'F',
        Arg::Nil => 'N',
        Arg::Impulse => 'I',
        Arg::ArrayBegin => '[',
        Arg::ArrayEnd => ']',
    }
}

/// How a bundle begins.
const BUNDLE: &[u8] = b"#bundle\0";
/// A bundle without elements.
const HEADER_LEN: usize = BUNDLE.len() + 8;
/// Octets of a packet, in and out: more than any datagram.
pub const PACKET_LEN_MAX: usize = 65_536;
/// Bundles in bundles.
pub const DEPTH_MAX: usize = 32;
/// Arguments of a message, marks of arrays among them.
pub const ARGS_MAX: usize = 1024;
/// Octets of an address.
pub const ADDRESS_LEN_MAX: usize = 2048;

#[cfg(test)]
mod tests;

//! Packets of sACN: data of a universe, and synchronization.
//!
//! Model: [`decode`] reads a datagram, [`data`] and [`sync`] write one. Everything has a place of its own in a packet, so
//! there is nothing to be reserved by a length that a packet names.
//! Limits: [`SLOTS_MAX`] slots.
//! Spec: ANSI E1.31-2018.

/// Slots of a universe.
pub const SLOTS_MAX: usize = 512;

/// A datagram, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The slots of a universe.
    Data(Data),
    /// What waits for this address takes effect.
    Sync {
        /// The synchronization address.
        address: u16,
    },
}

/// The slots of a universe, and what is said of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Who sends, for good.
    pub source: [u8; 16],
    /// What the sender calls itself.
    pub name: String,
    /// The source with the highest one counts.
    pub priority: u8,
    /// Where the packet that makes it take effect is sent; 0: at once.
    pub sync: u16,
    /// One more each time.
    pub sequence: u8,
    /// Only to look at.
    pub is_preview: bool,
    /// The source ends.
    pub is_last: bool,
    /// The universe, 1 to 63999.
    pub universe: u16,
    /// From the first on, at most 512.
    pub slots: Vec<u8>,
}

/// Reads a datagram; `None`: it is none of these, or of another start code than levels have.
pub fn decode(octets: &[u8]) -> Option<Packet> {
    let root = octets.strip_prefix(PREAMBLE)?;
    let vector = u32::from_be_bytes(*root.get(2..6)?.first_chunk()?);
    let source = *root.get(6..22)?.first_chunk()?;
    let frame = root.get(22..)?;
    let kind = u32::from_be_bytes(*frame.get(2..6)?.first_chunk()?);
    match (vector, kind) {
        (VECTOR_DATA, FRAME_DATA) => decode_data(source, frame).map(Packet::Data),
        (VECTOR_EXTENDED, FRAME_SYNC) => Some(Packet::Sync {
            address: word(frame, 7)?,
        }),
        _ => None,
    }
}

fn decode_data(source: [u8; 16], frame: &[u8]) -> Option<Data> {
    let name = frame.get(6..70)?;
    let name = name.split(|octet| *octet == 0).next()?;
    let options = *frame.get(74)?;
    let dmp = frame.get(77..)?;
    let count = usize::from(word(dmp, 8)?);
    let slots = dmp.get(10..10 + count)?;
    let (start, slots) = slots.split_first()?;
    if *start != 0 || slots.len() > SLOTS_MAX || dmp.get(2..8)? != DMP_DATA {
        return None;
    }
    Some(Data {
        source,
        name: String::from_utf8_lossy(name).into_owned(),
        priority: *frame.get(70)?,
        sync: word(frame, 71)?,
        sequence: *frame.get(73)?,
        is_preview: options & PREVIEW != 0,
        is_last: options & TERMINATED != 0,
        universe: word(frame, 75)?,
        slots: slots.to_vec(),
    })
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Writes the slots of a universe.
pub fn data(data: &Data) -> Vec<u8> {
    let slots = data.slots.get(..SLOTS_MAX).unwrap_or(&data.slots);
    let mut dmp = Vec::with_capacity(11 + slots.len());
    dmp.extend(length(11 + slots.len()));
    dmp.extend(DMP_DATA);
    dmp.extend(u16::try_from(1 + slots.len()).unwrap_or(0).to_be_bytes());
    dmp.push(0);
    dmp.extend(slots);
    let mut frame = Vec::new();
    frame.extend(length(77 + dmp.len()));
    frame.extend(FRAME_DATA.to_be_bytes());
    let mut name = [0; 64];
    for (octet, of_name) in name.iter_mut().take(63).zip(data.name.bytes()) {
        *octet = of_name;
    }
    frame.extend(name);
    frame.push(data.priority);
    frame.extend(data.sync.to_be_bytes());
    frame.push(data.sequence);
    frame.push(u8::from(data.is_preview) * PREVIEW + u8::from(data.is_last) * TERMINATED);
    frame.extend(data.universe.to_be_bytes());
    frame.extend(dmp);
    root(VECTOR_DATA, data.source, &frame)
}

/// Writes the packet that makes what waits for this address take effect.
pub fn sync(source: [u8; 16], sequence: u8, address: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(length(11));
    frame.extend(FRAME_SYNC.to_be_bytes());
    frame.push(sequence);
    frame.extend(address.to_be_bytes());
    frame.extend([0, 0]);
    root(VECTOR_EXTENDED, source, &frame)
}

fn root(vector: u32, source: [u8; 16], frame: &[u8]) -> Vec<u8> {
    let mut octets = PREAMBLE.to_vec();
    octets.extend(length(22 + frame.len()));
    octets.extend(vector.to_be_bytes());
    octets.extend(source);
    octets.extend(frame);
    octets
}

/// The flags, and a length of 12 bits.
fn length(len: usize) -> [u8; 2] {
    (0x7000 | u16::try_from(len).unwrap_or(0x0fff)).to_be_bytes()
}

/// The multicast group of a universe.
pub fn group(universe: u16) -> std::net::Ipv4Addr {
    let [high, low] = universe.to_be_bytes();
    [239, 255, high, low].into()
}

/// The UDP port.
pub const PORT: u16 = 5568;
const PREAMBLE: &[u8] = b"\0\x10\0\0ASC-E1.17\0\0\0";
const VECTOR_DATA: u32 = 4;
const VECTOR_EXTENDED: u32 = 8;
const FRAME_DATA: u32 = 2;
const FRAME_SYNC: u32 = 1;
/// Set property, addresses of two octets from 0 on, one apart.
const DMP_DATA: &[u8] = &[2, 0xa1, 0, 0, 0, 1];
const PREVIEW: u8 = 0x80;
const TERMINATED: u8 = 0x40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet() -> impl Strategy<Value = Data> {
        let slots = proptest::collection::vec(any::<u8>(), 0..=SLOTS_MAX);
        let said = (
            any::<[u8; 16]>(),
            "[a-z ]{0,63}",
            any::<(u8, u16, u8, bool, bool, u16)>(),
        );
        (said, slots).prop_map(|((source, name, said), slots)| Data {
            source,
            name,
            priority: said.0,
            sync: said.1,
            sequence: said.2,
            is_preview: said.3,
            is_last: said.4,
            universe: said.5,
            slots,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(packet in packet()) {
            let octets = data(&packet);
            prop_assert_eq!(octets.len(), 126 + packet.slots.len());
            prop_assert_eq!(decode(&octets), Some(Packet::Data(packet)));
        }

        #[test]
        fn a_packet_that_is_cut_or_changed_does_no_harm(
            packet in packet(), at in any::<proptest::sample::Index>(), octet in any::<u8>(), len in 0_usize..638
        ) {
            let mut octets = data(&packet);
            let at = at.index(octets.len());
            octets[at] = octet;
            let _ = decode(&octets);
            octets.truncate(len);
            let _ = decode(&octets);
        }

        #[test]
        fn no_octets_do_any_harm(octets in proptest::collection::vec(any::<u8>(), 0..700)) {
            prop_assert_eq!(decode(&octets), None);
        }
    }

    #[test]
    fn a_synchronization_is_read() {
        let octets = sync([7; 16], 1, 962);
        assert_eq!(octets.len(), 49);
        assert_eq!(decode(&octets), Some(Packet::Sync { address: 962 }));
        assert_eq!(group(962), std::net::Ipv4Addr::new(239, 255, 3, 194));
    }
}

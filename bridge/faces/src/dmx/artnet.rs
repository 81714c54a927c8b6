//! Packets of Art-Net: polls, their replies, and data of a universe.
//!
//! Model: [`decode`] reads a datagram, [`dmx`], [`poll`] and [`poll_reply`] write one.
//! Limits: 512 slots.
//! Spec: Art-Net 4 (Artistic Licence, 1.4).

use std::net::Ipv4Addr;

use super::sacn::SLOTS_MAX;

/// A datagram, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Who is there?
    Poll,
    /// A node is there, which wants these universes.
    PollReply {
        /// The port addresses that it takes.
        takes: Vec<u16>,
    },
    /// The slots of a universe.
    Dmx {
        /// One more each time; 0: they are not numbered.
        sequence: u8,
        /// The universe: net, subnet and universe in 15 bits.
        port_address: u16,
        /// From the first on.
        slots: Vec<u8>,
    },
}

/// Reads a datagram; `None`: it is none of these.
pub fn decode(octets: &[u8]) -> Option<Packet> {
    let rest = octets.strip_prefix(ID)?;
    let (code, rest) = rest.split_first_chunk()?;
    match u16::from_le_bytes(*code) {
        OP_POLL => Some(Packet::Poll),
        OP_POLL_REPLY => {
            // Places of the whole packet, as the specification has them.
            let (net, subnet) = (*octets.get(18)?, *octets.get(19)?);
            let kinds: [u8; 4] = *octets.get(174..)?.first_chunk()?;
            let outputs: [u8; 4] = *octets.get(190..)?.first_chunk()?;
            let takes = kinds
                .iter()
                .zip(outputs)
                .filter(|(kind, _)| *kind & OUTPUT != 0);
            let address = |low: u8| {
                u16::from(net & 0x7f) << 8 | u16::from(subnet & 0x0f) << 4 | u16::from(low & 0x0f)
            };
            Some(Packet::PollReply {
                takes: takes.map(|(_, low)| address(low)).collect(),
            })
        }
        OP_DMX => {
            let (head, slots) = rest.split_first_chunk::<8>()?;
            let [_, version, sequence, _, low, net, len_high, len_low] = *head;
            let len = usize::from(u16::from_be_bytes([len_high, len_low]));
            let is_wrong = version < VERSION || len > SLOTS_MAX || net > 0x7f;
            (!is_wrong).then_some(())?;
            Some(Packet::Dmx {
                sequence,
                port_address: u16::from_be_bytes([net, low]),
                slots: slots.get(..len)?.to_vec(),
            })
        }
        _ => None,
    }
}

/// Writes the slots of a universe.
pub fn dmx(sequence: u8, port_address: u16, slots: &[u8]) -> Vec<u8> {
    let mut octets = head(OP_DMX);
    octets.extend([0, VERSION, sequence, 0]);
    octets.extend(port_address.to_le_bytes());
    // Their number is even.
    let mut slots = slots.get(..SLOTS_MAX).unwrap_or(slots).to_vec();
    slots.resize(slots.len().next_multiple_of(2).max(2), 0);
    octets.extend(u16::try_from(slots.len()).unwrap_or(0).to_be_bytes());
    octets.extend(slots);
    octets
}

/// Writes a poll: replies to changes are wanted, too.
pub fn poll() -> Vec<u8> {
    let mut octets = head(OP_POLL);
    octets.extend([0, VERSION, 0b10, 0]);
    octets
}

/// Writes what is there: one port, which takes the universe or gives it.
pub fn poll_reply(address: Ipv4Addr, name: &str, port_address: u16, takes: bool) -> Vec<u8> {
    let mut octets = head(OP_POLL_REPLY);
    octets.resize(239, 0);
    let [net, low] = port_address.to_be_bytes();
    octets[10..14].copy_from_slice(&address.octets());
    octets[14..16].copy_from_slice(&PORT.to_le_bytes());
    (octets[18], octets[19]) = (net & 0x7f, low >> 4);
    put_name(&mut octets[26..44], name);
    put_name(&mut octets[44..108], name);
    put_name(&mut octets[108..172], "#0001 [0000] ready");
    octets[173] = 1;
    octets[174] = if takes { OUTPUT } else { INPUT };
    let good = if takes { 182 } else { 178 };
    octets[good] = 0x80;
    let at = if takes { 190 } else { 186 };
    octets[at] = low & 0x0f;
    octets[200] = u8::from(!takes);
    octets[207..211].copy_from_slice(&address.octets());
    octets[211] = 1;
    // It takes port addresses of 15 bits.
    octets[212] = 0x08;
    octets
}

fn put_name(place: &mut [u8], name: &str) {
    let len = place.len() - 1;
    for (octet, of_name) in place.iter_mut().take(len).zip(name.bytes()) {
        *octet = of_name;
    }
}

fn head(code: u16) -> Vec<u8> {
    let mut octets = ID.to_vec();
    octets.extend(code.to_le_bytes());
    octets
}

/// The UDP port.
pub const PORT: u16 = 6454;
const ID: &[u8] = b"Art-Net\0";
const OP_POLL: u16 = 0x2000;
const OP_POLL_REPLY: u16 = 0x2100;
const OP_DMX: u16 = 0x5000;
const VERSION: u8 = 14;
const OUTPUT: u8 = 0x80;
const INPUT: u8 = 0x40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_says_which_universe_is_taken() {
        let octets = poll_reply([10, 0, 0, 1].into(), "zocp", 0x0123, true);
        assert_eq!(octets.len(), 239);
        assert_eq!(
            decode(&octets),
            Some(Packet::PollReply {
                takes: vec![0x0123]
            })
        );
        let gives = poll_reply([10, 0, 0, 1].into(), "zocp", 0x0123, false);
        assert_eq!(decode(&gives), Some(Packet::PollReply { takes: vec![] }));
        assert_eq!(decode(&poll()), Some(Packet::Poll));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(
            sequence in any::<u8>(), port_address in 0_u16..0x8000, slots in proptest::collection::vec(any::<u8>(), 1..=512)
        ) {
            let octets = dmx(sequence, port_address, &slots);
            let mut slots = slots;
            slots.resize(slots.len().next_multiple_of(2), 0);
            prop_assert_eq!(decode(&octets), Some(Packet::Dmx { sequence, port_address, slots }));
        }

        #[test]
        fn no_octets_do_any_harm(octets in proptest::collection::vec(any::<u8>(), 0..300), code in any::<u8>()) {
            let mut packet = head(u16::from(code) << 8);
            packet.extend(octets);
            let _ = decode(&packet);
        }
    }
}

//! OSC packets in a stream of octets.
//!
//! Model: OSC 1.0 puts the length of a packet before it, OSC 1.1 marks its ends as SLIP does. A [`Deframer`] learns from
//! the first octet which of the two a stream has: a length begins with a zero, since no packet is that long.
//! Invariants: OSCSTREAM-1. However the octets are cut, the packets are the same. OSCSTREAM-2. No more than one packet is kept.
//! Limits: [`PACKET_LEN_MAX`]; a longer packet ends the stream.
//! Spec: OSC 1.0; OSC 1.1; RFC 1055.

use super::packet::PACKET_LEN_MAX;

/// How packets are told apart in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Four octets of length before each packet.
    Length,
    /// An END before and behind each packet.
    Slip,
}

/// Takes packets out of a stream.
#[derive(Debug, Default)]
pub struct Deframer {
    framing: Option<Framing>,
    /// What has come of the packet, with its length before it where it has one.
    kept: Vec<u8>,
    /// The last octet was an ESC.
    is_escaped: bool,
}

/// The stream cannot be read on. Fault of who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A packet is too long.
    #[error("a packet of more than {PACKET_LEN_MAX} octets")]
    TooLong,
    /// ESC and something else than SLIP has.
    #[error("an escape that SLIP does not have")]
    Escape,
}

impl Deframer {
    /// Takes octets, and gives the packets that they complete to `packet`.
    ///
    /// # Errors
    /// See [`StreamError`]; nothing more can be read then.
    pub fn push(
        &mut self,
        octets: &[u8],
        mut packet: impl FnMut(&[u8]),
    ) -> Result<(), StreamError> {
        for octet in octets {
            let framing = *self.framing.get_or_insert(match octet {
                0 => Framing::Length,
                _ => Framing::Slip,
            });
            match framing {
                Framing::Length => self.push_counted(*octet, &mut packet)?,
                Framing::Slip => self.push_slip(*octet, &mut packet)?,
            }
        }
        Ok(())
    }

    /// The framing that the stream has shown.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    fn push_counted(
        &mut self,
        octet: u8,
        packet: &mut impl FnMut(&[u8]),
    ) -> Result<(), StreamError> {
        self.kept.push(octet);
        let Some((len, content)) = self.kept.split_first_chunk() else {
            return Ok(());
        };
        let len = u32::from_be_bytes(*len) as usize;
        if len > PACKET_LEN_MAX {
            return Err(StreamError::TooLong);
        }
        if content.len() == len {
            packet(content);
            self.kept.clear();
        }
        Ok(())
    }

    fn push_slip(&mut self, octet: u8, packet: &mut impl FnMut(&[u8])) -> Result<(), StreamError> {
        let octet = match (self.is_escaped, octet) {
            (true, ESC_END) => END,
            (true, ESC_ESC) => ESC,
            (true, _) => return Err(StreamError::Escape),
            (false, ESC) => {
                self.is_escaped = true;
                return Ok(());
            }
            (false, END) => {
                if !self.kept.is_empty() {
                    packet(&self.kept);
                    self.kept.clear();
                }
                return Ok(());
            }
            (false, octet) => octet,
        };
        self.is_escaped = false;
        if self.kept.len() == PACKET_LEN_MAX {
            return Err(StreamError::TooLong);
        }
        self.kept.push(octet);
        Ok(())
    }
}

/// A packet as a stream of this framing has it.
pub fn framed(framing: Framing, packet: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(packet.len() + 8);
    match framing {
        Framing::Length => {
            let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            octets.extend(len.to_be_bytes());
            octets.extend(packet);
        }
        Framing::Slip => {
            octets.push(END);
            for octet in packet {
                match *octet {
                    END => octets.extend([ESC, ESC_END]),
                    ESC => octets.extend([ESC, ESC_ESC]),
                    other => octets.push(other),
                }
            }
            octets.push(END);
        }
    }
    octets
}

const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8], cut: usize) -> Result<Vec<Vec<u8>>, StreamError> {
        let mut deframer = Deframer::default();
        let mut packets = Vec::new();
        for part in octets.chunks(cut) {
            deframer.push(part, |packet| packets.push(packet.to_vec()))?;
        }
        Ok(packets)
    }

    #[test]
    fn a_packet_that_is_too_long_ends_the_stream() {
        assert_eq!(read(&[0, 1, 0, 1, 0], 5), Err(StreamError::TooLong));
        let long = framed(Framing::Slip, &vec![1; PACKET_LEN_MAX + 1]);
        assert_eq!(read(&long, 1000), Err(StreamError::TooLong));
        let most = framed(Framing::Slip, &vec![1; PACKET_LEN_MAX]);
        assert_eq!(read(&most, 1000).unwrap().len(), 1);
        assert_eq!(read(&[END, b'/', ESC, 7], 1), Err(StreamError::Escape));
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_its_packets_are_the_same(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..6),
            cut in 1_usize..50,
            slip in any::<bool>(),
        ) {
            let framing = if slip { Framing::Slip } else { Framing::Length };
            let octets: Vec<u8> = packets.iter().flat_map(|packet| framed(framing, packet)).collect();
            prop_assert_eq!(read(&octets, cut).unwrap(), packets);
        }

        #[test]
        fn any_octets_are_a_stream_or_none(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&octets, 7);
        }
    }
}

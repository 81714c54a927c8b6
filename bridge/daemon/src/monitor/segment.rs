//! Messages of the mesh as the packets in which they would be on the wire.
//!
//! Model: a connection carries messages one way, from who dialed to the other's mailbox. Here it is a TCP
//! stream that begins with a SYN when its first message passes; each message is its ZMTP frames, in segments
//! as long as IP allows. So Wireshark follows streams, and reads ZMTP where it knows it.
//! Deviations from the wire: no ZMTP handshake, since it was before the first message;
//! no acknowledgements, which would double the file; on a secure mesh the frames are in the clear.
//! Limits: [`STREAMS_MAX`] streams; above that all begin anew.
//! Spec: RFC 791, 768, 9293; 8200 for IPv6; 23/ZMTP "Framing"

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;

/// The streams of a file, and where each is.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The next sequence number.
    at: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl Streams {
    /// The packets of a message, each to be written in that order.
    pub(super) fn message(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        header: &[u8],
        content: &[Bytes],
        mut packet: impl FnMut(&[u8]),
    ) {
        if self.at.len() >= STREAMS_MAX && !self.at.contains_key(&(from, to)) {
            self.at.clear();
        }
        let at = self.at.entry((from, to)).or_insert_with(|| {
            packet(&tcp(from, to, 0, Flags::Syn, &[]));
            1
        });
        let octets = frames(header, content);
        let mut segments = octets.chunks(SEGMENT_LEN).peekable();
        while let Some(segment) = segments.next() {
            let flags = match segments.peek() {
                None => Flags::Push,
                Some(_) => Flags::Ack,
            };
            packet(&tcp(from, to, *at, flags, segment));
            // At most a segment's length.
            *at = at.wrapping_add(segment.len() as u32);
        }
    }

    /// Events were dropped, so the streams have gaps: they begin anew.
    pub(super) fn forget(&mut self) {
        self.at.clear();
    }
}

/// A beacon as a broadcast datagram of its network.
pub(super) fn datagram(from: SocketAddr, port: u16, octets: &[u8]) -> Vec<u8> {
    let to = SocketAddr::from(([255, 255, 255, 255], port));
    let mut udp = Vec::with_capacity(8 + octets.len());
    udp.extend_from_slice(&from.port().to_be_bytes());
    udp.extend_from_slice(&port.to_be_bytes());
    // A beacon has at most 64 octets.
    udp.extend_from_slice(&((8 + octets.len()) as u16).to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(octets);
    ip(from, to, UDP, udp, 6)
}

#[derive(Debug, Clone, Copy)]
enum Flags {
    Syn = 0x02,
    Ack = 0x10,
    Push = 0x18,
}

/// The message as ZMTP frames it.
fn frames(header: &[u8], content: &[Bytes]) -> Vec<u8> {
    let all = || std::iter::once(header).chain(content.iter().map(AsRef::as_ref));
    let len: usize = all().map(|frame| 9 + frame.len()).sum();
    let mut octets = Vec::with_capacity(len);
    for (place, frame) in all().enumerate() {
        let more = u8::from(place < content.len());
        match u8::try_from(frame.len()) {
            Ok(len) => octets.extend_from_slice(&[more, len]),
            Err(_) => {
                octets.push(more | LONG);
                octets.extend_from_slice(&(frame.len() as u64).to_be_bytes());
            }
        }
        octets.extend_from_slice(frame);
    }
    octets
}

fn tcp(from: SocketAddr, to: SocketAddr, at: u32, flags: Flags, octets: &[u8]) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(20 + octets.len());
    tcp.extend_from_slice(&from.port().to_be_bytes());
    tcp.extend_from_slice(&to.port().to_be_bytes());
    tcp.extend_from_slice(&at.to_be_bytes());
    // Nothing is ever sent in the other direction.
    let acknowledged: u32 = match flags {
        Flags::Syn => 0,
        Flags::Ack | Flags::Push => 1,
    };
    tcp.extend_from_slice(&acknowledged.to_be_bytes());
    // Five words of header, the flags, the largest window, checksum, nothing urgent.
    tcp.extend_from_slice(&[5 << 4, flags as u8, 0xFF, 0xFF, 0, 0, 0, 0]);
    tcp.extend_from_slice(octets);
    ip(from, to, TCP, tcp, 16)
}

/// Around what is at most a segment long, with the checksum at `checksum_at` of it.
fn ip(
    from: SocketAddr,
    to: SocketAddr,
    protocol: u8,
    mut inner: Vec<u8>,
    checksum_at: usize,
) -> Vec<u8> {
    let (source, target) = addresses(from.ip(), to.ip());
    let len = inner.len() as u16;
    let mut pseudo = [source.as_slice(), target.as_slice()].concat();
    pseudo.extend_from_slice(&[0, protocol]);
    pseudo.extend_from_slice(&len.to_be_bytes());
    let sum = checksum(&[&pseudo, &inner]);
    inner[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut packet = Vec::with_capacity(40 + inner.len());
    if source.len() == 4 {
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&(20 + len).to_be_bytes());
        // No number, not to be cut, 64 hops.
        packet.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
        packet.extend_from_slice(&source);
        packet.extend_from_slice(&target);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&len.to_be_bytes());
        packet.extend_from_slice(&[protocol, 64]);
        packet.extend_from_slice(&source);
        packet.extend_from_slice(&target);
    }
    packet.extend_from_slice(&inner);
    packet
}

/// Both as IPv4 where they are, else both as IPv6.
fn addresses(from: IpAddr, to: IpAddr) -> (Vec<u8>, Vec<u8>) {
    match (from.to_canonical(), to.to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (from.octets().into(), to.octets().into()),
        (from, to) => {
            let v6 = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            (v6(from), v6(to))
        }
    }
}

/// RFC 1071, over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        let mut pairs = part.chunks_exact(2);
        for pair in &mut pairs {
            sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u64::from(*last) << 8;
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// 23/ZMTP: the length has eight octets.
const LONG: u8 = 2;
/// What fits 16 bits of length with both headers, a round number below it.
const SEGMENT_LEN: usize = 60_000;
/// More connections than a bridge has.
const STREAMS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    #[test]
    fn a_stream_begins_once_and_goes_on_without_a_gap() {
        let (mut streams, mut packets) = (Streams::default(), Vec::new());
        let long = [Bytes::from(vec![7; 100_000])];
        for content in [&long[..], &[]] {
            streams.message(
                address(1, 50_000),
                address(2, 49_152),
                b"head",
                content,
                |packet| packets.push(packet.to_vec()),
            );
        }
        let shape: Vec<(u8, u32, usize)> = packets
            .iter()
            .map(|packet| {
                let at = u32::from_be_bytes(packet[24..28].try_into().unwrap());
                (packet[33], at, packet.len() - 40)
            })
            .collect();
        // The frames: 2 and 4 octets, then 9 and 100,000; then 2 and 4.
        assert_eq!(
            shape,
            [
                (0x02, 0, 0),
                (0x10, 1, 60_000),
                (0x18, 60_001, 40_015),
                (0x18, 100_016, 6)
            ]
        );
        for packet in &packets {
            assert_eq!(checksum(&[&packet[..20]]), 0, "of IP");
            let len = (packet.len() - 20) as u16;
            let mut pseudo = packet[12..20].to_vec();
            pseudo.extend_from_slice(&[0, TCP]);
            pseudo.extend_from_slice(&len.to_be_bytes());
            assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0, "of TCP");
        }
    }

    #[test]
    fn frames_say_whether_more_come() {
        let octets = frames(b"ab", &[Bytes::from_static(b"c")]);
        assert_eq!(octets, [1, 2, b'a', b'b', 0, 1, b'c']);
        assert_eq!(frames(b"ab", &[])[0], 0);
        assert_eq!(frames(&[0; 256], &[])[..9], [2, 0, 0, 0, 0, 0, 0, 1, 0]);
    }
}

//! OSC as the faces read it: packets, patterns, streams.
//!
//! Input: the first octet says how a stream is cut, the rest is a packet and a stream.
//! Holds: what is read is written, and read again as the same; a pattern is matched in steps that are bounded; however a
//! stream is cut, its packets are the same.

use zocp_faces::osc::{
    packet::{AT_ONCE, Group, PACKET_LEN_MAX, decode, packets},
    pattern::Pattern,
    stream::Deframer,
};

/// Runs the target.
pub fn run(data: &[u8]) {
    let Some((cut, octets)) = data.split_first() else {
        return;
    };
    if let Ok(groups) = decode(octets) {
        groups.iter().for_each(check);
    }
    let whole = read(octets, octets.len().max(1));
    assert_eq!(whole, read(octets, usize::from(*cut).max(1)));
}

fn check(group: &Group) {
    let written = packets(&group.messages, PACKET_LEN_MAX);
    let read = written.iter().map(|packet| decode(packet));
    let read: Vec<_> = read.flat_map(Result::unwrap_or_default).collect();
    assert!(read.iter().all(|group| group.time == AT_ONCE));
    let messages: Vec<_> = read.into_iter().flat_map(|group| group.messages).collect();
    // Not a number is not equal to itself.
    assert_eq!(format!("{messages:?}"), format!("{:?}", group.messages));
    for message in &group.messages {
        if let Ok(pattern) = Pattern::parse(&message.address) {
            let _ = pattern.matches(&message.address);
        }
    }
}

fn read(octets: &[u8], cut: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut deframer, mut packets) = (Deframer::default(), Vec::new());
    for part in octets.chunks(cut) {
        if deframer
            .push(part, |packet| packets.push(packet.to_vec()))
            .is_err()
        {
            return (packets, false);
        }
    }
    (packets, true)
}

//! sACN and Art-Net as the faces read them.
//!
//! Input: a datagram.
//! Holds: what is read is written, and read again as the same.

use zocp_faces::dmx::{artnet, sacn};

/// Runs the target.
pub fn run(data: &[u8]) {
    if let Some(sacn::Packet::Data(packet)) = sacn::decode(data)
        && packet.name.len() < 64
    {
        let written = sacn::data(&packet);
        assert_eq!(sacn::decode(&written), Some(sacn::Packet::Data(packet)));
    }
    if let Some(artnet::Packet::Dmx {
        sequence,
        port_address,
        slots,
    }) = artnet::decode(data)
    {
        let written = artnet::dmx(sequence, port_address, &slots);
        let Some(artnet::Packet::Dmx { slots: read, .. }) = artnet::decode(&written) else {
            panic!("what was written is not read");
        };
        assert!(read.starts_with(&slots));
    }
}

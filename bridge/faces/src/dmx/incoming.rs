//! What a universe hears, packet by packet.

use std::{net::IpAddr, time::Instant};

use super::{
    artnet,
    outgoing::NODES_MAX,
    patch::Direction,
    receiver::{Frame, Identity},
    run::Running,
    sacn,
};

impl Running {
    pub(super) fn sacn(&mut self, packet: sacn::Packet) {
        let now = Instant::now();
        let data = match packet {
            sacn::Packet::Sync { address } => return self.receiver.sync(now, address),
            sacn::Packet::Data(data) => data,
        };
        if data.universe != self.options.universe
            || data.source == self.source
            || data.is_preview
            || self.patch.direction == Direction::Out
        {
            return;
        }
        self.counts.received += 1;
        let identity = Identity::Sacn(data.source);
        if data.is_last {
            return self.receiver.ended(identity);
        }
        let frame = Frame {
            identity,
            sequence: Some(data.sequence),
            priority: data.priority,
            sync: data.sync,
            slots: &data.slots,
        };
        self.take(now, &frame);
    }

    pub(super) async fn artnet(&mut self, from: IpAddr, packet: artnet::Packet) {
        let now = Instant::now();
        match packet {
            artnet::Packet::Poll => {
                if self.replies.take(now, from) {
                    self.reply(from).await;
                } else {
                    self.counts.dropped += 1;
                }
            }
            artnet::Packet::PollReply { takes } => {
                let is_known = self.nodes.contains_key(&from);
                if takes.contains(&self.options.universe)
                    && (is_known || self.nodes.len() < NODES_MAX)
                {
                    self.nodes.insert(from, now);
                }
            }
            artnet::Packet::Dmx {
                sequence,
                port_address,
                slots,
            } => {
                let mut networks = self.networks.iter();
                let is_own = networks.any(|network| IpAddr::V4(network.address) == from);
                if port_address != self.options.universe
                    || self.patch.direction == Direction::Out && is_own
                {
                    return;
                }
                self.counts.received += 1;
                let frame = Frame {
                    identity: Identity::ArtNet(from),
                    sequence: (sequence != 0).then_some(sequence),
                    priority: 100,
                    sync: 0,
                    slots: &slots,
                };
                self.take(now, &frame);
            }
        }
    }

    pub(super) fn take(&mut self, now: Instant, frame: &Frame<'_>) {
        if self.patch.direction == Direction::In && !self.receiver.frame(now, frame) {
            self.counts.dropped += 1;
        }
    }
}

//! What a universe sends: its slots, and what Art-Net says of itself.
//!
//! Limits: [`NODES_MAX`] nodes of Art-Net are known; further ones are not sent to.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};

use super::{
    artnet,
    options::Protocol,
    patch::Direction,
    run::Running,
    sacn::{self, Data},
};
use crate::mesh::Network;

impl Running {
    pub(super) async fn send(&mut self, is_last: bool) {
        self.sequence = self.sequence.wrapping_add(1);
        match self.options.protocol {
            Protocol::Sacn => self.send_sacn(is_last).await,
            Protocol::ArtNet => {
                // 0 would say that they are not numbered.
                self.sequence = self.sequence.max(1);
                let packet = artnet::dmx(self.sequence, self.options.universe, &self.slots);
                let asking = self.nodes.keys().copied();
                let named = self.options.send.iter().map(|one| IpAddr::V4(*one));
                let mut places: Vec<IpAddr> = asking.chain(named).collect();
                places.sort_unstable();
                places.dedup();
                for place in places {
                    self.send_to(&packet, SocketAddr::new(place, artnet::PORT))
                        .await;
                }
            }
        }
    }

    pub(super) async fn send_sacn(&mut self, is_last: bool) {
        let data = Data {
            source: self.source,
            name: self.options.mesh.name.clone(),
            priority: self.patch.priority,
            sync: self.patch.sync,
            sequence: self.sequence,
            is_preview: false,
            is_last,
            universe: self.options.universe,
            slots: self.slots.to_vec(),
        };
        self.send_group(&sacn::data(&data), data.universe).await;
        if data.sync != 0 {
            let packet = sacn::sync(self.source, self.sequence, data.sync);
            self.send_group(&packet, data.sync).await;
        }
    }

    /// Sends to who is named, else to the group of a universe on every network.
    pub(super) async fn send_group(&mut self, packet: &[u8], universe: u16) {
        let named = self.options.send.clone();
        for place in &named {
            self.send_to(packet, (*place, sacn::PORT).into()).await;
        }
        if !named.is_empty() {
            return;
        }
        let group = SocketAddrV4::new(sacn::group(universe), sacn::PORT);
        for Network { address, .. } in self.networks.clone() {
            let chosen = socket2::SockRef::from(&self.socket).set_multicast_if_v4(&address);
            if chosen.is_ok() {
                self.send_to(packet, group.into()).await;
            }
        }
    }

    pub(super) async fn send_to(&mut self, packet: &[u8], place: SocketAddr) {
        match self.socket.send_to(packet, place).await {
            Ok(_) => self.counts.sent += 1,
            Err(error) => tracing::debug!(%place, %error, "a packet was not sent"),
        }
    }

    /// Art-Net: asks who is there, and forgets who has not said so for long.
    pub(super) async fn poll(&mut self) {
        let now = Instant::now();
        self.nodes.retain(|_, said| now - *said < NODE_LOSS);
        if self.patch.direction == Direction::Out {
            for network in self.networks.clone() {
                if let Some(broadcast) = network.broadcast {
                    self.send_to(&artnet::poll(), (broadcast, artnet::PORT).into())
                        .await;
                }
            }
        }
    }

    pub(super) async fn reply(&mut self, to: IpAddr) {
        for Network { address, .. } in self.networks.clone() {
            let reply = self.description(address);
            self.send_to(&reply, SocketAddr::new(to, artnet::PORT))
                .await;
        }
    }

    pub(super) fn description(&self, address: Ipv4Addr) -> Vec<u8> {
        let takes = self.patch.direction == Direction::In;
        artnet::poll_reply(
            address,
            &self.options.mesh.name,
            self.options.universe,
            takes,
        )
    }

    /// Says that there is nothing more to come.
    pub(super) async fn end(&mut self) {
        if self.patch.direction == Direction::Out && self.options.protocol == Protocol::Sacn {
            for _ in 0..3 {
                self.send(true).await;
            }
        }
    }
}

/// Nodes of Art-Net that are known.
pub(crate) const NODES_MAX: usize = 256;
/// A node that has not replied for so long is gone.
const NODE_LOSS: Duration = Duration::from_secs(12);

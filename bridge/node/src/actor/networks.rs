//! The networks of this machine, as they come and go.

use std::net::SocketAddr;

use tracing::{info, warn};

use super::Actor;
use crate::beacon::Failure;
use crate::event::Event;
use crate::interfaces::{Network, Selection, Watch, choose, describe};

impl Actor {
    pub(super) async fn follow_networks(&mut self, watch: &Watch) {
        match watch.list().await {
            Ok(listed) => self.listed = listed,
            Err(error) => {
                warn!(%error, "the list of network interfaces could not be read");
                return;
            }
        }
        self.learn_own_addresses();
        let chosen = choose(&self.listed.networks, &self.selection, self.ipv6);
        if chosen == self.networks {
            return;
        }
        self.beacons.follow(&chosen).iter().for_each(Failure::warn);
        self.networks = chosen;
        self.report_networks();
    }

    /// Tells the core this machine's addresses, so that the node never dials itself, whoever names its mailbox.
    pub(crate) fn learn_own_addresses(&mut self) {
        for own in &self.listed.addresses {
            self.zre.own_address(own.ip);
        }
    }

    pub(super) fn report_networks(&mut self) {
        let is_usable = self.selection == Selection::Usable;
        if self.networks.is_empty() {
            warn!("no usable network at the moment");
        } else if is_usable && self.networks.iter().all(|network| network.loopback) {
            warn!("no network but the loopback: only nodes of this machine are met");
        } else {
            info!(networks = describe(&self.networks), "the mesh is on these");
        }
        // An older choice that was not read yet is out of date.
        self.events
            .retain(|event| !matches!(event, Event::Networks(_)));
        self.events.push(Event::Networks(self.networks.clone()));
    }

    pub(crate) fn networks(&self) -> Vec<Network> {
        self.networks.clone()
    }

    /// Whether a connection came in on a network that carries the mesh. If the user chose none, every network does, also
    /// one that netlink has not reported yet.
    pub(super) fn admits(&self, local: SocketAddr) -> bool {
        // protocol.md §1.9
        let link = self.listed.link_of(local);
        let chosen = |network: &Network| {
            let is_ipv6 = local.is_ipv6() && network.address.is_ipv6();
            local.ip() == network.address || (is_ipv6 && link == Some(network.index))
        };
        !matches!(self.selection, Selection::Named(_)) || self.networks.iter().any(chosen)
    }
}

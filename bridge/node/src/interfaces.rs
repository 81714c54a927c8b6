//! Which networks of this machine carry the mesh, and when that changes.
//!
//! Model: a [`Network`] is one IPv4 address on one network interface (*link* in netlink); the kernel lists them by
//! netlink. [`choose`] picks those that the mesh uses; [`Watch`] reports that the list may have changed.
//! Not here: the beacon sockets made from the choice (`beacon.rs`).
//! Limits: none of its own; the kernel's list is taken as it is.
//! Spec: docs/reference/protocol.md §1.9.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;

/// One IPv4 address on one network interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Network {
    /// The kernel's number of the link.
    pub index: u32,
    /// The link's name, such as `eth0`.
    pub name: String,
    /// This machine's address there.
    pub address: Ipv4Addr,
    /// Length of the network's prefix, in bits.
    pub prefix: u8,
    /// The subnet's broadcast address, where the link has broadcasts.
    pub broadcast: Option<Ipv4Addr>,
    /// Whether the link is up and has a carrier.
    pub up: bool,
    /// Whether the link is the loopback.
    pub loopback: bool,
}

impl Network {
    fn is_named(&self, name: &str) -> bool {
        self.name == name || name.parse() == Ok(self.address)
    }
}

/// Which networks the user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every usable network; the loopback when there is no other.
    Usable,
    /// Those on links of these names or with these addresses.
    Named(Vec<String>),
    /// The loopback only.
    Loopback,
}

/// Picks the networks that carry the mesh, in the kernel's order.
///
/// Usable is what is up and not loopback; the loopback counts when there is nothing else. A link-local address
/// counts on a link that has no other: it is all that the devices on that cable have; beside another one it would
/// be the same network once more. A name from the user counts whatever it names, as long as it is up.
pub(crate) fn choose(all: &[Network], selection: &Selection) -> Vec<Network> {
    let pick = |wanted: &dyn Fn(&Network) -> bool| -> Vec<Network> {
        all.iter().filter(|n| n.up && wanted(n)).cloned().collect()
    };
    match selection {
        Selection::Loopback => pick(&|n| n.loopback),
        Selection::Named(names) => pick(&|n| names.iter().any(|name| n.is_named(name))),
        Selection::Usable => {
            let is_twice = |n: &Network| {
                let others = all.iter().filter(|other| other.index == n.index);
                n.address.is_link_local() && others.into_iter().any(|o| !o.address.is_link_local())
            };
            let ranks: [&dyn Fn(&Network) -> bool; 2] =
                [&|n| !n.loopback && !is_twice(n), &|n| n.loopback];
            ranks
                .iter()
                .map(|rank| pick(*rank))
                .find(|found| !found.is_empty())
                .unwrap_or_default()
        }
    }
}

/// A list of networks for people: `eth0 (10.0.0.1), wlan0 (10.1.0.7)`.
pub(crate) fn describe(networks: &[Network]) -> String {
    let list: Vec<String> = networks
        .iter()
        .map(|n| format!("{} ({})", n.name, n.address))
        .collect();
    if list.is_empty() {
        String::from("none")
    } else {
        list.join(", ")
    }
}

/// The netlink socket, through which the kernel lists links and addresses and reports their changes.
pub(crate) struct Watch {
    handle: rtnetlink::Handle,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Opens the netlink socket. Needs no privilege.
    ///
    /// # Errors
    /// Those of the kernel, for instance when a sandbox forbids `AF_NETLINK`.
    pub(crate) fn open() -> io::Result<Self> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
        let (connection, handle, messages) = new_multicast_connection(&groups)?;
        // Ends by itself when `handle` is dropped.
        tokio::spawn(connection);
        let (changed, changes) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut messages = messages;
            // One message in the channel is enough, however much changed since the list was read.
            while messages.next().await.is_some() && !changed.is_closed() {
                let _ = changed.try_send(());
            }
        });
        Ok(Self { handle, changes })
    }

    /// Waits until links or addresses changed. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // The netlink socket is closed: the last list stays.
            std::future::pending::<()>().await;
        }
    }

    /// All IPv4 addresses of this machine with their links.
    pub(crate) async fn networks(&self) -> io::Result<Vec<Network>> {
        let mut links = Vec::new();
        let mut answers = self.handle.link().get().execute();
        while let Some(link) = answers.try_next().await.map_err(io::Error::other)? {
            let name = link.attributes.iter().find_map(|a| match a {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            links.push((
                link.header.index,
                name.unwrap_or_default(),
                link.header.flags,
            ));
        }
        let mut networks = Vec::new();
        let mut answers = self.handle.address().get().execute();
        while let Some(message) = answers.try_next().await.map_err(io::Error::other)? {
            let index = message.header.index;
            let Some((_, name, flags)) = links.iter().find(|(i, ..)| *i == index) else {
                continue;
            };
            let mut local = None;
            let mut broadcast = None;
            for attribute in &message.attributes {
                match attribute {
                    AddressAttribute::Local(IpAddr::V4(address)) => local = Some(*address),
                    AddressAttribute::Broadcast(address) => broadcast = Some(*address),
                    _ => {}
                }
            }
            let Some(address) = local else { continue };
            let prefix = message.header.prefix_len;
            networks.push(Network {
                index,
                name: name.clone(),
                address,
                prefix,
                broadcast: broadcast_of(address, prefix, broadcast, *flags),
                up: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
                loopback: flags.contains(LinkFlags::Loopback),
            });
        }
        Ok(networks)
    }
}

/// The kernel's broadcast address, or the subnet's highest one where nobody set any.
fn broadcast_of(
    address: Ipv4Addr,
    prefix: u8,
    told: Option<Ipv4Addr>,
    flags: LinkFlags,
) -> Option<Ipv4Addr> {
    if !flags.contains(LinkFlags::Broadcast) {
        return None;
    }
    told.or_else(|| {
        let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        (prefix < 31).then(|| Ipv4Addr::from(u32::from(address) | hosts))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, address: [u8; 4]) -> Network {
        let address = Ipv4Addr::from(address);
        Network {
            index: 1,
            name: name.into(),
            address,
            prefix: 24,
            broadcast: broadcast_of(address, 24, None, LinkFlags::Broadcast),
            up: true,
            loopback: address.is_loopback(),
        }
    }

    fn names(networks: &[Network]) -> Vec<&str> {
        networks.iter().map(|n| n.name.as_str()).collect()
    }

    #[test]
    fn every_usable_network_is_chosen_by_default() {
        let mut down = network("eth1", [10, 0, 1, 1]);
        down.up = false;
        let all = [
            network("lo", [127, 0, 0, 1]),
            network("eth0", [10, 0, 0, 1]),
            down,
            network("wlan0", [192, 168, 1, 4]),
        ];
        assert_eq!(names(&choose(&all, &Selection::Usable)), ["eth0", "wlan0"]);
    }

    // protocol.md §1.9
    #[test]
    fn a_link_local_network_counts_on_a_link_that_has_no_other() {
        let on = |index, network| Network { index, ..network };
        let all = [
            on(1, network("lo", [127, 0, 0, 1])),
            on(2, network("wlan0", [10, 0, 0, 1])),
            on(2, network("wlan0", [169, 254, 9, 9])),
            on(3, network("usb0", [169, 254, 1, 1])),
        ];
        let chosen = choose(&all, &Selection::Usable);
        let addresses: Vec<Ipv4Addr> = chosen.iter().map(|n| n.address).collect();
        assert_eq!(
            addresses,
            [[10, 0, 0, 1].into(), Ipv4Addr::new(169, 254, 1, 1)]
        );
        assert_eq!(names(&choose(&all[..1], &Selection::Usable)), ["lo"]);
    }

    #[test]
    fn the_user_names_links_or_addresses() {
        let all = [
            network("eth0", [10, 0, 0, 1]),
            network("eth1", [10, 0, 1, 1]),
        ];
        let named = |n: &str| Selection::Named(vec![n.into()]);
        assert_eq!(names(&choose(&all, &named("eth1"))), ["eth1"]);
        assert_eq!(names(&choose(&all, &named("10.0.0.1"))), ["eth0"]);
        assert!(choose(&all, &named("eth9")).is_empty());
    }

    #[test]
    fn the_broadcast_address_is_the_highest_of_the_subnet() {
        let of = |prefix| broadcast_of([10, 1, 2, 3].into(), prefix, None, LinkFlags::Broadcast);
        assert_eq!(of(24), Some([10, 1, 2, 255].into()));
        assert_eq!(of(8), Some([10, 255, 255, 255].into()));
        assert_eq!(of(32), None);
    }
}

//! Which networks of this machine carry the mesh, and when that changes.
//!
//! Model: a [`Network`] is one address on one network interface (*link* in netlink): any of IPv4, and the link-local one
//! of IPv6, from which beacons are sent. An [`OwnAddress`] is any address of this machine. The kernel lists both by
//! netlink. [`choose`] picks the networks that the mesh uses; [`Watch`] reports that the list may have changed.
//! Invariants: INTERFACES-1. An address that another machine may turn out to have (tentative) is in no list.
//! Not here: the beacon sockets made from the choice (`beacon.rs`).
//! Limits: none of its own; the kernel's list is taken as it is.
//! Spec: docs/reference/protocol.md §1.9, §1.13.

mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) use self::watch::Watch;
use crate::config::Ipv6;

/// One address on one network interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Network {
    /// The kernel's number of the link.
    pub index: u32,
    /// The link's name, such as `eth0`.
    pub name: String,
    /// This machine's address there; of IPv6 the link-local one.
    pub address: IpAddr,
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
    /// Its address of IPv4, if it has one.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.name == name || name.parse() == Ok(self.address)
    }

    fn is_link_local(&self) -> bool {
        self.ipv4().is_some_and(|it| it.is_link_local())
    }
}

/// An address of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    /// The kernel's number of the link.
    pub(crate) index: u32,
    pub(crate) ip: IpAddr,
    pub(crate) prefix: u8,
    /// Whether it stays: neither temporary (RFC 8981) nor deprecated (RFC 4862).
    pub(crate) is_lasting: bool,
}

/// What the kernel lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    /// Those that may carry the mesh.
    pub(crate) networks: Vec<Network>,
    pub(crate) addresses: Vec<OwnAddress>,
}

impl Listed {
    /// The local address of a connection, as others are told it: another one of the same network, if it is one that does
    /// not stay.
    pub(crate) fn to_tell(&self, local: SocketAddr) -> SocketAddr {
        // protocol.md §1.13
        let own = self.addresses.iter().find(|it| it.ip == local.ip());
        let Some(own) = own.filter(|own| !own.is_lasting) else {
            return local;
        };
        let lasting = self.addresses.iter().find(|it| {
            it.is_lasting && it.index == own.index && is_same_network(it.ip, own.ip, own.prefix)
        });
        let mut told = local;
        if let Some(lasting) = lasting {
            told.set_ip(lasting.ip);
        }
        told
    }

    /// The link that has an address.
    pub(crate) fn link_of(&self, local: SocketAddr) -> Option<u32> {
        match local {
            SocketAddr::V6(local) if local.scope_id() != 0 => Some(local.scope_id()),
            _ => {
                let mut addresses = self.addresses.iter();
                addresses.find(|it| it.ip == local.ip()).map(|it| it.index)
            }
        }
    }
}

fn is_same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    match (one, other) {
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differ = u128::from(one) ^ u128::from(other);
            differ.leading_zeros() >= u32::from(prefix)
        }
        _ => false,
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

/// Picks the networks that carry the mesh: those of IPv4 first, otherwise in the kernel's order.
///
/// Usable is what is up and not loopback; the loopback counts when there is nothing else. A link-local address of IPv4
/// counts on a link that has no other: it is all that the devices on that cable have; beside another one it would
/// be the same network once more. A name from the user counts whatever it names, as long as it is up.
pub(crate) fn choose(all: &[Network], selection: &Selection, ipv6: Ipv6) -> Vec<Network> {
    let is_of_family = |n: &&Network| match ipv6 {
        Ipv6::Auto => true,
        Ipv6::Off => n.address.is_ipv4(),
        Ipv6::Only => n.address.is_ipv6(),
    };
    let pick = |wanted: &dyn Fn(&Network) -> bool| -> Vec<Network> {
        let up = all
            .iter()
            .filter(is_of_family)
            .filter(|n| n.up && wanted(n));
        let mut picked: Vec<Network> = up.cloned().collect();
        picked.sort_by_key(|network| network.address.is_ipv6());
        picked
    };
    match selection {
        Selection::Loopback => pick(&|n| n.loopback),
        Selection::Named(names) => pick(&|n| names.iter().any(|name| n.is_named(name))),
        Selection::Usable => {
            let is_twice = |n: &Network| {
                let others = all.iter().filter(|other| other.index == n.index);
                let is_other = |o: &Network| o.address.is_ipv4() && !o.is_link_local();
                n.is_link_local() && others.into_iter().any(is_other)
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

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::LinkFlags;

    use super::watch::broadcast_of;
    use super::*;

    fn network(name: &str, address: [u8; 4]) -> Network {
        let address = Ipv4Addr::from(address);
        Network {
            index: 1,
            name: name.into(),
            address: address.into(),
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
        assert_eq!(
            names(&choose(&all, &Selection::Usable, Ipv6::Auto)),
            ["eth0", "wlan0"]
        );
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
        let chosen = choose(&all, &Selection::Usable, Ipv6::Auto);
        let addresses: Vec<Ipv4Addr> = chosen.iter().filter_map(Network::ipv4).collect();
        assert_eq!(
            addresses,
            [[10, 0, 0, 1].into(), Ipv4Addr::new(169, 254, 1, 1)]
        );
        assert_eq!(
            names(&choose(&all[..1], &Selection::Usable, Ipv6::Auto)),
            ["lo"]
        );
    }

    #[test]
    fn the_user_names_links_or_addresses() {
        let all = [
            network("eth0", [10, 0, 0, 1]),
            network("eth1", [10, 0, 1, 1]),
        ];
        let named = |n: &str| Selection::Named(vec![n.into()]);
        assert_eq!(names(&choose(&all, &named("eth1"), Ipv6::Auto)), ["eth1"]);
        assert_eq!(
            names(&choose(&all, &named("10.0.0.1"), Ipv6::Auto)),
            ["eth0"]
        );
        assert!(choose(&all, &named("eth9"), Ipv6::Auto).is_empty());
    }

    #[test]
    fn the_broadcast_address_is_the_highest_of_the_subnet() {
        let of = |prefix| broadcast_of([10, 1, 2, 3].into(), prefix, None, LinkFlags::Broadcast);
        assert_eq!(of(24), Some([10, 1, 2, 255].into()));
        assert_eq!(of(8), Some([10, 255, 255, 255].into()));
        assert_eq!(of(32), None);
    }

    fn ipv6(index: u32, name: &str) -> Network {
        let address = format!("fe80::{index}").parse().unwrap();
        Network {
            index,
            address,
            prefix: 64,
            broadcast: None,
            ..network(name, [0; 4])
        }
    }

    // protocol.md §1.13
    #[test]
    fn a_link_carries_both_families_and_that_of_old_peers_comes_first() {
        let all = [
            ipv6(1, "eth0"),
            network("eth0", [10, 0, 0, 1]),
            ipv6(2, "eth1"),
        ];
        let chosen = |mode| {
            let chosen = choose(&all, &Selection::Usable, mode);
            chosen
                .iter()
                .map(|n| n.address.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(chosen(Ipv6::Auto), ["10.0.0.1", "fe80::1", "fe80::2"]);
        assert_eq!(chosen(Ipv6::Off), ["10.0.0.1"]);
        assert_eq!(chosen(Ipv6::Only), ["fe80::1", "fe80::2"]);
    }

    #[test]
    fn who_connects_from_an_address_that_does_not_stay_tells_one_that_does() {
        let own = |ip: &str, is_lasting| OwnAddress {
            index: 2,
            ip: ip.parse().unwrap(),
            prefix: 64,
            is_lasting,
        };
        let listed = Listed {
            networks: Vec::new(),
            addresses: vec![
                own("fe80::1", true),
                own("2001:db8::77", false),
                own("2001:db8::1", true),
                own("2001:db9::77", false),
            ],
        };
        let told = |ip: &str| {
            listed
                .to_tell(format!("[{ip}]:5").parse().unwrap())
                .ip()
                .to_string()
        };
        assert_eq!(told("2001:db8::77"), "2001:db8::1");
        assert_eq!(told("2001:db8::1"), "2001:db8::1");
        assert_eq!(told("2001:db9::77"), "2001:db9::77");
        let link = |text: &str| listed.link_of(text.parse().unwrap());
        assert_eq!(link("[fe80::9%3]:5"), Some(3));
        assert_eq!(link("[2001:db8::77]:5"), Some(2));
        assert_eq!(link("10.0.0.1:5"), None);
    }
}

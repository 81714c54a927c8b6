//! The kernel's list of links and addresses, by netlink.
//!
//! Model: [`Watch`] asks for the list, and is told when it may have changed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;

use super::{Listed, Network, OwnAddress};

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
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
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

    /// All addresses of this machine, and the networks with their links.
    pub(crate) async fn list(&self) -> io::Result<Listed> {
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
        let mut listed = Listed::default();
        let mut answers = self.handle.address().get().execute();
        while let Some(message) = answers.try_next().await.map_err(io::Error::other)? {
            let index = message.header.index;
            let link = links.iter().find(|(i, ..)| *i == index);
            let Some((own, broadcast)) = read(&message).filter(|_| link.is_some()) else {
                continue;
            };
            if let Some((_, name, flags)) = link
                && carries(&own)
            {
                listed.networks.push(Network {
                    index,
                    name: name.clone(),
                    address: own.ip,
                    prefix: own.prefix,
                    broadcast: match own.ip {
                        IpAddr::V4(ip) => broadcast_of(ip, own.prefix, broadcast, *flags),
                        IpAddr::V6(_) => None,
                    },
                    up: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
                    loopback: flags.contains(LinkFlags::Loopback),
                });
            }
            listed.addresses.push(own);
        }
        Ok(listed)
    }
}

/// An address of this machine, with the broadcast address that the kernel has for it; `None` if it cannot be used yet, or
/// never.
fn read(message: &AddressMessage) -> Option<(OwnAddress, Option<Ipv4Addr>)> {
    let (mut local, mut address, mut broadcast) = (None, None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Broadcast(ip) => broadcast = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    // Of a tunnel `Address` is the other end.
    let ip = local.or_else(|| address.filter(IpAddr::is_ipv6))?;
    if flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed) {
        return None;
    }
    let is_passing = match ip {
        IpAddr::V4(_) => false,
        // Of IPv6 this flag, also called IFA_F_TEMPORARY, is that of a temporary address.
        IpAddr::V6(_) => flags.intersects(AddressFlags::Secondary | AddressFlags::Deprecated),
    };
    let own = OwnAddress {
        index: message.header.index,
        ip,
        prefix: message.header.prefix_len,
        is_lasting: !is_passing,
    };
    Some((own, broadcast))
}

/// Whether an address makes a network that can carry the mesh.
fn carries(own: &OwnAddress) -> bool {
    match own.ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.is_unicast_link_local() && own.is_lasting,
    }
}

/// The kernel's broadcast address, or the subnet's highest one where nobody set any.
pub(super) fn broadcast_of(
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

    fn message(ip: &str, flags: AddressFlags) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = 2;
        message.header.prefix_len = 64;
        let address = AddressAttribute::Address(ip.parse().unwrap());
        message.attributes = vec![address, AddressAttribute::Flags(flags)];
        message
    }

    // protocol.md §1.13
    #[test]
    fn an_address_that_is_not_sure_is_in_no_list_and_one_that_passes_is_marked() {
        let read =
            |ip, flags| read(&message(ip, flags)).map(|(own, _)| (carries(&own), own.is_lasting));
        let permanent = AddressFlags::Permanent;
        assert_eq!(read("fe80::1", permanent), Some((true, true)));
        assert_eq!(read("2001:db8::1", permanent), Some((false, true)));
        assert_eq!(
            read("2001:db8::2", AddressFlags::Secondary),
            Some((false, false))
        );
        assert_eq!(
            read("fe80::1", permanent | AddressFlags::Deprecated),
            Some((false, false))
        );
        assert_eq!(read("fe80::1", permanent | AddressFlags::Tentative), None);
        let failed = permanent | AddressFlags::Dadfailed | AddressFlags::Tentative;
        assert_eq!(read("fe80::1", failed), None);
        // The other end of a tunnel.
        assert_eq!(read("10.0.0.2", permanent), None);
    }
}

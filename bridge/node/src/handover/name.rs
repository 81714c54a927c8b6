//! Where a node of this machine is: the name of an abstract Unix socket.
//!
//! Model: a [`LocalName`] is 16 random octets. A HELLO has them as 32 hex digits; the socket's name is those behind
//! [`PREFIX`].
//! Spec: docs/reference/protocol.md §9.10, unix(7)

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use tokio::net::{UnixListener, UnixStream};

use super::HEADER_LOCAL;
use crate::peer::PeerInfo;
use crate::tickets::Ticket;

/// Where a node of this machine takes and gives descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalName([u8; 16]);

impl LocalName {
    /// From octets that nobody else has.
    #[must_use]
    pub(crate) const fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The name that a header has; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The form is that of a ticket.
        Ticket::parse(text).map(|digits| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&digits.routing_id()[1..]);
            Self(octets)
        })
    }

    /// That of a peer which has an address of this machine and says where it is.
    #[must_use]
    pub fn of(peer: &PeerInfo) -> Option<Self> {
        let mut headers = peer.headers.iter();
        let (_, name) = headers.find(|(name, _)| name == HEADER_LOCAL)?;
        let name = Self::parse(name)?;
        let address: SocketAddr = peer.endpoint.trim_start_matches("tcp://").parse().ok()?;
        is_of_this_machine(address).then_some(name)
    }

    /// Does not wait for a node whose queue is full: then that is an error.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let socket = socket()?;
        connect(&socket, &self.address()?)?;
        UnixStream::from_std(socket.into())
    }

    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let socket = socket()?;
        bind(&socket, &self.address()?)?;
        listen(&socket, QUEUE_MAX)?;
        UnixListener::from_std(socket.into())
    }

    fn address(&self) -> io::Result<SocketAddrUnix> {
        let name = format!("{PREFIX}{self}");
        Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Whether an address is one of this machine: then packets to it leave from it.
fn is_of_this_machine(address: SocketAddr) -> bool {
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let own = || {
        let probe = UdpSocket::bind((any, 0))?;
        // Nothing is sent by this.
        probe.connect(address)?;
        probe.local_addr()
    };
    own().is_ok_and(|own| own.ip() == address.ip())
}

/// What the names of these sockets begin with.
const PREFIX: &str = "zocp-";
/// Connections that wait in the kernel; a further one is refused, and its descriptor goes over a channel.
const QUEUE_MAX: i32 = 128;

#[cfg(test)]
mod tests {
    use zocp_zre::PeerId;

    use super::*;

    #[test]
    fn a_name_is_thirty_two_digits_and_nothing_else() {
        let name = LocalName::new([0x5a; 16]);
        assert_eq!(LocalName::parse(&name.to_string()), Some(name));
        for text in [
            "",
            "5a",
            "/tmp/.X11-unix/X0",
            &"x".repeat(32),
            &"5".repeat(33),
        ] {
            assert_eq!(LocalName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_peer_with_an_address_of_this_machine_is_looked_for() {
        let name = LocalName::new([7; 16]);
        let at = |endpoint: &str| {
            let mut peer = PeerInfo::new(PeerId::new([1; 16]), "lamp");
            peer.endpoint = endpoint.to_owned();
            peer.headers = vec![(HEADER_LOCAL.to_owned(), name.to_string())];
            LocalName::of(&peer)
        };
        assert_eq!(at("tcp://127.0.0.1:5"), Some(name));
        assert_eq!(at("tcp://[2001:db8::7]:5"), None);
        assert_eq!(at("tcp://192.0.2.7:5"), None);
        assert_eq!(at("tcp://example.invalid:5"), None);
    }

    #[tokio::test]
    async fn nobody_listens_at_a_name_that_is_not_there() {
        let refused = LocalName::new([3; 16]).connect().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

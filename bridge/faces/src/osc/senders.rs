//! The sockets of datagrams: the one that listens, and those from which is sent where that one does not reach.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::{UdpSocket, lookup_host};

use super::destination::Destination;
use crate::FaceError;

/// The sockets from which datagrams are sent.
pub(crate) struct Senders {
    /// The one that listens.
    pub(crate) main: UdpSocket,
    /// For places that the one that listens cannot reach, since it is one of the loopback.
    others: Option<[UdpSocket; 2]>,
    pub(crate) addresses: HashMap<Destination, SocketAddr>,
}

impl Senders {
    pub(crate) fn new(main: UdpSocket) -> Self {
        Self {
            main,
            others: None,
            addresses: HashMap::new(),
        }
    }

    pub(crate) async fn add(
        &mut self,
        id: Destination,
        place: &str,
    ) -> Result<SocketAddr, FaceError> {
        let of = |error| FaceError::Socket {
            what: "send to",
            address: place.to_owned(),
            error,
        };
        let found: Vec<SocketAddr> = lookup_host(place).await.map_err(of)?.collect();
        let local = self.main.local_addr().map_err(of)?;
        let alike = found.iter().find(|one| one.is_ipv4() == local.is_ipv4());
        let unknown = || of(std::io::Error::other("no such host"));
        let address = *alike.or_else(|| found.first()).ok_or_else(unknown)?;
        if !reaches(local.ip(), address.ip()) && self.others.is_none() {
            let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                .await
                .map_err(of)?;
            // A system without IPv6 has one of IPv4 more.
            let v6 = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
                Ok(socket) => socket,
                Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                    .await
                    .map_err(of)?,
            };
            self.others = Some([v4, v6]);
        }
        self.addresses.insert(id, address);
        Ok(address)
    }

    pub(crate) async fn send(&self, address: SocketAddr, packet: &[u8]) {
        let is_reached = |local: SocketAddr| reaches(local.ip(), address.ip());
        let socket = match &self.others {
            Some([v4, v6]) if !self.main.local_addr().is_ok_and(is_reached) => {
                if address.is_ipv4() { v4 } else { v6 }
            }
            _ => &self.main,
        };
        if let Err(error) = socket.send_to(packet, address).await {
            tracing::debug!(%address, %error, "a datagram was not sent");
        }
    }
}

/// Whether a socket with this address sends to that one.
fn reaches(local: IpAddr, to: IpAddr) -> bool {
    local.is_ipv4() == to.is_ipv4() && (!local.is_loopback() || to.is_loopback())
}

/// A socket that listens.
pub(crate) fn datagrams(listen: SocketAddr) -> Result<UdpSocket, FaceError> {
    let open = || {
        let domain = socket2::Domain::for_address(listen);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // The system gives what it may.
        let _ = socket.set_recv_buffer_size(RECEIVE_LEN);
        socket.bind(&listen.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| at("listen with UDP at", listen, error))
}

pub(crate) fn at(what: &'static str, address: SocketAddr, error: std::io::Error) -> FaceError {
    FaceError::Socket {
        what,
        address: address.to_string(),
        error,
    }
}

/// Octets that the system keeps of what has come.
const RECEIVE_LEN: usize = 4 << 20;

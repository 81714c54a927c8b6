//! The UDP sockets of the beacons, one for each network that carries the mesh.
//!
//! Model: [`Beacons`] owns the sockets; each has a task that reads datagrams into the actor's
//! queue. Bound to the link where the kernel lets us, so that a beacon is received only on networks
//! that were chosen; sent from port 5670 to the subnet's broadcast address as zyre and pyre do,
//! or to a multicast group.
//! Limits: 64 octets a datagram (a v3 beacon has 54); `Limits::beacons_max` a second on a network and
//! `Limits::beacons_per_address_max` of one address. What is beyond, or finds the actor's queue full, is
//! dropped: the next comes within a second.
//! Spec: 36/ZRE, beacons; docs/reference/protocol.md §1.2, §1.3.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use crate::clock;
use crate::config::{BeaconMode, Limits};
use crate::interfaces::Network;
use crate::log_throttle::LogThrottle;
use crate::quota::AddressRate;
use crate::traffic::Traffic;
use crate::traffic_kinds::Rejection;

/// The group that pyre uses where there is no broadcast.
pub(crate) const MULTICAST_GROUP: Ipv4Addr = Ipv4Addr::new(225, 25, 25, 25);

/// All nodes of a link: CZMQ, and so zyre, sends its beacons of IPv6 there.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const DATAGRAM_LEN_MAX: usize = 64;

/// A datagram received on the beacon port.
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) octets: Vec<u8>,
}

/// The beacon sockets of all networks.
pub(crate) struct Beacons {
    /// How many beacons a second are read on a network, in all and from one address.
    rates: (usize, usize),
    mode: BeaconMode,
    port: u16,
    received: mpsc::Sender<Datagram>,
    traffic: Arc<Traffic>,
    sockets: HashMap<Network, Beacon>,
    /// The newest beacon, for networks that come later; `None` before the first.
    newest: Option<Vec<u8>>,
}

/// A network whose beacon socket could not be opened.
pub(crate) struct Failure {
    network: Network,
    /// The error of the kernel.
    pub(crate) error: io::Error,
}

impl Failure {
    pub(crate) fn warn(&self) {
        let Network { name, address, .. } = &self.network;
        warn!(interface = name, %address, error = %self.error, "no beacons on this network");
    }
}

struct Beacon {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    reader: AbortHandle,
    /// Whether the last datagram could not be sent, which is logged once.
    failed: bool,
}

impl Drop for Beacon {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Beacons {
    pub(crate) fn new(
        mode: BeaconMode,
        port: u16,
        received: mpsc::Sender<Datagram>,
        traffic: Arc<Traffic>,
        limits: &Limits,
    ) -> Self {
        Self {
            rates: (limits.beacons_max, limits.beacons_per_address_max),
            mode,
            port,
            received,
            traffic,
            sockets: HashMap::new(),
            newest: None,
        }
    }

    /// Follows the choice of networks: closes what is gone, opens what is new and greets there.
    /// Returns the networks where that failed, having gone on with the others.
    pub(crate) fn follow(&mut self, networks: &[Network]) -> Vec<Failure> {
        let mut failures = Vec::new();
        if self.mode == BeaconMode::Off {
            return failures;
        }
        self.sockets.retain(|network, _| {
            let stays = networks.contains(network);
            if !stays {
                info!(interface = network.name, address = %network.address, "network is gone");
            }
            stays
        });
        for network in networks {
            if self.sockets.contains_key(network) {
                continue;
            }
            match self.open(network) {
                Ok(beacon) => {
                    info!(interface = network.name, address = %network.address, to = %beacon.to,
                        "beacons on this network");
                    self.sockets.insert(network.clone(), beacon);
                    self.greet(network);
                }
                Err(error) => failures.push(Failure {
                    network: network.clone(),
                    error,
                }),
            }
        }
        failures
    }

    /// The UDP port of all sockets.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether there is no socket although beacons are on.
    pub(crate) fn is_silent(&self) -> bool {
        self.mode != BeaconMode::Off && self.sockets.is_empty()
    }

    /// Sends a beacon on every network.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        // IPv4 first, so that a node of both families is rather met by that, as old ones are.
        for is_ipv6 in [false, true] {
            let sockets = self.sockets.iter_mut();
            for (network, beacon) in sockets.filter(|(it, _)| it.address.is_ipv6() == is_ipv6) {
                beacon.send(network, octets);
            }
        }
        self.newest = Some(octets.to_vec());
    }

    fn greet(&mut self, network: &Network) {
        if let (Some(octets), Some(beacon)) = (&self.newest, self.sockets.get_mut(network)) {
            beacon.send(network, octets);
        }
    }

    fn open(&self, network: &Network) -> io::Result<Beacon> {
        let domain = Domain::for_address(SocketAddr::new(network.address, self.port));
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // protocol.md §1.9
        if let Err(error) = socket.bind_device(Some(network.name.as_bytes())) {
            // Old kernels demand a privilege for this; without it beacons of every network are received.
            debug!(interface = network.name, %error, "beacon socket is not bound to its link");
        }
        let to = match network.address {
            IpAddr::V4(address) => self.aim(&socket, network, address)?,
            IpAddr::V6(_) => self.aim_ipv6(&socket, network)?,
        };
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let reader = tokio::spawn(listen(
            Arc::clone(&socket),
            Receiver {
                beacons: self.received.clone(),
                rate: AddressRate::new(clock::now(), self.rates.0, self.rates.1),
                log: LogThrottle::default(),
                traffic: Arc::clone(&self.traffic),
            },
        ));
        Ok(Beacon {
            socket,
            to,
            reader: reader.abort_handle(),
            failed: false,
        })
    }
}

impl Beacons {
    /// Binds a socket of IPv4; returns where it sends to.
    fn aim(&self, socket: &Socket, network: &Network, own: Ipv4Addr) -> io::Result<SocketAddr> {
        socket.set_broadcast(true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.port).into())?;
        let group = match (self.mode, network.broadcast) {
            (BeaconMode::Broadcast, Some(_)) if !network.loopback => None,
            _ => Some(MULTICAST_GROUP),
        };
        if let Some(group) = group {
            let link = InterfaceIndexOrAddress::Index(network.index);
            socket.join_multicast_v4_n(&group, &link)?;
            socket.set_multicast_if_v4(&own)?;
            socket.set_multicast_loop_v4(true)?;
        }
        let to = group.or(network.broadcast).unwrap_or(MULTICAST_GROUP);
        Ok(SocketAddr::from((to, self.port)))
    }

    /// The same of IPv6.
    fn aim_ipv6(&self, socket: &Socket, network: &Network) -> io::Result<SocketAddr> {
        // protocol.md §1.13
        socket.set_only_v6(true)?;
        socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, self.port, 0, 0).into())?;
        socket.join_multicast_v6(&ALL_NODES, network.index)?;
        socket.set_multicast_if_v6(network.index)?;
        socket.set_multicast_loop_v6(true)?;
        Ok(SocketAddrV6::new(ALL_NODES, self.port, 0, network.index).into())
    }
}

impl Beacon {
    fn send(&mut self, network: &Network, octets: &[u8]) {
        // Not through tokio, which takes a new socket for full until it has polled it once. A datagram that the kernel
        // has no space for is not worth waiting for.
        let socket = socket2::SockRef::from(self.socket.as_ref());
        match socket.send_to(octets, &self.to.into()) {
            Ok(_) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                warn!(interface = network.name, to = %self.to, %error, "beacon not sent");
            }
            Err(_) => {}
        }
    }
}

/// Passes the datagrams of one socket on.
struct Receiver {
    beacons: mpsc::Sender<Datagram>,
    rate: AddressRate,
    log: LogThrottle,
    traffic: Arc<Traffic>,
}

impl Receiver {
    /// Passes a datagram on if no limit is reached; otherwise drops it: the peer's next beacon comes within a second.
    fn pass(&mut self, from: SocketAddr, octets: &[u8]) {
        let now = clock::now();
        let is_admitted = self.rate.admit(now, from.ip());
        let datagram = || Datagram {
            from,
            octets: octets.to_vec(),
        };
        if is_admitted && self.beacons.try_send(datagram()).is_ok() {
            return;
        }
        self.traffic.rejections.add(Rejection::Beacon);
        if self.log.is_due(now) {
            warn!(%from, "more beacons come than are looked at");
        }
    }
}

/// Reads datagrams until the socket's owner aborts it.
async fn listen(socket: Arc<UdpSocket>, mut receiver: Receiver) {
    let mut buffer = [0; DATAGRAM_LEN_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => receiver.pass(from, &buffer[..len]),
            Err(error) => {
                // The network went down; netlink reports that to the actor, which drops this socket.
                debug!(%error, "beacon socket");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

const RETRY: std::time::Duration = std::time::Duration::from_millis(100);

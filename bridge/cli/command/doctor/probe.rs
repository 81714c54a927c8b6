//! What can be tried from this machine: to share the beacon port, and to dial the bridge and its peers.
//!
//! Invariants: PROBE-1. nothing is sent on a connection, which is closed as soon as it is there. PROBE-2. it is dialed only where
//! the bridge itself dials: in its network namespace.
//! Limits: [`ANSWER_MAX`] for an answer, [`PEERS_MAX`] peers at once.

use std::{fs, io, net::Ipv4Addr, time::Duration};

use futures_util::future::join_all;
use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, socket, sockopt};
use tokio::{net::TcpStream, time::timeout};

use crate::view::PeerView;

/// What an endpoint answers to who dials it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Open,
    /// Its machine says that nobody listens there, or that there is no way.
    Refused,
    /// Nothing: somebody drops it.
    Silence,
}

/// Where the bridge and its peers say to be, and what answers there.
#[derive(Debug, Clone)]
pub(super) struct Dialed {
    pub(super) own: Answer,
    /// By name and endpoint.
    pub(super) peers: Vec<(String, String, Answer)>,
}

/// Dials the bridge's own endpoint and those of its peers; `None` where the bridge is elsewhere.
pub(super) async fn dial(process: u32, endpoint: &str, peers: &[PeerView]) -> Option<Dialed> {
    if !is_here(process) || endpoint.is_empty() {
        return None;
    }
    // Of those that the bridge could not dial itself it says so.
    let is_dialed = |peer: &&PeerView| !peer.endpoint.is_empty() && peer.state != "unreachable";
    let peers = peers.iter().filter(is_dialed);
    let peers = peers.take(PEERS_MAX).map(async |peer| {
        let answer = answer(&peer.endpoint).await;
        (peer.name.clone(), peer.endpoint.clone(), answer)
    });
    Some(Dialed {
        own: answer(endpoint).await,
        peers: join_all(peers).await,
    })
}

async fn answer(endpoint: &str) -> Answer {
    let address = endpoint.strip_prefix("tcp://").unwrap_or(endpoint);
    match timeout(ANSWER_MAX, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Answer::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Answer::Silence,
        Ok(Err(_)) => Answer::Refused,
        Err(_) => Answer::Silence,
    }
}

/// Whether a process has the network of this one.
fn is_here(process: u32) -> bool {
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
    match (network(&process.to_string()), network("self")) {
        (Ok(its), Ok(own)) => its == own,
        _ => false,
    }
}

/// Whether another program has the port of the beacons for itself. Bridges share it.
pub(super) fn is_taken(port: u16) -> bool {
    let shared = || -> rustix::io::Result<()> {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
    };
    shared() == Err(rustix::io::Errno::ADDRINUSE)
}

/// A link on which a packet is lost is dialed a second time by the kernel within it.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const PEERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_from_one_that_is_free_or_shared() {
        let alone = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = alone.local_addr().unwrap().port();
        assert!(is_taken(port));
        drop(alone);
        assert!(!is_taken(port));
    }

    #[tokio::test]
    async fn an_open_endpoint_is_told_from_a_closed_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let here = dial(std::process::id(), &endpoint, &[]).await.unwrap();
        assert_eq!(here.own, Answer::Open);
        drop(listener);
        assert_eq!(answer(&endpoint).await, Answer::Refused);
        assert!(dial(u32::MAX, &endpoint, &[]).await.is_none());
    }
}

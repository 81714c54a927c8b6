//! Which ways lead to a stream, in which order. Pure.
//!
//! Model: [`plan`] makes attempts of the endpoints of a stream, in their order, then the peer's own connection, if it is on
//! this machine, and the relay at the end.
//! Invariants: WAY-1. An attempt leads to an address of the peer itself or to a multicast group: a peer cannot have this
//! bridge connect to anybody else. WAY-2. On a secure mesh nothing leaves it but what says `srtp`.
//! Spec: docs/reference/dbus.md, "Streams"

use std::net::{Ipv4Addr, SocketAddrV4};

use zocp_dbus::errors::Refusal;
use zocp_node::model::stream::{Endpoint, Stream};

/// How a program gets a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A socket that is connected to the peer.
    Direct,
    /// A socket that has joined the group.
    Multicast,
    /// Through a channel.
    Relay,
}

/// What is known of the peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Its address, that of its mailbox.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) is_secure: bool,
    /// Whether it knows channels.
    pub(super) channels: bool,
    /// Whether it says that it is on this machine.
    pub(super) is_here: bool,
}

/// One thing to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Tcp(SocketAddrV4),
    Udp(SocketAddrV4),
    Group(SocketAddrV4),
    /// The peer connects the socket, and passes it.
    Passed,
    Relay,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Multicast => "multicast",
            Self::Relay => "relay",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Direct, Self::Multicast, Self::Relay]
            .into_iter()
            .find(|way| way.name() == name)
    }
}

impl Attempt {
    pub(super) const fn way(self) -> Way {
        match self {
            Self::Tcp(_) | Self::Udp(_) | Self::Passed => Way::Direct,
            Self::Group(_) => Way::Multicast,
            Self::Relay => Way::Relay,
        }
    }
}

/// The attempts for a stream; at least one.
///
/// # Errors
/// No way leads there, or the one that is wanted is not allowed.
pub(super) fn plan(
    stream: &Stream,
    wanted: Option<Way>,
    reach: Reach,
) -> Result<Vec<Attempt>, Refusal> {
    let is_open = !reach.is_secure || stream.srtp;
    let attempts = stream.endpoints.iter();
    let attempts = attempts.filter_map(|endpoint| attempt(endpoint, reach.address));
    let attempts = attempts.filter(|_| is_open);
    // It does not leave the machine, so a secure mesh has it too.
    let has_endpoints = !stream.endpoints.is_empty();
    let passed = (reach.channels && reach.is_here && has_endpoints).then_some(Attempt::Passed);
    let relay = reach.channels.then_some(Attempt::Relay);
    let is_wanted = |attempt: &Attempt| wanted.is_none_or(|way| way == attempt.way());
    let attempts: Vec<Attempt> = attempts
        .chain(passed)
        .chain(relay)
        .filter(is_wanted)
        .collect();
    if !attempts.is_empty() {
        return Ok(attempts);
    }
    Err(match wanted {
        Some(Way::Direct | Way::Multicast) if !is_open => Refusal::AccessDenied(
            "the mesh is secure, and the stream does not say that it is encrypted (srtp)"
                .to_owned(),
        ),
        Some(Way::Relay) => Refusal::NotSupported(
            "the node does not relay streams (no header X-ZOCP-CHANNEL)".to_owned(),
        ),
        Some(way) => Refusal::NotSupported(format!(
            "no endpoint of the stream is {}: let the bridge choose, or take \"relay\"",
            way.name()
        )),
        None => Refusal::NotSupported("no endpoint of the stream can be reached".to_owned()),
    })
}

/// What leads to an endpoint of the peer at this address, if anything does but the relay.
fn attempt(endpoint: &Endpoint, peer: Option<Ipv4Addr>) -> Option<Attempt> {
    let own = |address: &SocketAddrV4| {
        let is_its = address.ip().is_unspecified() || Some(*address.ip()) == peer;
        let peer = peer.filter(|_| is_its)?;
        Some(SocketAddrV4::new(peer, address.port()))
    };
    match endpoint {
        Endpoint::Udp(address) if address.ip().is_multicast() => Some(Attempt::Group(*address)),
        Endpoint::Udp(address) => own(address).map(Attempt::Udp),
        Endpoint::Tcp(address) => own(address).map(Attempt::Tcp),
        Endpoint::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LAN: Reach = Reach {
        address: Some(Ipv4Addr::new(10, 0, 0, 7)),
        is_secure: false,
        channels: true,
        is_here: false,
    };

    fn stream(endpoints: &[&str]) -> Stream {
        Stream::read(&json!({ "endpoint": endpoints })).unwrap()
    }

    fn tried(endpoints: &[&str], reach: Reach) -> Vec<Attempt> {
        plan(&stream(endpoints), None, reach).unwrap_or_default()
    }

    fn at(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 7), port)
    }

    #[test]
    fn endpoints_are_tried_in_their_order_and_then_the_relay() {
        let all = [
            "udp://0.0.0.0:4",
            "unix:/cam",
            "tcp://10.0.0.7:5",
            "udp://239.1.2.3:6",
        ];
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 1, 2, 3), 6);
        let expected = [
            Attempt::Udp(at(4)),
            Attempt::Tcp(at(5)),
            Attempt::Group(group),
            Attempt::Relay,
        ];
        assert_eq!(tried(&all, LAN), expected);
    }

    #[test]
    fn nobody_is_sent_to_the_address_of_another() {
        let others = [
            "tcp://10.0.0.8:22",
            "udp://127.0.0.1:53",
            "tcp://127.0.0.1:631",
            "udp://255.255.255.255:9",
        ];
        assert_eq!(tried(&others, LAN), [Attempt::Relay]);
        let unknown = Reach {
            address: None,
            ..LAN
        };
        assert_eq!(tried(&["tcp://0.0.0.0:22"], unknown), [Attempt::Relay]);
    }

    #[test]
    fn a_secure_mesh_lets_out_only_what_is_encrypted() {
        let secure = Reach {
            is_secure: true,
            ..LAN
        };
        let endpoints = ["tcp://0.0.0.0:5", "udp://239.1.2.3:6"];
        assert_eq!(tried(&endpoints, secure), [Attempt::Relay]);
        for way in [Way::Direct, Way::Multicast] {
            let refused = plan(&stream(&endpoints), Some(way), secure);
            assert!(matches!(refused, Err(Refusal::AccessDenied(_))));
        }
        let mut encrypted = stream(&endpoints);
        encrypted.srtp = true;
        assert_eq!(
            plan(&encrypted, Some(Way::Direct), secure),
            Ok(vec![Attempt::Tcp(at(5))])
        );
    }

    #[test]
    fn a_peer_of_this_machine_passes_what_it_connects_also_on_a_secure_mesh() {
        let here = Reach {
            is_here: true,
            is_secure: true,
            ..LAN
        };
        let endpoints = ["unix:/cam", "tcp://0.0.0.0:5"];
        assert_eq!(tried(&endpoints, here), [Attempt::Passed, Attempt::Relay]);
        let direct = plan(&stream(&endpoints), Some(Way::Direct), here);
        assert_eq!(direct, Ok(vec![Attempt::Passed]));
        let relay = plan(&stream(&endpoints), Some(Way::Relay), here);
        assert_eq!(relay, Ok(vec![Attempt::Relay]));
        // A pipe of a program has one holder at a time, which its bridge has to see.
        assert_eq!(tried(&[], here), [Attempt::Relay]);
    }

    #[test]
    fn a_way_that_does_not_exist_is_not_supported() {
        let old = Reach {
            channels: false,
            ..LAN
        };
        for (way, reach) in [
            (Some(Way::Relay), old),
            (Some(Way::Multicast), LAN),
            (None, old),
        ] {
            let refused = plan(&stream(&["unix:/cam"]), way, reach);
            assert!(matches!(refused, Err(Refusal::NotSupported(_))), "{way:?}");
        }
    }
}

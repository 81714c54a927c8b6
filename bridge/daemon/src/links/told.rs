//! How each link is, as `List` tells it.

use std::collections::BTreeMap;

use zbus::Variant;
use zocp_node::{LinkState, PeerInfo};

use crate::{
    config::CheckedLink,
    engine::{Carrier, IrohState, Way},
};

/// One entry of the answer.
pub(super) type Told = BTreeMap<&'static str, Variant<'static>>;

/// What is known of a link.
#[derive(Debug, Default)]
pub(super) struct Known<'k> {
    /// Of the connection that this end dials.
    pub(super) node: Option<&'k LinkState>,
    /// Of the engine, for a link by iroh.
    pub(super) iroh: Option<IrohState>,
    /// The node at the other end, where that dials.
    pub(super) peer: Option<&'k PeerInfo>,
}

/// A link as it is told.
pub(super) fn told(link: &CheckedLink, source: &'static str, known: &Known<'_>) -> Told {
    let mut told = Told::from([
        ("To", Variant::new(link.to.clone())),
        ("Source", Variant::new(source)),
    ]);
    let waits = known.iroh.as_ref().is_some_and(|it| it.dialed.is_none());
    let peer = match known.node {
        Some(state) => state.peer,
        None => known.peer.map(|peer| peer.id),
    };
    told.insert(
        "State",
        Variant::new(["down", "up"][usize::from(peer.is_some())]),
    );
    told.insert("Dials", Variant::new(!waits));
    if let Some(peer) = peer {
        told.insert("Peer", Variant::new(peer.to_string()));
    }
    if let Some(way) = known.iroh.as_ref().and_then(|it| it.way.as_ref()) {
        told.insert("Way", Variant::new(way_name(way)));
        told.insert("Relay", Variant::new(relay_of(way).to_owned()));
    }
    let since = match (known.node, &known.iroh) {
        (Some(state), _) => Some(state.since),
        (None, Some(iroh)) => Some(iroh.since),
        (None, None) => None,
    };
    if let Some(since) = since {
        told.insert("Since", Variant::new(since.as_secs_f64()));
    }
    if peer.is_none() {
        told.insert("Why", Variant::new(why(known)));
    }
    if let Some(next) = known.node.and_then(|state| state.next) {
        told.insert("Next", Variant::new(next.as_secs_f64()));
    }
    told
}

/// A link that cannot be had, as it is told.
pub(super) fn unusable(to: &str, why: &str) -> Told {
    Told::from([
        ("To", Variant::new(to.to_owned())),
        ("Source", Variant::new("hand")),
        ("State", Variant::new("down")),
        ("Dials", Variant::new(false)),
        ("Why", Variant::new(why.to_owned())),
    ])
}

fn why(known: &Known<'_>) -> String {
    let of_iroh = known.iroh.as_ref();
    match (known.node, of_iroh) {
        // What the engine knows is more than that a port of this machine closed a connection.
        (Some(_), Some(iroh)) if !iroh.why.is_empty() => iroh.why.clone(),
        (Some(state), _) => state.why.clone(),
        (None, Some(iroh)) if iroh.is_open => {
            "connected by iroh, and not met yet: the bridge there must trust this one".to_owned()
        }
        (None, Some(iroh)) if !iroh.why.is_empty() => {
            format!(
                "the bridge there dials; of its last connection: {}",
                iroh.why
            )
        }
        (None, Some(_)) => "the bridge there dials, and has not done so yet".to_owned(),
        (None, None) => "it is not dialed: the log says why since the bridge started".to_owned(),
    }
}

/// `direct` or `relay`.
pub(crate) const fn way_name(way: &Way) -> &'static str {
    match way {
        Way::Direct => "direct",
        Way::Relay(_) => "relay",
    }
}

/// The address of the relay, if the way goes by one.
pub(crate) fn relay_of(way: &Way) -> &str {
    match way {
        Way::Direct => "",
        Way::Relay(url) => url,
    }
}

/// Whether a peer is the one of a link by iroh to which the other end dials.
pub(super) fn is_behind(link: &CheckedLink, peer: &PeerInfo, carrier: Option<&Carrier>) -> bool {
    let id = link.to.split_once('|').map(|(endpoint, _)| endpoint);
    peer.key == Some(link.key) && carrier.map(|it| it.endpoint.as_str()) == id
}

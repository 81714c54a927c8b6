//! Links to bridges that cannot be dialed, by the engine of `zocp-iroh`.
//!
//! Model: the engine has a port on the loopback interface for each link that this end dials; to the node it is a link like
//! any other. What the other end opens arrives at the mailbox. Users see neither: the endpoint of a link is `iroh:ID`. A
//! build without the feature `iroh` has no engine and refuses such links when the configuration is read, or when they are
//! added.
//! Layout: `with` and `without` have the same `Engine`, with the feature and without it.
//! Spec: docs/reference/configuration.md, "`[[link]]`"

#[cfg(feature = "iroh")]
mod with;
#[cfg(not(feature = "iroh"))]
mod without;

use std::{net::SocketAddr, time::Duration};

use zocp_node::{PublicKey, SecurityScope};

#[cfg(feature = "iroh")]
pub(crate) use self::with::{Engine, check};
#[cfg(not(feature = "iroh"))]
pub(crate) use self::without::{Engine, check};

/// A link to a bridge that cannot be dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IrohLink {
    /// The id of the bridge at the other end: 64 hexadecimal digits.
    pub id: String,
    /// Its key.
    pub key: PublicKey,
    /// Where both ends meet.
    pub relays: Vec<String>,
    /// The certificates of these relays, in PEM, where the configuration has them.
    pub certificate: Option<Vec<u8>>,
}

impl IrohLink {
    /// As it is written: `iroh:ID|KEY`.
    pub(crate) fn to(&self) -> String {
        format!("iroh:{}|{}", self.id, self.key)
    }
}

/// Why there are no links by iroh.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(String);

/// How the octets of a link by iroh travel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "iroh"),
    expect(dead_code, reason = "as with the feature")
)]
pub(crate) enum Way {
    /// From one machine to the other, through the routers.
    Direct,
    /// By the relay at this address.
    Relay(String),
}

/// How a link by iroh is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IrohState {
    /// The way that is in use.
    pub(crate) way: Option<Way>,
    /// For how long there has been a connection of iroh, or none.
    pub(crate) since: Duration,
    pub(crate) is_open: bool,
    /// Why there is none, if that is known.
    pub(crate) why: String,
    /// What the node dials; `None` if the other end dials.
    pub(crate) dialed: Option<String>,
}

/// What users see of a peer behind the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carrier {
    /// `iroh:ID`.
    pub(crate) endpoint: String,
    pub(crate) way: Option<Way>,
}

/// The address of an endpoint of the loopback network; no other is of the engine.
#[cfg_attr(
    not(feature = "iroh"),
    expect(dead_code, reason = "as with the feature")
)]
fn loopback(endpoint: &str) -> Option<SocketAddr> {
    let address: SocketAddr = endpoint.strip_prefix("tcp://")?.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

/// Whether what comes by the engine has a mailbox, and not that of an open mesh.
#[cfg_attr(
    not(feature = "iroh"),
    expect(dead_code, reason = "as with the feature")
)]
fn reaches(scope: &SecurityScope) -> Result<(), EngineError> {
    match scope {
        SecurityScope::Links {
            listen: Some(listen),
        } if !listen.ip().is_unspecified() && !listen.ip().is_loopback() => Err(EngineError(
            format!("venue.listen = \"{listen}\": with links by iroh, listen on 0.0.0.0"),
        )),
        _ => Ok(()),
    }
}

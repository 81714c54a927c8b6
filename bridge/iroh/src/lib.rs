//! Links between two bridges of which neither can be dialed: both are behind routers that translate addresses.
//!
//! Model: iroh carries octets, and no more. A bridge that dials connects to a port of this engine on the loopback
//! interface; the engine opens a stream of a QUIC connection to the other engine, which connects to the mailbox of its
//! bridge. What passes is ZMTP with CURVE from one bridge to the other, so that neither iroh nor its relay can read it,
//! and CURVE alone decides who may take part. The engines find each other at a relay server that the configuration
//! names, and leave it for the direct path where the routers permit one.
//! Invariants: ENGINE-1. Nothing is sent to anybody but the relays of the configuration, the bridges of the
//! configuration, and the resolver of the system for the names of these relays; links that are added while the bridge runs
//! count as the configuration. Without a link there is no socket. ENGINE-2. A connection of an id that no link names
//! reaches no mailbox. ENGINE-3. The end of a QUIC connection ends each socket that it carries, at once.
//! Not here: what passes (`zocp-node`), the configuration (`zocp-daemon`).
//! Spec: docs/reference/protocol.md §2.12.

mod accept;
mod dial;
mod engine;
mod identity;
mod links;
mod open;
mod options;
mod pipe;
mod running;
#[cfg(test)]
mod tests;
mod way;

pub use engine::{Engine, check};
pub use identity::{Id, IdError};
pub use links::{LinkState, Way};
pub use options::{LinkOptions, Options, StartError};

//! D-Bus over the mesh: services of one bus on another.
//!
//! Model: [`services`] puts the two halves together. [`export`] offers services of this bus to peers, `import` shows
//! services of peers on this bus and on views, `local` lets services of this bus into views, [`transport`] carries
//! D-Bus messages between two bridges, [`programs`] says when a program leaves the bus.
//! Not here: wires, the mirror of nodes, which rules there are (`zocp-policy`).
//! Spec: docs/reference/protocol.md §7
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod barrier;
mod channel_end;
mod context;
mod deadlines;
mod descriptors;
pub mod export;
mod import;
mod limits;
mod link;
mod local;
mod lock;
pub mod metrics;
mod named;
mod own_names;
pub mod programs;
mod refusal_log;
mod remote;
mod requests;
pub mod schema;
mod serials;
pub mod services;
#[cfg(any(test, feature = "testing"))]
pub mod simulation;
#[cfg(test)]
mod test_nodes;
pub mod transport;
mod watch;

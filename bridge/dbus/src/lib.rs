//! A D-Bus stack for a bridge that forwards messages and serves objects made at run time.
//!
//! Model: a bus is reached through an address ([`bus`]). A [`connection`] forwards messages unchanged and reads and
//! writes the socket itself; a [`server`] answers for a table of [`objects`] from memory. Every outgoing message is
//! built, and every incoming message is checked, in one module ([`message`]). The introspection data of other programs
//! is parsed leniently ([`introspection`]).
//! Not here: the mesh. Nothing in this crate knows nodes, trees or peers.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod bus;
pub mod connection;
pub mod errors;
pub mod interface;
pub mod introspection;
pub mod message;
pub mod objects;
pub mod report;
pub mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testbus;

//! A D-Bus stack for a bridge that passes messages on and serves objects made at run time.
//!
//! Model: a bus is reached through an address ([`bus`]). A [`connection`] for messages that are passed on as they are
//! reads and writes the socket itself; a [`server`] answers for a table of [`objects`] from memory. Every message that
//! goes out is made in one place, and every one that comes in is read in one place ([`message`]). What other programs
//! say of their objects is read leniently ([`introspection`]).
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

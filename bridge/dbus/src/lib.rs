//! A D-Bus stack for a bridge that passes messages on and serves objects made at run time.
//!
//! Model: a bus is reached through an address ([`bus`]). A connection for messages that are passed on as they are
//! reads and writes the socket itself ([`line`]); a connection that serves a table of objects ([`served`]) answers for
//! them from memory ([`objects`]). Every message that goes out is made in one place ([`message`]), every one that comes
//! in is read in one place ([`received`]).
//! Not here: the mesh. Nothing in this crate knows nodes, trees or peers.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod authority;
pub mod bus;
pub mod errors;
pub mod line;
pub mod message;
pub mod objects;
pub mod received;
pub mod report;
pub mod served;
#[cfg(any(test, feature = "testing"))]
pub mod testbus;
mod throttle;

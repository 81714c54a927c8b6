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

/// The names that `zocp-relay` still has for what is elsewhere by now.
#[doc(hidden)]
pub mod line {
    pub use crate::connection::{
        BusConnection as Line, Ended, Handler as Ear, ReadBarrier as Gauge, bus_call, connect,
        run as live, until,
    };
}
#[doc(hidden)]
pub mod received {
    pub use crate::message::received::*;
}
#[doc(hidden)]
pub mod served {
    pub use crate::server::{BusContext as Site, BusScope as SiteKind};
}

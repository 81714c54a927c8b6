//! The daemon: puts a ZOCP mesh on D-Bus.
//!
//! Model: what is on the mesh comes in as events of `zocp_node`; what is on the bus is trees of `zocp_dbus` objects,
//! each served by a bus connection of its own. This crate reads the configuration, puts the parts together, and has
//! the parts that belong to no other crate.
//!
//! # Layout
//!
//! - [`config`]: what the bridge is told
//! - [`hub`]: the bridge's own objects
//! - `view`: a node's tree as objects
//! - [`mirror`]: remote nodes on the bus
//! - [`local`]: the bridge as a node
//! - `statistics`: counters, shown on the bus and to Prometheus
//! - [`monitor`]: what happens, told live to those who watch
//! - [`trust`]: whose keys are trusted
//! - [`views`]: buses of their own
//! - `node_error`: failures of the mesh as D-Bus errors
//! - [`run`]: the whole bridge, from start to end
//!
//! Not here: the mesh itself (`zocp_node`), connections to the bus (`zocp_dbus`), services over the mesh
//! (`zocp_relay`), wires (`zocp_wires`), the command line (`bridge/cli`).
// Tests say to a bus what they want.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod config;
pub mod engine;
pub mod hub;
pub mod links;
pub mod local;
pub mod mirror;
pub mod monitor;
mod node_error;
pub mod run;
mod statistics;
mod streams;
#[cfg(test)]
mod tests;
pub mod trust;
mod view;
pub mod views;

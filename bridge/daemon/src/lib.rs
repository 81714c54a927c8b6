//! The bridge: a ZOCP mesh as objects on D-Bus.
//!
//! Model: what is on the mesh comes in as events of `zocp_node`; what is on the bus is tables of
//! [`objects`], each [`served`] by a bus connection of its own. The [`mirror`] makes the one into the
//! other for remote nodes.
//!
//! # Layout
//!
//! - [`bus`]: which bus, and one of our own where there is none
//! - [`config`]: what the bridge is told
//! - [`hub`]: the bridge's own objects
//! - [`directory`]: who is present, under which label
//! - [`label`]: names to labels and back
//! - [`errors`]: the closed list of D-Bus errors
//! - [`message`]: messages that every bus takes, and texts in them
//! - [`types`], [`convert`]: values of the mesh to D-Bus and back
//! - `view`: a node's tree as objects
//! - [`mirror`]: remote nodes on the bus
//! - [`local`]: the bridge as a node; [`programs`]: who lends it something
//! - [`objects`]: a table of D-Bus objects and its dispatcher, pure
//! - [`received`]: messages out of octets
//! - `services`: services of one bus on another; `export`, `import` are its two halves, [`transport`]
//!   what is between them, `line` their bus connections
//! - [`record`], `statistics`: what is counted, and shown of it
//! - [`monitor`]: what happens, told live to those who watch
//! - [`served`]: the bus connection of a table
//! - [`state`]: what outlives the bridge
//! - [`policy`]: who may use what; [`trust`]: whose keys are trusted
//! - [`run`]: the whole bridge, from start to end
//!
//! Not here: the mesh itself (`zocp_node`), the command line (`bridge/cli`).
// Tests say to a bus what they want.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod authority;
pub mod bus;
pub mod config;
pub mod convert;
pub mod directory;
pub mod errors;
pub mod export;
pub mod hub;
mod import;
pub mod label;
mod line;
pub mod local;
pub mod message;
pub mod mirror;
pub mod monitor;
pub mod objects;
pub mod policy;
pub mod programs;
pub mod received;
pub mod record;
pub mod run;
pub mod served;
pub mod services;
pub mod state;
mod statistics;
#[cfg(test)]
mod testbus;
mod throttle;
pub mod transport;
pub mod trust;
pub mod types;
mod view;
pub mod wires;

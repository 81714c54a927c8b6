//! What is fuzzed, and what must hold then.
//!
//! Model: a target is a module with one function, `run`, which takes any octets and panics if something
//! does not hold that must. libFuzzer calls it from `libfuzzer/` (a workspace of its own, since it needs a
//! nightly compiler); the tests call it on stable with every file of `corpus/` and of `regressions/`.
//! Invariants: F1. a target does the same each time that it has the same input: no clock, no
//! randomness, no threads that matter. F2. no target is content with not panicking: each says at its head
//! what holds.
//! Limits: targets use small limits of their own, so that short inputs reach them.
//! Not here: the loop that makes inputs, see `tests/fuzz/run` and docs/how-to/work-on-it.md.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a target fails like a test"
)]

use std::sync::OnceLock;

pub mod bus_messages;
mod bus_octets;
pub mod channel;
pub mod config;
pub mod dbus_header;
pub mod dbus_mutation;
pub mod dbus_packet;
pub mod dbus_pieces;
pub mod dbus_value;
pub mod dmx_packet;
pub mod introspection;
mod json;
pub mod label;
pub mod memory;
mod mesh;
pub mod osc_packet;
pub mod passed_nodes;
pub mod policy;
pub mod reference;
pub mod relay_operations;
pub mod tree_merge;
mod watcher;
mod zmtp;
pub mod zmtp_bytes;
pub mod zmtp_curve;
pub mod zmtp_dialogue;
pub mod zocp_json;
pub mod zocp_message;
pub mod zocp_operations;
pub mod zre_frame;
pub mod zre_gossip;
pub mod zre_operations;

/// Prints what a target does, where `ZOCP_FUZZ_SHOW` is set: what an input means is seldom seen in its octets.
fn show(what: &dyn std::fmt::Debug) {
    static IS_WANTED: OnceLock<bool> = OnceLock::new();
    if *IS_WANTED.get_or_init(|| std::env::var_os("ZOCP_FUZZ_SHOW").is_some()) {
        eprintln!("{what:?}");
    }
}

/// What runs a target with an input.
pub type Run = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Run)] = &[
    ("bus_messages", bus_messages::run),
    ("channel", channel::run),
    ("config", config::run),
    ("dbus_header", dbus_header::run),
    ("dbus_mutation", dbus_mutation::run),
    ("dbus_packet", dbus_packet::run),
    ("dbus_pieces", dbus_pieces::run),
    ("dbus_value", dbus_value::run),
    ("dmx_packet", dmx_packet::run),
    ("introspection", introspection::run),
    ("label", label::run),
    ("osc_packet", osc_packet::run),
    ("passed_nodes", passed_nodes::run),
    ("policy", policy::run),
    ("relay_operations", relay_operations::run),
    ("tree_merge", tree_merge::run),
    ("zmtp_bytes", zmtp_bytes::run),
    ("zmtp_curve", zmtp_curve::run),
    ("zmtp_dialogue", zmtp_dialogue::run),
    ("zocp_json", zocp_json::run),
    ("zocp_message", zocp_message::run),
    ("zocp_operations", zocp_operations::run),
    ("zre_frame", zre_frame::run),
    ("zre_gossip", zre_gossip::run),
    ("zre_operations", zre_operations::run),
];

//! The message-bus part of the D-Bus specification: the same scenario on `dbus-daemon`, which is the reference, and on
//! this bus. What is seen by each client is the same, message by message.
//!
//! What is meant to differ is in `docs/reference/bus.md`, and has tests of its own in `differs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod client;
mod descriptors;
mod differs;
mod harness;
mod message;
mod methods;
mod monitor;
mod names;
mod odd;
mod routing;
mod rules;
mod starting;
mod tools;

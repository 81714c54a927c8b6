//! A laboratory for tests with real programs: hosts, networks, buses, peers.
//!
//! ```no_run
//! use zocp_testkit::{Bridge, Lab, PyPeer, isolated};
//!
//! # const ZOCP: &str = "";
//! #[test]
//! fn a_node_of_python_is_on_the_bus() {
//!     isolated(async |lab: Lab| {
//!         let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
//!         let bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
//!         let _lamp = PyPeer::start(&stage, "lamp", &[]).await;
//!         bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
//!     });
//! }
//! ```
//!
//! Model: [`isolated`] runs one test in a process and in namespaces of its own. There a [`Lab`] makes
//! [`Host`]s, each a network namespace, on one or more [`Network`]s, each an Ethernet bridge. A [`Cmd`] starts
//! a program on a host; a [`Program`] is one that runs. [`Bus`], [`Bridge`] and [`PyPeer`] are programs that a
//! test talks to.
//!
//! Invariants:
//! - I1. Nothing outlives its test, whatever the test does: the kernel ends all processes of the test's PID
//!   namespace with the test, and its networks, mounts and files with them.
//! - I2. Nothing of the user's session is seen by a test: neither its buses nor its configuration.
//! - I3. No verb sleeps: each waits for an event, at most [`DEADLINE`], and panics with what it waited for.
//! - I4. What a program says is printed as it comes, so a failed test shows the whole conversation.
//! - I5. A missing tool fails the test and names the package that has it. No test is skipped.
//!
//! Works as root and as any user who may make user namespaces; inside a test one is always root.

mod bridge;
mod bus;
mod client;
mod cmd;
mod curve_peer;
mod demo;
mod gate;
mod hostile_relay;
mod isolated;
mod lab;
mod media;
mod object;
mod program;
mod py_peer;
mod raw;
mod site;
mod terminal;
mod tools;
mod venue;
mod weather;

pub use bridge::Bridge;
pub use bus::Bus;
pub use client::{Client, error_name, is_signal, message};
pub use cmd::{Cmd, Outcome};
pub use curve_peer::CurvePeer;
pub use demo::demo;
pub use gate::{Gate, Nat};
pub use hostile_relay::HostileRelay;
pub use isolated::{isolated, isolated_program};
pub use lab::{Host, Lab, Link, Network};
pub use media::silence;
pub use object::Object;
pub use program::Program;
pub use py_peer::PyPeer;
pub use raw::{Heard, Odd, Raw};
pub use site::{Plan, Site};
pub use terminal::Terminal;
pub use venue::{Venue, play};
pub use weather::Weather;

use std::{future::Future, time::Duration};

/// How long a verb waits for its event: far above what any takes on a busy machine, far below a user's patience.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long a machine that does much else may take to show that something has closed: far below the 30 s after
/// which the silence of a peer is its end. On a machine with time to spare it is 2 s, docs/reference/dbus.md.
pub const CLOSED_MAX: Duration = Duration::from_secs(15);

/// Awaits `event`, at most [`DEADLINE`].
///
/// # Panics
/// At the deadline, naming `what` was awaited.
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain for {what}"),
    }
}

//! Broken buses, networks and machines: what docs/explanation/faults.md says of each, with the real bridge.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod bus;
mod machine;
mod network;
mod pauses;
mod starting;

use std::time::Instant;

use zocp_testkit::CLOSED_MAX;

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const BRIDGE: &str = "org.z25.Zocp1";
/// The node of `tests/peers/zocp_peer.py`.
const NODE: &str = "org.z25.Zocp1.Node.lamp";
/// The service of `tests/peers/lamp_service.py`, where it is and where it is imported from the stage.
const LAMP: &str = "org.example.Lamp";
const LAMP_THERE: &str = "org.example.Lamp.stage";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
const LAMP_OBJECT: (&str, &str, &str) = (LAMP_THERE, LAMP_PATH, LAMP1);
/// Everything that is called `org.example.…`, to everybody.
const EXAMPLES: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
/// A mesh in which silence is death after three seconds.
const IMPATIENT: &str = "[mesh]\nevasive = 1\nexpiry = 3\n";

#[track_caller]
fn assert_soon(what: &str, since: Instant) {
    let took = since.elapsed();
    assert!(took < CLOSED_MAX, "{what} took {took:?}");
}

//! Services of one machine on the bus of another: two hosts, a real bus and the real bridge on each.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod every;
mod learning;
mod load;
mod loops;
mod objects;
mod odd;
mod presence;

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
/// Everything that is called `org.example.…`, to everybody.
const EXAMPLES: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
/// The lamp of `tests/peers/lamp_service.py`, on stage and at front of house.
const LAMP: &str = "org.example.Lamp";
const LAMP_THERE: &str = "org.example.Lamp.stage";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

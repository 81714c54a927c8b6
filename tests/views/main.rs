//! Views: programs at front of house on a bus that shows the services of the stage under their own names. Two hosts, a
//! real bus and the real bridge on each.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod desktop;
mod exec;
mod life;
mod local;
mod names;
mod starting;
mod terminal;
mod tools;
mod view;

use zocp_testkit::{Cmd, Venue};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
/// Everything that is called `org.example.…`, to everybody.
const EXAMPLES: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
/// The lamp of `tests/peers/lamp_service.py`, on stage and on the bus of front of house.
const LAMP: &str = "org.example.Lamp";
/// What it says of the programs here.
const PAGE: &str = include_str!("../../docs/how-to/exec.md");
const LAMP_THERE: &str = "org.example.Lamp.stage";

/// `zocp exec` at front of house, with what goes before and what goes behind `--`.
fn exec(venue: &Venue, options: &[&str], command: &[&str]) -> Cmd {
    let zocp = venue.foh.bus.command(ZOCP).arg("exec").args(options);
    zocp.arg("--").args(command)
}

/// What a tool says of the stage in a view.
async fn shown(venue: &Venue, command: &[&str]) -> String {
    exec(venue, &["stage"], command).run().await
}

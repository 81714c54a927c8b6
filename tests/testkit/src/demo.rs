//! A bus with the demo on it.

use crate::{Bus, Cmd, Program};

/// The demo of the program `zocp` on a bus of its own, with its two nodes there.
///
/// # Panics
/// When they do not come.
pub async fn demo(zocp: &str) -> (Bus, Program) {
    let bus = Bus::start("session").await;
    let demo = Cmd::new(zocp).arg("demo").on(&bus).start();
    for node in ["fader", "lamp"] {
        bus.appears(&format!("org.z25.Zocp1.Node.{node}")).await;
    }
    (bus, demo)
}

//! Bridges that export services to each other: programs that call, services that come and go, packets that overtake each
//! other, bridges and buses that end.
//!
//! Input: operations, four octets each.
//! Holds: what `zocp_relay::simulation` checks: every call gets one reply, what is shown is what is offered, and nothing is
//! kept of what is gone.

use zocp_relay::simulation::{Operation, Simulation};

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut simulation = Simulation::new();
    for octets in data.chunks_exact(4).take(OPERATIONS_MAX) {
        let octets = octets.first_chunk().copied().unwrap_or_default();
        let operation = Operation::of(octets);
        crate::show(&operation);
        simulation.operate(operation);
    }
    simulation.finish();
}

const OPERATIONS_MAX: usize = 400;

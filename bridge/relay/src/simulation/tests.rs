use proptest::prelude::*;

use super::{Operation, Simulation};

/// Bridges that show each other's services.
fn settled() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.operate(Operation::Settle);
    // A service does not say whether it is a bridge.
    simulation.operate(Operation::Pass(2));
    simulation.operate(Operation::Settle);
    simulation
}

fn run(operations: &[Operation]) {
    let mut simulation = settled();
    for operation in operations {
        simulation.operate(*operation);
    }
    simulation.finish();
}

#[test]
fn a_call_is_replied_to_by_a_service_on_another_bus() {
    let call = Operation::Call {
        bridge: 0,
        program: 0,
        // The first of the two that are shown, or a name that nobody has.
        target: 3,
    };
    let reply = Operation::Reply {
        bridge: 1,
        program: 2,
        choice: 1,
    };
    let mut simulation = settled();
    simulation.operate(call);
    simulation.operate(Operation::Settle);
    let caller = |simulation: &Simulation| {
        let program = simulation.bridges[0].programs[0].as_ref().unwrap();
        program.is_idle()
    };
    assert!(!caller(&simulation));
    simulation.operate(reply);
    simulation.operate(Operation::Settle);
    assert!(caller(&simulation));
    simulation.finish();
}

#[test]
fn services_are_shown_at_once_and_go_with_their_bridge() {
    let mut simulation = settled();
    let is_shown = |simulation: &Simulation| {
        let bus = &simulation.bridges[0].bus;
        bus.owner("org.example.A.middle").is_some()
    };
    assert!(is_shown(&simulation));
    simulation.operate(Operation::Link(0, 1));
    simulation.operate(Operation::Settle);
    assert!(!is_shown(&simulation));
    simulation.finish();
}

proptest! {
    #[test]
    fn every_call_gets_one_reply_and_nothing_is_left_of_what_is_gone(
        octets in proptest::collection::vec(any::<[u8; 4]>(), 0..250)
    ) {
        let operations: Vec<Operation> = octets.into_iter().map(Operation::of).collect();
        run(&operations);
    }
}

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

/// A program of the first bus, or the service there, has called the service of the second bus, which has the call as its
/// second one: the bridge has asked it whether it is a bridge, too.
fn called(program: u8) -> Simulation {
    let mut simulation = settled();
    simulation.operate(Operation::Call {
        bridge: 0,
        program,
        target: 3,
    });
    simulation.operate(Operation::Settle);
    simulation
}

#[test]
fn a_signal_comes_before_what_its_service_sends_to_a_caller_after_it() {
    // A signal to the caller alone, and calls of it; which of what may arrive does so first.
    let choices = [3, 1, 5].into_iter();
    for (choice, first) in choices.flat_map(|choice| [(choice, 0), (choice, 1)]) {
        let mut simulation = called(0);
        simulation.operate(Operation::Signal {
            bridge: 1,
            program: 0,
        });
        simulation.operate(Operation::Direct {
            bridge: 1,
            program: 0,
            choice,
        });
        // The connection of the caller is read before that of the watch.
        for _ in 0..8 {
            simulation.operate(Operation::Read {
                bridge: 1,
                connection: 0,
            });
        }
        for _ in 0..4 {
            simulation.operate(Operation::Watch(1));
        }
        for _ in 0..2 {
            simulation.operate(Operation::Deliver {
                from: 0,
                to: 0,
                choice: first,
            });
        }
        simulation.operate(Operation::Settle);
        let program = simulation.bridges[0].programs[0].as_ref().unwrap();
        assert_eq!(program.is_called(), choice == 1);
        simulation.finish();
    }
}

#[test]
fn what_a_program_replies_as_a_caller_waits_for_none_of_its_signals_as_a_service() {
    let mut simulation = called(1);
    simulation.operate(Operation::Direct {
        bridge: 1,
        program: 0,
        choice: 1,
    });
    simulation.operate(Operation::Settle);
    simulation.operate(Operation::Signal {
        bridge: 0,
        program: 0,
    });
    simulation.operate(Operation::Reply {
        bridge: 0,
        program: 0,
        choice: 3,
    });
    simulation.operate(Operation::Settle);
    let service = simulation.bridges[1].programs[2].as_ref().unwrap();
    assert_eq!(service.open().count(), 0);
    simulation.finish();
}

/// The second bus can start a service, and then the first one can, too.
#[test]
fn a_view_has_the_name_of_a_service_once_whichever_node_comes_first() {
    let mut simulation = Simulation::new();
    simulation.operate(Operation::Link(0, 2));
    for number in 0..2 {
        simulation.operate(Operation::Activatable(number));
    }
    simulation.operate(Operation::View(2));
    simulation.operate(Operation::Settle);
    simulation.operate(Operation::Link(0, 2));
    simulation.operate(Operation::Settle);
    simulation.finish();
}

#[test]
fn what_is_allowed_again_while_a_view_begins_is_on_the_bus_too() {
    let mut simulation = settled();
    simulation.operate(Operation::Rules(0, 2));
    simulation.operate(Operation::Settle);
    simulation.operate(Operation::Rules(0, 0));
    simulation.operate(Operation::View(1));
    simulation.finish();
}

#[test]
fn what_can_be_started_is_offered_although_it_ended_before_it_was_known() {
    let mut simulation = settled();
    simulation.operate(Operation::Activatable(2));
    let toggle = Operation::Toggle {
        bridge: 2,
        program: 3,
    };
    simulation.operate(toggle);
    // It is asked whether it is a bridge, and has not answered.
    simulation.operate(Operation::Settle);
    simulation.operate(toggle);
    simulation.finish();
}

#[test]
fn a_call_in_a_view_starts_the_service_on_its_own_bus() {
    let mut simulation = settled();
    simulation.operate(Operation::Activatable(1));
    simulation.operate(Operation::View(0));
    simulation.operate(Operation::Settle);
    // Behind the two of the service that runs.
    simulation.operate(Operation::CallInView {
        bridge: 0,
        target: 2,
    });
    assert!(simulation.bridges[1].programs[3].is_none());
    simulation.operate(Operation::Settle);
    assert!(simulation.bridges[1].programs[3].is_some());
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

    /// Each bridge has a view, whose program calls as often as those of the bus, and each bus starts what is called.
    #[test]
    fn the_same_holds_in_views_and_for_services_that_are_started(
        octets in proptest::collection::vec(any::<[u8; 4]>(), 0..250)
    ) {
        let everywhere = |operation: fn(u8) -> Operation| (0..3).map(operation);
        let begun = everywhere(Operation::View).chain(everywhere(Operation::Activatable));
        let operations = octets.into_iter().map(|octets| match Operation::of(octets) {
            Operation::Call { bridge, program, target } if program % 2 == 0 => {
                Operation::CallInView { bridge, target }
            }
            operation => operation,
        });
        let operations: Vec<Operation> = begun.chain(operations).collect();
        run(&operations);
    }
}

//! What must hold in a simulation.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Simulation,
    rules::{NAMES, limits},
};

impl Simulation {
    pub(super) fn check_limits(&self) {
        for bridge in &self.bridges {
            bridge.import.check_limits(&limits());
            bridge.export.check_limits(&limits());
        }
    }

    pub(super) fn check_replies(&self) {
        for bridge in &self.bridges {
            for program in bridge.programs.iter().flatten() {
                let open: Vec<&String> = program.open().collect();
                assert!(program.is_idle(), "without a reply: {open:?}");
            }
        }
    }

    /// What is shown is what is offered.
    pub(super) fn check_names(&self) {
        for (to, bridge) in self.bridges.iter().enumerate() {
            let mut offered = BTreeMap::new();
            for (from, other) in self
                .bridges
                .iter()
                .enumerate()
                .filter(|(from, _)| *from != to)
            {
                let programs = other.programs.iter().flatten();
                let services = programs.filter_map(|program| program.service);
                for (service, _) in services.filter(|(service, _)| other.may_use(service, to)) {
                    offered.insert(bridge.shown(service, from), service);
                }
            }
            let offered: BTreeSet<&String> = offered.keys().collect();
            let programs: BTreeSet<&String> = bridge
                .programs
                .iter()
                .flatten()
                .map(|it| &it.unique)
                .collect();
            let names = bridge.bus.names();
            let shown = names.filter(|(_, owner)| !programs.contains(owner));
            let shown: BTreeSet<&String> = shown.map(|(name, _)| name).collect();
            assert_eq!(shown, offered, "on the bus of {}", NAMES[to]);
        }
    }

    /// Nothing waits any more.
    pub(super) fn check_states(&self) {
        for (number, bridge) in self.bridges.iter().enumerate() {
            let (import, export) = (bridge.import.waiting(), bridge.export.waiting());
            assert_eq!((import, export), (0, 0), "what waits at {}", NAMES[number]);
        }
    }
}

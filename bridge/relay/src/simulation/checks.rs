//! What must hold in a simulation.

use std::collections::BTreeSet;

use super::{
    Simulation,
    bridge::Bridge,
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
            for program in bridge.all_programs() {
                let open: Vec<&String> = program.open().collect();
                assert!(program.is_idle(), "without a reply: {open:?}");
            }
        }
    }

    /// What is shown is what is offered.
    pub(super) fn check_names(&self) {
        for (to, bridge) in self.bridges.iter().enumerate() {
            let others = bridge.shown_nodes();
            let offered = others.flat_map(|from| {
                let services = self.offered(from, to).into_iter();
                services.map(move |service| bridge.shown(service, from))
            });
            let offered: BTreeSet<String> = offered.collect();
            let programs: BTreeSet<&String> = bridge
                .programs
                .iter()
                .flatten()
                .map(|it| &it.unique)
                .collect();
            let names = bridge.bus.names();
            let shown = names.filter(|(_, owner)| !programs.contains(owner));
            let shown: BTreeSet<String> = shown.map(|(name, _)| name.clone()).collect();
            assert_eq!(shown, offered, "on the bus of {}", NAMES[to]);
            self.check_view(to);
        }
    }

    /// In a view the first node that has a service has its own name, and what does not run is only offered.
    fn check_view(&self, to: usize) {
        let bridge = &self.bridges[to];
        let Some(view) = &bridge.view else {
            return;
        };
        let mut offered = BTreeSet::new();
        for from in bridge.shown_nodes() {
            for service in self.offered(from, to) {
                if !offered.insert(service.to_owned()) {
                    offered.insert(bridge.shown(service, from));
                }
            }
        }
        let names = view.bus.names().map(|(name, _)| name);
        let shown: BTreeSet<String> = names.chain(view.bus.activatable()).cloned().collect();
        assert_eq!(shown, offered, "in the view of {}", NAMES[to]);
        assert!(bridge.import.is_settled(view.id));
    }

    /// What a bridge has for another one: what runs, and what its bus can start.
    fn offered(&self, from: usize, to: usize) -> BTreeSet<&str> {
        let Bridge { bus, programs, .. } = &self.bridges[from];
        let programs = programs.iter().flatten();
        let run = programs.filter_map(|program| Some(program.service?.0));
        let all = run.chain(bus.activatable().map(String::as_str));
        all.filter(|service| self.bridges[from].may_use(service, to))
            .collect()
    }

    /// Nothing waits any more.
    pub(super) fn check_states(&self) {
        for (number, bridge) in self.bridges.iter().enumerate() {
            let (import, export) = (bridge.import.waiting(), bridge.export.waiting());
            assert_eq!((import, export), (0, 0), "what waits at {}", NAMES[number]);
        }
    }
}

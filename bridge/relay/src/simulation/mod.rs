//! Several bridges with their buses, on a clock of their own: programs that call, services that come and go, packets that
//! overtake each other, bridges and buses that end.
//!
//! Model: a [`Simulation`] has three bridges, each an importing and an exporting state. It does what they say, at a time
//! that the caller chooses by [`Operation`]s. It panics when something is wrong: at once when a call gets a second reply,
//! when a signal comes behind what its service sent to the same program after it, or when there is more of something than its limit allows;
//! in [`Simulation::finish`], when everything was delivered, when a call has no reply, a service is shown that is not
//! offered or is not shown although it is, or something is still kept of what is gone.
//! Each bridge may have a view, with a program in it, and each bus may start one of the services when it is called.
//! Not here: connections of the operating system, the tree, what is answered from memory.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is what it is for"
)]

mod bridge;
mod bus;
mod checks;
mod mesh;
mod operation;
mod program;
mod rules;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use zocp_node::PeerId;

pub use self::operation::Operation;
use self::{
    bridge::{Bridge, OWN_BUS_NUMBER, View},
    bus::Bus,
    mesh::Mesh,
    program::{Program, Role},
    rules::{ACTIVATABLE, FIRST_SERVICE, NAMES, PROGRAMS, SERVICES},
};

/// See the [module](self).
#[derive(Debug)]
pub struct Simulation {
    now: Instant,
    mesh: Mesh,
    bridges: Vec<Bridge>,
    /// Counts bridges, and services.
    starts: u32,
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulation {
    /// Bridges that know each other, with a program on each bus.
    #[must_use]
    pub fn new() -> Self {
        let mut simulation = Self {
            now: Instant::now(),
            mesh: Mesh::default(),
            bridges: Vec::new(),
            starts: 0,
        };
        for number in 0..NAMES.len() {
            let id = simulation.next_id();
            let mut bridge = Bridge::new(number, id, Bus::new(OWN_BUS_NUMBER));
            bridge.carry_out(&mut simulation.mesh);
            simulation.bridges.push(bridge);
            simulation.toggle(number, 0);
            simulation.toggle(number, 2);
        }
        for (one, other) in pairs() {
            simulation.link(one, other);
        }
        simulation
    }

    /// Does something.
    pub fn operate(&mut self, operation: Operation) {
        let bridge = |number: u8| usize::from(number) % NAMES.len();
        let program = |number: u8| usize::from(number) % PROGRAMS;
        match operation {
            Operation::Deliver { from, to, choice } => {
                let ways = self.mesh.ways();
                if let Some((from, to)) = chosen(&ways, usize::from(from) + usize::from(to)) {
                    self.deliver(*from, *to, choice.into());
                }
            }
            Operation::Read {
                bridge: number,
                connection,
            } => {
                let Bridge { bus, view, .. } = &self.bridges[bridge(number)];
                let in_view = view.iter().flat_map(|view| view.bus.readers());
                let readers: Vec<String> = bus.readers().into_iter().chain(in_view).collect();
                if let Some(unique) = chosen(&readers, connection.into()) {
                    self.bridges[bridge(number)].step_connection(unique, &mut self.mesh, self.now);
                }
            }
            Operation::Watch(number) => {
                self.bridges[bridge(number)].step_watch(&mut self.mesh, self.now);
            }
            Operation::Tree { from, to } => {
                self.read_tree(bridge(from), bridge(to));
            }
            Operation::Connect(number) => {
                self.bridges[bridge(number)].step_connections(&mut self.mesh, self.now);
            }
            Operation::Call {
                bridge: number,
                program: caller,
                target,
            } => self.call(bridge(number), caller.into(), target.into()),
            Operation::Reply {
                bridge: number,
                program: callee,
                choice,
            } => {
                let reply = |program: &mut Program, bus: &mut Bus| {
                    program.reply(bus, choice.into());
                };
                self.bridges[bridge(number)].have(callee.into(), Program::is_called, reply);
            }
            Operation::Signal {
                bridge: number,
                program: sender,
            } => {
                let is_service = |program: &Program| program.service.is_some();
                let signal = |program: &mut Program, bus: &mut Bus| program.signal(bus, None);
                self.bridges[bridge(number)].have(sender.into(), is_service, signal);
            }
            Operation::Direct {
                bridge: number,
                program: sender,
                choice,
            } => self.direct(bridge(number), sender.into(), choice.into()),
            Operation::Toggle {
                bridge: number,
                program: it,
            } => self.toggle(bridge(number), program(it)),
            Operation::Restart(number) => self.restart(bridge(number)),
            Operation::Link(one, other) => self.link(bridge(one), bridge(other)),
            Operation::LoseBus(number) => {
                self.bridges[bridge(number)].lose_bus(&mut self.mesh);
            }
            Operation::Rules(number, rules) => {
                self.bridges[bridge(number)].set_policy(rules, &mut self.mesh);
            }
            Operation::View(number) => {
                self.starts += 1;
                let at = (&mut self.mesh, self.now);
                self.bridges[bridge(number)].toggle_view(self.starts, at);
            }
            Operation::CallInView { bridge: at, target } => {
                self.call_in_view(bridge(at), target.into());
            }
            Operation::Activatable(number) => {
                let it = &mut self.bridges[bridge(number)];
                let is_activatable = it.bus.activatable().next().is_some();
                it.bus.set_activatable(ACTIVATABLE, !is_activatable);
                it.say_activatable();
            }
            Operation::Start(number) => {
                self.start(bridge(number));
            }
            Operation::Pass(seconds) => self.pass(seconds.into()),
            Operation::Settle => self.settle(),
        }
        self.check_limits();
    }

    /// Lets everything come to its end, and checks what is left.
    pub fn finish(mut self) {
        for (one, other) in pairs() {
            if !self.bridges[one].peers.contains_key(&other) {
                self.link(one, other);
            }
        }
        // Programs reply to all, and what they were asked meanwhile; then nothing may wait for longer than the limit.
        for _ in 0..4 {
            self.settle();
            self.reply_to_all();
            self.settle();
            self.pass(31);
        }
        self.settle();
        self.check_replies();
        self.check_names();
        self.check_states();
    }

    fn next_id(&mut self) -> PeerId {
        self.starts += 1;
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&self.starts.to_be_bytes());
        PeerId::new(octets)
    }

    fn deliver(&mut self, from: usize, to: usize, choice: usize) -> bool {
        let Some(packet) = self.mesh.take((from, to), choice) else {
            return false;
        };
        self.bridges[to].handle_packet(from, &packet, (&mut self.mesh, self.now));
        true
    }

    fn read_tree(&mut self, from: usize, to: usize) -> bool {
        let Some(exports) = self.bridges[from].read_tree(to) else {
            return false;
        };
        self.bridges[to].handle_tree(from, exports, (&mut self.mesh, self.now));
        true
    }

    fn call(&mut self, number: usize, caller: usize, target: usize) {
        let Bridge { bus, .. } = &self.bridges[number];
        let names = bus.names().map(|(name, _)| name.clone());
        let mut names: Vec<String> = names.collect();
        // Imports have two more elements, of which the last is the name of a bridge.
        names.retain(|name| NAMES.iter().any(|bridge| name.ends_with(bridge)));
        names.push("org.example.Nobody".to_owned());
        let name = names.swap_remove(target % names.len());
        let Bridge { bus, programs, .. } = &mut self.bridges[number];
        if let Some(program) = chosen_of(programs.iter_mut().flatten(), caller) {
            program.call(bus, &name, Role::Caller, !target.is_multiple_of(16));
        }
    }

    fn call_in_view(&mut self, number: usize, target: usize) {
        let Some(View { bus, program, .. }) = &mut self.bridges[number].view else {
            return;
        };
        let shown = bus.names().map(|(name, _)| name);
        let names: BTreeSet<&String> = shown.chain(bus.activatable()).collect();
        let mut names: Vec<String> = names.into_iter().cloned().collect();
        names.push("org.example.Nobody".to_owned());
        let name = names.swap_remove(target % names.len());
        program.call(bus, &name, Role::Caller, !target.is_multiple_of(16));
    }

    /// A bus starts a service that was called; whether there was one to start.
    fn start(&mut self, number: usize) -> bool {
        let Some(name) = self.bridges[number].bus.next_start() else {
            return false;
        };
        let service = SERVICES.iter().position(|service| *service == name);
        let program = service.expect("a service") + FIRST_SERVICE;
        if self.bridges[number].programs[program].is_none() {
            self.toggle(number, program);
        }
        true
    }

    fn direct(&mut self, number: usize, sender: usize, choice: usize) {
        let direct = |program: &mut Program, bus: &mut Bus| {
            if let Some((caller, role)) = program.caller(choice) {
                match choice % 3 {
                    0 => program.signal(bus, Some(&caller)),
                    other => program.call(bus, &caller, role, other == 1),
                }
            }
        };
        self.bridges[number].have(sender, Program::is_called, direct);
    }

    fn toggle(&mut self, number: usize, program: usize) {
        self.starts += 1;
        let service = program.checked_sub(FIRST_SERVICE);
        let service = service.map(|service| (SERVICES[service], self.starts));
        let Bridge { bus, programs, .. } = &mut self.bridges[number];
        match programs[program].take() {
            Some(there) => bus.disconnect(&there.unique),
            None => programs[program] = Some(Program::new(bus, service)),
        }
    }

    fn restart(&mut self, number: usize) {
        let peers: Vec<usize> = self.bridges[number].peers.keys().copied().collect();
        for peer in &peers {
            self.part(number, *peer);
        }
        let id = self.next_id();
        let old = self.bridges.remove(number);
        let (bus, programs) = old.end();
        let mut new = Bridge::new(number, id, bus);
        new.programs = programs;
        new.carry_out(&mut self.mesh);
        self.bridges.insert(number, new);
        for peer in peers {
            self.link(number, peer);
        }
    }

    fn link(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        if self.bridges[one].peers.contains_key(&other) {
            return self.part(one, other);
        }
        let (id, other_id) = (self.bridges[one].id, self.bridges[other].id);
        self.bridges[one].meet(other, other_id);
        self.bridges[other].meet(one, id);
    }

    fn part(&mut self, one: usize, other: usize) {
        self.bridges[one].part(other, &mut self.mesh);
        self.bridges[other].part(one, &mut self.mesh);
        self.mesh.cut(one, other);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        for bridge in &mut self.bridges {
            bridge.turn(&mut self.mesh, self.now);
        }
    }

    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let mut is_any = false;
            for bridge in &mut self.bridges {
                is_any |= bridge.step_connections(&mut self.mesh, self.now);
                let in_view = bridge.view.iter().flat_map(|view| view.bus.connections());
                let connections: Vec<String> = bridge
                    .bus
                    .connections()
                    .into_iter()
                    .chain(in_view)
                    .collect();
                for unique in connections {
                    while bridge.step_connection(&unique, &mut self.mesh, self.now) {
                        is_any = true;
                    }
                }
                while bridge.step_watch(&mut self.mesh, self.now) {
                    is_any = true;
                }
                bridge.turn(&mut self.mesh, self.now);
            }
            for from in 0..NAMES.len() {
                is_any |= self.start(from);
                for to in 0..NAMES.len() {
                    is_any |= self.read_tree(from, to);
                    while self.deliver(from, to, 0) {
                        is_any = true;
                    }
                }
            }
            if !is_any {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    fn reply_to_all(&mut self) {
        for bridge in &mut self.bridges {
            let Bridge {
                bus,
                programs,
                view,
                ..
            } = bridge;
            for program in programs.iter_mut().flatten() {
                while program.reply(bus, 1) {}
            }
            if let Some(View { bus, program, .. }) = view {
                while program.reply(bus, 1) {}
            }
        }
    }
}

/// More than any of them takes to come to its end.
const ROUNDS: usize = 1000;

fn chosen<T>(all: &[T], choice: usize) -> Option<&T> {
    all.get(choice % all.len().max(1))
}

fn chosen_of<T>(all: impl Iterator<Item = T>, choice: usize) -> Option<T> {
    let mut all: Vec<T> = all.collect();
    (!all.is_empty()).then(|| all.swap_remove(choice % all.len()))
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    let all = (0..NAMES.len()).flat_map(|one| (0..NAMES.len()).map(move |other| (one, other)));
    all.filter(|(one, other)| one < other)
}

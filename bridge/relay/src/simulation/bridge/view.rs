//! A view of a bridge: a bus of its own, with a program that calls what is there.
//!
//! Model: the bridge is the bus, so it hears at once that a name is to be started for, and who has left. When a view ends,
//! its bus does, and what nobody has read yet is lost with it.

use tokio::time::Instant;

use super::Bridge;
use crate::{
    import::state::{BusId, OWN_BUS, ViewScope},
    simulation::{
        bus::{Bus, News},
        mesh::Mesh,
        program::Program,
        rules::NAMES,
    },
};

/// See the [module](self).
#[derive(Debug)]
pub(in crate::simulation) struct View {
    pub(in crate::simulation) id: BusId,
    pub(in crate::simulation) bus: Bus,
    pub(in crate::simulation) program: Program,
}

impl Bridge {
    /// The nodes that a view of this bridge shows, the most important one first.
    pub(in crate::simulation) fn shown_nodes(&self) -> impl Iterator<Item = usize> {
        let own = self.number;
        (0..NAMES.len()).filter(move |number| *number != own)
    }

    /// A view begins, with a number that no other one has, or ends.
    pub(in crate::simulation) fn toggle_view(
        &mut self,
        number: u32,
        (mesh, now): (&mut Mesh, Instant),
    ) {
        if self.view.is_some() {
            self.end_view(mesh);
            return;
        }
        let id = BusId(number);
        // IMPORTBUS-1: the bus of the bridge has the number 1.
        let mut bus = Bus::new(number + 1);
        let program = Program::new(&mut bus, None);
        self.view = Some(View { id, bus, program });
        let nodes = self.shown_nodes().map(|it| NAMES[it].to_owned());
        let scope = ViewScope {
            nodes: nodes.collect(),
            reserved: Vec::new(),
        };
        self.import.handle_view(id, scope, now);
        self.import.handle_watched(id);
        self.carry_out(mesh);
    }

    fn end_view(&mut self, mesh: &mut Mesh) {
        let Some(view) = &self.view else {
            return;
        };
        self.import.handle_view_gone(view.id);
        self.carry_out(mesh);
        if let Some(View { bus, .. }) = self.view.take() {
            self.connections
                .retain(|_, unique| !bus.is_connected(unique));
        }
        let connections = &self.connections;
        self.ending.retain(|owner| connections.contains_key(owner));
    }

    /// The bus of a view has something for its bridge; whether it had.
    pub(super) fn step_view(&mut self, mesh: &mut Mesh, now: Instant) -> bool {
        let Some(view) = &mut self.view else {
            return false;
        };
        if let Some(name) = view.bus.next_start() {
            self.import.handle_start(view.id, &name, now);
        } else {
            match view.bus.news.pop_front() {
                None => return false,
                Some(News::Gone(program)) => self.import.handle_program_gone(&program),
                Some(News::Program(program, false)) => self.import.handle_program_gone(&program),
                // Nobody asks for the rest.
                Some(_) => {}
            }
        }
        self.carry_out(mesh);
        self.turn(mesh, now);
        true
    }

    /// The bus that an owner of a connection is on, unless it has ended.
    pub(super) fn bus_of(&mut self, bus: BusId) -> Option<&mut Bus> {
        match &mut self.view {
            Some(view) if view.id == bus => Some(&mut view.bus),
            _ if bus == OWN_BUS => Some(&mut self.bus),
            _ => None,
        }
    }

    /// The bus on which this connection is.
    pub(super) fn bus_with(&mut self, unique: &str) -> &mut Bus {
        match &mut self.view {
            Some(view) if view.bus.is_connected(unique) => &mut view.bus,
            _ => &mut self.bus,
        }
    }

    /// Has one of the programs that are like this do something on its bus.
    pub(in crate::simulation) fn have(
        &mut self,
        choice: usize,
        is_it: impl Fn(&Program) -> bool,
        act: impl FnOnce(&mut Program, &mut Bus),
    ) {
        let Self {
            programs,
            bus,
            view,
            ..
        } = self;
        let count = programs.iter().flatten().filter(|it| is_it(it)).count();
        let in_view = view.as_mut().filter(|view| is_it(&view.program));
        let all = count + usize::from(in_view.is_some());
        let choice = choice % all.max(1);
        match in_view {
            Some(view) if choice == count => act(&mut view.program, &mut view.bus),
            _ => {
                let mut programs = programs.iter_mut().flatten().filter(|it| is_it(it));
                if let Some(program) = programs.nth(choice) {
                    act(program, bus);
                }
            }
        }
    }

    /// All programs, on both buses.
    pub(in crate::simulation) fn all_programs(&self) -> impl Iterator<Item = &Program> {
        let in_view = self.view.iter().map(|view| &view.program);
        self.programs.iter().flatten().chain(in_view)
    }
}

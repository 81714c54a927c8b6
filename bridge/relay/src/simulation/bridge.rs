//! A bridge in the simulation: the two states, and what their connections do, on a bus.

mod outputs;
mod view;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::time::Instant;
use zbus::message::Type;
use zocp_node::PeerId;

pub(super) use self::view::View;
use super::{
    bus::{Bus, News, WATCH},
    mesh::Mesh,
    program::Program,
    rules::{NAMES, POLICIES, PROGRAMS, SERVICES, TAKEN_LEN, import_rules, limits, policy},
};
use crate::barrier::Barrier;
use crate::descriptors::NoDepartures;
use crate::{
    export::state::{self as export, CallerId},
    import::{
        announcement::{Announcement, Export},
        state::{self as import, BusId, ImportId, OWN_BUS},
    },
    own_names::OwnNames,
    remote::Remote,
    requests::Half,
    transport::{Control, read},
};
use zocp_dbus::{errors::Refusal, message::Octets};

/// Whose connection to the bus it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Import(ImportId),
    Caller(CallerId),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Bridge {
    number: usize,
    pub(super) id: PeerId,
    pub(super) bus: Bus,
    pub(super) view: Option<View>,
    pub(super) programs: [Option<Program>; PROGRAMS],
    own_names: OwnNames,
    pub(super) import: import::State,
    pub(super) export: export::State,
    /// By the numbers of the peers.
    pub(super) peers: BTreeMap<usize, PeerId>,
    tree: BTreeMap<Arc<str>, Announced>,
    /// Who is to read the tree.
    readers: BTreeSet<usize>,
    /// Connections that there are to be, on which bus, and what waits to be written on them.
    connecting: BTreeMap<Owner, (BusId, Vec<Octets>)>,
    connections: BTreeMap<Owner, String>,
    /// Connections that are to end.
    ending: BTreeSet<Owner>,
    passed: u64,
    /// Which rules hold now.
    policy: u8,
}

/// What the tree has of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    revision: u64,
    runs: bool,
    is_activatable: bool,
}

/// What is known of signals.
struct Signals {
    is_level: bool,
    raised: Cell<u64>,
    passed: u64,
}

impl Barrier for Signals {
    fn is_level(&self) -> bool {
        self.is_level
    }

    fn raise(&self) -> u64 {
        self.raised.set(self.raised.get() + 1);
        self.raised.get()
    }

    fn is_passed(&self, number: u64) -> bool {
        self.passed >= number
    }
}

impl Bridge {
    pub(super) fn new(number: usize, id: PeerId, bus: Bus) -> Self {
        let own_names = OwnNames::default();
        own_names.add(WATCH.into());
        let mut bridge = Self {
            number,
            id,
            bus,
            view: None,
            programs: Default::default(),
            import: import::State::new(import_rules(), limits(), TAKEN_LEN, Arc::new(NoDepartures)),
            export: export::State::new(
                NAMES[number],
                own_names.clone(),
                policy(0),
                limits(),
                TAKEN_LEN,
                Arc::new(NoDepartures),
            ),
            own_names,
            peers: BTreeMap::new(),
            tree: BTreeMap::new(),
            readers: BTreeSet::new(),
            connecting: BTreeMap::new(),
            connections: BTreeMap::new(),
            ending: BTreeSet::new(),
            passed: 0,
            policy: 0,
        };
        bridge.import.handle_watched(OWN_BUS);
        bridge.export.handle_watched();
        bridge
    }

    /// The bridge ends, and with it its connections; what is left of it is its bus.
    pub(super) fn end(mut self) -> (Bus, [Option<Program>; PROGRAMS]) {
        for unique in self.connections.values() {
            self.bus.disconnect(unique);
        }
        self.bus.news.clear();
        (self.bus, self.programs)
    }

    /// The bus ends, and with it all programs; another one begins, which gives the same unique names.
    pub(super) fn lose_bus(&mut self, mesh: &mut Mesh) {
        let activatable: Vec<String> = self.bus.activatable().cloned().collect();
        let lost = std::mem::replace(&mut self.bus, Bus::new(OWN_BUS_NUMBER));
        for name in &activatable {
            self.bus.set_activatable(name, true);
        }
        self.programs = Default::default();
        self.own_names.clear();
        self.own_names.add(WATCH.into());
        self.passed = u64::MAX >> 1;
        self.export.handle_bus_lost();
        self.import.handle_bus_lost();
        self.carry_out(mesh);
        let connections = std::mem::take(&mut self.connections).into_iter();
        let (were_there, are_there): (BTreeMap<_, _>, BTreeMap<_, _>) =
            connections.partition(|(_, unique)| lost.is_connected(unique));
        self.connections = are_there;
        for owner in were_there.into_keys() {
            if self.ending.remove(&owner) {
                continue;
            }
            match owner {
                Owner::Import(import) => {
                    self.import.handle_disconnected(import);
                    self.connecting.insert(owner, (OWN_BUS, Vec::new()));
                }
                Owner::Caller(caller) => {
                    let error = Refusal::Failed("the bus ended".to_owned());
                    self.export.handle_disconnected(caller, &error);
                }
            }
        }
        self.carry_out(mesh);
        let connections = &self.connections;
        self.ending.retain(|owner| connections.contains_key(owner));
        self.import.handle_watched(OWN_BUS);
        self.export.handle_watched();
        self.carry_out(mesh);
    }

    /// Another bridge is on the mesh.
    pub(super) fn meet(&mut self, number: usize, id: PeerId) {
        self.peers.insert(number, id);
        let remote = Arc::new(Remote {
            id,
            uuid: id.to_string(),
            name: NAMES[number].to_owned(),
            venue: None,
            key: None,
            channels: false,
            is_here: false,
        });
        self.export.handle_peer(remote.clone());
        self.import.handle_peer(remote, NAMES[number].into());
        self.readers.insert(number);
    }

    /// Another bridge is gone.
    pub(super) fn part(&mut self, number: usize, mesh: &mut Mesh) {
        if let Some(id) = self.peers.remove(&number) {
            self.export.handle_peer_gone(id);
            self.import.handle_peer_gone(id);
            self.carry_out(mesh);
            self.readers.remove(&number);
        }
    }

    /// What the tree has, if this peer is to read it.
    pub(super) fn read_tree(&mut self, reader: usize) -> Option<BTreeMap<Arc<str>, Export>> {
        let export = |announced: Announced| Export {
            revision: announced.revision,
            runs: announced.runs,
            is_activatable: announced.is_activatable,
            announcement: Announcement::default(),
        };
        let tree = self.tree.iter();
        let exports = tree.map(|(service, it)| (service.clone(), export(*it)));
        self.readers.remove(&reader).then(|| exports.collect())
    }

    /// A peer's tree is read.
    pub(super) fn handle_tree(
        &mut self,
        from: usize,
        exports: BTreeMap<Arc<str>, Export>,
        (mesh, now): (&mut Mesh, Instant),
    ) {
        if let Some(peer) = self.peers.get(&from) {
            self.import.handle_exports(*peer, exports, now);
            self.carry_out(mesh);
        }
    }

    /// A packet comes from a peer.
    pub(super) fn handle_packet(
        &mut self,
        from: usize,
        octets: &[u8],
        (mesh, now): (&mut Mesh, Instant),
    ) {
        let Some(peer) = self.peers.get(&from).copied() else {
            return;
        };
        let packet = read(octets, usize::MAX).expect("a packet");
        let header = packet.header();
        let serial = packet.primary_header().serial_num();
        match packet.message_type() {
            Type::MethodCall => match header.destination().map(|name| name.as_str()) {
                None => match Control::read(&packet).expect("a message to the bridge") {
                    Control::Revised(service) => self.import.handle_revised(peer, &service, now),
                    control => self.export.handle_control(peer, control, serial),
                },
                Some(name) if name.starts_with(':') => {
                    self.import.handle_call_back(peer, &packet, now);
                }
                Some(_) => self.export.handle_call(peer, &packet, &|_, _, _| None, now),
            },
            Type::MethodReturn | Type::Error => {
                let id = header.reply_serial().expect("a reply has a serial");
                match Half::of(id) {
                    Half::Import => self.import.handle_reply(peer, id, &packet, now),
                    Half::Export => self.export.handle_reply(peer, id, &packet),
                }
            }
            Type::Signal => self.import.handle_signal(peer, &packet),
        }
        self.carry_out(mesh);
    }

    /// A connection reads a message, if there is one; whether there was.
    pub(super) fn step_connection(&mut self, unique: &str, mesh: &mut Mesh, now: Instant) -> bool {
        let Some(message) = self.bus_with(unique).receive(unique) else {
            return false;
        };
        let in_view = self.view.iter_mut().map(|view| &mut view.program);
        let mut programs = self.programs.iter_mut().flatten().chain(in_view);
        if let Some(program) = programs.find(|program| program.unique == unique) {
            program.handle(message);
            return true;
        }
        let owner = self.connections.iter().find(|(_, its)| *its == unique);
        match owner
            .map(|(owner, _)| *owner)
            .expect("somebody's connection")
        {
            Owner::Import(import) => self.import.handle_message(import, &message, now),
            Owner::Caller(caller) => self.export.handle_message(caller, &message, now),
        }
        self.carry_out(mesh);
        self.turn(mesh, now);
        true
    }

    /// The connection that watches the bus reads something, if there is something; whether there was.
    pub(super) fn step_watch(&mut self, mesh: &mut Mesh, now: Instant) -> bool {
        let Some(news) = self.bus.news.pop_front() else {
            return self.step_view(mesh, now);
        };
        match news {
            News::Names(names) => self.export.handle_names(names.iter().map(String::as_str)),
            News::Activatable(names) => {
                let names = names.iter().map(String::as_str);
                self.export.handle_activatable(names);
            }
            News::Owner(name, owner) => self.export.handle_owner(&name, owner.as_deref(), now),
            News::OwnerChanged(name, owner) => {
                self.export
                    .handle_owner_changed(&name, owner.as_deref(), now);
            }
            News::Program(_, true) => {}
            News::Program(program, false) => self.program_gone(&program),
            News::Gone(program) => {
                self.program_gone(&program);
                self.own_names.remove(&program);
            }
            News::Listening(service, question) => {
                self.export.handle_listening(&service, question);
            }
            News::Signal(signal) => self.export.handle_signal(&signal),
            News::Reply(reply) => {
                if let Some(question) = reply.header().reply_serial() {
                    self.export.handle_origin(question, &reply);
                }
            }
            News::Barrier(number) => self.passed = number,
        }
        self.carry_out(mesh);
        self.turn(mesh, now);
        true
    }

    fn program_gone(&mut self, program: &str) {
        self.import.handle_program_gone(program);
        self.export.handle_program_gone(program);
    }

    /// Connections are made and end as they are to; whether there were any.
    pub(super) fn step_connections(&mut self, mesh: &mut Mesh, now: Instant) -> bool {
        let ending = std::mem::take(&mut self.ending);
        let connecting = std::mem::take(&mut self.connecting);
        let is_any = !ending.is_empty() || !connecting.is_empty();
        for owner in &ending {
            if let Some(unique) = self.connections.get(owner).cloned() {
                // What it has not read is read, before it ends.
                while self.step_connection(&unique, mesh, now) {}
                self.connections.remove(owner);
                self.bus_with(&unique).disconnect(&unique);
            }
        }
        for (owner, (on, waiting)) in connecting {
            if ending.contains(&owner) {
                continue;
            }
            let Some(bus) = self.bus_of(on) else {
                continue;
            };
            let unique = bus.connect(false);
            for message in waiting {
                bus.send(&unique, &message);
            }
            if on == OWN_BUS {
                self.own_names.add(unique.as_str().into());
            }
            self.connections.insert(owner, unique.clone());
            if let Owner::Import(import) = owner {
                self.import.handle_connected(import, unique.into());
            }
        }
        self.carry_out(mesh);
        is_any
    }

    /// Time has passed, or something happened that somebody waits for.
    pub(super) fn turn(&mut self, mesh: &mut Mesh, now: Instant) {
        self.export.handle_origin_timeout(now);
        self.carry_out(mesh);
        let owners: Vec<Owner> = self.connections.keys().copied().collect();
        for owner in owners {
            match owner {
                Owner::Import(import) => {
                    self.import.handle_timeout(import, now);
                }
                Owner::Caller(caller) => {
                    let raised = self.last_barrier();
                    let signals = Signals {
                        is_level: self.bus.news.is_empty(),
                        raised: Cell::new(raised),
                        passed: self.passed,
                    };
                    self.export.handle_turn(caller, &signals, now);
                    let barriers = (raised..signals.raised.get()).map(|it| News::Barrier(it + 1));
                    self.bus.news.extend(barriers);
                }
            }
            self.carry_out(mesh);
        }
    }

    fn last_barrier(&self) -> u64 {
        let mut barriers = self.bus.news.iter().rev();
        let last = barriers.find_map(|news| match news {
            News::Barrier(number) => Some(*number),
            _ => None,
        });
        last.unwrap_or(self.passed)
    }

    /// Other rules hold.
    pub(super) fn set_policy(&mut self, number: u8, mesh: &mut Mesh) {
        self.policy = number % POLICIES;
        self.export.handle_rules(policy(number), limits());
        self.carry_out(mesh);
    }

    /// Whether the rules let a bridge use a service.
    pub(super) fn may_use(&self, service: &str, other: usize) -> bool {
        match self.policy {
            0 => true,
            1 => service == SERVICES[0],
            2 => other == 0,
            _ => false,
        }
    }

    /// The name under which this bridge has a service of another one.
    pub(super) fn shown(&self, service: &str, from: usize) -> String {
        format!("{service}.{}", NAMES[from])
    }
}

/// The number of the bus of a bridge.
pub(super) const OWN_BUS_NUMBER: u32 = 1;

//! Which wires there are, and what has to be done for them: the pure half.
//!
//! Model: a [`Board`] has every wire: those that were made here, and those that others made between nodes,
//! which are in the lists of subscribers. It follows nodes and services and says what to do as
//! [`Output`]s. **After each call that takes `&mut self`, drain [`Board::poll_output`] until it gives
//! `None`.**
//! Invariants:
//! B1. A wire of ours is made whenever both ends are here, and is taken apart, not forgotten, when one
//!     goes. Of nodes that come back with another UUID the name counts.
//! B2. A direct wire that somebody takes away while both nodes are here is gone; a lasting one is made
//!     again after [`Output::Later`].
//! B3. Two wires never have the same ends; the later one takes the place of the former.
//! B4. When nodes enter, a subscription is told again, also where it is listed: pyZOCP lists those who left.
//!     It is told once more after [`Output::Later`], and again until it is listed: an emitter's node that
//!     has not met the sensor's yet cannot follow.
//! Limits: [`WIRES_MAX`] wires of ours; [`SEEN_MAX`] of others, above that they are not shown.
//! Not here: doing what is said (`super::Wires`), whether values arrive (`super::record`).

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use zocp_node::{
    PeerId, PeerInfo,
    model::{Change, Tree},
};

use super::{
    conversion::Conversion,
    end::{End, NodeEnd},
    nodes::{Nodes, Spot, sensors},
    plan::{Plan, PlanError, Route, plan},
};
use crate::label::label;

/// The number of a wire, and the last element of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WireId(pub(super) u32);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Board {
    me: PeerId,
    nodes: Nodes,
    wires: BTreeMap<WireId, Wire>,
    /// Direct wires by their emitter, made or seen.
    direct: HashMap<Spot, Vec<WireId>>,
    /// Services that are on the bus, of those that wires name.
    services: HashSet<Arc<str>>,
    last: u32,
    seen: usize,
    output: VecDeque<Output>,
}

/// A wire.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// Where it begins.
    pub from: End,
    /// Where it ends.
    pub to: End,
    /// What it makes of values.
    pub conversion: Conversion,
    /// Whether it outlives the bridge.
    pub lasting: bool,
    /// By whom it was made.
    pub maker: Maker,
    stage: Stage,
}

/// By whom a wire was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// By a client of this bridge.
    Us,
    /// By somebody else, between two nodes.
    Others,
}

/// How far a wire is.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// Something is not here.
    Waiting(PlanError),
    /// The nodes were told; the emitter does not list it yet.
    Asked { emitter: Spot, sensor: Spot },
    /// The emitter lists it.
    Direct { emitter: Spot, sensor: Spot },
    /// It goes through this bridge.
    Through(Route),
    /// It cannot be.
    Refused(String),
}

/// What is shown of how far a wire is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// An end is missing; which.
    Waiting(Option<String>),
    /// Values pass.
    Active,
    /// It cannot be; why.
    Failed(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(super) enum Output {
    /// Tell the emitter's node of a subscription; failure is told by [`Board::refuse`].
    Subscribe(WireId, Spot, Spot),
    /// Tell it of the end of one.
    Unsubscribe(Spot, Spot),
    /// Pass values on.
    Start(WireId, Route),
    /// Pass no more on; what has come is delivered.
    Stop(WireId),
    /// Show it, or that it changed.
    Show(WireId),
    /// It is gone: nothing of it is passed on any more.
    Hide(WireId),
    /// Call [`Board::again`] after a while. Several for one wire are one.
    Later(WireId),
    /// The wires that outlive the bridge are others now.
    Keep,
    /// Tell by [`Board::service`] whether this service is on the bus, now and from now on.
    Watch(Arc<str>),
    /// That is of no interest any more.
    Unwatch(Arc<str>),
}

/// Why a wire is not made, or not found. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WireError {
    /// It cannot be made, or not now.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// As many as may be.
    #[error("there are {WIRES_MAX} wires already")]
    TooMany,
    /// There is none with these ends, or of that number.
    #[error("there is no such wire")]
    Unknown,
}

impl Board {
    /// A board of a bridge that is this node.
    #[must_use]
    pub(super) fn new(me: PeerId, name: &str) -> Self {
        let mut nodes = Nodes::default();
        nodes.insert(me, name, true, true);
        Self {
            me,
            nodes,
            wires: BTreeMap::new(),
            direct: HashMap::new(),
            services: HashSet::new(),
            last: 0,
            seen: 0,
            output: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// A wire.
    #[must_use]
    pub(super) fn wire(&self, id: WireId) -> Option<&Wire> {
        self.wires.get(&id)
    }

    /// All wires.
    pub(super) fn wires(&self) -> impl Iterator<Item = (WireId, &Wire)> {
        self.wires.iter().map(|(id, wire)| (*id, wire))
    }

    /// The direct wires that begin at an emitter.
    #[must_use]
    pub(super) fn direct_at(&self, emitter: &Spot) -> &[WireId] {
        self.direct.get(emitter).map_or(&[], Vec::as_slice)
    }

    /// Makes a wire; one with the same ends gives way. Both ends must be here, unless it is lasting.
    ///
    /// # Errors
    /// See [`WireError`].
    pub(super) fn connect(
        &mut self,
        (from, to): (End, End),
        conversion: Conversion,
        lasting: bool,
    ) -> Result<WireId, WireError> {
        for end in [&from, &to] {
            self.watch(end);
        }
        let planned = self.plan((&from, &to), &conversion);
        if let Err(error) = &planned
            && !(lasting && error.may_pass())
            // Whether a service is here is not known before the bus has answered.
            && !matches!(error, PlanError::NoService(_))
        {
            return Err(error.clone().into());
        }
        let (from, to) = (self.named(from), self.named(to));
        let old = self.find(&from, &to);
        if let Some(old) = old
            && let Some(wire) = self.wires.get_mut(&old)
            && wire.conversion == conversion
        {
            let kept = wire.lasting || lasting;
            let changed = wire.maker == Maker::Others || wire.lasting != kept;
            if wire.maker == Maker::Others {
                self.seen = self.seen.saturating_sub(1);
            }
            (wire.maker, wire.lasting) = (Maker::Us, kept);
            if changed {
                self.output.push_back(Output::Show(old));
                self.output.push_back(Output::Keep);
            }
            return Ok(old);
        }
        let ours = self.wires.values().filter(|wire| wire.maker == Maker::Us);
        if ours.count() >= WIRES_MAX {
            return Err(WireError::TooMany);
        }
        if let Some(old) = old {
            self.take(old);
        }
        let error = match planned {
            Err(error) => error,
            Ok(_) => PlanError::SamePlace,
        };
        let id = self.insert(Wire {
            from,
            to,
            conversion,
            lasting,
            maker: Maker::Us,
            stage: Stage::Waiting(error),
        });
        self.output.push_back(Output::Keep);
        self.output.push_back(Output::Show(id));
        self.settle(id);
        Ok(id)
    }

    /// Takes the wire between two ends away, by whomever it was made.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn disconnect(&mut self, from: End, to: End) -> Result<WireId, WireError> {
        let (from, to) = (self.named(from), self.named(to));
        let id = self.find(&from, &to).ok_or(WireError::Unknown)?;
        self.remove(id)?;
        Ok(id)
    }

    /// Takes a wire away, by whomever it was made.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn remove(&mut self, id: WireId) -> Result<(), WireError> {
        if !self.wires.contains_key(&id) {
            return Err(WireError::Unknown);
        }
        self.take(id);
        self.output.push_back(Output::Keep);
        Ok(())
    }

    /// A subscription could not be told.
    pub(super) fn refuse(&mut self, id: WireId, reason: String) {
        if let Some(wire) = self.wires.get_mut(&id)
            && let Stage::Asked { .. } = wire.stage
        {
            wire.stage = Stage::Refused(reason);
            self.output.push_back(Output::Show(id));
        }
    }

    /// The time that [`Output::Later`] asked for has passed.
    pub(super) fn again(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(&id).filter(|wire| wire.maker == Maker::Us) else {
            return;
        };
        match wire.stage.clone() {
            Stage::Asked { emitter, sensor } => {
                self.output
                    .push_back(Output::Subscribe(id, emitter, sensor));
                self.output.push_back(Output::Later(id));
            }
            Stage::Direct { emitter, sensor } => {
                self.output
                    .push_back(Output::Subscribe(id, emitter, sensor));
            }
            _ => self.settle(id),
        }
    }

    /// A service is on the bus, or is not any more.
    pub(super) fn service(&mut self, name: &str, is_here: bool) {
        let changed = if is_here {
            self.services.insert(name.into())
        } else {
            self.services.remove(name)
        };
        if changed {
            let names = |end: &End| matches!(end, End::Bus(end) if end.service == name);
            self.settle_those(|wire| names(&wire.from) || names(&wire.to));
        }
    }

    /// A peer is here.
    pub(super) fn entered(&mut self, info: &PeerInfo) {
        self.nodes.enter(info);
        self.sync_listed(info.id);
    }

    /// A peer is gone.
    pub(super) fn exited(&mut self, peer: PeerId) {
        let emitters = self.nodes.listed_by(peer);
        self.nodes.leave(peer);
        for spot in emitters {
            self.sync(&spot);
        }
        let of_peer = |wire: &Wire| wire.maker == Maker::Others && wire.has_peer(peer);
        for id in self.those(of_peer) {
            self.take_seen(id);
        }
        self.settle_those(|wire| wire.has_peer(peer));
    }

    /// The tree of a node came.
    pub(super) fn tree_known(&mut self, peer: PeerId, tree: &Tree) {
        for spot in self.nodes.adopt(peer, tree) {
            self.sync(&spot);
        }
        self.settle_those(|wire| !wire.is_at_rest());
    }

    /// A node's tree changed, maybe our own.
    pub(super) fn changed(&mut self, peer: PeerId, changes: &[Change]) {
        for change in changes {
            for spot in self.nodes.follow(peer, change) {
                self.sync(&spot);
                let name = self.nodes.get(peer).map(|node| node.name.clone());
                let about = (peer, name.unwrap_or_default(), spot.path.to_string());
                self.settle_those(|wire| wire.is_about(&about));
            }
        }
    }

    /// Our own tree changed.
    pub(super) fn local_changed(&mut self, changes: &[Change]) {
        self.changed(self.me, changes);
    }

    /// Makes a wire if it can be, and takes it apart if it cannot.
    fn settle(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(&id).filter(|wire| wire.maker == Maker::Us) else {
            return;
        };
        let planned = self.plan((&wire.from, &wire.to), &wire.conversion);
        let stage = match planned {
            Ok(Plan::Direct { emitter, sensor }) => match &wire.stage {
                Stage::Asked {
                    emitter: e,
                    sensor: s,
                }
                | Stage::Direct {
                    emitter: e,
                    sensor: s,
                } if (e, s) == (&emitter, &sensor) => {
                    return;
                }
                _ if self.lists(&emitter, &sensor) => Stage::Direct { emitter, sensor },
                _ => Stage::Asked { emitter, sensor },
            },
            Ok(Plan::Through(route)) => match &wire.stage {
                Stage::Through(old) if *old == route => return,
                _ => Stage::Through(route),
            },
            Err(error) if error.may_pass() => Stage::Waiting(error),
            Err(error) => Stage::Refused(error.to_string()),
        };
        if wire.stage == stage {
            return;
        }
        self.leave_stage(id);
        self.enter_stage(id, stage);
    }

    fn enter_stage(&mut self, id: WireId, stage: Stage) {
        match &stage {
            Stage::Asked { emitter, sensor } | Stage::Direct { emitter, sensor } => {
                self.direct.entry(emitter.clone()).or_default().push(id);
                let (emitter, sensor) = (emitter.clone(), sensor.clone());
                self.output
                    .push_back(Output::Subscribe(id, emitter, sensor));
                self.output.push_back(Output::Later(id));
            }
            Stage::Through(route) => self.output.push_back(Output::Start(id, route.clone())),
            Stage::Waiting(_) | Stage::Refused(_) => {}
        }
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.pin(&stage);
            wire.stage = stage;
        }
        self.output.push_back(Output::Show(id));
    }

    /// Ends what a wire does; the nodes are told if they are still here.
    fn leave_stage(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(&id) else {
            return;
        };
        match wire.stage.clone() {
            Stage::Asked { emitter, sensor } | Stage::Direct { emitter, sensor } => {
                self.forget_direct(id, &emitter);
                let is_here = |spot: &Spot| self.nodes.get(spot.peer).is_some();
                if is_here(&emitter) && is_here(&sensor) {
                    self.output.push_back(Output::Unsubscribe(emitter, sensor));
                }
            }
            Stage::Through(_) => self.output.push_back(Output::Stop(id)),
            Stage::Waiting(_) | Stage::Refused(_) => {}
        }
    }

    /// Follows who is listed at an emitter: wires that others made or took away, and ours that are
    /// confirmed.
    fn sync(&mut self, emitter: &Spot) {
        let listed = self.listed_at(emitter);
        for id in self.direct_at(emitter).to_vec() {
            let Some(wire) = self.wires.get_mut(&id) else {
                continue;
            };
            let is_listed = wire.sensor().is_some_and(|sensor| listed.contains(sensor));
            match (&wire.stage, is_listed) {
                (Stage::Asked { emitter, sensor }, true) => {
                    let (emitter, sensor) = (emitter.clone(), sensor.clone());
                    wire.stage = Stage::Direct { emitter, sensor };
                    self.output.push_back(Output::Show(id));
                }
                (Stage::Direct { .. }, false) => self.taken_away(id),
                _ => {}
            }
        }
        for sensor in listed {
            let is_there = self.direct_at(emitter).iter().any(|id| {
                let wire = self.wires.get(id);
                wire.and_then(Wire::sensor) == Some(&sensor)
            });
            if !is_there {
                self.see(emitter, sensor);
            }
        }
    }

    /// Somebody took a direct wire away (B2), or a node of it left.
    fn taken_away(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if wire.maker == Maker::Others {
            return self.take_seen(id);
        }
        let Stage::Direct { emitter, sensor } = wire.stage.clone() else {
            return;
        };
        let are_here = [&emitter, &sensor].map(|spot| self.nodes.known(spot).is_some());
        self.forget_direct(id, &emitter);
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if are_here != [true, true] {
            // The node went, or what it had: `settle` says so.
            let end = wire.from.to_string();
            wire.stage = Stage::Waiting(PlanError::NodeGone(end));
            self.output.push_back(Output::Show(id));
            return self.settle(id);
        }
        if wire.lasting {
            wire.stage = Stage::Waiting(PlanError::Unknown(wire.from.to_string()));
            self.output.push_back(Output::Show(id));
            self.output.push_back(Output::Later(id));
        } else {
            self.wires.remove(&id);
            self.output.push_back(Output::Hide(id));
        }
    }

    /// A wire between two nodes that others made.
    fn see(&mut self, emitter: &Spot, sensor: Spot) {
        let is_relay = emitter.peer == self.me && is_relay(emitter);
        if is_relay || self.seen >= SEEN_MAX {
            return;
        }
        let (Some(from), Some(to)) = (self.end_at(emitter), self.end_at(&sensor)) else {
            return;
        };
        let id = self.insert(Wire {
            from,
            to,
            conversion: Conversion::default(),
            lasting: false,
            maker: Maker::Others,
            stage: Stage::Direct {
                emitter: emitter.clone(),
                sensor,
            },
        });
        self.seen += 1;
        self.direct.entry(emitter.clone()).or_default().push(id);
        self.output.push_back(Output::Show(id));
    }

    /// A wire of others is no more.
    fn take_seen(&mut self, id: WireId) {
        if let Some(wire) = self.wires.remove(&id) {
            if let Stage::Direct { emitter, .. } = &wire.stage {
                self.forget_direct(id, emitter);
            }
            self.seen = self.seen.saturating_sub(1);
            self.output.push_back(Output::Hide(id));
        }
    }

    /// Takes a wire away, of whomever.
    fn take(&mut self, id: WireId) {
        self.leave_stage(id);
        if let Some(wire) = self.wires.remove(&id) {
            if wire.maker == Maker::Others {
                self.seen = self.seen.saturating_sub(1);
            }
            self.output.push_back(Output::Hide(id));
            for end in [&wire.from, &wire.to] {
                self.unwatch(end);
            }
        }
    }

    fn insert(&mut self, wire: Wire) -> WireId {
        // Numbers are given once in a run of the bridge.
        self.last += 1;
        let id = WireId(self.last);
        self.wires.insert(id, wire);
        id
    }

    fn forget_direct(&mut self, id: WireId, emitter: &Spot) {
        if let Some(ids) = self.direct.get_mut(emitter) {
            ids.retain(|one| *one != id);
            if ids.is_empty() {
                self.direct.remove(emitter);
            }
        }
    }

    fn sync_listed(&mut self, receiver: PeerId) {
        for spot in self.nodes.listed_by(receiver) {
            self.sync(&spot);
        }
    }

    /// The sensors of present nodes that an emitter lists.
    fn listed_at(&self, emitter: &Spot) -> Vec<Spot> {
        let Some(known) = self.nodes.known(emitter) else {
            return Vec::new();
        };
        let here = sensors(&known.info).filter_map(|(peer, name)| {
            self.nodes.get(peer)?;
            let path = self.nodes.resolve(peer, name);
            let path = path.unwrap_or_else(|| zocp_node::CapPath::root(name));
            Some(Spot { peer, path })
        });
        here.collect()
    }

    fn lists(&self, emitter: &Spot, sensor: &Spot) -> bool {
        self.listed_at(emitter).contains(sensor)
    }

    fn plan(&self, ends: (&End, &End), conversion: &Conversion) -> Result<Plan, PlanError> {
        let has_service = |name: &str| self.services.contains(name);
        plan(&self.nodes, has_service, ends, conversion)
    }

    /// An end with the names that its node and capability have, where they are here.
    fn named(&self, end: End) -> End {
        let End::Node(end) = end else {
            return end;
        };
        let Some(peer) = self.nodes.find(&end) else {
            return end.into();
        };
        let path = self.nodes.resolve(peer, &end.capability);
        let capability = path.map_or(end.capability, |path| path.to_string());
        let node = self
            .nodes
            .get(peer)
            .map_or(end.node, |node| node.name.clone());
        End::Node(NodeEnd {
            node,
            capability,
            pinned: Some(peer),
        })
    }

    fn end_at(&self, spot: &Spot) -> Option<End> {
        let node = self.nodes.get(spot.peer)?;
        Some(End::Node(NodeEnd {
            node: node.name.clone(),
            capability: spot.path.to_string(),
            pinned: Some(spot.peer),
        }))
    }

    fn find(&self, from: &End, to: &End) -> Option<WireId> {
        let found = self
            .wires
            .iter()
            .find(|(_, wire)| is_same(&wire.from, from) && is_same(&wire.to, to));
        found.map(|(id, _)| *id)
    }

    fn watch(&mut self, end: &End) {
        if let End::Bus(end) = end {
            let service: Arc<str> = end.service.as_str().into();
            self.output.push_back(Output::Watch(service));
        }
    }

    fn unwatch(&mut self, end: &End) {
        let End::Bus(end) = end else { return };
        let names = |one: &End| matches!(one, End::Bus(one) if one.service == end.service);
        let is_named = |wire: &Wire| names(&wire.from) || names(&wire.to);
        if !self.wires.values().any(is_named) {
            self.services.remove(end.service.as_str());
            let service = end.service.as_str().into();
            self.output.push_back(Output::Unwatch(service));
        }
    }

    fn those(&self, is_one: impl Fn(&Wire) -> bool) -> Vec<WireId> {
        let found = self.wires.iter().filter(|(_, wire)| is_one(wire));
        found.map(|(id, _)| *id).collect()
    }

    fn settle_those(&mut self, is_one: impl Fn(&Wire) -> bool) {
        for id in self.those(|wire| wire.maker == Maker::Us && is_one(wire)) {
            self.settle(id);
        }
    }
}

impl Wire {
    /// How far it is.
    #[must_use]
    pub(super) fn state(&self) -> State {
        match &self.stage {
            Stage::Waiting(error) => State::Waiting(Some(error.to_string())),
            Stage::Asked { .. } => State::Waiting(None),
            Stage::Direct { .. } | Stage::Through(_) => State::Active,
            Stage::Refused(reason) => State::Failed(reason.clone()),
        }
    }

    /// Whether values go from node to node without this bridge.
    #[must_use]
    pub(super) fn is_direct(&self) -> bool {
        matches!(self.stage, Stage::Asked { .. } | Stage::Direct { .. })
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.stage, Stage::Direct { .. } | Stage::Through(_))
    }

    fn sensor(&self) -> Option<&Spot> {
        match &self.stage {
            Stage::Asked { sensor, .. } | Stage::Direct { sensor, .. } => Some(sensor),
            _ => None,
        }
    }

    fn has_peer(&self, peer: PeerId) -> bool {
        let pinned = |end: &End| matches!(end, End::Node(end) if end.pinned == Some(peer));
        pinned(&self.from) || pinned(&self.to)
    }

    /// Whether one of its ends is this capability of this node, or may become it.
    fn is_about(&self, (peer, name, capability): &(PeerId, String, String)) -> bool {
        let is_it = |end: &End| match end {
            End::Node(end) if self.is_at_rest() => {
                end.pinned == Some(*peer) && end.capability == *capability
            }
            End::Node(end) => {
                end.pinned == Some(*peer) || end.node == *name || end.node == label(name)
            }
            End::Bus(_) => false,
        };
        is_it(&self.from) || is_it(&self.to)
    }

    /// Notes which very nodes the ends are, and their names.
    fn pin(&mut self, stage: &Stage) {
        let (from, to) = match stage {
            Stage::Asked { emitter, sensor } | Stage::Direct { emitter, sensor } => {
                (Some(emitter), Some(sensor))
            }
            Stage::Through(route) => (route.source.spot(), route.target.spot()),
            Stage::Waiting(_) | Stage::Refused(_) => return,
        };
        for (end, spot) in [(&mut self.from, from), (&mut self.to, to)] {
            if let (End::Node(end), Some(spot)) = (end, spot) {
                end.pinned = Some(spot.peer);
                end.capability = spot.path.to_string();
            }
        }
    }
}

/// Whether two ends mean the same.
fn is_same(one: &End, other: &End) -> bool {
    match (one, other) {
        (End::Node(one), End::Node(other)) => {
            let same_node = match (one.pinned, other.pinned) {
                (Some(one), Some(other)) => one == other,
                _ => one.node == other.node,
            };
            same_node && one.capability == other.capability
        }
        (one, other) => one == other,
    }
}

/// The name of the emitter of ours that hands the values of a wire to a sensor.
pub(super) fn relay_name(id: WireId) -> String {
    format!("{RELAY_PREFIX}{}", id.0)
}

fn is_relay(spot: &Spot) -> bool {
    spot.path.object.is_root() && spot.path.name.starts_with(RELAY_PREFIX)
}

/// Wires that were made here.
pub(super) const WIRES_MAX: usize = 4096;
/// Wires of others that are shown.
pub(super) const SEEN_MAX: usize = 16_384;
const RELAY_PREFIX: &str = "wire ";

//! The registry of wires: which wires exist and what must be done for them, without I/O.
//!
//! Model: a [`Registry`] holds all wires: those made by clients of this bridge, and foreign ones, which other programs
//! made between nodes and which appear in lists of subscribers. It follows nodes and services and returns what must be
//! done as [`Output`]s. **After each call that takes `&mut self`, call [`Registry::poll_output`] until it returns
//! `None`.**
//! Invariants:
//! WIREREGISTRY-1. A wire of this bridge is active whenever both ends are present. When an end disappears, the wire
//!     waits instead of being deleted. A node that returns with another UUID is recognized by its name.
//! WIREREGISTRY-2. A direct wire whose subscription is removed while both nodes are present is deleted; a lasting wire
//!     is made again after [`Output::Later`].
//! WIREREGISTRY-3. No two wires have the same ends; a new one replaces the old one.
//! WIREREGISTRY-4. When nodes enter, a subscription is requested again, even if the emitter lists it, because pyZOCP
//!     keeps nodes that have left in its lists. It is requested once more after [`Output::Later`], and again until it
//!     is listed, because the emitter's node ignores the request until it has met the sensor's node.
//! WIREREGISTRY-5. The emitter's node lists a subscriber that has left as missed; the wire waits for its return.
//! Limits: [`Limits::wires_max`] wires of this bridge; further ones are rejected. [`Limits::wires_seen_max`] foreign
//! wires; further ones are not shown.
//! Layout: `announcements` wires of other bridges; `foreign_wires` wires that others made; `table` lookup by
//! capability; `transitions` state changes of own wires; `wire` a wire and its state.
//! Not here: applying the outputs (`super::Wires`), whether values arrive (`super::record`).

pub(crate) mod announcements;
mod foreign_wires;
mod table;
mod transitions;
mod wire;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use zocp_node::{
    PeerId, PeerInfo,
    model::{Change, Tree},
};

use self::announcements::Announcements;
pub(super) use self::wire::{Maker, State, Wire};
use self::{
    table::WireTable,
    wire::{WireStage, is_same},
};
use super::{
    conversion::Conversion,
    end::{End, NodeEnd},
    limits::Limits,
    nodes::{CapabilityAddress, Nodes},
    plan::{PlanError, Route},
};

/// The number of a wire, and the last element of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WireId(pub(super) u32);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Registry {
    me: PeerId,
    limits: Limits,
    nodes: Nodes,
    wires: WireTable,
    /// Direct wires by emitter, own and foreign ones.
    direct: HashMap<CapabilityAddress, Vec<WireId>>,
    /// Wires that pass through other bridges and are announced by them.
    elsewhere: HashMap<(PeerId, Arc<str>), WireId>,
    announced: Announcements,
    /// The services named by wires that are on the bus.
    services: HashSet<Arc<str>>,
    last: u32,
    foreign_count: usize,
    output: VecDeque<Output>,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(super) enum Output {
    /// Request a subscription from the emitter's node; report a failure with [`Registry::refuse`].
    Subscribe(WireId, CapabilityAddress, CapabilityAddress, InitialValue),
    /// Send the current value of the emitter to the sensor, because the emitter's node does not.
    SendInitial(CapabilityAddress, CapabilityAddress),
    /// Remove a subscription at the emitter's node.
    Unsubscribe(CapabilityAddress, CapabilityAddress),
    /// Start a worker that passes values on.
    Start(WireId, Route),
    /// Stop accepting values; queued values are still delivered.
    Stop(WireId),
    /// Show the wire on the bus, or update it.
    Show(WireId),
    /// Remove the wire from the bus and discard its queued values.
    Hide(WireId),
    /// Call [`Registry::again`] after a delay. Several requests for one wire count as one.
    Later(WireId),
    /// Save the lasting wires, because they have changed.
    Save,
    /// Announce a wire that passes through this bridge.
    Announce(WireId),
    /// Withdraw its announcement.
    Withdraw(WireId),
    /// Report with [`Registry::service`] whether this service is on the bus, now and after each change.
    Watch(Arc<str>),
    /// Stop reporting it.
    Unwatch(Arc<str>),
}

/// Whether the sensor of a new subscription receives the current value of the emitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitialValue {
    /// It receives the current value.
    Wanted,
    /// It receives only later values.
    Unwanted,
}

/// Why a wire cannot be made or found. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WireError {
    /// It cannot be made, or not at the moment.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The limit of wires is reached.
    #[error("the limit of {0} wires is reached")]
    TooMany(usize),
    /// No wire has these ends or this number.
    #[error("there is no such wire")]
    Unknown,
    /// It passes through another bridge, and only that bridge can remove it.
    #[error("the wire passes through the bridge \"{0}\": remove it there")]
    Elsewhere(String),
}

impl Registry {
    /// An empty registry of the bridge with this node id.
    #[must_use]
    pub(super) fn new(me: PeerId, name: &str, limits: Limits) -> Self {
        let mut nodes = Nodes::default();
        nodes.insert_me(me, name);
        Self {
            me,
            limits,
            nodes,
            wires: WireTable::default(),
            direct: HashMap::new(),
            elsewhere: HashMap::new(),
            announced: Announcements::default(),
            services: HashSet::new(),
            last: 0,
            foreign_count: 0,
            output: VecDeque::new(),
        }
    }

    /// The next output.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// A wire.
    #[must_use]
    pub(super) fn wire(&self, id: WireId) -> Option<&Wire> {
        self.wires.get(id)
    }

    /// All wires.
    pub(super) fn wires(&self) -> impl Iterator<Item = (WireId, &Wire)> {
        self.wires.iter()
    }

    /// The direct wires that begin at an emitter.
    #[must_use]
    pub(super) fn direct_at(&self, emitter: &CapabilityAddress) -> &[WireId] {
        self.direct.get(emitter).map_or(&[], Vec::as_slice)
    }

    /// Makes a wire and replaces one with the same ends. Both ends must be present unless the wire is lasting.
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
            // Whether a service is present is not known before the bus has answered.
            && !matches!(error, PlanError::NoService(_))
        {
            let error = error.clone();
            self.unwatch(&from);
            self.unwatch(&to);
            return Err(error.into());
        }
        let (from, to) = (self.named(from), self.named(to));
        let old = self.find(&from, &to);
        if let Some(old) = old
            && let Some(wire) = self.wires.get(old)
            && wire.conversion == conversion
        {
            let kept = wire.lasting || lasting;
            let changed = wire.maker == Maker::Others || wire.lasting != kept;
            if wire.maker == Maker::Others {
                self.foreign_count = self.foreign_count.saturating_sub(1);
            }
            let adopt = |wire: &mut Wire| (wire.maker, wire.lasting) = (Maker::Us, kept);
            self.wires.edit(old, adopt);
            if changed {
                self.output.push_back(Output::Show(old));
                self.output.push_back(Output::Save);
            }
            return Ok(old);
        }
        let has_place = old
            .and_then(|old| self.wires.get(old))
            .is_some_and(|wire| wire.maker == Maker::Us);
        let ours = || {
            self.wires
                .values()
                .filter(|wire| wire.maker == Maker::Us)
                .count()
        };
        if !has_place && ours() >= self.limits.wires_max {
            self.unwatch(&from);
            self.unwatch(&to);
            return Err(WireError::TooMany(self.limits.wires_max));
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
            stage: WireStage::Waiting(error),
        });
        // After the new wire is there, so that a service which both name stays watched.
        if let Some(old) = old {
            self.take(old);
        }
        self.output.push_back(Output::Save);
        self.output.push_back(Output::Show(id));
        self.reconcile(id);
        Ok(id)
    }

    /// Removes the wire between two ends, whoever made it.
    ///
    /// # Errors
    /// There is no such wire, or it passes through another bridge.
    pub(super) fn disconnect(&mut self, from: End, to: End) -> Result<WireId, WireError> {
        let (from, to) = (self.named(from), self.named(to));
        let id = self.find(&from, &to).or_else(|| {
            let mut elsewhere = self.elsewhere.values();
            elsewhere
                .find(|id| self.has_ends(**id, &from, &to))
                .copied()
        });
        let id = id.ok_or(WireError::Unknown)?;
        self.remove(id)?;
        Ok(id)
    }

    /// Removes a wire, whoever made it.
    ///
    /// # Errors
    /// There is no such wire, or it passes through another bridge.
    pub(super) fn remove(&mut self, id: WireId) -> Result<(), WireError> {
        let wire = self.wires.get(id).ok_or(WireError::Unknown)?;
        if let WireStage::Elsewhere(bridge) = wire.stage {
            let name = self.nodes.get(bridge).map(|node| node.name.clone());
            return Err(WireError::Elsewhere(name.unwrap_or_default()));
        }
        self.take(id);
        self.output.push_back(Output::Save);
        Ok(())
    }

    /// The emitter's node could not be asked for a subscription.
    pub(super) fn refuse(&mut self, id: WireId, reason: String) {
        let wire = self.wires.get(id);
        if wire.is_some_and(|wire| matches!(wire.stage, WireStage::Asked { .. })) {
            self.set_stage(id, WireStage::Refused(reason));
            self.output.push_back(Output::Show(id));
        }
    }

    /// The delay of [`Output::Later`] has passed.
    pub(super) fn again(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id).filter(|wire| wire.maker == Maker::Us) else {
            return;
        };
        match wire.stage.clone() {
            WireStage::Asked { emitter, sensor } => {
                let first = self.first(id, &sensor);
                self.output
                    .push_back(Output::Subscribe(id, emitter, sensor, first));
                self.output.push_back(Output::Later(id));
            }
            WireStage::Direct { emitter, sensor } => {
                self.output.push_back(Output::Subscribe(
                    id,
                    emitter,
                    sensor,
                    InitialValue::Unwanted,
                ));
            }
            _ => self.reconcile(id),
        }
    }

    /// A service has appeared on the bus or disappeared from it.
    pub(super) fn service(&mut self, name: &str, is_here: bool) {
        let changed = if is_here {
            self.services.insert(name.into())
        } else {
            self.services.remove(name)
        };
        if changed {
            let names = |end: &End| matches!(end, End::Bus(end) if end.service == name);
            self.reconcile_where(|wire| names(&wire.from) || names(&wire.to));
        }
    }

    /// The same of a bridge in this venue.
    #[must_use]
    pub(super) fn within(mut self, venue: Option<&str>) -> Self {
        self.nodes.set_venue(venue);
        self
    }

    /// A peer has entered.
    pub(super) fn entered(&mut self, info: &PeerInfo) {
        self.nodes.enter(info);
        self.sync_listed(info.id);
    }

    /// A peer has left.
    pub(super) fn exited(&mut self, peer: PeerId) {
        let emitters = self.nodes.listed_by(peer);
        self.nodes.leave(peer);
        for spot in emitters {
            self.sync(&spot);
        }
        let of_peer = |wire: &Wire| wire.is_foreign_at(peer);
        for id in self.ids_where(of_peer) {
            self.remove_foreign(id);
        }
        self.elsewhere.retain(|(bridge, _), _| *bridge != peer);
        self.announced.forget(peer);
        self.reconcile_where(|wire| wire.has_peer(peer));
    }

    /// The tree of a node has arrived.
    pub(super) fn tree_known(&mut self, peer: PeerId, tree: &Tree) {
        for spot in self.nodes.adopt(peer, tree) {
            self.sync(&spot);
        }
        for number in self.announced.adopt(peer, tree) {
            self.follow_announced(peer, number);
        }
        let name = self.nodes.get(peer).map(|node| node.name.clone());
        let about = (peer, name.unwrap_or_default());
        self.reconcile_where(|wire| !wire.is_established() && wire.may_be_at(&about));
    }

    /// The tree of a node, or of this bridge, has changed.
    pub(super) fn changed(&mut self, peer: PeerId, changes: &[Change]) {
        for change in changes {
            if let Some(number) = self.announced.follow(peer, change) {
                self.follow_announced(peer, number);
            }
            for spot in self.nodes.follow(peer, change) {
                self.sync(&spot);
                self.reconcile_at(&spot);
            }
        }
    }

    /// The tree of this bridge has changed.
    pub(super) fn local_changed(&mut self, changes: &[Change]) {
        self.changed(self.me, changes);
    }

    fn insert(&mut self, wire: Wire) -> WireId {
        // A number is never reused while the bridge runs.
        self.last += 1;
        let id = WireId(self.last);
        self.wires.insert(id, wire);
        id
    }

    /// An end with the names of its node and capability, if they are present.
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

    fn find(&self, from: &End, to: &End) -> Option<WireId> {
        let found = self.wires.iter().find(|(id, wire)| {
            !matches!(wire.stage, WireStage::Elsewhere(_)) && self.has_ends(*id, from, to)
        });
        found.map(|(id, _)| id)
    }

    fn has_ends(&self, id: WireId, from: &End, to: &End) -> bool {
        let wire = self.wires.get(id);
        wire.is_some_and(|wire| is_same(&wire.from, from) && is_same(&wire.to, to))
    }
}

/// The name of the emitter that this bridge publishes to send the values of a wire to a sensor.
pub(super) fn relay_name(id: WireId) -> String {
    format!("{RELAY_PREFIX}{}", id.0)
}

fn is_relay(spot: &CapabilityAddress) -> bool {
    spot.path.object.is_root() && spot.path.name.starts_with(RELAY_PREFIX)
}

const RELAY_PREFIX: &str = "wire ";

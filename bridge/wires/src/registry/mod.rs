//! Which wires there are, and what has to be done for them: the pure half.
//!
//! Model: a [`Registry`] has every wire: those that were made here, and those that others made between nodes,
//! which are in the lists of subscribers. It follows nodes and services and says what to do as
//! [`Output`]s. **After each call that takes `&mut self`, drain [`Registry::poll_output`] until it gives
//! `None`.**
//! Invariants:
//! WIREREGISTRY-1. A wire of ours is made whenever both ends are here, and is taken apart, not forgotten, when one
//!     goes. Of nodes that come back with another UUID the name counts.
//! WIREREGISTRY-2. A direct wire that somebody takes away while both nodes are here is gone; a lasting one is made
//!     again after [`Output::Later`].
//! WIREREGISTRY-3. Two wires never have the same ends; the later one takes the place of the former.
//! WIREREGISTRY-4. When nodes enter, a subscription is told again, also where it is listed: pyZOCP lists those who left.
//!     It is told once more after [`Output::Later`], and again until it is listed: an emitter's node that
//!     has not met the sensor's yet cannot follow.
//! WIREREGISTRY-5. A subscriber whose node left is missed by the emitter's node, not forgotten: the wire waits for it.
//! Limits: [`Limits::wires_max`] wires of ours, further ones are refused; [`Limits::wires_seen_max`] of others,
//! above that they are not shown.
//! Layout: `wire` a wire; `stages` what is done for those of ours; `seen` those of others.
//! Not here: doing what is said (`super::Wires`), whether values arrive (`super::record`).

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
    /// Direct wires by their emitter, made or seen.
    direct: HashMap<CapabilityAddress, Vec<WireId>>,
    /// Wires that go through other bridges, as those announce them.
    elsewhere: HashMap<(PeerId, Arc<str>), WireId>,
    announced: Announcements,
    /// Services that are on the bus, of those that wires name.
    services: HashSet<Arc<str>>,
    last: u32,
    foreign_count: usize,
    output: VecDeque<Output>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(super) enum Output {
    /// Tell the emitter's node of a subscription; failure is told by [`Registry::refuse`].
    Subscribe(WireId, CapabilityAddress, CapabilityAddress, InitialValue),
    /// Hand the sensor the value that the emitter has: its node does not do so itself.
    SendInitial(CapabilityAddress, CapabilityAddress),
    /// Tell it of the end of one.
    Unsubscribe(CapabilityAddress, CapabilityAddress),
    /// Pass values on.
    Start(WireId, Route),
    /// Pass no more on; what has come is delivered.
    Stop(WireId),
    /// Show it, or that it changed.
    Show(WireId),
    /// It is gone: nothing of it is passed on any more.
    Hide(WireId),
    /// Call [`Registry::again`] after a while. Several for one wire are one.
    Later(WireId),
    /// The wires that outlive the bridge are others now.
    Save,
    /// Announce a wire that goes through this bridge.
    Announce(WireId),
    /// Announce it no longer.
    Withdraw(WireId),
    /// Tell by [`Registry::service`] whether this service is on the bus, now and from now on.
    Watch(Arc<str>),
    /// That is of no interest any more.
    Unwatch(Arc<str>),
}

/// Whether the sensor of a new subscription gets the value that the emitter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitialValue {
    /// It gets it.
    Wanted,
    /// It waits for the next one.
    Unwanted,
}

/// Why a wire is not made, or not found. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WireError {
    /// It cannot be made, or not now.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// As many as may be.
    #[error("there are {0} wires already")]
    TooMany(usize),
    /// There is none with these ends, or of that number.
    #[error("there is no such wire")]
    Unknown,
    /// It goes through another bridge, which alone can take it away.
    #[error("the wire goes through the bridge \"{0}\": take it away there")]
    Elsewhere(String),
}

impl Registry {
    /// A registry of a bridge that is this node.
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

    /// What to do next.
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
            return Err(WireError::TooMany(self.limits.wires_max));
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
            stage: WireStage::Waiting(error),
        });
        self.output.push_back(Output::Save);
        self.output.push_back(Output::Show(id));
        self.reconcile(id);
        Ok(id)
    }

    /// Takes the wire between two ends away, by whomever it was made.
    ///
    /// # Errors
    /// There is none.
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

    /// Takes a wire away, by whomever it was made.
    ///
    /// # Errors
    /// There is none.
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

    /// A subscription could not be told.
    pub(super) fn refuse(&mut self, id: WireId, reason: String) {
        let wire = self.wires.get(id);
        if wire.is_some_and(|wire| matches!(wire.stage, WireStage::Asked { .. })) {
            self.set_stage(id, WireStage::Refused(reason));
            self.output.push_back(Output::Show(id));
        }
    }

    /// The time that [`Output::Later`] asked for has passed.
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

    /// A service is on the bus, or is not any more.
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
        let of_peer = |wire: &Wire| wire.is_foreign_at(peer);
        for id in self.ids_where(of_peer) {
            self.remove_foreign(id);
        }
        self.elsewhere.retain(|(bridge, _), _| *bridge != peer);
        self.announced.forget(peer);
        self.reconcile_where(|wire| wire.has_peer(peer));
    }

    /// The tree of a node came.
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

    /// A node's tree changed, maybe our own.
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

    /// Our own tree changed.
    pub(super) fn local_changed(&mut self, changes: &[Change]) {
        self.changed(self.me, changes);
    }

    fn insert(&mut self, wire: Wire) -> WireId {
        // Numbers are given once in a run of the bridge.
        self.last += 1;
        let id = WireId(self.last);
        self.wires.insert(id, wire);
        id
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

/// The name of the emitter of ours that hands the values of a wire to a sensor.
pub(super) fn relay_name(id: WireId) -> String {
    format!("{RELAY_PREFIX}{}", id.0)
}

fn is_relay(spot: &CapabilityAddress) -> bool {
    spot.path.object.is_root() && spot.path.name.starts_with(RELAY_PREFIX)
}

const RELAY_PREFIX: &str = "wire ";

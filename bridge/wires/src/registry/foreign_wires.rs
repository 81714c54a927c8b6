//! Foreign wires: those in lists of subscribers and those that other bridges announce; and the search for circles.

use std::{collections::HashSet, sync::Arc};

use zocp_node::{CapPath, PeerId};

use super::{
    super::{
        conversion::Conversion,
        end::{End, NodeEnd},
        nodes::{CapabilityAddress, sensors},
    },
    InitialValue, Output, Registry, WireId, is_relay,
    wire::{Maker, Wire, WireStage},
};

impl Registry {
    /// Reads the list of subscribers of an emitter: adds foreign wires, confirms own ones, and removes both kinds if
    /// they are no longer listed.
    pub(super) fn sync(&mut self, emitter: &CapabilityAddress) {
        let listed = self.listed_at(emitter);
        for id in self.direct_at(emitter).to_vec() {
            let Some(wire) = self.wires.get(id) else {
                continue;
            };
            let is_listed = wire.sensor().is_some_and(|sensor| listed.contains(sensor));
            match (&wire.stage, is_listed) {
                (WireStage::Asked { emitter, sensor }, true) => {
                    let (emitter, sensor) = (emitter.clone(), sensor.clone());
                    let stage = WireStage::Direct {
                        emitter: emitter.clone(),
                        sensor: sensor.clone(),
                    };
                    self.set_stage(id, stage);
                    self.output.push_back(Output::Show(id));
                    if self.first(id, &sensor) == InitialValue::Wanted {
                        self.send_initial(&emitter, &sensor);
                    }
                }
                (WireStage::Direct { .. }, false) => self.subscription_removed(id),
                _ => {}
            }
        }
        for sensor in listed {
            let is_there = self.direct_at(emitter).iter().any(|id| {
                let wire = self.wires.get(*id);
                wire.and_then(Wire::sensor) == Some(&sensor)
            });
            if !is_there {
                self.add_foreign(emitter, sensor);
            }
        }
    }

    /// Adds a foreign wire between two nodes.
    pub(super) fn add_foreign(&mut self, emitter: &CapabilityAddress, sensor: CapabilityAddress) {
        let is_relay = emitter.peer == self.me && is_relay(emitter);
        if is_relay || self.foreign_count >= self.limits.wires_seen_max {
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
            stage: WireStage::Direct {
                emitter: emitter.clone(),
                sensor,
            },
        });
        self.foreign_count += 1;
        self.direct.entry(emitter.clone()).or_default().push(id);
        self.output.push_back(Output::Show(id));
    }

    /// Another bridge has announced a wire, changed it or withdrawn it.
    pub(super) fn follow_announced(&mut self, bridge: PeerId, number: Arc<str>) {
        let key = (bridge, number);
        if let Some(old) = self.elsewhere.remove(&key) {
            self.remove_foreign(old);
        }
        let Some((from, to)) = self.announced.ends(&key) else {
            return;
        };
        if bridge == self.me || self.foreign_count >= self.limits.wires_seen_max {
            return;
        }
        let id = self.insert(Wire {
            from,
            to,
            conversion: Conversion::default(),
            lasting: false,
            maker: Maker::Others,
            stage: WireStage::Elsewhere(bridge),
        });
        self.foreign_count += 1;
        self.elsewhere.insert(key, id);
        self.output.push_back(Output::Show(id));
    }

    /// The wires in a circle: a value that one of them passes on may return to it. Wires that connect two circles
    /// are included.
    pub(crate) fn circles(&self) -> HashSet<WireId> {
        let place = |end: &End| {
            let End::Node(end) = end else { return None };
            let peer = self.nodes.find(end)?;
            let path = self.nodes.resolve(peer, &end.capability)?;
            Some(CapabilityAddress { peer, path })
        };
        let edges = self
            .wires
            .iter()
            .filter_map(|(id, wire)| Some((id, place(&wire.from)?, place(&wire.to)?)));
        circles(edges.collect())
    }

    /// Removes a foreign wire.
    pub(super) fn remove_foreign(&mut self, id: WireId) {
        if let Some(wire) = self.wires.remove(id) {
            if let WireStage::Direct { emitter, .. } = &wire.stage {
                self.forget_direct(id, emitter);
            }
            self.foreign_count = self.foreign_count.saturating_sub(1);
            self.output.push_back(Output::Hide(id));
        }
    }

    pub(super) fn sync_listed(&mut self, receiver: PeerId) {
        for spot in self.nodes.listed_by(receiver) {
            self.sync(&spot);
        }
    }

    /// The sensors of present nodes that an emitter lists.
    pub(super) fn listed_at(&self, emitter: &CapabilityAddress) -> Vec<CapabilityAddress> {
        let Some(known) = self.nodes.known(emitter) else {
            return Vec::new();
        };
        let here = sensors(&known.info).filter_map(|(peer, name)| {
            self.nodes.get(peer)?;
            let path = self.nodes.resolve(peer, name);
            let path = path.unwrap_or_else(|| CapPath::root(name));
            Some(CapabilityAddress { peer, path })
        });
        here.collect()
    }

    pub(super) fn lists(&self, emitter: &CapabilityAddress, sensor: &CapabilityAddress) -> bool {
        self.listed_at(emitter).contains(sensor)
    }

    pub(super) fn end_at(&self, spot: &CapabilityAddress) -> Option<End> {
        let node = self.nodes.get(spot.peer)?;
        Some(End::Node(NodeEnd {
            node: node.name.clone(),
            capability: spot.path.to_string(),
            pinned: Some(spot.peer),
        }))
    }
}

/// The edges in a circle: repeatedly removes the edges without a predecessor or successor, until none is left to
/// remove.
fn circles(mut edges: Vec<(WireId, CapabilityAddress, CapabilityAddress)>) -> HashSet<WireId> {
    loop {
        let begins: HashSet<CapabilityAddress> =
            edges.iter().map(|(_, from, _)| from.clone()).collect();
        let ends: HashSet<CapabilityAddress> = edges.iter().map(|(_, _, to)| to.clone()).collect();
        let before = edges.len();
        edges.retain(|(_, from, to)| ends.contains(from) && begins.contains(to));
        if edges.len() == before {
            return edges.into_iter().map(|(id, ..)| id).collect();
        }
    }
}

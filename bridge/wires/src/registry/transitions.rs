//! State changes of the wires of this bridge: making, suspending and removing them.

use std::sync::Arc;

use super::{
    super::{
        conversion::Conversion,
        end::End,
        nodes::CapabilityAddress,
        plan::{Plan, PlanError, is_state, plan},
    },
    InitialValue, Output, Registry, WireId,
    wire::{Maker, Wire, WireStage},
};

impl Registry {
    /// Compares the state of a wire with what is possible now, and changes it if they differ.
    pub(super) fn reconcile(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id).filter(|wire| wire.maker == Maker::Us) else {
            return;
        };
        let planned = self.plan((&wire.from, &wire.to), &wire.conversion);
        let stage = match planned {
            Ok(Plan::Direct { emitter, sensor }) => match &wire.stage {
                WireStage::Asked {
                    emitter: e,
                    sensor: s,
                }
                | WireStage::Direct {
                    emitter: e,
                    sensor: s,
                } if (e, s) == (&emitter, &sensor) => {
                    return;
                }
                _ if self.lists(&emitter, &sensor) => WireStage::Direct { emitter, sensor },
                _ => WireStage::Asked { emitter, sensor },
            },
            Ok(Plan::Through(route)) => match &wire.stage {
                WireStage::Through(old) if *old == route => return,
                _ => WireStage::Through(route),
            },
            Err(error) if error.may_pass() => WireStage::Waiting(error),
            Err(error) => WireStage::Refused(error.to_string()),
        };
        if wire.stage == stage {
            return;
        }
        self.leave_stage(id);
        self.enter_stage(id, stage);
    }

    pub(super) fn enter_stage(&mut self, id: WireId, stage: WireStage) {
        match &stage {
            WireStage::Asked { emitter, sensor } | WireStage::Direct { emitter, sensor } => {
                self.direct.entry(emitter.clone()).or_default().push(id);
                let (emitter, sensor) = (emitter.clone(), sensor.clone());
                let first = self.first(id, &sensor);
                if matches!(stage, WireStage::Direct { .. }) && first == InitialValue::Wanted {
                    self.send_initial(&emitter, &sensor);
                }
                self.output
                    .push_back(Output::Subscribe(id, emitter, sensor, first));
                self.output.push_back(Output::Later(id));
            }
            WireStage::Through(route) => {
                self.output.push_back(Output::Start(id, route.clone()));
                self.output.push_back(Output::Announce(id));
            }
            WireStage::Waiting(_) | WireStage::Refused(_) | WireStage::Elsewhere(_) => {}
        }
        self.wires.edit(id, |wire| {
            wire.pin(&stage);
            wire.stage = stage;
        });
        self.output.push_back(Output::Show(id));
    }

    /// Leaves the current state; the subscription is removed if both nodes are present.
    pub(super) fn leave_stage(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        match wire.stage.clone() {
            WireStage::Asked { emitter, sensor } | WireStage::Direct { emitter, sensor } => {
                self.forget_direct(id, &emitter);
                let is_here = |spot: &CapabilityAddress| self.nodes.get(spot.peer).is_some();
                if is_here(&emitter) && is_here(&sensor) {
                    self.output.push_back(Output::Unsubscribe(emitter, sensor));
                }
            }
            WireStage::Through(_) => {
                self.output.push_back(Output::Stop(id));
                self.output.push_back(Output::Withdraw(id));
            }
            WireStage::Waiting(_) | WireStage::Refused(_) | WireStage::Elsewhere(_) => {}
        }
    }

    /// Whether the sensor of a new wire receives the current value of the emitter.
    pub(super) fn first(&self, id: WireId, sensor: &CapabilityAddress) -> InitialValue {
        let wire = self.wires.get(id).filter(|wire| wire.maker == Maker::Us);
        let known = self.nodes.known(sensor);
        let is_state = known.is_some_and(|known| is_state(known.info.access));
        if wire.is_some_and(|wire| wire.conversion.is_initial(is_state)) {
            InitialValue::Wanted
        } else {
            InitialValue::Unwanted
        }
    }

    /// Sends the current value to a new subscriber if the emitter's node is an old one, which does not do so itself.
    pub(super) fn send_initial(&mut self, emitter: &CapabilityAddress, sensor: &CapabilityAddress) {
        let node = self.nodes.get(emitter.peer);
        if node.is_some_and(|node| !node.is_extended) {
            self.output
                .push_back(Output::SendInitial(emitter.clone(), sensor.clone()));
        }
    }

    /// The subscription of a direct wire was removed (WIREREGISTRY-2), or one of its nodes left.
    pub(super) fn subscription_removed(&mut self, id: WireId) {
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if wire.maker == Maker::Others {
            return self.remove_foreign(id);
        }
        let WireStage::Direct { emitter, sensor } = wire.stage.clone() else {
            return;
        };
        let are_here = [&emitter, &sensor].map(|spot| self.nodes.known(spot).is_some());
        let is_missed = self.nodes.misses(&emitter, &sensor);
        self.forget_direct(id, &emitter);
        let Some(wire) = self.wires.get(id) else {
            return;
        };
        if are_here != [true, true] {
            // The node or the capability is gone: `reconcile` finds out which.
            let end = wire.from.to_string();
            self.set_stage(id, WireStage::Waiting(PlanError::NodeGone(end)));
            self.output.push_back(Output::Show(id));
            return self.reconcile(id);
        }
        if wire.lasting || is_missed {
            let end = wire.from.to_string();
            self.set_stage(id, WireStage::Waiting(PlanError::Unknown(end)));
            self.output.push_back(Output::Show(id));
            self.output.push_back(Output::Later(id));
        } else {
            self.wires.remove(id);
            self.output.push_back(Output::Hide(id));
        }
    }

    /// Removes a wire, whoever made it.
    pub(super) fn take(&mut self, id: WireId) {
        self.leave_stage(id);
        if let Some(wire) = self.wires.remove(id) {
            if wire.maker == Maker::Others {
                self.foreign_count = self.foreign_count.saturating_sub(1);
            }
            self.output.push_back(Output::Hide(id));
            for end in [&wire.from, &wire.to] {
                self.unwatch(end);
            }
        }
    }

    pub(super) fn forget_direct(&mut self, id: WireId, emitter: &CapabilityAddress) {
        if let Some(ids) = self.direct.get_mut(emitter) {
            ids.retain(|one| *one != id);
            if ids.is_empty() {
                self.direct.remove(emitter);
            }
        }
    }

    pub(super) fn reconcile_where(&mut self, is_one: impl Fn(&Wire) -> bool) {
        for id in self.ids_where(|wire| wire.maker == Maker::Us && is_one(wire)) {
            self.reconcile(id);
        }
    }

    /// Reconciles the wires that a change of a capability affects.
    pub(super) fn reconcile_at(&mut self, spot: &CapabilityAddress) {
        let name = self.nodes.get(spot.peer).map(|node| node.name.clone());
        let about = (spot.peer, name.unwrap_or_default(), spot.path.to_string());
        for id in self.wires.concerned(spot) {
            let wire = self.wires.get(id);
            if wire.is_some_and(|wire| wire.maker == Maker::Us && wire.is_about(&about)) {
                self.reconcile(id);
            }
        }
    }

    pub(super) fn set_stage(&mut self, id: WireId, stage: WireStage) {
        self.wires.edit(id, |wire| wire.stage = stage);
    }

    pub(super) fn ids_where(&self, is_one: impl Fn(&Wire) -> bool) -> Vec<WireId> {
        let found = self.wires.iter().filter(|(_, wire)| is_one(wire));
        found.map(|(id, _)| id).collect()
    }

    pub(super) fn plan(
        &self,
        ends: (&End, &End),
        conversion: &Conversion,
    ) -> Result<Plan, PlanError> {
        let has_service = |name: &str| self.services.contains(name);
        plan(&self.nodes, has_service, ends, conversion)
    }

    pub(super) fn watch(&mut self, end: &End) {
        if let End::Bus(end) = end {
            let service: Arc<str> = end.service.as_str().into();
            self.output.push_back(Output::Watch(service));
        }
    }

    pub(super) fn unwatch(&mut self, end: &End) {
        let End::Bus(end) = end else { return };
        let names = |one: &End| matches!(one, End::Bus(one) if one.service == end.service);
        let is_named = |wire: &Wire| names(&wire.from) || names(&wire.to);
        if !self.wires.values().any(is_named) {
            self.services.remove(end.service.as_str());
            let service = end.service.as_str().into();
            self.output.push_back(Output::Unwatch(service));
        }
    }
}

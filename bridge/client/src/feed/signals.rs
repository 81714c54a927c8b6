//! Signals become changes of the model.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokio::time::Instant;
use zbus::{Message, OwnedObjectPath, OwnedVariant, names::OwnedInterfaceName};
use zocp_interfaces::{
    BRIDGE_INTERFACE, EXPORTER_INTERFACE, LOCAL_PATH, NODE_PATH, OBJECT_INTERFACE, PEER_INTERFACE,
    PEERS_PATH, VALUES_INTERFACE, WIRE_INTERFACE, WIRES_PATH,
};

use super::{Feed, schedule::Whom};
use crate::{
    model::OWN_LABEL,
    tree::{clipped, id, labels},
    value::to_json,
};

impl Feed {
    pub(super) fn apply(&mut self, whom: &Whom, message: &Message) {
        let header = message.header();
        let (Some(member), Some(path)) = (header.member(), header.path()) else {
            return;
        };
        match member.as_str() {
            "PropertiesChanged" => {
                let body = message.body();
                let told: Result<(String, HashMap<String, OwnedVariant>, Vec<String>), _> =
                    body.deserialize();
                if let Ok((interface, changed, invalid)) = told {
                    self.properties(
                        whom,
                        path.as_str(),
                        &interface,
                        changed,
                        !invalid.is_empty(),
                    );
                }
            }
            "InterfacesAdded" => {
                type Added = (
                    OwnedObjectPath,
                    HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>,
                );
                if let Ok((path, interfaces)) = message.body().deserialize::<Added>() {
                    self.added(whom, path.as_str(), interfaces);
                }
            }
            "InterfacesRemoved" => {
                if let Ok((path, _)) = message
                    .body()
                    .deserialize::<(OwnedObjectPath, Vec<String>)>()
                {
                    self.removed(whom, path.as_str());
                }
            }
            _ => {}
        }
    }

    fn properties(
        &mut self,
        whom: &Whom,
        path: &str,
        interface: &str,
        changed: HashMap<String, OwnedVariant>,
        is_partial: bool,
    ) {
        match interface {
            VALUES_INTERFACE if is_partial => {
                self.schedule.want(Instant::now(), whom);
            }
            VALUES_INTERFACE => {
                let (root, node) = match whom {
                    Whom::Bridge => (LOCAL_PATH, OWN_LABEL),
                    Whom::Node(label) => (NODE_PATH, label.as_str()),
                };
                let Some(labels) = labels(root, path) else {
                    return;
                };
                let mut model = self.lock();
                for (member, value) in changed {
                    model.set_value(&id(node, &labels, &member), clipped(to_json(&value)));
                }
            }
            OBJECT_INTERFACE => {
                self.schedule.want(Instant::now(), whom);
            }
            WIRE_INTERFACE => {
                if let Some(number) = wire_number(path) {
                    self.lock().set_wire(number, json(&changed));
                }
            }
            PEER_INTERFACE => {
                if let Some(label) = peer_label(path) {
                    self.peer(label, json(&changed));
                }
            }
            BRIDGE_INTERFACE | EXPORTER_INTERFACE => self.lock().set_bridge(json(&changed)),
            _ => {}
        }
    }

    fn peer(&mut self, label: &str, properties: Map<String, Value>) {
        let bus_name = {
            let mut model = self.lock();
            model.set_peer(label, properties);
            let node = model.nodes().get(label);
            node.map(|node| node.bus_name.clone()).unwrap_or_default()
        };
        self.meet(label, &bus_name);
    }

    fn added(
        &mut self,
        whom: &Whom,
        path: &str,
        mut interfaces: HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>,
    ) {
        if *whom != Whom::Bridge || path.starts_with(LOCAL_PATH) {
            self.schedule.want(Instant::now(), whom);
            return;
        }
        if let (Some(number), Some(wire)) = (wire_number(path), interfaces.remove(WIRE_INTERFACE)) {
            self.lock().set_wire(number, json(&wire));
        } else if let (Some(label), Some(peer)) =
            (peer_label(path), interfaces.remove(PEER_INTERFACE))
        {
            self.peer(label, json(&peer));
        }
    }

    fn removed(&mut self, whom: &Whom, path: &str) {
        if *whom != Whom::Bridge || path.starts_with(LOCAL_PATH) {
            self.schedule.want(Instant::now(), whom);
            return;
        }
        if let Some(number) = wire_number(path) {
            self.lock().lose_wire(number);
        } else if let Some(label) = peer_label(path) {
            let (now, gone) = (self.now(), Whom::Node(label.to_owned()));
            self.schedule.part(&gone);
            self.lock().lose_node(label, now);
        }
    }
}

pub(super) fn wire_number(path: &str) -> Option<u32> {
    path.strip_prefix(WIRES_PATH)?
        .strip_prefix('/')?
        .parse()
        .ok()
}

pub(super) fn peer_label(path: &str) -> Option<&str> {
    path.strip_prefix(PEERS_PATH)?.strip_prefix('/')
}

pub(super) fn json(properties: &HashMap<String, OwnedVariant>) -> Map<String, Value> {
    let properties = properties.iter();
    properties
        .map(|(name, value)| (name.clone(), clipped(to_json(value))))
        .collect()
}

//! The handlers of the interfaces that the bridge's own objects have.

use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, Interfaces, ObjectHandler, ObjectTable, SetRequest},
};
use zocp_interfaces::{
    BRIDGE_INTERFACE, EXPORTER_INTERFACE, LINKS_INTERFACE, LOCAL_INTERFACE, METHODS_INTERFACE,
    MONITOR_INTERFACE, PEER_INTERFACE, STREAMS_INTERFACE, TRUST_INTERFACE, VIEW_INTERFACE,
    VIEWS_INTERFACE, WIRE_INTERFACE,
};

use super::{HubParts, bridge::BridgeHandler, exporter::ExporterHandler, peer::PeerHandler};
use crate::{local::Local, monitor::Monitor};

/// Answers what the table cannot.
pub(super) struct HubHandler {
    pub(super) interfaces: Interfaces,
    pub(super) local: Local,
}

impl ObjectHandler for HubHandler {
    fn call(&self, call: CallRequest) -> impl Future<Output = Answer> + Send {
        self.interfaces.call(call)
    }

    /// Only values of the bridge's own tree can be written; the table refuses everything else.
    fn set(&self, set: SetRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        self.local.set(&set)
    }
}

/// Who answers the calls of each interface.
pub(super) fn handlers(
    parts: HubParts,
    table: &ObjectTable,
    monitor: &Monitor,
    local: &Local,
) -> Interfaces {
    let HubParts {
        node, directory, ..
    } = parts;
    let mut interfaces = Interfaces::default();
    let bridge = BridgeHandler {
        node: node.clone(),
        directory: directory.clone(),
        wires: parts.wires.clone(),
        table: table.clone(),
    };
    interfaces.register(BRIDGE_INTERFACE, bridge);
    interfaces.register(PEER_INTERFACE, PeerHandler { node, directory });
    let exporter = ExporterHandler {
        exporter: parts.exporter,
        venue: parts.venue,
    };
    interfaces.register(EXPORTER_INTERFACE, exporter);
    interfaces.register(LINKS_INTERFACE, parts.links);
    interfaces.register(WIRE_INTERFACE, parts.wires);
    interfaces.register(MONITOR_INTERFACE, monitor.clone());
    interfaces.register(TRUST_INTERFACE, parts.trust);
    interfaces.register(VIEWS_INTERFACE, parts.views.clone());
    interfaces.register(VIEW_INTERFACE, parts.views);
    interfaces.register(LOCAL_INTERFACE, local.clone());
    interfaces.register(METHODS_INTERFACE, local.clone());
    interfaces.register(STREAMS_INTERFACE, local.clone());
    interfaces
}

//! The bridge's own object, with its interfaces.

use zbus::Variant;
use zocp_dbus::{interface::Interface, server::ObjectTable};
use zocp_interfaces::{
    BRIDGE_PATH, EXPORTER_INTERFACE, EXPORTER_XML, LINKS_INTERFACE, LINKS_XML, MONITOR_INTERFACE,
    MONITOR_XML, TRUST_INTERFACE, TRUST_XML, VIEW_INTERFACE, VIEW_XML, VIEWS_INTERFACE, VIEWS_XML,
};

use super::{
    HubError, HubParts,
    description::{bridge, declared},
    rules,
};

/// Puts the interfaces of the bridge's own object on the table.
pub(super) async fn show(
    table: &ObjectTable,
    parts: &HubParts,
    counted: Interface,
) -> Result<(), HubError> {
    let exports = declared(EXPORTER_XML, EXPORTER_INTERFACE)?
        .with("Exports", Variant::new(Vec::<String>::new()))?
        .with("Rules", rules::exports(&[], None))?
        .with("ImportRules", rules::imports(&[], None))?;
    let watching = declared(MONITOR_XML, MONITOR_INTERFACE)?;
    let trusting = declared(TRUST_XML, TRUST_INTERFACE)?;
    let trusting = parts.trust.describe(trusting)?;
    let linking = declared(LINKS_XML, LINKS_INTERFACE)?;
    let viewing = declared(VIEWS_XML, VIEWS_INTERFACE)?;
    let view = declared(VIEW_XML, VIEW_INTERFACE)?;
    let node = &parts.node;
    let bridge = bridge(node, node.groups().await.unwrap_or_default())?;
    table.with(|objects| {
        objects.add_manager(BRIDGE_PATH)?;
        let interfaces = [
            bridge, exports, counted, watching, trusting, linking, viewing,
        ];
        objects.insert(BRIDGE_PATH, interfaces)
    })?;
    parts.wires.show_on(table);
    parts.trust.show_on(table);
    parts.views.show_on(table, view);
    Ok(())
}

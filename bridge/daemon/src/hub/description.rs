//! The interfaces of the bridge and of peers, with the values that they begin with.

use std::collections::BTreeMap;

use crate::{
    engine::Carrier,
    links::{relay_of, way_name},
};
use zbus::Variant;
use zocp_dbus::{
    interface::{Interface, SlotError},
    introspection::{XmlError, parse_interfaces},
    message::Text,
    objects::TableError,
};
use zocp_interfaces::{BRIDGE_INTERFACE, BRIDGE_XML, PEERS_PATH};
use zocp_mapping::directory::path_element;
use zocp_node::{Network, Node, PeerInfo, PublicKey, SharedWay};

/// Why the bridge cannot show itself. Our fault; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A built-in interface cannot be understood.
    #[error("a built-in interface: {0}")]
    Xml(#[from] XmlError),
    /// A built-in file does not declare its interface.
    #[error("{0} is not declared")]
    Undeclared(&'static str),
    /// A property is not what is declared.
    #[error(transparent)]
    Property(#[from] SlotError),
    /// The table refuses an object.
    #[error(transparent)]
    ObjectTable(#[from] TableError),
}

pub(super) fn declared(xml: &str, name: &'static str) -> Result<Interface, HubError> {
    let interfaces = parse_interfaces(xml)?;
    let found = interfaces
        .into_iter()
        .find(|interface| &**interface.name() == name);
    found.ok_or(HubError::Undeclared(name))
}

pub(super) fn bridge(node: &Node, mut groups: Vec<String>) -> Result<Interface, HubError> {
    groups.sort();
    let bridge = declared(BRIDGE_XML, BRIDGE_INTERFACE)?
        .with("Version", env!("CARGO_PKG_VERSION"))?
        .with("Name", node.name().to_owned())?
        .with("Uuid", node.id().to_string())?
        .with("Endpoint", String::new())?
        .with("Groups", Variant::new(groups))?
        .with("Key", key_text(node.key()))?;
    Ok(bridge)
}

/// A key as it is shown: empty where there is none.
fn key_text(key: Option<PublicKey>) -> String {
    key.map_or_else(String::new, |key| key.to_string())
}

pub(super) fn described(
    peer: Interface,
    info: &PeerInfo,
    groups: &[String],
    carrier: Option<Carrier>,
) -> Result<Interface, SlotError> {
    let of_iroh = carrier.as_ref().filter(|_| info.via.is_none());
    let of_iroh = of_iroh.and_then(|carrier| carrier.way.clone());
    let relay = of_iroh.as_ref().map_or("", relay_of).to_owned();
    let endpoint = carrier.map_or_else(|| info.endpoint.clone(), |carrier| carrier.endpoint);
    // As they are shown: two names that look alike there are one.
    let headers = info.headers.iter().map(|(name, value)| {
        let shown = |text: &str| Text::new(text).into_string();
        (shown(name), shown(value))
    });
    let headers: BTreeMap<String, String> = headers.collect();
    peer.with("Name", info.name.clone())?
        .with("Uuid", info.id.to_string())?
        .with("BusName", String::new())?
        .with("Endpoint", endpoint)?
        .with("Headers", Variant::new(headers))?
        .with("Groups", Variant::new(groups.to_vec()))?
        .with("Services", Variant::new(BTreeMap::<String, String>::new()))?
        .with("State", "ready")?
        .with("Venue", info.venue.clone().unwrap_or_default())?
        .with("Way", of_iroh.as_ref().map_or_else(|| way(info), way_name))?
        .with("Relay", relay)?
        .with("Secure", info.is_secure())?
        .with("Key", key_text(info.key))
}

/// Which connections carry the messages of a peer and those to it.
fn way(info: &PeerInfo) -> &'static str {
    match info.shared {
        _ if info.via.is_some() => "passed",
        None => "separate",
        Some(SharedWay::Ours) => "ours",
        Some(SharedWay::Theirs) => THEIRS,
    }
}

pub(super) const THEIRS: &str = "theirs";

/// Where peers reach us: an address of the first network that is not the loopback, if there is one.
pub(super) fn endpoint(networks: &[Network], port: u16) -> String {
    let outside = networks.iter().find(|network| !network.loopback);
    match outside.or_else(|| networks.first()) {
        Some(network) if network.address.is_ipv6() => {
            format!("tcp://[{}%{}]:{port}", network.address, network.name)
        }
        Some(network) => format!("tcp://{}:{port}", network.address),
        None => String::new(),
    }
}

/// Where the peer with a label is.
pub(super) fn peer_path(label: &str) -> String {
    format!("{PEERS_PATH}/{}", path_element(label))
}

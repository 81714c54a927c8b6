//! The fixed D-Bus interfaces of the bridge: names, paths, errors, the XML texts, typed proxies.
//!
//! Model: the files `org.z25.Zocp1.*.xml` beside this crate are the source of truth; the daemon makes
//! its introspection data from them, and the typed proxies in [`proxies`] say the same in Rust.
//! Invariants: a name that ends in 1 only ever gains members; a removal makes a new name.
//! Not here: the members of `Values`, `Signals` and `Methods`. They are a node's own and are made at
//! run time; their XML holds the rule only.
//! Spec: docs/reference/dbus.md

pub mod errors;
pub mod proxies;

pub use proxies::{
    BridgeProxy, ExporterProxy, LinksProxy, LocalProxy, MonitorProxy, ObjectProxy, PeerProxy,
    StatisticsProxy, TrustProxy, ViewProxy, ViewsProxy, WireProxy,
};

/// The bus name of the bridge.
pub const BRIDGE_NAME: &str = "org.z25.Zocp1";
/// The root object of the bridge, with [`BRIDGE_INTERFACE`] and `ObjectManager`.
pub const BRIDGE_PATH: &str = "/org/z25/Zocp1";
/// Below it is one object for each present peer, its last element the peer's label.
pub const PEERS_PATH: &str = "/org/z25/Zocp1/nodes";
/// The root object of the bridge's own tree, with [`LOCAL_INTERFACE`], on the bridge's connection.
pub const LOCAL_PATH: &str = "/org/z25/Zocp1/Local";
/// Below it is one object for each wire, its last element a number.
pub const WIRES_PATH: &str = "/org/z25/Zocp1/wires";
/// Below it is one object for each view, its last element a number.
pub const VIEWS_PATH: &str = "/org/z25/Zocp1/views";
/// The bus name of a mirrored node is this and the node's label.
pub const NODE_NAME_PREFIX: &str = "org.z25.Zocp1.Node.";
/// Where a bus may have a policy, every connection of the bridge has this name or waits for it: a rule with it as
/// its destination is about all of them.
pub const POLICY_NAME: &str = "org.z25.Zocp1.Connections";
/// The annotation of a method with the action that a caller must be authorized for, as polkit names it.
pub const ACTION_ANNOTATION: &str = "org.z25.Zocp1.Action";
/// The root object of a mirrored node, with `ObjectManager`.
pub const NODE_PATH: &str = "/org/z25/Zocp1/Node";

/// The bridge itself.
pub const BRIDGE_INTERFACE: &str = "org.z25.Zocp1.Bridge";
/// Which services of this bus peers may use.
pub const EXPORTER_INTERFACE: &str = "org.z25.Zocp1.Exporter";
/// Who calls from another machine.
pub const CALLER_INTERFACE: &str = "org.z25.Zocp1.Caller";
/// The object with [`CALLER_INTERFACE`], on the connection of each remote caller.
pub const CALLER_PATH: &str = "/org/z25/Zocp1/Caller";
/// What a service is that the bridge shows of another bus.
pub const IMPORT_INTERFACE: &str = "org.z25.Zocp1.Import1";
/// The object with [`IMPORT_INTERFACE`], on the connection of each such service.
pub const IMPORT_PATH: &str = "/org/z25/Zocp1/Import";
/// The links to bridges of other venues.
pub const LINKS_INTERFACE: &str = "org.z25.Zocp1.Links";
/// The bridge as a node: what programs publish.
pub const LOCAL_INTERFACE: &str = "org.z25.Zocp1.Local";
/// What happens, told live to those who watch.
pub const MONITOR_INTERFACE: &str = "org.z25.Zocp1.Monitor";
/// One peer on the mesh.
pub const PEER_INTERFACE: &str = "org.z25.Zocp1.Peer";
/// What was counted, of the bridge and of each peer.
pub const STATISTICS_INTERFACE: &str = "org.z25.Zocp1.Statistics";
/// Whose keys are trusted.
pub const TRUST_INTERFACE: &str = "org.z25.Zocp1.Trust";
/// One bus of its own.
pub const VIEW_INTERFACE: &str = "org.z25.Zocp1.View";
/// Buses of their own, on which services of other machines have their original names.
pub const VIEWS_INTERFACE: &str = "org.z25.Zocp1.Views";
/// One wire.
pub const WIRE_INTERFACE: &str = "org.z25.Zocp1.Wire";
/// What describes an object of a mirrored node.
pub const OBJECT_INTERFACE: &str = "org.z25.Zocp1.Object";
/// The state of an object of a mirrored node: a property for each capability with a value.
pub const VALUES_INTERFACE: &str = "org.z25.Zocp1.Values";
/// The events of an object of a mirrored node: a signal for each capability that emits.
pub const SIGNALS_INTERFACE: &str = "org.z25.Zocp1.Signals";
/// The streams of an object of a mirrored node.
pub const STREAMS_INTERFACE: &str = "org.z25.Zocp1.Streams";
/// The methods of an object of a mirrored node.
pub const METHODS_INTERFACE: &str = "org.z25.Zocp1.Methods";

/// The documented introspection data of [`BRIDGE_INTERFACE`].
pub const BRIDGE_XML: &str = include_str!("../org.z25.Zocp1.Bridge.xml");
/// The documented introspection data of [`EXPORTER_INTERFACE`].
pub const EXPORTER_XML: &str = include_str!("../org.z25.Zocp1.Exporter.xml");
/// The introspection data of [`CALLER_PATH`].
pub const CALLER_XML: &str = include_str!("../org.z25.Zocp1.Caller.xml");
/// The documentation of [`IMPORT_INTERFACE`].
pub const IMPORT_XML: &str = include_str!("../org.z25.Zocp1.Import1.xml");
/// The documented introspection data of [`LINKS_INTERFACE`].
pub const LINKS_XML: &str = include_str!("../org.z25.Zocp1.Links.xml");
/// The documented introspection data of [`LOCAL_INTERFACE`].
pub const LOCAL_XML: &str = include_str!("../org.z25.Zocp1.Local.xml");
/// The documented introspection data of [`MONITOR_INTERFACE`].
pub const MONITOR_XML: &str = include_str!("../org.z25.Zocp1.Monitor.xml");
/// The documented introspection data of [`PEER_INTERFACE`].
pub const PEER_XML: &str = include_str!("../org.z25.Zocp1.Peer.xml");
/// The documented introspection data of [`STATISTICS_INTERFACE`].
pub const STATISTICS_XML: &str = include_str!("../org.z25.Zocp1.Statistics.xml");
/// The documented introspection data of [`TRUST_INTERFACE`].
pub const TRUST_XML: &str = include_str!("../org.z25.Zocp1.Trust.xml");
/// The documented introspection data of [`VIEW_INTERFACE`].
pub const VIEW_XML: &str = include_str!("../org.z25.Zocp1.View.xml");
/// The documented introspection data of [`VIEWS_INTERFACE`].
pub const VIEWS_XML: &str = include_str!("../org.z25.Zocp1.Views.xml");
/// The documented introspection data of [`WIRE_INTERFACE`].
pub const WIRE_XML: &str = include_str!("../org.z25.Zocp1.Wire.xml");
/// The documented introspection data of [`OBJECT_INTERFACE`].
pub const OBJECT_XML: &str = include_str!("../org.z25.Zocp1.Object.xml");
/// The documented introspection data of [`STREAMS_INTERFACE`].
pub const STREAMS_XML: &str = include_str!("../org.z25.Zocp1.Streams.xml");
/// The rule by which the members of [`VALUES_INTERFACE`] are made.
pub const VALUES_XML: &str = include_str!("../org.z25.Zocp1.Values.xml");
/// The rule by which the members of [`SIGNALS_INTERFACE`] are made.
pub const SIGNALS_XML: &str = include_str!("../org.z25.Zocp1.Signals.xml");
/// The rule by which the members of [`METHODS_INTERFACE`] are made.
pub const METHODS_XML: &str = include_str!("../org.z25.Zocp1.Methods.xml");

/// Annotations on the properties of [`VALUES_INTERFACE`]: what the node says of the capability.
pub mod annotations {
    /// ZOCP's `typeHint`, as it came.
    pub const TYPE_HINT: &str = "org.z25.Zocp1.TypeHint";
    /// ZOCP's `access`, as it came.
    pub const ACCESS: &str = "org.z25.Zocp1.Access";
    /// The lowest value, as JSON.
    pub const MIN: &str = "org.z25.Zocp1.Min";
    /// The highest value, as JSON.
    pub const MAX: &str = "org.z25.Zocp1.Max";
    /// The step between values, as JSON.
    pub const STEP: &str = "org.z25.Zocp1.Step";
}

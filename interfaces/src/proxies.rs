//! Typed clients of the fixed interfaces.
//!
//! Model: one proxy for each interface that has members. `BridgeProxy::new(&connection)` knows where
//! the bridge is; a [`PeerProxy`] is made for a path that the bridge names, an [`ObjectProxy`] for the
//! bus name of a mirrored node.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant, proxy};

/// The bridge itself: `org.z25.Zocp1.Bridge`.
#[proxy(
    interface = "org.z25.Zocp1.Bridge",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Bridge {
    /// The object of a present peer, by its name, its label or (the beginning of) its UUID.
    fn find_node(&self, name_or_uuid: &str) -> zbus::Result<OwnedObjectPath>;
    /// Meets a peer at `tcp://HOST:PORT` without beacons.
    #[zbus(allow_interactive_auth)]
    fn connect(&self, endpoint: &str) -> zbus::Result<()>;
    /// Enters a group.
    #[zbus(allow_interactive_auth)]
    fn join(&self, group: &str) -> zbus::Result<()>;
    /// Goes out of a group.
    #[zbus(allow_interactive_auth)]
    fn leave(&self, group: &str) -> zbus::Result<()>;
    /// Sends octets to every peer in a group.
    fn shout(&self, group: &str, content: &[u8]) -> zbus::Result<()>;
    /// Has what an emitter emits arrive at a sensor.
    #[zbus(allow_interactive_auth)]
    fn wire(
        &self,
        emitter_node: &str,
        emitter: &str,
        sensor_node: &str,
        sensor: &str,
    ) -> zbus::Result<()>;
    /// Takes the wire between two capabilities away.
    #[zbus(allow_interactive_auth)]
    fn unwire(
        &self,
        emitter_node: &str,
        emitter: &str,
        sensor_node: &str,
        sensor: &str,
    ) -> zbus::Result<()>;
    /// Makes a wire between two ends of any kind, with a conversion.
    #[zbus(allow_interactive_auth)]
    fn wire_with(
        &self,
        from: &str,
        to: &str,
        options: HashMap<&str, zbus::Variant<'_>>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// A peer shouted something that is not ZOCP.
    #[zbus(signal)]
    fn shouted(
        &self,
        peer: zbus::ObjectPath<'_>,
        group: &str,
        content: Vec<u8>,
    ) -> zbus::Result<()>;
    /// The version of the bridge.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
    /// The name that the bridge has on the mesh.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
    /// The identity of the bridge on the mesh, 32 hex digits.
    #[zbus(property(emits_changed_signal = "const"))]
    fn uuid(&self) -> zbus::Result<String>;
    /// Where peers reach the bridge.
    #[zbus(property)]
    fn endpoint(&self) -> zbus::Result<String>;
    /// The groups that the bridge is in.
    #[zbus(property)]
    fn groups(&self) -> zbus::Result<Vec<String>>;
    /// The bridge's own public key in Z85; empty where there are no keys.
    #[zbus(property(emits_changed_signal = "const"))]
    fn key(&self) -> zbus::Result<String>;
}

/// Which services of this bus peers may use: `org.z25.Zocp1.Exporter`.
#[proxy(
    interface = "org.z25.Zocp1.Exporter",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Exporter {
    /// Lets peers use a service as long as the caller is on the bus.
    #[zbus(allow_interactive_auth)]
    fn export(&self, service: &str, rules: HashMap<&str, zbus::Variant<'_>>) -> zbus::Result<()>;
    /// Takes that back.
    fn unexport(&self, service: &str) -> zbus::Result<()>;
    /// What peers asked since the caller exported this with `learn`, and whether that is all.
    fn learned(&self, service: &str) -> zbus::Result<(Vec<HashMap<String, OwnedVariant>>, bool)>;
    /// The services that are offered now.
    #[zbus(property)]
    fn exports(&self) -> zbus::Result<Vec<String>>;
    /// The rules by which they are offered.
    #[zbus(property)]
    fn rules(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// The rules for the services of other buses.
    #[zbus(property)]
    fn import_rules(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
}

/// Buses of their own: `org.z25.Zocp1.Views`.
#[proxy(
    interface = "org.z25.Zocp1.Views",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Views {
    /// Makes a bus with the services of these nodes; its address, and the view.
    fn open(
        &self,
        nodes: &[&str],
        options: HashMap<&str, zbus::Variant<'_>>,
    ) -> zbus::Result<(String, OwnedObjectPath)>;
}

/// One bus of its own: `org.z25.Zocp1.View`.
#[proxy(interface = "org.z25.Zocp1.View", default_service = "org.z25.Zocp1")]
pub trait View {
    /// Ends it.
    fn close(&self) -> zbus::Result<()>;
    /// The address of the bus.
    #[zbus(property(emits_changed_signal = "const"))]
    fn address(&self) -> zbus::Result<String>;
    /// The nodes, as `Open` was told.
    #[zbus(property(emits_changed_signal = "const"))]
    fn nodes(&self) -> zbus::Result<Vec<String>>;
    /// The label of the node by the name of each service in the view.
    #[zbus(property)]
    fn services(&self) -> zbus::Result<HashMap<String, String>>;
}

/// The bridge as a node of the mesh: `org.z25.Zocp1.Local`.
#[proxy(
    interface = "org.z25.Zocp1.Local",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1/Local"
)]
pub trait Local {
    /// Makes a value known on the mesh as long as the caller is on the bus.
    #[zbus(allow_interactive_auth)]
    fn publish(
        &self,
        name: &str,
        value: &zbus::Variant<'_>,
        options: HashMap<&str, zbus::Variant<'_>>,
    ) -> zbus::Result<()>;
    /// Offers a method of the caller.
    #[zbus(allow_interactive_auth)]
    fn publish_method(
        &self,
        name: &str,
        object: &zbus::ObjectPath<'_>,
        interface: &str,
        member: &str,
        options: HashMap<&str, zbus::Variant<'_>>,
    ) -> zbus::Result<()>;
    /// Offers a stream, as long as the caller is on the bus.
    #[zbus(allow_interactive_auth)]
    fn publish_stream(
        &self,
        name: &str,
        direction: &str,
        options: HashMap<&str, zbus::Variant<'_>>,
    ) -> zbus::Result<()>;
    /// Takes a value, a method or a stream back.
    #[zbus(allow_interactive_auth)]
    fn unpublish(&self, name: &str) -> zbus::Result<()>;
}

/// One peer on the mesh: `org.z25.Zocp1.Peer`.
#[proxy(interface = "org.z25.Zocp1.Peer", default_service = "org.z25.Zocp1")]
pub trait Peer {
    /// Asks for a sign of life; how long it took, in microseconds.
    fn ping(&self) -> zbus::Result<u64>;
    /// Sends octets to this peer alone.
    fn whisper(&self, content: &[u8]) -> zbus::Result<()>;
    /// The peer whispered something that is not ZOCP.
    #[zbus(signal)]
    fn whispered(&self, content: Vec<u8>) -> zbus::Result<()>;
    /// The name of the peer as it gave it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
    /// The identity of the peer on the mesh, 32 hex digits.
    #[zbus(property(emits_changed_signal = "const"))]
    fn uuid(&self) -> zbus::Result<String>;
    /// The bus name of the mirrored node, or empty.
    #[zbus(property)]
    fn bus_name(&self) -> zbus::Result<String>;
    /// Where the bridge reaches the peer.
    #[zbus(property)]
    fn endpoint(&self) -> zbus::Result<String>;
    /// What the peer said of itself in its greeting.
    #[zbus(property(emits_changed_signal = "const"))]
    fn headers(&self) -> zbus::Result<HashMap<String, String>>;
    /// The groups that the peer is in.
    #[zbus(property)]
    fn groups(&self) -> zbus::Result<Vec<String>>;
    /// The peer's D-Bus services that are on this bus: original name to local bus name.
    #[zbus(property)]
    fn services(&self) -> zbus::Result<HashMap<String, String>>;
    /// The venue that the peer is in; empty if it is that of the bridge.
    #[zbus(property(emits_changed_signal = "const"))]
    fn venue(&self) -> zbus::Result<String>;
    /// `separate`, `ours` or `theirs`: which connections carry what goes to the peer and what comes from it; of a link by
    /// iroh `direct` or `relay`.
    #[zbus(property)]
    fn way(&self) -> zbus::Result<String>;
    /// The relay by which a link by iroh goes.
    #[zbus(property)]
    fn relay(&self) -> zbus::Result<String>;
    /// `ready`, `evasive` or `unreachable`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Whether the peer has proved its key, and the connections to and from it are encrypted.
    #[zbus(property)]
    fn secure(&self) -> zbus::Result<bool>;
    /// The public key that the peer has proved to have, in Z85; empty where there are no keys.
    #[zbus(property(emits_changed_signal = "const"))]
    fn key(&self) -> zbus::Result<String>;
}

/// What describes an object of a mirrored node: `org.z25.Zocp1.Object`.
#[proxy(
    interface = "org.z25.Zocp1.Object",
    default_path = "/org/z25/Zocp1/Node"
)]
pub trait Object {
    /// The raw name of the object; of the root object the name of the node.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    /// What the object says it is, or empty.
    #[zbus(property, name = "Type")]
    fn kind(&self) -> zbus::Result<String>;
    /// Of each capability, by its raw name, what describes it.
    #[zbus(property)]
    fn capabilities(&self) -> zbus::Result<HashMap<String, HashMap<String, OwnedVariant>>>;
    /// Every other entry of the object's tree, by its raw name.
    #[zbus(property)]
    fn data(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
}

/// The links to bridges of other venues: `org.z25.Zocp1.Links`.
#[proxy(
    interface = "org.z25.Zocp1.Links",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Links {
    /// Adds a link, `tcp://HOST:PORT|KEY`; whether that is kept.
    #[zbus(allow_interactive_auth)]
    fn add(&self, to: &str) -> zbus::Result<bool>;
    /// Adds a link, `iroh:ID|KEY` for instance, with options; whether that is kept.
    #[zbus(allow_interactive_auth)]
    fn add_by(&self, to: &str, options: HashMap<&str, zbus::Variant<'_>>) -> zbus::Result<bool>;
    /// Removes one that was added; whether that is kept.
    #[zbus(allow_interactive_auth)]
    fn remove(&self, to: &str) -> zbus::Result<bool>;
    /// All links that this bridge dials, and how each is.
    fn list(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
}

/// Whose keys are trusted on a secure mesh: `org.z25.Zocp1.Trust`.
#[proxy(
    interface = "org.z25.Zocp1.Trust",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Trust {
    /// Trusts a key from now on; which one, and whether that is kept.
    #[zbus(allow_interactive_auth)]
    fn trust(&self, who: &str) -> zbus::Result<(String, bool)>;
    /// Trusts a key no longer; which one, and whether that is kept.
    #[zbus(allow_interactive_auth)]
    fn distrust(&self, who: &str) -> zbus::Result<(String, bool)>;
    /// Whose keys are not trusted and who was heard lately.
    fn strangers(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// Somebody was heard whose key is not trusted.
    #[zbus(signal)]
    fn stranger_heard(
        &self,
        key: &str,
        fingerprint: &str,
        uuid: &str,
        address: &str,
    ) -> zbus::Result<()>;
    /// The bridge's own public key.
    #[zbus(property(emits_changed_signal = "const"))]
    fn key(&self) -> zbus::Result<String>;
    /// The beginning of it, as people compare it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn fingerprint(&self) -> zbus::Result<String>;
    /// Whether a key is trusted when it is used for the first time.
    #[zbus(property)]
    fn first_use(&self) -> zbus::Result<bool>;
    /// The trusted keys, and by whose word.
    #[zbus(property)]
    fn trusted(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// The keys that were distrusted by hand.
    #[zbus(property)]
    fn distrusted(&self) -> zbus::Result<Vec<String>>;
}

/// One wire: `org.z25.Zocp1.Wire`.
#[proxy(interface = "org.z25.Zocp1.Wire", default_service = "org.z25.Zocp1")]
pub trait Wire {
    /// Takes it away.
    #[zbus(allow_interactive_auth)]
    fn remove(&self) -> zbus::Result<()>;
    /// Where it begins.
    #[zbus(property)]
    fn from(&self) -> zbus::Result<String>;
    /// Where it ends.
    #[zbus(property)]
    fn to(&self) -> zbus::Result<String>;
    /// `active`, `waiting` or `failed`.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Whether values go from node to node without the bridge.
    #[zbus(property)]
    fn direct(&self) -> zbus::Result<bool>;
    /// Whether somebody else made it.
    #[zbus(property)]
    fn foreign(&self) -> zbus::Result<bool>;
    /// The values that were passed on.
    #[zbus(property)]
    fn count(&self) -> zbus::Result<u64>;
    /// The values that were not.
    #[zbus(property)]
    fn lost(&self) -> zbus::Result<u64>;
    /// The last value that was passed on.
    #[zbus(property)]
    fn last_value(&self) -> zbus::Result<OwnedVariant>;
    /// Why the last value that was not passed on was not.
    #[zbus(property)]
    fn last_error(&self) -> zbus::Result<String>;
    /// What it makes of values.
    #[zbus(property)]
    fn conversion(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
    /// Whether it is kept when the bridge ends.
    #[zbus(property)]
    fn lasting(&self) -> zbus::Result<bool>;
}

/// What was counted: `org.z25.Zocp1.Statistics`, of the bridge unless another path is named.
#[proxy(
    interface = "org.z25.Zocp1.Statistics",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Statistics {
    /// When counting began, in seconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn since(&self) -> zbus::Result<u64>;
    /// Messages that came over the mesh, and their octets, by what they say.
    #[zbus(property(emits_changed_signal = "false"))]
    fn received(&self) -> zbus::Result<HashMap<String, (u64, u64)>>;
    /// Messages that went out.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sent(&self) -> zbus::Result<HashMap<String, (u64, u64)>>;
    /// D-Bus messages that came from other bridges, and their octets, by their type.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_received(&self) -> zbus::Result<HashMap<String, (u64, u64)>>;
    /// D-Bus messages that went to other bridges.
    #[zbus(property(emits_changed_signal = "false"))]
    fn packets_sent(&self) -> zbus::Result<HashMap<String, (u64, u64)>>;
    /// Octets that wait to be written.
    #[zbus(property(emits_changed_signal = "false"))]
    fn queued(&self) -> zbus::Result<u64>;
    /// Everything else, by group and name.
    #[zbus(property(emits_changed_signal = "false"))]
    fn counts(&self) -> zbus::Result<HashMap<String, HashMap<String, u64>>>;
}

/// What happens, told live: `org.z25.Zocp1.Monitor`.
#[proxy(
    interface = "org.z25.Zocp1.Monitor",
    default_service = "org.z25.Zocp1",
    default_path = "/org/z25/Zocp1"
)]
pub trait Monitor {
    /// A descriptor from which what happens from now on can be read, as the options say.
    #[zbus(allow_interactive_auth)]
    fn open(&self, options: HashMap<&str, zbus::Variant<'_>>) -> zbus::Result<zbus::OwnedFd>;
}

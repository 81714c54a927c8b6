//! The bridge and its nodes as a client finds them.
//!
//! Model: one connection to the bus; every question is answered by the bridge from memory, a whole
//! subtree at once (`GetManagedObjects`).
//! Limits: [`ANSWER_MAX`] for an answer: above the bridge's own deadline of 20 s.

use std::time::Duration;

use futures_util::try_join;
use serde_json::Value;
use zbus::{
    Connection,
    fdo::{self, DBusProxy, ManagedObjects, ObjectManagerProxy, PropertiesProxy},
    names::{BusName, WellKnownName},
};
use zocp_dbus::bus::{BusChoice, connect as reach, session_addresses, system_address};
use zocp_interfaces::{
    BRIDGE_NAME, BRIDGE_PATH, BridgeProxy, NODE_PATH, OBJECT_INTERFACE, VALUES_INTERFACE,
};
use zocp_mapping::label::label;

use crate::{
    exit::{Exit, Failure},
    near::suggestion,
    view::{NodeView, PeerView, Properties, root_of},
};

/// A connection to the bus on which the bridge is.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connection: Connection,
    addresses: Vec<String>,
}

impl Client {
    /// Connects to the bus that the user means; the session bus when nothing is said.
    pub(crate) async fn open(bus: Option<&str>) -> Result<Self, Failure> {
        Self::reach(addresses(bus)?).await
    }

    /// A second connection to the same bus.
    pub(crate) async fn again(&self) -> Result<Self, Failure> {
        Self::reach(self.addresses.clone()).await
    }

    /// The address of the bus.
    pub(crate) fn address(&self) -> &str {
        self.addresses.first().map_or("", String::as_str)
    }

    async fn reach(addresses: Vec<String>) -> Result<Self, Failure> {
        let mut failure = String::from("no address");
        for address in &addresses {
            match connect(address).await {
                Ok(connection) => {
                    let addresses = vec![address.clone()];
                    return Ok(Self {
                        connection,
                        addresses,
                    });
                }
                Err(error) => failure = at(address, &error.to_string()),
            }
        }
        Err(
            Failure::new(Exit::NoBus, format!("cannot reach a bus: {failure}")).hint(
                "name one with --bus, for instance the address that `zocp demo` or `zocp bridge \
             --bus embedded` printed",
            ),
        )
    }

    /// Makes sure that the bridge is there, and lets the bus start it if it can.
    pub(crate) async fn bridge(&self) -> Result<(), Failure> {
        let bus = DBusProxy::new(&self.connection).await?;
        let name = WellKnownName::from_static_str_unchecked(BRIDGE_NAME);
        if bus.name_has_owner(BusName::from(name.clone())).await? {
            return Ok(());
        }
        let activatable = bus.list_activatable_names().await.unwrap_or_default();
        if activatable
            .iter()
            .any(|known| known.as_str() == BRIDGE_NAME)
            && bus.start_service_by_name(name, 0).await.is_ok()
        {
            return Ok(());
        }
        Err(
            Failure::new(Exit::NoBridge, "the bridge is not running on this bus")
                .hint("start it with `zocp bridge`, or name the bus that it is on with --bus"),
        )
    }

    /// Every peer that is present, by name.
    pub(crate) async fn peers(&self) -> Result<Vec<PeerView>, Failure> {
        self.bridge().await?;
        let objects = self.managed(BRIDGE_NAME, BRIDGE_PATH).await?;
        let mut peers: Vec<PeerView> = objects
            .into_iter()
            .filter_map(|(path, object)| PeerView::new(path, object))
            .collect();
        peers.sort_by(|a, b| (&a.name, &a.label).cmp(&(&b.name, &b.label)));
        Ok(peers)
    }

    /// Every peer that is a node, by name, and the bridge behind them.
    pub(crate) async fn nodes(&self) -> Result<Vec<PeerView>, Failure> {
        let mut nodes = self.peers().await?;
        nodes.retain(|peer| !peer.bus_name.is_empty());
        nodes.push(self.own().await?);
        Ok(nodes)
    }

    /// The node that is meant: by its name, its label, or the beginning of its UUID.
    pub(crate) async fn node(&self, text: &str) -> Result<PeerView, Failure> {
        let peers = self.peers().await?;
        if let Some(peer) = find(&peers, text) {
            let peer = peer.clone();
            if peer.bus_name.is_empty() {
                let message = format!("\"{text}\" is a peer that does not speak ZOCP");
                return Err(Failure::new(Exit::NoNode, message));
            }
            return Ok(peer);
        }
        let own = [self.own().await?];
        if let Some(own) = find(&own, text) {
            return Ok(own.clone());
        }
        if let Some(peer) = self.here(&peers, text).await {
            return Ok(peer.clone());
        }
        let failure = Failure::new(Exit::NoNode, format!("no node is called \"{text}\""));
        let names = peers
            .iter()
            .flat_map(|peer| [peer.name.as_str(), peer.label.as_str()]);
        Err(match suggestion(text, names) {
            Some(suggestion) => failure.hint(suggestion),
            None if peers.is_empty() => failure.hint("no node is present at all; see `zocp list`"),
            None => failure.hint("see `zocp list` for those that are present"),
        })
    }

    /// A node of the bridge's own venue that is named with the venue; which one that is, the bridge knows.
    async fn here<'p>(&self, peers: &'p [PeerView], text: &str) -> Option<&'p PeerView> {
        if !text.contains('/') {
            return None;
        }
        let bridge = BridgeProxy::new(&self.connection).await.ok()?;
        let path = bridge.find_node(text).await.ok()?;
        let label = path.as_str().rsplit('/').next()?;
        peers
            .iter()
            .find(|peer| peer.label == label && !peer.bus_name.is_empty())
    }

    /// The bridge as a node, for programs of its own bus.
    pub(crate) async fn own(&self) -> Result<PeerView, Failure> {
        let bridge = BridgeProxy::new(&self.connection).await?;
        let (name, uuid) = (bridge.name().await?, bridge.uuid().await?);
        let endpoint = bridge.endpoint().await?;
        let shown = [
            ("name", &*name),
            ("uuid", &*uuid),
            ("bus_name", BRIDGE_NAME),
            ("endpoint", &*endpoint),
            ("state", "ready"),
        ];
        Ok(PeerView {
            properties: shown
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
                .into_iter()
                .collect(),
            label: label(&name),
            name,
            uuid,
            bus_name: BRIDGE_NAME.to_owned(),
            endpoint,
            state: String::from("ready"),
            is_own: true,
            ..PeerView::default()
        })
    }

    /// The objects of a node.
    pub(crate) async fn tree(&self, bus_name: &str) -> Result<NodeView, Failure> {
        // `GetManagedObjects` has what is below the root, by its specification. The bridge's own objects
        // are below the bridge.
        let manager = match bus_name {
            BRIDGE_NAME => BRIDGE_PATH,
            _ => NODE_PATH,
        };
        let answers = try_join!(
            self.managed(bus_name, manager),
            self.properties(bus_name, OBJECT_INTERFACE),
            self.properties(bus_name, VALUES_INTERFACE),
        );
        match answers {
            Ok((below, object, values)) => Ok(NodeView::new(bus_name, object, values, below)),
            Err(failure) if failure.exit == Exit::Unavailable => {
                Err(failure.hint("the node has just gone; see `zocp list`"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The properties of an interface of a mirrored node's root; none where it has no such interface.
    async fn properties(&self, bus_name: &str, interface: &str) -> Result<Properties, Failure> {
        let properties = PropertiesProxy::builder(&self.connection)
            .destination(bus_name)
            .path(root_of(bus_name))
            .build()
            .await?;
        match properties.get_all(interface.try_into()?).await {
            Ok(properties) => Ok(properties),
            Err(fdo::Error::UnknownInterface(_)) => Ok(Properties::new()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn managed(
        &self,
        bus_name: &str,
        path: &str,
    ) -> Result<ManagedObjects, Failure> {
        let manager = ObjectManagerProxy::builder(&self.connection)
            .destination(bus_name)
            .path(path)
            .build()
            .await?;
        Ok(manager.get_managed_objects().await?)
    }
}

/// What went wrong where; most errors say where themselves.
fn at(address: &str, error: &str) -> String {
    if error.contains(address) {
        error.to_owned()
    } else {
        format!("{address}: {error}")
    }
}

async fn connect(address: &str) -> zbus::Result<Connection> {
    let ready = reach(address).await?;
    ready.method_timeout(ANSWER_MAX).connection().await
}

fn addresses(bus: Option<&str>) -> Result<Vec<String>, Failure> {
    let choice = bus.unwrap_or("session").parse();
    match choice.map_err(|error: zocp_dbus::bus::BusChoiceError| {
        Failure::new(Exit::Usage, error.to_string())
    })? {
        BusChoice::Auto | BusChoice::Session => Ok(session_addresses()),
        BusChoice::System => match system_address() {
            Ok(address) => Ok(vec![address]),
            Err(error) => Err(Failure::new(Exit::NoBus, error.to_string())),
        },
        BusChoice::Address(address) => Ok(vec![address]),
        BusChoice::Embedded => Err(Failure::new(Exit::Usage, "which embedded bus?")
            .hint("give --bus the address that the bridge printed when it started")),
    }
}

/// A name goes before a label, a label before a UUID; of equal names the first that was there, whose
/// label is the shorter one.
fn find<'a>(peers: &'a [PeerView], text: &str) -> Option<&'a PeerView> {
    let named = peers
        .iter()
        .filter(|peer| peer.name == text)
        .min_by_key(|peer| peer.label.len());
    let labelled = || peers.iter().find(|peer| peer.label == text);
    let identified = || {
        let hex = text.replace('-', "").to_lowercase();
        let mut found = peers.iter().filter(|peer| peer.uuid.starts_with(&hex));
        let first = found.next().filter(|_| hex.len() >= UUID_PREFIX_MIN);
        first.filter(|_| found.next().is_none())
    };
    named.or_else(labelled).or_else(identified)
}

const ANSWER_MAX: Duration = Duration::from_secs(24);
/// A shorter beginning of a UUID is more likely a slip.
pub(crate) const UUID_PREFIX_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, label: &str, uuid: &str) -> PeerView {
        PeerView {
            name: name.to_owned(),
            label: label.to_owned(),
            uuid: uuid.to_owned(),
            ..PeerView::default()
        }
    }

    #[test]
    fn a_peer_is_found_by_name_label_and_beginning_of_its_uuid() {
        let peers = [
            peer("lamp@foh", "lamp_40foh", "aabbccdd00112233aabbccdd00112233"),
            peer(
                "fader",
                "fader_aabb0000",
                "aabb0000001122330011223300112233",
            ),
            peer("fader", "fader", "ffbb0000001122330011223300112233"),
        ];
        let label = |text: &str| find(&peers, text).map(|peer| peer.label.as_str());
        assert_eq!(label("lamp@foh"), Some("lamp_40foh"));
        assert_eq!(label("lamp_40foh"), Some("lamp_40foh"));
        assert_eq!(label("fader"), Some("fader"));
        assert_eq!(label("AABBCCDD"), Some("lamp_40foh"));
        assert_eq!(label("aabb-0000"), Some("fader_aabb0000"));
        assert_eq!(label("aabb"), None, "two begin so");
        assert_eq!(label("ff"), None, "too short");
        assert_eq!(label(""), None);
    }

    #[test]
    fn a_client_has_to_be_told_which_embedded_bus() {
        assert_eq!(addresses(Some("embedded")).unwrap_err().exit, Exit::Usage);
        assert_eq!(addresses(Some("sesion")).unwrap_err().exit, Exit::Usage);
        assert_eq!(addresses(Some("unix:path=/x")).unwrap(), ["unix:path=/x"]);
    }
}

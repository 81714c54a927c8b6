//! The questions that are asked of the bus and of the bridge, and their answers.
//!
//! Invariants: ASK-1. the position of an answer is the earliest of those of its parts: what came behind it is newer than
//! one of them, and applying it once again does no harm.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use zbus::{
    Connection, Message, OwnedVariant,
    fdo::{self, ManagedObjects},
    message::Sequence,
};
use zocp_interfaces::{
    BRIDGE_INTERFACE, BRIDGE_NAME, BRIDGE_PATH, EXPORTER_INTERFACE, LOCAL_PATH, METHODS_INTERFACE,
    NODE_NAME_PREFIX, NODE_PATH, OBJECT_INTERFACE, PEER_INTERFACE, STATISTICS_INTERFACE,
    VALUES_INTERFACE, WIRE_INTERFACE,
};

use super::{
    schedule::Whom,
    signals::{json, peer_label, wire_number},
};
use crate::{
    method::methods,
    model::OWN_LABEL,
    tree::{Properties, Reading, Tree},
};

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// Which connection it is.
    Owner(Whom),
    /// All that it shows; with its unique name.
    All(Whom, String),
    /// What was counted.
    Statistics,
}

/// What is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Owner(String),
    Bridge(Box<BridgeAnswer>),
    Node(NodeAnswer),
    Statistics(Map<String, Value>),
}

/// All that the bridge shows.
#[derive(Debug)]
pub(super) struct BridgeAnswer {
    pub(super) position: Sequence,
    pub(super) properties: Map<String, Value>,
    pub(super) peers: BTreeMap<String, Map<String, Value>>,
    pub(super) wires: BTreeMap<u32, Map<String, Value>>,
    /// Its own node.
    pub(super) tree: Tree,
    pub(super) readings: Vec<Reading>,
}

/// All that a node shows.
#[derive(Debug)]
pub(super) struct NodeAnswer {
    pub(super) position: Sequence,
    pub(super) tree: Tree,
    pub(super) readings: Vec<Reading>,
}

/// Asks, and gives the question back with the answer.
pub(super) async fn ask(
    connection: Connection,
    question: Question,
) -> (Question, zbus::Result<Answer>) {
    let answer = match &question {
        Question::Owner(whom) => owner(&connection, whom).await.map(Answer::Owner),
        Question::All(Whom::Bridge, owner) => bridge(&connection, owner)
            .await
            .map(|it| Answer::Bridge(Box::new(it))),
        Question::All(Whom::Node(label), owner) => {
            let place = Place {
                label,
                owner,
                root: NODE_PATH,
            };
            let objects = managed(&connection, owner, NODE_PATH).await;
            match objects {
                Ok((objects, position)) => place
                    .read(&connection, &objects, position)
                    .await
                    .map(Answer::Node),
                Err(error) => Err(error),
            }
        }
        Question::Statistics => statistics(&connection).await.map(Answer::Statistics),
    };
    (question, answer)
}

async fn owner(connection: &Connection, whom: &Whom) -> zbus::Result<String> {
    let name = match whom {
        Whom::Bridge => BRIDGE_NAME.to_owned(),
        Whom::Node(label) => format!("{NODE_NAME_PREFIX}{label}"),
    };
    let dbus = fdo::DBusProxy::new(connection).await?;
    let name = zbus::names::BusName::try_from(name)?;
    Ok(dbus.get_name_owner(name).await?.to_string())
}

async fn bridge(connection: &Connection, owner: &str) -> zbus::Result<BridgeAnswer> {
    let (mut properties, position) =
        properties(connection, owner, BRIDGE_PATH, BRIDGE_INTERFACE).await?;
    let (exports, _) = self::properties(connection, owner, BRIDGE_PATH, EXPORTER_INTERFACE).await?;
    properties.extend(exports);
    let (objects, _) = managed(connection, owner, BRIDGE_PATH).await?;
    let (mut peers, mut wires) = (BTreeMap::new(), BTreeMap::new());
    for (path, interfaces) in &objects {
        let part = |name: &str| interfaces.get(name).map(json);
        if let (Some(label), Some(peer)) = (peer_label(path.as_str()), part(PEER_INTERFACE)) {
            peers.insert(label.to_owned(), peer);
        } else if let (Some(number), Some(wire)) =
            (wire_number(path.as_str()), part(WIRE_INTERFACE))
        {
            wires.insert(number, wire);
        }
    }
    let place = Place {
        label: OWN_LABEL,
        owner,
        root: LOCAL_PATH,
    };
    let own = place.read(connection, &objects, position).await?;
    Ok(BridgeAnswer {
        position,
        properties: json(&properties),
        peers,
        wires,
        tree: own.tree,
        readings: own.readings,
    })
}

/// Where the tree of a node is.
struct Place<'a> {
    label: &'a str,
    owner: &'a str,
    root: &'static str,
}

impl Place<'_> {
    async fn read(
        &self,
        connection: &Connection,
        below: &ManagedObjects,
        position: Sequence,
    ) -> zbus::Result<NodeAnswer> {
        let of_root = async |interface: &str| {
            // The root of a node is not below itself; that of the bridge's own node is below the bridge.
            let known = below.iter().find(|(path, _)| path.as_str() == self.root);
            match known {
                Some((_, interfaces)) => Ok(interfaces.get(interface).cloned().unwrap_or_default()),
                None => {
                    let asked = properties(connection, self.owner, self.root, interface);
                    asked.await.map(|(properties, _)| properties)
                }
            }
        };
        let object = of_root(OBJECT_INTERFACE).await?;
        let values = of_root(VALUES_INTERFACE).await?;
        let (mut tree, readings) = Tree::read(self.label, self.root, (&object, &values), below);
        let paths: Vec<String> = tree.with_methods().map(str::to_owned).collect();
        for path in paths {
            let answer = call(
                connection,
                self.owner,
                &path,
                "Introspectable",
                "Introspect",
                &(),
            )
            .await?;
            let xml: String = answer.body().deserialize()?;
            tree.set_methods(&path, methods(&xml, METHODS_INTERFACE));
        }
        Ok(NodeAnswer {
            position,
            tree,
            readings,
        })
    }
}

async fn managed(
    connection: &Connection,
    owner: &str,
    path: &str,
) -> zbus::Result<(ManagedObjects, Sequence)> {
    let answer = call(
        connection,
        owner,
        path,
        "ObjectManager",
        "GetManagedObjects",
        &(),
    )
    .await?;
    Ok((answer.body().deserialize()?, answer.recv_position()))
}

/// None where there is no such interface; then every message came behind the answer.
async fn properties(
    connection: &Connection,
    owner: &str,
    path: &str,
    interface: &str,
) -> zbus::Result<(Properties, Sequence)> {
    let answer = match call(connection, owner, path, "Properties", "GetAll", &interface).await {
        Err(error) if is_unknown_interface(&error) => {
            return Ok((Properties::new(), Sequence::default()));
        }
        answer => answer?,
    };
    let properties: HashMap<String, OwnedVariant> = answer.body().deserialize()?;
    Ok((properties, answer.recv_position()))
}

fn is_unknown_interface(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::MethodError(name, ..) => name.as_str() == UNKNOWN_INTERFACE,
        zbus::Error::FDO(error) => matches!(**error, fdo::Error::UnknownInterface(_)),
        _ => false,
    }
}

async fn statistics(connection: &Connection) -> zbus::Result<Map<String, Value>> {
    let (properties, _) =
        properties(connection, BRIDGE_NAME, BRIDGE_PATH, STATISTICS_INTERFACE).await?;
    Ok(json(&properties))
}

async fn call<B>(
    connection: &Connection,
    owner: &str,
    path: &str,
    interface: &str,
    member: &str,
    body: &B,
) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::Type,
{
    let interface = format!("org.freedesktop.DBus.{interface}");
    connection
        .call_method(Some(owner), path, Some(interface.as_str()), member, body)
        .await
}

const UNKNOWN_INTERFACE: &str = "org.freedesktop.DBus.Error.UnknownInterface";

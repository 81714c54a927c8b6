//! What there is at a moment, counted: on each bus, in each bridge.
//!
//! Model: a [`Census`] of one site has what must be the same at every quiet moment as *facts*, texts that are compared,
//! and memory, which is not a number that comes back to the byte.
//! Not here: how memory is judged (`memory.rs`).

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use zbus::{Connection, OwnedObjectPath, OwnedVariant, fdo::DBusProxy};

use crate::world::Site;

/// What there is at a site.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub(crate) facts: BTreeSet<String>,
    pub(crate) counts: Counts,
    /// Kilobytes that are the bridge's alone.
    pub(crate) memory: u64,
}

/// The numbers of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) names: u64,
    pub(crate) connections: u64,
    pub(crate) rules: u64,
    pub(crate) objects: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Counts {
    /// Of what is not counted.
    pub(crate) const UNKNOWN: Self = Self {
        names: 0,
        connections: 0,
        rules: 0,
        objects: 0,
        descriptors: 0,
        threads: 0,
    };

    /// Whether nothing is more than it was, save for what bridges make when it is first needed: each asks another's
    /// services in its own name, on a connection of its own. Fewer there may be: it goes with its link.
    fn is_within(self, base: Self) -> bool {
        base == Self::UNKNOWN
            || self.names <= base.names + OWN_MAX
                && self.connections <= base.connections + OWN_MAX
                && self.rules <= base.rules
                && self.objects <= base.objects
                && self.descriptors <= base.descriptors + OWN_MAX
                && self.threads <= base.threads
    }
}

type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;

impl Census {
    /// Counts at a site. Nothing of it waits for the network.
    pub(crate) async fn of(site: &Site) -> zbus::Result<Self> {
        let connection = site.bus.connection();
        let mut facts = BTreeSet::new();
        let mut counts = Counts::default();
        let names = names(connection).await?;
        let bridge = (BRIDGE, BRIDGE_PATH);
        counts.objects += objects(connection, bridge, &mut facts).await?;
        for name in names.iter().filter(|name| name.starts_with(NODE)) {
            // It may leave just now.
            match objects(connection, (name, NODE_PATH), &mut facts).await {
                Ok(objects) => counts.objects += objects,
                Err(error) => drop(facts.insert(format!("{name}: {error}"))),
            }
        }
        facts.extend(names.into_iter().map(|name| format!("name {name}")));
        let stats: HashMap<String, OwnedVariant> = connection
            .call_method(Some(BUS), BUS_PATH, Some(STATS), "GetStats", &())
            .await?
            .body()
            .deserialize()?;
        let stat = |name: &str| {
            let value = stats.get(name).and_then(|value| u32::try_from(value).ok());
            u64::from(value.unwrap_or_default())
        };
        counts.names = stat("BusNames");
        counts.connections = stat("ActiveConnections");
        counts.rules = stat("MatchRules");
        let pid = site.pid().unwrap_or_default();
        let (memory, descriptors) = weight(pid);
        counts.descriptors = descriptors;
        counts.threads = field(&status(pid), "Threads:");
        Ok(Self {
            memory,
            facts,
            counts,
        })
    }

    /// What is different, as sentences.
    pub(crate) fn differences(&self, base: &Self) -> Vec<String> {
        let missing = base.facts.difference(&self.facts);
        let stale = self.facts.difference(&base.facts);
        let missing = missing.map(|fact| format!("missing: {fact}"));
        let mut all: Vec<String> = missing.collect();
        all.extend(stale.map(|fact| format!("stale: {fact}")));
        if !self.counts.is_within(base.counts) {
            all.push(format!("{:?}, was {:?}", self.counts, base.counts));
        }
        all
    }
}

/// Kilobytes that are a process's own, and how many descriptors it has.
pub(crate) fn weight(pid: i32) -> (u64, u64) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (field(&status(pid), "RssAnon:"), descriptors as u64)
}

fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// The well-known names on a bus.
pub(crate) async fn names(connection: &Connection) -> zbus::Result<Vec<String>> {
    let names = DBusProxy::new(connection).await?.list_names().await?;
    let names = names.iter().map(|name| name.as_str().to_owned());
    Ok(names.filter(|name| !name.starts_with(':')).collect())
}

/// Objects below an object manager, their interfaces, and what a node says of itself.
async fn objects(
    connection: &Connection,
    (name, path): (&str, &str),
    facts: &mut BTreeSet<String>,
) -> zbus::Result<u64> {
    let answer = connection
        .call_method(Some(name), path, Some(MANAGER), "GetManagedObjects", &())
        .await?;
    let managed: Managed = answer.body().deserialize()?;
    let count = managed.len() as u64;
    for (path, interfaces) in managed {
        for (interface, properties) in interfaces {
            facts.insert(format!("object {name} {path} {interface}"));
            facts.extend(told(&properties).map(|fact| format!("{name} {path} {fact}")));
        }
    }
    if path == NODE_PATH {
        let all = connection.call_method(Some(name), path, Some(PROPERTIES), "Get", &CAPABILITIES);
        let all: OwnedVariant = all.await?.body().deserialize()?;
        let all = HashMap::<String, OwnedVariant>::try_from(all)?;
        facts.extend(all.into_keys().map(|value| format!("value {name} {value}")));
    }
    Ok(count)
}

/// The properties that are the same whenever everybody is here.
fn told(properties: &HashMap<String, OwnedVariant>) -> impl Iterator<Item = String> {
    let steady = [
        "Name", "BusName", "Groups", "Services", "State", "From", "To",
    ];
    let told = properties
        .iter()
        .filter(move |(name, _)| steady.contains(&name.as_str()));
    told.map(|(name, value)| format!("{name} {}", in_order(value)))
}

/// A value as text; dictionaries and lists in an order of their own.
fn in_order(value: &OwnedVariant) -> String {
    if let Ok(map) = HashMap::<String, String>::try_from(value.clone()) {
        let map: std::collections::BTreeMap<_, _> = map.into_iter().collect();
        return format!("{map:?}");
    }
    if let Ok(list) = Vec::<String>::try_from(value.clone()) {
        let list: BTreeSet<_> = list.into_iter().collect();
        return format!("{list:?}");
    }
    format!("{value:?}")
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// One for each other bridge.
const OWN_MAX: u64 = 3;
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const STATS: &str = "org.freedesktop.DBus.Debug.Stats";
const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BRIDGE: &str = "org.z25.Zocp1";
const BRIDGE_PATH: &str = "/org/z25/Zocp1";
const NODE: &str = "org.z25.Zocp1.Node.";
const NODE_PATH: &str = "/org/z25/Zocp1/Node";
const CAPABILITIES: (&str, &str) = ("org.z25.Zocp1.Object", "Capabilities");

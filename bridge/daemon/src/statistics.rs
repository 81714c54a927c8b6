//! `org.z25.Zocp1.Statistics`: counters on the bus, of the bridge and of each peer.
//!
//! Model: the properties are computed when somebody asks; nothing is kept here and nothing announced.
//! Invariants: STATISTICS-1. Counting goes on whether anybody asks or not, and asking counts nothing.
//! Layout: `text` writes them as Prometheus reads them, `page` has that on a port.
//! Spec: docs/reference/dbus.md, "Statistics"

mod page;
mod text;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use zbus::Variant;
use zocp_node::{Counts, Kind, Node, PeerId, PeerTraffic};

pub(crate) use self::page::serve;
use zocp_dbus::interface::{Content, Interface, SlotError};
use zocp_dbus::report::Report;
use zocp_relay::metrics::Metrics;

/// Where the numbers come from. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    node: Node,
    report: Report,
    metrics: Metrics,
    since: u64,
}

/// How often, and how many octets, by name.
pub(crate) type Tallies = BTreeMap<&'static str, (u64, u64)>;

/// Counters that have no octets: by group, by name.
pub(crate) type Groups = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

impl Statistics {
    pub(crate) fn new(node: Node, report: Report, metrics: Metrics) -> Self {
        Self {
            node,
            report,
            metrics,
            since: now(),
        }
    }

    /// The interface of the bridge itself.
    pub(crate) fn of_bridge(&self, declared: Interface) -> Result<Interface, SlotError> {
        let (traffic, metrics) = (self.node.traffic(), &self.metrics);
        let mut shown = declared.with("Since", self.since)?;
        let of = traffic.clone();
        compute(&mut shown, "Received", move || tallies(&of.received))?;
        let of = traffic.clone();
        compute(&mut shown, "Sent", move || tallies(&of.sent))?;
        let of = metrics.clone();
        compute(&mut shown, "PacketsReceived", move || {
            tallies(&of.packets().received)
        })?;
        let of = metrics.clone();
        compute(&mut shown, "PacketsSent", move || {
            tallies(&of.packets().sent)
        })?;
        let of = self.clone();
        compute(&mut shown, "Queued", move || of.queued())?;
        let of = self.clone();
        compute(&mut shown, "Counts", move || of.groups())?;
        Ok(shown)
    }

    /// The interface of a peer; `None` of one that is gone already.
    pub(crate) fn of_peer(
        &self,
        declared: Interface,
        peer: PeerId,
    ) -> Result<Option<Interface>, SlotError> {
        let Some(traffic) = self.node.traffic().peer(peer) else {
            return Ok(None);
        };
        let packets = self.metrics.packets_of(peer);
        let mut shown = declared.with("Since", now())?;
        let of: Arc<PeerTraffic> = traffic.clone();
        compute(&mut shown, "Received", move || tallies(&of.received))?;
        compute(&mut shown, "Sent", move || tallies(&traffic.sent))?;
        let of = packets.clone();
        compute(&mut shown, "PacketsReceived", move || tallies(&of.received))?;
        compute(&mut shown, "PacketsSent", move || tallies(&packets.sent))?;
        let node = self.node.clone();
        compute(&mut shown, "Queued", move || node.queued(peer) as u64)?;
        compute(&mut shown, "Counts", Groups::new)?;
        Ok(Some(shown))
    }

    /// The page for Prometheus.
    async fn page(&self) -> String {
        // A node that has ended has no peers.
        let peers = self.node.peers().await.unwrap_or_default();
        self.text(&peers)
    }

    /// A peer is gone: its counters are not kept.
    pub(crate) fn forget(&self, peer: PeerId) {
        self.metrics.forget(peer);
    }

    /// Octets that wait for all peers together.
    pub(crate) fn queued(&self) -> u64 {
        self.node.queued_for_all() as u64
    }

    /// What has no octets.
    pub(crate) fn groups(&self) -> Groups {
        let traffic = self.node.traffic();
        let peers = BTreeMap::from([("present", traffic.peer_count() as u64)]);
        Groups::from([
            ("beacons", counts(&traffic.beacons)),
            ("peers", peers),
            ("left", counts(&traffic.departures)),
            ("turned away", counts(&traffic.rejections)),
            ("refused", refusals(&self.report)),
        ])
    }
}

fn refusals(report: &Report) -> BTreeMap<&'static str, u64> {
    let counted = report.refusals();
    counted.map(|(kind, count)| (kind.name(), count)).collect()
}

fn compute<V>(
    shown: &mut Interface,
    property: &str,
    value: impl Fn() -> V + Send + Sync + 'static,
) -> Result<(), SlotError>
where
    V: Into<Variant<'static>>,
{
    let content = Content::Computed(Arc::new(move || value().into()));
    shown.set(property, content).map(|_| ())
}

fn tallies<K: Kind>(counts: &Counts<K>) -> Tallies {
    let all = counts.tallies();
    all.map(|(kind, tally)| (kind.name(), (tally.count, tally.octets)))
        .collect()
}

fn counts<K: Kind>(counts: &Counts<K>) -> BTreeMap<&'static str, u64> {
    let all = counts.tallies();
    all.map(|(kind, tally)| (kind.name(), tally.count))
        .collect()
}

/// Seconds since 1970.
fn now() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    passed.map_or(0, |passed| passed.as_secs())
}

//! What can be seen of the running bridge: its version, its networks, what it hears, who is there.
//!
//! Invariants: BRIDGE-1. what is so now is told from what was: counters are compared with what they were [`WATCHED_MAX`]
//! before, or since its own beacon came back, which ends the watching.
//! Layout: findings about beacons and TCP are in `reach`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use zbus::{fdo::DBusProxy, names::BusName};
use zocp_interfaces::{BRIDGE_NAME, BridgeProxy, StatisticsProxy, TrustProxy};

use super::{
    finding::Finding,
    machine::Machine,
    probe::{self, Dialed},
};
use crate::{client::Client, exit::Failure, view::PeerView};

/// Facts of a running bridge.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    version: String,
    name: String,
    pub(super) endpoint: String,
    key: String,
    /// Nodes of a secure mesh that were heard lately and whose keys are not trusted.
    strangers: usize,
    pub(super) peers: Vec<PeerView>,
    /// When the doctor came, and now.
    pub(super) counts: (Counts, Counts),
    /// What answers where it and its peers say to be; `None` where that cannot be tried.
    pub(super) dialed: Option<Dialed>,
    descriptors: Option<Descriptors>,
}

/// `Counts` of the statistics: by group and name.
pub(super) type Counts = HashMap<String, HashMap<String, u64>>;

/// Files that a process has open, and may have.
#[derive(Debug, Clone, Copy)]
struct Descriptors {
    open: Option<usize>,
    max: u64,
}

impl Bridge {
    pub(super) async fn look(client: &Client) -> Result<Self, Failure> {
        client.bridge().await?;
        let bridge = BridgeProxy::new(&client.connection).await?;
        let counts = watched(client).await?;
        let (peers, endpoint) = (client.peers().await?, bridge.endpoint().await?);
        let process = process(client).await;
        let dialed = match process {
            Some(process) => probe::dial(process, &endpoint, &peers).await,
            None => None,
        };
        let trust = TrustProxy::new(&client.connection).await?;
        Ok(Self {
            // An older bridge knows none.
            strangers: trust.strangers().await.unwrap_or_default().len(),
            version: bridge.version().await?,
            name: bridge.name().await?,
            endpoint,
            key: bridge.key().await?,
            peers,
            counts,
            dialed,
            descriptors: process.and_then(descriptors),
        })
    }

    pub(super) fn findings(&self, machine: &Machine) -> Vec<Finding> {
        let mut findings = vec![
            self.version(),
            self.network(machine.is_loopback()),
            self.beacons(machine.beacon_port()),
            self.tcp(machine.beacon_port()),
            self.nodes(),
            self.names(),
        ];
        findings.extend(self.keys(machine.is_secure(), machine.has_key_for_links()));
        findings.extend(self.old());
        findings.extend(self.turned_away());
        findings.push(self.descriptors());
        findings
    }

    fn version(&self) -> Finding {
        let ours = env!("CARGO_PKG_VERSION");
        let bridge = &self.version;
        if bridge == ours {
            return Finding::good("bridge", format!("{bridge}, called {}", self.name));
        }
        Finding::problem("bridge", format!("it is {bridge}, this program is {ours}"))
            .advice("restart the bridge: it runs what was installed when it started")
    }

    fn network(&self, is_meant: bool) -> Finding {
        let endpoint = &self.endpoint;
        if endpoint.is_empty() {
            let advice =
                "no interface is up with an address, or none of those that `mesh.interface` names";
            return Finding::problem("network", "the mesh is on no network").advice(advice);
        }
        let is_local = endpoint.starts_with("tcp://127.");
        if is_local && self.name == DEMO && !is_meant {
            return Finding::good("network", "this is the demo: it stays on this machine");
        }
        if is_local && !is_meant {
            let advice = "bring an interface up; the bridge follows by itself";
            let found = "only this machine: there is no network but the loopback";
            return Finding::warning("network", found).advice(advice);
        }
        Finding::good("network", format!("peers reach it at {endpoint}"))
    }

    /// Two of one name are told apart by digits that change at each start.
    fn names(&self) -> Finding {
        let mut names = BTreeMap::from([(self.name.as_str(), 1)]);
        for peer in &self.peers {
            *names.entry(peer.name.as_str()).or_insert(0) += 1;
        }
        let twice = names.iter().filter(|(_, count)| **count > 1);
        let twice: Vec<&str> = twice.map(|(name, _)| *name).collect();
        if twice.is_empty() {
            return Finding::good("names", "each is there once");
        }
        let found = format!("there more than once: {}", twice.join(", "));
        let advice = "rules and services mean nodes by name: give each its own, `--name` or `mesh.name` for a \
                      bridge";
        Finding::warning("names", found).advice(advice)
    }

    fn keys(&self, is_configured: Option<bool>, is_for_links: bool) -> Option<Finding> {
        let is_secure = !self.key.is_empty();
        if is_configured.is_some_and(|wanted| wanted != is_secure) {
            let (is, wanted) = if is_secure {
                ("has", "no")
            } else {
                ("has no", "a")
            };
            let found = format!("the bridge {is} key, its configuration names {wanted} one");
            let advice = "restart it; or it is told another configuration than the one looked at here, which \
                          --config names";
            return Some(Finding::warning("key", found).advice(advice));
        }
        if self.strangers > 0 {
            let found = format!(
                "{} nodes are heard whose keys are not trusted",
                self.strangers
            );
            let advice = "`zocp trust` lists them; `zocp trust NODE` trusts one, after comparing \
                          fingerprints";
            return Some(Finding::warning("key", found).advice(advice));
        }
        let what = match is_for_links {
            true => "links to other venues are encrypted, the mesh is an open one",
            false => "the mesh is secure",
        };
        is_secure.then(|| Finding::good("key", what))
    }

    /// Programs that cannot be met.
    fn old(&self) -> Option<Finding> {
        let count = self.count("turned away", "version");
        let found = format!("{count} connections with programs that speak ZMTP 2 or older failed");
        let advice = "NetMQ before 4, libzmq before 4 and old jyre do: they cannot be met until that library is a newer \
                      one. The bridge's log names their addresses";
        (count > 0).then(|| Finding::warning("old peers", found).advice(advice))
    }

    /// What was refused for a limit's sake.
    fn turned_away(&self) -> Option<Finding> {
        let bounds = [
            ("links", "links_max"),
            ("peers", "peers_max"),
            ("beacon", ""),
        ];
        let reached = bounds.iter().filter_map(|(kind, key)| {
            let count = self.count("turned away", kind);
            let key = if key.is_empty() {
                String::new()
            } else {
                format!(" ({key})")
            };
            (count > 0).then(|| format!("{count} {kind}{key}"))
        });
        let reached: Vec<String> = reached.collect();
        if reached.is_empty() {
            return None;
        }
        let found = format!("turned away at a limit: {}", reached.join(", "));
        let advice = "if so many are meant to be there, raise it under [limits]; if not, `zocp monitor` shows who \
                      comes";
        Some(Finding::warning("limits", found).advice(advice))
    }

    fn descriptors(&self) -> Finding {
        let Some(Descriptors { open, max }) = self.descriptors else {
            return Finding::unknown(
                "descriptors",
                "those of the bridge are not to be seen from here",
            );
        };
        let open_of = open.map_or_else(String::new, |open| format!("{open} of "));
        let is_near = open.is_some_and(|open| open as u64 >= max / 10 * 9);
        let found = format!("{open_of}{max} files");
        let advice = "each node takes about four: raise LimitNOFILE= of the unit, or `ulimit -Hn`";
        match (is_near, max < DESCRIPTORS_MIN) {
            (true, _) => Finding::problem("descriptors", found).advice(advice),
            (false, true) => Finding::warning("descriptors", found).advice(advice),
            (false, false) => Finding::good("descriptors", found),
        }
    }

    /// How often since the bridge started.
    pub(super) fn count(&self, group: &str, name: &str) -> u64 {
        count(&self.counts.1, group, name)
    }

    /// How often since the doctor came.
    pub(super) fn lately(&self, group: &str, name: &str) -> u64 {
        let before = count(&self.counts.0, group, name);
        self.count(group, name).saturating_sub(before)
    }
}

fn count(counts: &Counts, group: &str, name: &str) -> u64 {
    let group = counts.get(group);
    let count = group.and_then(|group| group.get(name));
    count.copied().unwrap_or_default()
}

/// The counters, and what they are when one of its own beacons has come back and who is heard could have been met.
async fn watched(client: &Client) -> Result<(Counts, Counts), Failure> {
    let statistics = StatisticsProxy::new(&client.connection).await?;
    let before = statistics.counts().await?;
    let deadline = Instant::now() + WATCHED_MAX;
    loop {
        // A beacon comes each second.
        sleep(WATCHED_MAX / 40).await;
        let now = statistics.counts().await?;
        let more = |group, name| count(&now, group, name) > count(&before, group, name);
        let has_peers = count(&now, "peers", "present") > 0 || !more("beacons", "heard");
        let is_off = count(&now, "beacons", "sent") == 0;
        if is_off || (more("beacons", "own") && has_peers) || Instant::now() >= deadline {
            return Ok((before, now));
        }
    }
}

/// The process that has the bridge's name, as far as the bus knows it.
async fn process(client: &Client) -> Option<u32> {
    let bus = DBusProxy::new(&client.connection).await.ok()?;
    let name = BusName::try_from(BRIDGE_NAME).ok()?;
    bus.get_connection_unix_process_id(name).await.ok()
}

/// Of the bridge's process, if it is one of this machine that shows them.
fn descriptors(process: u32) -> Option<Descriptors> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok();
    Some(Descriptors {
        open: open.map(Iterator::count),
        max: open_files(&limits)?,
    })
}

/// The soft limit in `/proc/PID/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The name of the bridge of `zocp demo`.
const DEMO: &str = "demo";
/// Four beacons come in it, if any do.
const WATCHED_MAX: Duration = Duration::from_secs(4);
/// Enough for a thousand nodes.
const DESCRIPTORS_MIN: u64 = 4096;

#[cfg(test)]
mod tests;

//! What can be seen of the running bridge: its version, its networks, what it hears, who is there.
//!
//! Limits: a bridge that has just started is given [`BEACON_WAIT`] to hear its own beacons.

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
    machine::{Machine, opening},
};
use crate::{client::Client, exit::Failure, view::PeerView};

/// Facts of a running bridge.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    version: String,
    name: String,
    endpoint: String,
    key: String,
    /// Nodes of a secure mesh that were heard lately and whose keys are not trusted.
    strangers: usize,
    peers: Vec<PeerView>,
    counts: Counts,
    descriptors: Option<Descriptors>,
}

/// `Counts` of the statistics: by group and name.
type Counts = HashMap<String, HashMap<String, u64>>;

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
        let counts = counts(client).await?;
        let trust = TrustProxy::new(&client.connection).await?;
        Ok(Self {
            // An older bridge knows none.
            strangers: trust.strangers().await.unwrap_or_default().len(),
            version: bridge.version().await?,
            name: bridge.name().await?,
            endpoint: bridge.endpoint().await?,
            key: bridge.key().await?,
            peers: client.peers().await?,
            counts,
            descriptors: descriptors(client).await,
        })
    }

    pub(super) fn findings(&self, machine: &Machine) -> Vec<Finding> {
        let mut findings = vec![
            self.version(),
            self.network(machine.is_loopback()),
            self.beacons(machine.beacon_port()),
            self.nodes(),
            self.names(),
        ];
        findings.extend(self.keys(machine.is_secure()));
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
            let advice = "no interface is up with an IPv4 address, or none of those that `mesh.interface` names";
            return Finding::problem("network", "the mesh is on no network").advice(advice);
        }
        if endpoint.starts_with("tcp://127.") && !is_meant {
            let advice = "bring an interface up; the bridge follows by itself";
            let found = "only this machine: there is no network but the loopback";
            return Finding::warning("network", found).advice(advice);
        }
        Finding::good("network", format!("peers reach it at {endpoint}"))
    }

    fn beacons(&self, port: u16) -> Finding {
        let count = |name| self.count("beacons", name);
        match (count("sent"), count("own")) {
            (0, _) => Finding::good("beacons", "they are off: only peers that are named are met"),
            (_, 0) => Finding::problem(
                "beacons",
                "not one of its own comes back: something keeps them out, a firewall most likely",
            )
            .advice(opening(port)),
            (_, _) => Finding::good("beacons", format!("{} of others heard", count("heard"))),
        }
    }

    fn nodes(&self) -> Finding {
        let present = self.peers.len();
        let heard = self.count("beacons", "heard");
        if present == 0 && heard >= HEARD_MIN {
            let advice = "their beacons come, so UDP is open: TCP is not, in one of the two directions. `zocp \
                          monitor` shows who is turned away, `zocp -v bridge` whom it cannot reach";
            let found = "nodes are heard, and none is met";
            return Finding::problem("nodes", found).advice(advice);
        }
        let unreachable = self.peers.iter();
        let unreachable = unreachable.filter(|peer| peer.state == "unreachable");
        let unreachable = unreachable.map(|peer| format!("{} at {}", peer.name, peer.endpoint));
        let unreachable: Vec<String> = unreachable.collect();
        if !unreachable.is_empty() {
            let found = format!("cannot be reached: {}", unreachable.join(", "));
            let advice = "they opened a connection to this bridge and nobody answers at their own endpoint, so nothing \
                          can be said to them: a firewall or an address translation (NAT) is before them. Open their \
                          port there, which `mesh.mailbox_port` fixes for a bridge";
            return Finding::warning("nodes", found).advice(advice);
        }
        let evasive = self.peers.iter().filter(|peer| peer.state == "evasive");
        let evasive: Vec<&str> = evasive.map(|peer| peer.name.as_str()).collect();
        if !evasive.is_empty() {
            let found = format!("silent at the moment: {}", evasive.join(", "));
            let advice = "they are gone in half a minute if they stay so";
            return Finding::warning("nodes", found).advice(advice);
        }
        Finding::good("nodes", format!("{present} present"))
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

    fn keys(&self, is_configured: Option<bool>) -> Option<Finding> {
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
        is_secure.then(|| Finding::good("key", "the mesh is secure"))
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

    fn count(&self, group: &str, name: &str) -> u64 {
        let group = self.counts.get(group);
        group
            .and_then(|group| group.get(name))
            .copied()
            .unwrap_or_default()
    }
}

/// The counters, as soon as the bridge has had the time to hear its own beacons.
async fn counts(client: &Client) -> Result<Counts, Failure> {
    let statistics = StatisticsProxy::new(&client.connection).await?;
    let deadline = Instant::now() + BEACON_WAIT;
    loop {
        let counts = statistics.counts().await?;
        let has = |name| {
            counts
                .get("beacons")
                .is_some_and(|beacons| beacons.contains_key(name))
        };
        if has("own") || !has("sent") || Instant::now() >= deadline {
            return Ok(counts);
        }
        // A beacon comes each second.
        sleep(BEACON_WAIT / 10).await;
    }
}

/// Of the process that has the bridge's name, if it is one of this machine that shows them.
async fn descriptors(client: &Client) -> Option<Descriptors> {
    let bus = DBusProxy::new(&client.connection).await.ok()?;
    let name = BusName::try_from(BRIDGE_NAME).ok()?;
    let process = bus.get_connection_unix_process_id(name).await.ok()?;
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

/// Two beacons come in it, if any do.
const BEACON_WAIT: Duration = Duration::from_secs(2);
/// Beacons of others after which they should have been met.
const HEARD_MIN: u64 = 10;
/// Enough for a thousand nodes.
const DESCRIPTORS_MIN: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    fn healthy() -> Bridge {
        Bridge {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: "stage".to_owned(),
            endpoint: "tcp://10.0.0.1:49152".to_owned(),
            peers: vec![peer("lamp"), peer("foh")],
            counts: counted(&[("beacons", "sent", 9), ("beacons", "own", 9)]),
            descriptors: Some(Descriptors {
                open: Some(20),
                max: 65_536,
            }),
            ..Bridge::default()
        }
    }

    fn peer(name: &str) -> PeerView {
        PeerView {
            name: name.to_owned(),
            state: "ready".to_owned(),
            ..PeerView::default()
        }
    }

    fn counted(all: &[(&str, &str, u64)]) -> Counts {
        let mut counts = Counts::new();
        for (group, name, count) in all {
            let group = counts.entry((*group).to_owned()).or_default();
            group.insert((*name).to_owned(), *count);
        }
        counts
    }

    /// What is not good, of a bridge that is healthy but for one thing.
    fn ailing(change: impl FnOnce(&mut Bridge)) -> Vec<(&'static str, Verdict)> {
        let mut bridge = healthy();
        change(&mut bridge);
        let machine = Machine::look(Some("/dev/null".into()));
        let findings = bridge.findings(&machine);
        let ailing = findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Good);
        ailing
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn of_a_healthy_bridge_all_is_good() {
        assert_eq!(ailing(|_| {}), []);
    }

    #[test]
    fn each_ailment_is_found_and_no_other() {
        use Verdict::{Problem, Unknown, Warning};
        let beacons = |all: &[(&str, &str, u64)]| {
            let counts = counted(all);
            ailing(move |bridge| bridge.counts = counts)
        };
        assert_eq!(
            ailing(|b| b.version = "0.0.1".to_owned()),
            [("bridge", Problem)]
        );
        assert_eq!(
            ailing(|b| b.endpoint = String::new()),
            [("network", Problem)]
        );
        let loopback = |b: &mut Bridge| b.endpoint = "tcp://127.0.0.1:5".to_owned();
        assert_eq!(ailing(loopback), [("network", Warning)]);
        assert_eq!(beacons(&[("beacons", "sent", 9)]), [("beacons", Problem)]);
        assert_eq!(beacons(&[]), [], "beacons are off");
        assert_eq!(
            ailing(|b| {
                b.peers.clear();
                b.counts = counted(&[
                    ("beacons", "sent", 9),
                    ("beacons", "own", 9),
                    ("beacons", "heard", 30),
                ]);
            }),
            [("nodes", Problem)]
        );
        assert_eq!(
            ailing(|b| b.peers[0].state = "evasive".to_owned()),
            [("nodes", Warning)]
        );
        assert_eq!(
            ailing(|b| b.peers[0].state = "unreachable".to_owned()),
            [("nodes", Warning)]
        );
        assert_eq!(
            beacons(&[("turned away", "version", 3)]),
            [("old peers", Warning)]
        );
        assert_eq!(
            ailing(|b| b.peers.push(peer("stage"))),
            [("names", Warning)]
        );
        assert_eq!(ailing(|b| b.peers.push(peer("lamp"))), [("names", Warning)]);
        assert_eq!(ailing(|b| b.key = "k".to_owned()), [("key", Warning)]);
        assert_eq!(ailing(|b| b.strangers = 2), [("key", Warning)]);
        assert_eq!(
            beacons(&[("turned away", "links", 3)]),
            [("limits", Warning)]
        );
        let few = |max, open| {
            Some(Descriptors {
                open: Some(open),
                max,
            })
        };
        assert_eq!(
            ailing(|b| b.descriptors = few(1024, 20)),
            [("descriptors", Warning)]
        );
        assert_eq!(
            ailing(|b| b.descriptors = few(65_536, 60_000)),
            [("descriptors", Problem)]
        );
        assert_eq!(ailing(|b| b.descriptors = None), [("descriptors", Unknown)]);
    }

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files  1024  524288  files\n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(
            open_files("Max open files unlimited unlimited files"),
            Some(u64::MAX)
        );
        assert_eq!(open_files(""), None);
    }
}

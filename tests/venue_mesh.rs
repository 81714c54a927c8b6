//! Six venues of three bridges each, linked as a triangle with a tail and a branch: every node that is passed on is seen
//! once, under one name, before and after cuts and restarts.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Host, Lab, Plan, Site, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const RULES: &str = "[[pass]]\nnodes = ['*']\n";

const fn plan<'p>(
    name: &'p str,
    bridge: &'p str,
    dials: &'p [&'p str],
    trusts: &'p [&'p str],
) -> Plan<'p> {
    Plan {
        name,
        bridge,
        dials,
        trusts,
        rules: RULES,
    }
}

const PLANS: [Plan<'_>; 6] = [
    plan("v0", "v0link", &[], &["v1", "v2", "v5"]),
    plan("v1", "v1link", &["v0"], &["v2"]),
    plan("v2", "v2link", &["v0", "v1"], &["v3"]),
    plan("v3", "v3link", &["v2"], &["v4"]),
    plan("v4", "v4link", &["v3"], &[]),
    plan("v5", "v5link", &["v0"], &[]),
];

/// Another bridge of a venue.
struct Other {
    name: String,
    host: Host,
    bridge: Bridge,
}

struct Venues {
    sites: Vec<Site>,
    /// Of each venue.
    others: Vec<Vec<Other>>,
}

async fn other(lab: &Lab, site: &Site, name: String) -> Other {
    let host = site.machine(lab, &name).await;
    let bridge = Bridge::start(ZOCP, &host, &name, &[]).await;
    Other { name, host, bridge }
}

impl Venues {
    async fn open(lab: &Lab) -> Self {
        let sites = Site::open_all(lab, ZOCP, &PLANS).await;
        let mut others = Vec::new();
        for site in &sites {
            let mut of_it = Vec::new();
            for number in 1..3 {
                of_it.push(other(lab, site, format!("{}-{number}", site.name)).await);
            }
            others.push(of_it);
        }
        Self { sites, others }
    }

    /// The names that the linked bridge of a venue should list.
    fn wanted(&self, at: usize) -> BTreeSet<String> {
        let own = self.sites[at].name.as_str();
        let plans = PLANS.iter().enumerate();
        let linked = plans.filter(|(_, plan)| {
            let dialed = PLANS[at].dials.contains(&plan.name);
            dialed || plan.dials.contains(&own)
        });
        let of_venue = |at: usize| self.others[at].iter().map(|other| other.name.clone());
        let far = linked.flat_map(|(far, plan)| {
            let names = of_venue(far).chain([plan.bridge.to_owned()]);
            names.map(move |name| format!("{}/{name}", plan.name))
        });
        far.chain(of_venue(at)).collect()
    }

    /// Waits until each linked bridge lists what it should; returns how long that took.
    async fn complete(&self) -> Duration {
        let begin = Instant::now();
        for (at, site) in self.sites.iter().enumerate() {
            let wanted = self.wanted(at);
            let what = format!("{} to list {wanted:?}", site.name);
            in_time(&what, async {
                while listed(site).await.into_iter().collect::<BTreeSet<_>>() != wanted {}
            })
            .await;
        }
        begin.elapsed()
    }

    /// That each lists it once, and nothing else, once a node that came later has arrived at all that may see it.
    async fn is_exact(&mut self, lab: &Lab, marker: &str) {
        for at in 0..self.sites.len() {
            let name = format!("{marker}-{}", self.sites[at].name);
            let marker = other(lab, &self.sites[at], name).await;
            self.others[at].push(marker);
        }
        self.complete().await;
        for (at, site) in self.sites.iter().enumerate() {
            let names = listed(site).await;
            let unique: BTreeSet<&String> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{}: {names:?}", site.name);
            let wanted = self.wanted(at);
            assert!(names.iter().all(|name| wanted.contains(name)), "{names:?}");
        }
    }
}

/// The names of the peers of a bridge.
async fn listed(site: &Site) -> Vec<String> {
    let list = site.zocp(ZOCP, &["list", "--json"]).run().await;
    let list: Json = serde_json::from_str(&list).expect("JSON");
    let names = list.as_array().expect("a list").iter();
    let names = names.filter_map(|peer| peer["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Packets and octets that a router sends outside, so far.
async fn sent(site: &Site) -> (f64, f64) {
    let show = ["-s", "-j", "link", "show", "eth0"];
    let shown = site.gate.router.command("ip").args(show).run().await;
    let shown: Json = serde_json::from_str(&shown).expect("JSON");
    let sent = &shown[0]["stats64"]["tx"];
    let number = |key: &str| sent[key].as_f64().expect("a number");
    (number("packets"), number("bytes"))
}

#[test]
fn six_venues_of_three_bridges_show_each_node_once_before_and_after_cuts_and_restarts() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let start = venues.complete().await;
        venues.is_exact(&lab, "first").await;

        // At rest: what leaves the router of a venue with one link.
        let (before, begin) = (sent(&venues.sites[5]).await, Instant::now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (after, time) = (sent(&venues.sites[5]).await, begin.elapsed().as_secs_f64());
        let (packets, octets) = ((after.0 - before.0) / time, (after.1 - before.1) / time);
        assert!(packets > 0.0 && octets < 2000.0, "{packets} {octets}");

        // One venue is cut off, one bridge of a room and one linked bridge start again meanwhile.
        let gone = "org.z25.Zocp1.Node.v2.v2link";
        venues.sites[0].bridge.bus.appears(gone).await;
        venues.sites[2].cut().await;
        venues.sites[1].bridge.program.kill().await;
        venues.others[0][0].bridge.program.kill().await;
        venues.sites[0].bridge.bus.vanishes(gone).await;
        let again = &mut venues.others[0][0];
        again.bridge.program =
            Bridge::start_on(&again.bridge.bus, ZOCP, &again.host, &again.name, &[]).await;
        let site = &mut venues.sites[1];
        let options = ["--config", site.config.as_str()];
        site.bridge.program =
            Bridge::start_on(&site.bridge.bus, ZOCP, &site.host, "v1link", &options).await;
        venues.sites[2].restore().await;
        let restored = venues.complete().await;
        venues.is_exact(&lab, "second").await;
        eprintln!(
            "complete {start:?} after the last bridge started, and {restored:?} after the cut; at rest a router with one \
             link sends {packets:.1} packets and {octets:.0} octets in a second"
        );
    });
}

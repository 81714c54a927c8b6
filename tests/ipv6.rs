//! Bridges that meet over IPv6, alone and beside IPv4, and CZMQ's beacons on IPv6, which are those of zyre.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Host, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const CZMQ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/czmq_beacon.py");

/// A host without IPv4.
async fn ipv6_host(lab: &Lab, name: &str) -> Host {
    let host = lab.host(name).await;
    let address = format!("{}/24", host.address_on(&lab.network));
    host.link(0).remove_address(&address).await;
    host
}

async fn bridge(lab: &Lab, host: &Host, name: &str, mesh: &str) -> Bridge {
    let config = format!("[mesh]\nmailbox_port = 5671\n{mesh}\n");
    let config = lab.file(&format!("{name}.toml"), &config);
    Bridge::start(ZOCP, host, name, &["-v", "--config", &config]).await
}

fn node(name: &str) -> String {
    format!("org.z25.Zocp1.Node.{name}")
}

/// The peers of a bridge: name and endpoint of each, in order.
async fn peers(bridge: &Bridge) -> Vec<(String, String)> {
    let list = bridge
        .bus
        .command(ZOCP)
        .args(["list", "--json"])
        .run()
        .await;
    let list: Vec<Json> = serde_json::from_str(&list).expect("JSON");
    let text = |peer: &Json, key: &str| peer[key].as_str().unwrap_or_default().to_owned();
    let peers = list
        .iter()
        .map(|peer| (text(peer, "name"), text(peer, "endpoint")));
    let mut peers: Vec<_> = peers.collect();
    peers.sort();
    peers
}

/// The connections of the mesh that a host has.
async fn connections(host: &Host) -> Vec<String> {
    let sockets = host.command("ss").args(["-Htn", "state", "established"]);
    let sockets = sockets.run().await;
    sockets
        .lines()
        .filter(|line| line.contains(":5671"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn bridges_without_ipv4_meet_over_link_local_addresses() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (ipv6_host(&lab, "stage").await, ipv6_host(&lab, "foh").await);
        let at_stage = bridge(&lab, &stage, "stage", "").await;
        let at_foh = bridge(&lab, &foh, "foh", "ipv6 = 'only'").await;
        at_stage.bus.appears(&node("foh")).await;
        at_foh.bus.appears(&node("stage")).await;
        for bridge in [&at_stage, &at_foh] {
            let peers = peers(bridge).await;
            assert_eq!(peers.len(), 1, "{peers:?}");
            assert!(peers[0].1.starts_with("tcp://[fe80::"), "{peers:?}");
        }
        // A link-local address without its zone cannot be dialed.
        let get = ["get", "stage", "nothing"];
        let gone = at_foh.bus.command(ZOCP).args(get).outcome().await;
        assert!(gone.err.contains("nothing"), "{gone:?}");
        let ping = at_foh
            .bus
            .peer("stage")
            .shown("org.z25.Zocp1.Peer", "State")
            .await;
        assert_eq!(ping, "s \"ready\"");
        assert_eq!(connections(&stage).await.len(), 2);
    });
}

#[test]
fn a_node_of_both_families_meets_those_of_one_and_each_once() {
    isolated(async |lab: Lab| {
        let (both, old, new, other) = (
            lab.host("both").await,
            lab.host("old").await,
            ipv6_host(&lab, "new").await,
            lab.host("other").await,
        );
        let at_both = bridge(&lab, &both, "both", "").await;
        let at_other = bridge(&lab, &other, "other", "").await;
        let at_old = bridge(&lab, &old, "old", "ipv6 = 'off'").await;
        let at_new = bridge(&lab, &new, "new", "ipv6 = 'only'").await;
        for name in ["old", "new", "other"] {
            at_both.bus.appears(&node(name)).await;
        }
        for bridge in [&at_old, &at_new] {
            bridge.bus.appears(&node("both")).await;
            bridge.bus.appears(&node("other")).await;
        }
        at_other.bus.appears(&node("new")).await;
        at_other.bus.appears(&node("old")).await;
        // By now each has heard the beacons of both families: the later ones came over IPv6.
        at_both.program.says("ff02::1").await;
        let seen = peers(&at_both).await;
        let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["new", "old", "other"], "{seen:?}");
        let by_ipv6 = seen
            .iter()
            .filter(|(_, endpoint)| endpoint.contains("[fe80::"));
        let by_ipv6: Vec<&str> = by_ipv6.map(|(name, _)| name.as_str()).collect();
        assert_eq!(by_ipv6, ["new"], "{seen:?}");
        // Two with each peer: one that it opened, and one of the other.
        let open = connections(&both).await;
        assert_eq!(open.len(), 6, "{open:?}");
        assert_eq!(peers(&at_old).await.len(), 2);
        assert_eq!(peers(&at_new).await.len(), 2);
        drop(at_other);
    });
}

#[test]
fn beacons_of_czmq_on_ipv6_are_understood_and_it_understands_ours() {
    isolated(async |lab: Lab| {
        let (stage, desk) = (
            ipv6_host(&lab, "stage").await,
            ipv6_host(&lab, "desk").await,
        );
        let at_stage = bridge(&lab, &stage, "stage", "beacon = 'off'").await;
        let at_desk = bridge(&lab, &desk, "desk", "").await;
        // Until then their addresses may turn out to be those of others.
        at_desk.program.says("to=[ff02::1").await;
        at_stage.program.says("(fe80::").await;
        let uuid = async |bridge: &Bridge| {
            let path = [
                "org.z25.Zocp1",
                "/org/z25/Zocp1",
                "org.z25.Zocp1.Bridge",
                "Uuid",
            ];
            let mut get = vec!["--json=short", "get-property"];
            get.extend(path);
            let uuid = bridge.bus.busctl(&get).await;
            let uuid: Json = serde_json::from_str(&uuid).expect("JSON");
            uuid["data"].as_str().expect("a UUID").to_owned()
        };
        let (ours, its) = (uuid(&at_desk).await, uuid(&at_stage).await);
        let czmq = stage
            .command("python3")
            .args([CZMQ, "5670", &its, "5671", "eth0"]);
        let czmq: Program = czmq.label("czmq").start();
        let chosen = czmq.says("ready").await;
        assert!(chosen.contains("fe80::"), "{chosen}");
        czmq.says_like("our beacon", |line| {
            let heard: Json = serde_json::from_str(line).ok()?;
            let is_ours = heard["uuid"] == ours.as_str() && heard["port"] == 5671;
            let from = heard["from"].as_str()?;
            (is_ours && from.starts_with("fe80::")).then_some(())
        })
        .await;
        at_desk.bus.appears(&node("stage")).await;
        at_stage.bus.appears(&node("desk")).await;
    });
}

#[test]
fn the_family_of_addresses_is_checked_at_the_start() {
    isolated(async |lab: Lab| {
        let desk = lab.host("desk").await;
        let start = async |mesh: &str| {
            let config = lab.file("bridge.toml", format!("[mesh]\n{mesh}\n"));
            let bridge = desk
                .command(ZOCP)
                .args(["bridge", "--bus", "embedded", "--config", &config]);
            bridge.outcome().await.err
        };
        let wrong = start("ipv6 = 'yes'").await;
        assert!(
            wrong.contains("unknown variant `yes`, expected one of `auto`, `off`, `only`"),
            "{wrong}"
        );
        let wrong = start("ipv6 = 'only'\nloopback = true").await;
        assert!(
            wrong.contains("mesh.ipv6: on the loopback alone"),
            "{wrong}"
        );
    });
}

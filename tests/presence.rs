//! Nodes, links and bridges that come and go, politely or not.

use std::time::{Duration, Instant};

use serde_json::json;
use zocp_testkit::{Bridge, CLOSED_MAX, Lab, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PEER: &str = "org.z25.Zocp1.Peer";
const LAMP: &str = "org.z25.Zocp1.Node.lamp";

/// A configuration in which silence is death after three seconds.
fn impatient(lab: &Lab) -> String {
    lab.file("impatient.toml", "[mesh]\nevasive = 1\nexpiry = 3\n")
}

#[test]
fn a_node_that_says_goodbye_is_gone() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears(LAMP).await;
        lamp.leave().await;
        bridge.bus.vanishes(LAMP).await;
    });
}

#[test]
fn a_node_that_is_killed_is_gone_long_before_it_would_be_for_its_silence() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears(LAMP).await;
        let killed = Instant::now();
        lamp.program.kill().await;
        bridge.bus.vanishes(LAMP).await;
        assert!(
            killed.elapsed() < CLOSED_MAX,
            "it took {:?}",
            killed.elapsed()
        );
    });
}

#[test]
fn a_node_behind_a_silent_link_is_gone_at_expiry_and_back_under_its_name() {
    isolated(async |lab: Lab| {
        let config = impatient(&lab);
        let bridge =
            Bridge::start(ZOCP, &lab.host("foh").await, "foh", &["--config", &config]).await;
        let stage = lab.host("stage").await;
        let level =
            json!({"register": {"name": "level", "value": 3, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&stage, "lamp", &[level]).await;
        bridge.bus.appears(LAMP).await;
        stage.link(0).go_silent().await;
        let silent = Instant::now();
        bridge.bus.vanishes(LAMP).await;
        assert!(
            silent.elapsed() > Duration::from_secs(1),
            "gone after {:?} already",
            silent.elapsed()
        );
        lamp.program.forget_said();
        stage.link(0).go_on().await;
        bridge.bus.appears(LAMP).await;
        assert_eq!(bridge.bus.node("lamp").shown_value("level").await, "x 3");
        lamp.event("subscribed", |_| true).await;
        lamp.command(json!({"emit": ["level", 4]})).await;
        bridge.bus.node("lamp").becomes("level", 4_i64).await;
    });
}

#[test]
fn an_address_and_a_link_that_come_late_are_used() {
    isolated(async |lab: Lab| {
        let foh = lab.bare_host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["-v"]).await;
        bridge.program.says("no network but the loopback").await;
        bridge.program.says(" on lo 127.0.0.1").await;
        let _lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        foh.plug(&lab.network).await;
        bridge.bus.appears(LAMP).await;
        let change = "the mesh is on these networks=\"eth0 (10.99.0.1)";
        bridge.program.says(change).await;
        let config = [
            "get-property",
            "org.z25.Zocp1",
            "/org/z25/Zocp1",
            "org.z25.Zocp1.Bridge",
            "Endpoint",
        ];
        assert!(bridge.bus.busctl(&config).await.contains("10.99.0.1"));
    });
}

#[test]
fn a_node_on_two_networks_is_one_node_and_met_again_when_its_network_goes() {
    isolated(async |lab: Lab| {
        let hall = lab.new_network().await;
        let (foh, stage) = (lab.host("foh").await, lab.host("stage").await);
        foh.plug(&hall).await;
        stage.plug(&hall).await;
        let config = impatient(&lab);
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["--config", &config]).await;
        let far = Bridge::start(ZOCP, &stage, "stage", &["--config", &config]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.stage").await;
        far.bus.appears("org.z25.Zocp1.Node.foh").await;
        let names = bridge.bus.busctl(&["list", "--acquired"]).await;
        assert_eq!(names.matches("org.z25.Zocp1.Node.").count(), 1, "{names}");
        let peer = bridge.bus.peer("stage");
        let endpoint = peer.shown(PEER, "Endpoint").await;
        let is_in_hall = endpoint.contains(&stage.address_on(&hall));
        foh.link(u8::from(is_in_hall)).unplug().await;
        // The network that it was met on is gone; it is met again on the other.
        bridge.bus.vanishes("org.z25.Zocp1.Node.stage").await;
        bridge.bus.appears("org.z25.Zocp1.Node.stage").await;
        peer.call(PEER, "Ping", &())
            .await
            .expect("it answers by the other network");
    });
}

// protocol.md §1.9
#[test]
fn a_bridge_that_was_told_its_interface_is_met_on_no_other() {
    isolated(async |lab: Lab| {
        let hall = lab.new_network().await;
        let (foh, stage, hall_desk) = (
            lab.host("foh").await,
            lab.host("stage").await,
            lab.bare_host("desk").await,
        );
        foh.plug(&hall).await;
        hall_desk.plug(&hall).await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["--interface", "eth0", "-v"]).await;
        let port = bridge
            .bus
            .bridge()
            .shown("org.z25.Zocp1.Bridge", "Endpoint")
            .await;
        let port = port
            .trim_end_matches('"')
            .rsplit(':')
            .next()
            .expect("a port")
            .to_owned();
        // Its mailbox is open on every network, so it is the bridge that refuses.
        let met = format!("tcp://{}:{port}", foh.address_on(&hall));
        let _desk = Bridge::start(ZOCP, &hall_desk, "desk", &["--peer", &met]).await;
        bridge
            .program
            .says_like("that it refuses", |line| {
                line.contains("refused a connection on a network not in use")
                    .then_some(())
            })
            .await;
        let _stage = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.stage").await;
        assert!(!bridge.bus.has("org.z25.Zocp1.Node.desk").await);
    });
}

#[test]
fn of_peers_with_one_name_each_has_one_label_whether_it_speaks_zocp_or_not() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let plain = PyPeer::start_plain(&lab.host("hall").await, "lamp").await;
        bridge.bus.peer_appears("lamp").await;
        let lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        let label = format!("lamp_{}", &lamp.uuid()[..8]);
        bridge
            .bus
            .appears(&format!("org.z25.Zocp1.Node.{label}"))
            .await;
        let uuid = |peer: &PyPeer| format!("s \"{}\"", peer.uuid());
        let shown = async |label: &str| bridge.bus.peer(label).shown(PEER, "Uuid").await;
        assert_eq!(shown("lamp").await, uuid(&plain));
        assert_eq!(shown(&label).await, uuid(&lamp));
        assert!(
            !bridge.bus.has(LAMP).await,
            "nobody of that name speaks ZOCP"
        );
    });
}

#[test]
fn a_bridge_that_ends_leaves_nothing_on_its_bus_and_its_peers_know() {
    isolated(async |lab: Lab| {
        let mut bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears(LAMP).await;
        bridge.program.interrupt();
        assert!(bridge.program.ended().await.success());
        lamp.left("foh").await;
        let names = bridge.bus.busctl(&["list", "--acquired"]).await;
        assert!(!names.contains("org.z25"), "{names}");
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_bridge_that_is_killed_leaves_nothing_on_its_bus_and_another_takes_its_place() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let mut bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        bridge.bus.appears(LAMP).await;
        bridge.program.kill().await;
        bridge.bus.vanishes(LAMP).await;
        let _again = Bridge::start_on(&bridge.bus, ZOCP, &foh, "foh", &[]).await;
        bridge.bus.appears(LAMP).await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn peers_are_met_by_their_endpoints_where_there_are_no_beacons() {
    isolated(async |lab: Lab| {
        let (foh, stage) = (lab.host("foh").await, lab.host("stage").await);
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["--beacon", "off"]).await;
        let mut lamp = PyPeer::start_unheard(&stage, "lamp").await;
        let address = lamp.endpoint().to_owned();
        bridge
            .bus
            .bridge()
            .call("org.z25.Zocp1.Bridge", "Connect", &address)
            .await
            .expect("a good endpoint");
        bridge.bus.appears(LAMP).await;
        lamp.entered("foh").await;
        lamp.is_unharmed().await;
    });
}

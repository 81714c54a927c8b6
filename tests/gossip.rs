//! Nodes that find each other by gossip, without beacons, also through CZMQ's own, which is that of zyre.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Host, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const CZMQ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/czmq_gossip.py");

/// A bridge on a host of its own, without beacons.
async fn bridge(lab: &Lab, host: &Host, name: &str, mesh: &str) -> Bridge {
    let config = format!("[mesh]\nbeacon = 'off'\n{mesh}\n");
    let config = lab.file(&format!("{name}.toml"), &config);
    Bridge::start(ZOCP, host, name, &["--config", &config]).await
}

async fn czmq(host: &Host, verb: &str, endpoint: &str) -> Program {
    let czmq = host.command("python3").args([CZMQ, verb, endpoint]);
    let czmq = czmq.label("czmq").start();
    czmq.says("ready").await;
    czmq
}

/// Its value for a node's identity.
async fn is_told(czmq: &Program, endpoint: &str) {
    let pick = |line: &str| {
        let event: Json = serde_json::from_str(line).ok()?;
        let value = event["value"].as_str()?;
        value.starts_with(endpoint).then_some(())
    };
    czmq.says_like(endpoint, pick).await;
}

/// Waits until a bridge shows a node of this name.
async fn present(bridge: &Bridge, name: &str) {
    bridge
        .bus
        .appears(&format!("org.z25.Zocp1.Node.{name}"))
        .await;
}

#[test]
fn bridges_meet_each_other_through_one_that_listens() {
    isolated(async |lab: Lab| {
        let (desk, stage, foh) = (
            lab.host("desk").await,
            lab.host("stage").await,
            lab.host("foh").await,
        );
        let hub = format!("tcp://{}:5672", desk.address_on(&lab.network));
        let gossip = format!("gossip = \"{hub}\"");
        let stage = bridge(&lab, &stage, "stage", &gossip).await;
        // The one that listens comes later than one, and earlier than the other.
        let hub = bridge(&lab, &desk, "desk", "gossip_listen = 'tcp://0.0.0.0:5672'").await;
        let foh = bridge(&lab, &foh, "foh", &gossip).await;
        present(&stage, "foh").await;
        present(&foh, "stage").await;
        present(&hub, "stage").await;
        present(&hub, "foh").await;
    });
}

#[test]
fn bridges_meet_each_other_through_czmq() {
    isolated(async |lab: Lab| {
        let (desk, stage, foh) = (
            lab.host("desk").await,
            lab.host("stage").await,
            lab.host("foh").await,
        );
        let address = |host: &Host| format!("tcp://{}:", host.address_on(&lab.network));
        let hub = format!("{}5672", address(&desk));
        let czmq = czmq(&desk, "bind", "tcp://*:5672").await;
        let gossip = format!("gossip = [\"{hub}\"]");
        let (at_stage, at_foh) = (address(&stage), address(&foh));
        let stage = bridge(&lab, &stage, "stage", &gossip).await;
        let foh = bridge(&lab, &foh, "foh", &gossip).await;
        is_told(&czmq, &at_stage).await;
        is_told(&czmq, &at_foh).await;
        present(&stage, "foh").await;
        present(&foh, "stage").await;
    });
}

#[test]
fn what_czmq_publishes_to_a_bridge_that_listens_is_met() {
    isolated(async |lab: Lab| {
        let (desk, stage, rack) = (
            lab.host("desk").await,
            lab.host("stage").await,
            lab.host("rack").await,
        );
        let hub = bridge(&lab, &desk, "desk", "gossip_listen = 'tcp://0.0.0.0:5672'").await;
        let at_stage = stage.address_on(&lab.network);
        let stage = bridge(&lab, &stage, "stage", "mailbox_port = 5671").await;
        let get = stage
            .bus
            .command("busctl")
            .args(["--json=short", "get-property"]);
        let place = [
            "org.z25.Zocp1",
            "/org/z25/Zocp1",
            "org.z25.Zocp1.Bridge",
            "Uuid",
        ];
        let uuid = get
            .arg(format!("--address={}", stage.bus.address()))
            .args(place);
        let uuid: Json = serde_json::from_str(&uuid.run().await).expect("JSON");
        let uuid = uuid["data"].as_str().expect("a UUID").to_uppercase();
        let at_desk = format!("tcp://{}:", desk.address_on(&lab.network));
        let mut czmq = czmq(&rack, "connect", &format!("{at_desk}5672")).await;
        is_told(&czmq, &at_desk).await;
        // What is none is passed over.
        for odd in [json!(["key", "value"]), json!([uuid, "http://x"])] {
            czmq.tell(&json!({"publish": odd}).to_string()).await;
        }
        let publish = json!({"publish": [uuid, format!("tcp://{at_stage}:5671")]});
        czmq.tell(&publish.to_string()).await;
        present(&hub, "stage").await;
    });
}

#[test]
fn gossip_that_cannot_be_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let desk = lab.host("desk").await;
        let start = async |mesh: &str| {
            let config = lab.file("bridge.toml", format!("[mesh]\n{mesh}\n"));
            let bridge = desk
                .command(ZOCP)
                .args(["bridge", "--bus", "embedded", "--config", &config]);
            bridge.outcome().await
        };
        let wrong = start("gossip = 5").await;
        assert!(
            wrong.err.contains("a text, or a list of texts"),
            "{wrong:?}"
        );
        let wrong = start("gossip = 'udp://a:1'").await;
        assert!(
            wrong
                .err
                .contains("mesh.gossip: \"udp://a:1\" is not tcp://HOST:PORT"),
            "{wrong:?}"
        );
        let wrong = start("gossip_listen = 'tcp://localhost:5672'").await;
        assert!(wrong.err.contains("is not tcp://ADDRESS:PORT"), "{wrong:?}");
        let key = lab.path("key");
        desk.command(ZOCP).args(["key", "new", &key]).run().await;
        let wrong = start(&format!("key = '{key}'\ngossip = 'tcp://a:1'")).await;
        assert!(wrong.err.contains("gossip is not encrypted"), "{wrong:?}");
        let wrong = start("gossip_listen = 'tcp://192.0.2.1:5672'").await;
        assert!(
            wrong
                .err
                .contains("cannot listen for gossip at 192.0.2.1:5672"),
            "{wrong:?}"
        );
    });
}

//! `zocp osc --publish --remote-query`: programs with an OSCQuery server as nodes.

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Host, Lab, Program, PyPeer, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const SYNTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/oscquery_synth.py");

async fn synth(host: &Host, address: &str) -> Program {
    let synth = host.pypi_python().args([SYNTH, address, "8080", "9001"]);
    let synth = synth.label("synth").start();
    synth.says("ready").await;
    synth
}

fn face(host: &Host, name: &str, url: &str) -> Program {
    let face = host.command(ZOCP).args(["osc", "--publish", name]);
    face.args(["--remote-query", url, "--state="]).start()
}

/// It was sent this value.
async fn is_sent(synth: &Program, address: &str, value: Json) {
    let is_it = |line: &str| {
        let event: Json = serde_json::from_str(line).ok()?;
        (event["address"] == json!(address) && event["values"] == json!([value])).then_some(())
    };
    synth.says_like(address, is_it).await;
}

#[test]
fn a_synthesizer_of_python_is_a_node_as_it_describes_itself_and_again_when_it_was_started_again() {
    isolated(async |lab: Lab| {
        let (desk, foh, studio) = (
            lab.host("desk").await,
            lab.host("foh").await,
            lab.host("studio").await,
        );
        let address = studio.address_on(&lab.network);
        let bridge = Bridge::start(ZOCP, &desk, "desk", &[]).await;
        // The face is there first, and waits.
        let face = face(&foh, "synth", &format!("http://{address}:8080"));
        face.says("the OSCQuery server cannot be read").await;
        let mut first = synth(&studio, &address).await;
        bridge.bus.appears("org.z25.Zocp1.Node.synth").await;
        let node = bridge.bus.node("synth");
        node.child("filter").becomes("cutoff", 0.5).await;
        node.child("voice").becomes("on", true).await;

        let zocp = |args: &[&str]| bridge.bus.command(ZOCP).args(args);
        zocp(&["set", "synth", "filter.cutoff", "0.75"]).run().await;
        is_sent(&first, "/filter/cutoff", json!(0.75)).await;
        zocp(&["set", "synth", "voice.on", "false"]).run().await;
        is_sent(&first, "/voice/on", json!(false)).await;
        // It has no WebSocket: what it does itself is read.
        first.tell(r#"{"turn": ["/filter/cutoff", 0.125]}"#).await;
        node.child("filter").becomes("cutoff", 0.125).await;
        first.tell(r#"{"add": ["/reverb/mix", 0.25]}"#).await;
        node.child("reverb").becomes("mix", 0.25).await;

        drop(first);
        face.says("the OSCQuery server cannot be read").await;
        // What is set meanwhile is sent when it is here again.
        zocp(&["set", "synth", "filter.cutoff", "0.375"])
            .run()
            .await;
        let again = synth(&studio, &address).await;
        is_sent(&again, "/filter/cutoff", json!(0.375)).await;
        // It has no reverb any more.
        let tree = in_time("the reverb to go", async {
            loop {
                let tree = zocp(&["tree", "synth", "--json"]).run().await;
                if !tree.contains("reverb") {
                    return tree;
                }
            }
        });
        let tree = tree.await;
        assert!(tree.contains("cutoff"), "{tree}");
    });
}

#[test]
fn a_program_that_listens_is_followed_by_its_web_socket() {
    isolated(async |lab: Lab| {
        let (desk, foh, studio) = (
            lab.host("desk").await,
            lab.host("foh").await,
            lab.host("studio").await,
        );
        let bridge = Bridge::start(ZOCP, &desk, "desk", &[]).await;
        let lamp = json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwe", "max": 1}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[lamp]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let allow = "--allow=0.0.0.0/0";
        let osc = [
            "osc",
            "--listen",
            "0.0.0.0:9000",
            "--query",
            "0.0.0.0:9000",
            allow,
            "lamp",
        ];
        let _osc = studio.command(ZOCP).args(osc).start();
        let url = format!("http://{}:9000", studio.address_on(&lab.network));
        let _face = face(&foh, "copy", &url);
        bridge.bus.appears("org.z25.Zocp1.Node.copy").await;
        let copy = bridge.bus.node("copy").child("lamp");
        copy.becomes("level", 0.5).await;
        lamp.command(json!({"emit": ["level", 0.75]})).await;
        copy.becomes("level", 0.75).await;
        let set = ["set", "copy", "lamp.level", "0.25"];
        bridge.bus.command(ZOCP).args(set).run().await;
        lamp.event("modified", |event| {
            event["data"] == json!({"level": {"value": 0.25}})
        })
        .await;
        // The face of the first hears of what is new and says so.
        let more = json!({"register": {"name": "pan", "value": 0.125, "typeHint": "flt", "access": "rwe"}});
        lamp.command(more).await;
        copy.becomes("pan", 0.125).await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn what_cannot_be_meant_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let zocp = |args: &[&str]| foh.command(ZOCP).args(["osc"]).args(args);
        for (args, said) in [
            (
                &["--publish", "a", "--remote-query", "10.0.0.1:80"][..],
                "no address such as",
            ),
            (&["--publish", "a"], "--remote"),
            (&["--remote-query", "http://10.0.0.1"], "--publish"),
        ] {
            let outcome = zocp(args).outcome().await;
            assert_eq!(outcome.status.code(), Some(2), "{args:?}: {outcome:?}");
            assert!(outcome.err.contains(said), "{args:?}: {outcome:?}");
        }
    });
}

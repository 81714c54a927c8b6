//! Programs that stand still and go on: a machine asleep, a node that hangs, a service that does.

use serde_json::json;
use zocp_testkit::{Bridge, Client, Lab, PyPeer, Venue, error_name, isolated, message};

use super::{EXAMPLES, IMPATIENT, LAMP, LAMP_OBJECT, LAMP_PATH, LAMP_THERE, LAMP1, NODE, ZOCP};

const STAGE: &str = "org.z25.Zocp1.Node.stage";
const FOH: &str = "org.z25.Zocp1.Node.foh";
const PEER: &str = "org.z25.Zocp1.Peer";

#[test]
fn a_bridge_that_slept_longer_than_its_peers_wait_is_met_again_and_shows_what_there_is() {
    isolated(async |lab: Lab| {
        let exports = format!("{IMPATIENT}{EXAMPLES}");
        let venue = Venue::open(&lab, ZOCP, &exports, IMPATIENT).await;
        let level =
            json!({"register": {"name": "level", "value": 3, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&lab.host("hall").await, "lamp", &[level]).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        for name in [NODE, STAGE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        lamp.event("subscribed", |event| event["name"] == "foh")
            .await;
        venue.stage.bus.appears(FOH).await;
        let mut client = Client::on(&venue.foh.bus).await;
        venue.foh.program.freeze();
        let call = message(LAMP_THERE, LAMP_PATH, LAMP1, "Count").build(&());
        let call = call.expect("a call");
        client.send(&call).await;
        let asleep = async {
            venue.stage.bus.vanishes(FOH).await;
            lamp.command(json!({"emit": ["level", 4]})).await;
            venue.foh.program.thaw();
        };
        tokio::join!(venue.foh.bus.vanishes(STAGE), asleep);
        // One answer, whichever it is.
        client.answer(&call).await;
        venue.stage.bus.appears(FOH).await;
        for name in [STAGE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        let answer = client.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
        venue.foh.bus.node("lamp").becomes("level", 4_i64).await;
        lamp.command(json!({"emit": ["level", 5]})).await;
        venue.foh.bus.node("lamp").becomes("level", 5_i64).await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn when_the_exporting_machine_sleeps_its_services_are_gone_and_back_with_it() {
    isolated(async |lab: Lab| {
        let exports = format!("{IMPATIENT}{EXAMPLES}");
        let venue = Venue::open(&lab, ZOCP, &exports, IMPATIENT).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        for name in [STAGE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        let mut client = Client::on(&venue.foh.bus).await;
        let caller = client.call(LAMP_OBJECT, "Sender", &()).await;
        let caller: String = caller.body().deserialize().expect("a name");
        assert!(venue.stage.bus.has(&caller).await);
        let wait = message(LAMP_THERE, LAMP_PATH, LAMP1, "Wait").build(&());
        let wait = wait.expect("a call");
        client.send(&wait).await;
        venue.stage.program.freeze();
        let answer = client.answer(&wait).await;
        let node_gone = "org.z25.Zocp1.Error.NodeGone";
        assert_eq!(error_name(&answer).as_deref(), Some(node_gone));
        for name in [STAGE, LAMP_THERE] {
            venue.foh.bus.vanishes(name).await;
        }
        venue.stage.program.thaw();
        for name in [STAGE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        let answer = client.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
        // Who called before is gone from the service's bus: that link is no more.
        venue.stage.bus.vanishes(&caller).await;
    });
}

#[test]
fn a_node_that_hangs_is_busy_then_gone_and_holds_up_nobody() {
    isolated(async |lab: Lab| {
        // Long enough for all that is sent to it, short enough to wait for.
        let config =
            "[mesh]\nevasive = 2\nexpiry = 10\n[limits]\noutgoing_whispers_max = 262_144\n";
        let config = lab.file("impatient.toml", config);
        let foh = lab.host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &["--config", &config]).await;
        let lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        let _other = PyPeer::start(&lab.host("hall").await, "other", &[]).await;
        for name in [NODE, "org.z25.Zocp1.Node.other"] {
            bridge.bus.appears(name).await;
        }
        lamp.program.freeze();
        let (hanging, other) = (bridge.bus.peer("lamp"), bridge.bus.peer("other"));
        let much = vec![0_u8; 1 << 17];
        let mut refusal = None;
        for _ in 0..64 {
            refusal = hanging.call(PEER, "Whisper", &much).await.err();
            if refusal.is_some() {
                break;
            }
            other.call(PEER, "Ping", &()).await.expect("an answer");
            // Who waited for the one that hangs would be answered when that one is gone.
            assert!(bridge.bus.has(NODE).await, "the other was held up");
        }
        assert_eq!(refusal.as_deref(), Some("org.z25.Zocp1.Error.Busy"));
        bridge.bus.vanishes(NODE).await;
        lamp.program.thaw();
        bridge.bus.appears(NODE).await;
    });
}

#[test]
fn calls_of_a_service_that_hangs_end_at_their_time_and_later_ones_are_answered() {
    isolated(async |lab: Lab| {
        let exports = format!("{EXAMPLES}[limits]\nanswer_max = 1.0\n");
        let venue = Venue::open(&lab, ZOCP, &exports, "[limits]\nanswer_max = 2.0\n").await;
        let service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut client = Client::on(&venue.foh.bus).await;
        client.call(LAMP_OBJECT, "Count", &()).await;
        service.freeze();
        let answer = client.call(LAMP_OBJECT, "Count", &()).await;
        let timeout = "org.freedesktop.DBus.Error.Timeout";
        assert_eq!(error_name(&answer).as_deref(), Some(timeout));
        assert!(venue.foh.bus.has(LAMP_THERE).await, "it is on its bus");
        service.thaw();
        let answer = client.call(LAMP_OBJECT, "Counted", &()).await;
        // The call that nobody waited for any more was carried out.
        assert_eq!(answer.body().deserialize::<u32>().ok(), Some(2));
    });
}

//! The Python peer against its like: it must be what the bridge will take it for.

use serde_json::{Value, json};
use zocp_testkit::{Lab, PyPeer, isolated};

fn dimmer() -> Value {
    json!({"register": {"name": "level", "value": 1, "typeHint": "int", "access": "rwe", "min": 0, "max": 9}})
}

#[test]
fn two_peers_on_two_hosts_meet_read_each_other_and_part() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let mut lamp = PyPeer::start(&stage, "lamp", &[dimmer()]).await;
        let mut desk = PyPeer::start(&foh, "desk", &[]).await;
        let entered = desk.entered("lamp").await;
        assert_eq!(entered["peer"], json!(lamp.uuid()));
        assert_eq!(entered["headers"], json!({"X-ZOCP": "1"}));
        let tree = desk
            .event("peer_modified", |event| event["name"] == json!("lamp"))
            .await;
        let expected =
            json!({"value": 1, "typeHint": "int", "access": "rwe", "subscribers": [], "max": 9});
        assert_eq!(
            tree["data"]["level"], expected,
            "pyZOCP leaves a min of 0 out"
        );
        lamp.leave().await;
        desk.left("lamp").await;
        desk.is_unharmed().await;
    });
}

#[test]
fn a_setting_is_taken_unchecked_told_to_subscribers_and_not_to_the_setter() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let lamp = PyPeer::start(&host, "lamp", &[dimmer()]).await;
        let (mut desk, mut other) = (
            PyPeer::start(&host, "desk", &[]).await,
            PyPeer::start(&host, "other", &[]).await,
        );
        for peer in [&mut desk, &mut other] {
            peer.event("peer_modified", |event| event["name"] == json!("lamp"))
                .await;
            let name = if peer.uuid() == lamp.uuid() {
                "lamp"
            } else {
                peer.uuid()
            }
            .to_owned();
            peer.command(json!({"subscribe": [name, null, "lamp", null]}))
                .await;
            lamp.event("subscribed", |event| event["peer"] == json!(name))
                .await;
        }
        desk.command(json!({"set": ["lamp", {"level": {"value": 99}}]}))
            .await;
        let modified = lamp.event("modified", |_| true).await;
        assert_eq!(
            (&modified["by"], &modified["data"]["level"]["value"]),
            (&json!(desk.uuid()), &json!(99))
        );
        other
            .event("signal", |event| {
                event["emitter"] == json!("level") && event["value"] == json!(99)
            })
            .await;
        desk.command(json!({"get": ["lamp", null]})).await;
        desk.event("peer_modified", |event| {
            event["data"]["level"]["value"] == json!(99)
        })
        .await;
        assert!(
            !desk
                .program
                .unmatched()
                .iter()
                .any(|line| line.contains("SIG")),
            "no echo to the setter"
        );
    });
}

#[test]
fn ten_thousand_signals_arrive_in_order() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let mut lamp = PyPeer::start(&stage, "lamp", &[dimmer()]).await;
        let mut desk = PyPeer::start(&foh, "desk", &[]).await;
        desk.event("peer_modified", |event| event["name"] == json!("lamp"))
            .await;
        desk.command(json!({"subscribe": [desk.uuid(), null, "lamp", "level"]}))
            .await;
        lamp.event("subscribed", |_| true).await;
        lamp.command(json!({"emit_many": ["level", 1, 10_000]}))
            .await;
        desk.event("signal", |event| event["value"] == json!(10_000))
            .await;
        let unmatched = desk.program.unmatched();
        let events = unmatched
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let signals = events.filter(|event| event["event"] == json!("signal"));
        let values: Vec<_> = signals
            .filter_map(|event| event["value"].as_u64())
            .collect();
        assert!(values.into_iter().eq(1..10_000));
    });
}

#[test]
fn peers_of_a_host_without_any_network_meet_over_the_loopback() {
    isolated(async |lab: Lab| {
        let host = lab.bare_host("alone").await;
        let lamp = PyPeer::start(&host, "lamp", &[]).await;
        let plain = PyPeer::start_plain(&host, "plain \"ü/1").await;
        lamp.entered("plain \"ü/").await; // pyre counts characters where octets are meant
        plain.entered("lamp").await;
        plain
            .event("whisper", |event| {
                event["frames"] == json!(["{\"GET\": null}"])
            })
            .await;
    });
}

#[test]
fn what_would_end_a_node_of_pyzocp_is_noticed() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let mut lamp = PyPeer::start(&host, "lamp", &[]).await;
        let mut desk = PyPeer::start(&host, "desk", &[]).await;
        desk.entered("lamp").await;
        desk.command(json!({"whisper": ["lamp", "{\"PLEASE\": 1}"]}))
            .await;
        lamp.program
            .says(r#""why": "WouldRaise: unknown verb PLEASE""#)
            .await;
        desk.command(json!({"whisper": ["lamp", "[]"]})).await;
        lamp.program
            .says(r#""why": "WouldRaise: not an object""#)
            .await;
        lamp.is_unharmed().await;
    });
}

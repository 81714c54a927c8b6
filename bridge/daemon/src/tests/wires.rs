//! Wires on a real bus, between real nodes on the loopback.

mod bus_ends;
mod circles;
mod keeping;
mod player;
mod stage;

use serde_json::json;

use self::stage::{Stage, event, options};
use zocp_mapping::convert::as_given;

#[tokio::test]
async fn two_nodes_are_wired_and_do_it_between_themselves() {
    let mut stage = Stage::start().await;
    stage
        .bridge
        .wire("desk", "fader", "lamp", "level")
        .await
        .unwrap();
    let wire = stage.wire("desk:fader", "lamp:level").await;
    assert_eq!(wire.state().await.unwrap(), "active");
    assert!(wire.direct().await.unwrap());
    assert!(!wire.foreign().await.unwrap());
    // The value that the emitter has comes first.
    assert_eq!(stage.sensed("level").await, json!(0.0));
    stage.desk.emit("fader", 0.25).await.unwrap();
    assert_eq!(stage.sensed("level").await, json!(0.25));
    stage.counted(&wire, 1).await;
    let last = wire.last_value().await.unwrap();
    assert_eq!(as_given(&last).unwrap(), json!(0.25));

    stage
        .bridge
        .unwire("desk", "fader", "lamp", "level")
        .await
        .unwrap();
    stage.desk.emit("fader", 0.5).await.unwrap();
    stage.is_gone(&wire).await;
    let again = stage.bridge.unwire("desk", "fader", "lamp", "level").await;
    assert!(again.unwrap_err().to_string().contains("UnknownObject"));
}

#[tokio::test]
async fn a_wire_with_a_conversion_goes_through_the_bridge() {
    let mut stage = Stage::start().await;
    let scale = options([("Scale", "0..1=0..255".into())]);
    let path = stage
        .bridge
        .wire_with("desk:fader", "lamp:dim", scale)
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    assert!(!wire.direct().await.unwrap());
    stage.desk.emit("fader", 1.0).await.unwrap();
    assert_eq!(stage.set("dim").await, json!(255));
    stage.counted(&wire, 1).await;
    wire.remove().await.unwrap();
    stage.is_gone(&wire).await;
}

#[tokio::test]
async fn types_that_differ_are_converted_without_being_asked_for() {
    let mut stage = Stage::start().await;
    stage
        .bridge
        .wire("desk", "fader", "lamp", "dim")
        .await
        .unwrap();
    assert_eq!(stage.set("dim").await, json!(0));
    stage.desk.emit("fader", 0.7).await.unwrap();
    assert_eq!(stage.set("dim").await, json!(1));
}

#[tokio::test]
async fn a_sensor_that_cannot_be_written_hears_an_emitter_of_the_bridge() {
    let mut stage = Stage::start().await;
    let negated = options([("Expression", "1.0 - value".into())]);
    let path = stage
        .bridge
        .wire_with("desk:fader", "lamp:ear", negated)
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    stage.heard_by("ear").await;
    stage.desk.emit("fader", 0.25).await.unwrap();
    assert_eq!(stage.sensed("ear").await, json!(0.75));
    wire.remove().await.unwrap();
    stage.forgotten_by("ear").await;
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_said_and_stops_nothing() {
    let mut stage = Stage::start().await;
    let path = stage
        .bridge
        .wire_with("desk:text", "lamp:dim", options([]))
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    stage.desk.emit("text", "loud").await.unwrap();
    stage.lost(&wire, 1).await;
    assert_eq!(wire.state().await.unwrap(), "failed");
    assert_eq!(wire.last_error().await.unwrap(), "\"loud\" is not a number");
    stage.desk.emit("text", "300").await.unwrap();
    stage.lost(&wire, 2).await;
    assert!(
        wire.last_error()
            .await
            .unwrap()
            .contains("the value is refused")
    );
    stage.desk.emit("text", "12").await.unwrap();
    assert_eq!(stage.set("dim").await, json!(12));
    stage.counted(&wire, 1).await;
    assert_eq!(wire.state().await.unwrap(), "active");
}

#[tokio::test]
async fn a_wire_that_cannot_be_is_refused_with_the_reason() {
    let stage = Stage::start().await;
    for (from, to, error) in [
        ("nobody:x", "lamp:level", "NodeGone"),
        ("desk:x", "lamp:level", "no capability"),
        ("desk:fader", "lamp:x", "no capability"),
        ("lamp:level", "desk:fader", "does not emit"),
        ("desk:fader", "desk:fader", "takes no values"),
        ("desk:fader", "lamp", "neither NODE:CAPABILITY"),
    ] {
        let refused = stage.bridge.wire_with(from, to, options([])).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(error), "{from} {to}: {refused}");
    }
    for wrong in [
        options([("Scale", "0..1".into())]),
        options([("Expression", "let x".into())]),
        options([("Clamp", 1.into())]),
        options([("Colour", "red".into())]),
    ] {
        let refused = stage
            .bridge
            .wire_with("desk:fader", "lamp:dim", wrong)
            .await;
        assert!(refused.unwrap_err().to_string().contains("InvalidArgs"));
    }
}

#[tokio::test]
async fn a_wire_of_others_is_seen_and_can_be_taken_away() {
    let mut stage = Stage::start().await;
    stage.lamp_subscribes("fader", "level").await;
    let wire = stage.wire("desk:fader", "lamp:level").await;
    assert!(wire.foreign().await.unwrap());
    wire.remove().await.unwrap();
    stage.is_gone(&wire).await;
    event(stage.desk_events.as_mut().unwrap(), |event| {
        matches!(
            event,
            zocp_node::Event::Unsubscribed {
                emitter: Some(_),
                ..
            }
        )
    })
    .await;
}

#[tokio::test]
async fn a_wire_is_made_again_when_its_node_comes_back_with_another_uuid() {
    let mut stage = Stage::start().await;
    let scale = options([("Scale", "0..1=0..255".into())]);
    let through = stage
        .bridge
        .wire_with("desk:fader", "lamp:dim", scale)
        .await
        .unwrap();
    let through = stage.at(&through).await;
    stage
        .bridge
        .wire("desk", "fader", "lamp", "level")
        .await
        .unwrap();
    let direct = stage.wire("desk:fader", "lamp:level").await;
    stage.restart_lamp().await;
    stage.becomes(&direct, "active").await;
    stage.becomes(&through, "active").await;
    assert_eq!(stage.sensed("level").await, json!(0.0));
    stage.desk.emit("fader", 1.0).await.unwrap();
    assert_eq!(stage.sensed("level").await, json!(1.0));
    assert_eq!(stage.set("dim").await, json!(255));
}

#[tokio::test]
async fn what_the_bridge_publishes_is_wired_as_any_node() {
    let mut stage = Stage::start().await;
    stage.publish("key", "re", 0).await;
    stage.publish("dial", "rws", 0).await;
    stage
        .bridge
        .wire("bridge", "key", "lamp", "total")
        .await
        .unwrap();
    let double = options([("Expression", "value * 2".into())]);
    let path = stage
        .bridge
        .wire_with("desk:count", "bridge:dial", double)
        .await;
    let wire = stage.at(&path.unwrap()).await;
    assert_eq!(stage.set("total").await, json!(0));
    stage.bridge_emits("key", 7).await;
    assert_eq!(stage.set("total").await, json!(7));
    stage.desk.emit("count", 4).await.unwrap();
    stage.counted(&wire, 1).await;
    assert_eq!(
        as_given(&wire.last_value().await.unwrap()).unwrap(),
        json!(8)
    );
    assert_eq!(wire.lost().await.unwrap(), 0);
}

#[tokio::test]
async fn ten_thousand_emissions_arrive_in_order_and_none_is_lost() {
    let mut stage = Stage::start().await;
    let plus = options([("Expression", "value + 1".into())]);
    let path = stage
        .bridge
        .wire_with("desk:count", "lamp:total", plus)
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    let desk = stage.desk.clone();
    let bridge = stage.bridge.uuid().await.unwrap().parse().unwrap();
    // A node whose events nobody reads emits no more.
    let mut events = stage.desk_events.take().unwrap();
    tokio::spawn(async move { while events.next().await.is_some() {} });
    let emitting = tokio::spawn(async move {
        for number in 0..EMISSIONS {
            // An emitter does not wait for who takes too little: it would be met afresh.
            if number % 256 == 0 {
                desk.drained(bridge, 1 << 16).await.unwrap();
            }
            desk.emit("count", number).await.unwrap();
        }
    });
    for number in 0..EMISSIONS {
        assert_eq!(stage.set("total").await, json!(number + 1));
    }
    emitting.await.unwrap();
    stage.counted(&wire, EMISSIONS.try_into().unwrap()).await;
    assert_eq!(wire.lost().await.unwrap(), 0);
}

/// Those that the benchmarks send are more.
const EMISSIONS: i64 = 10_000;

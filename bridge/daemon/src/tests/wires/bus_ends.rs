//! Wires that lead to services, and begin at them.

use serde_json::{Value, json};

use super::{
    player::{Player, member},
    stage::{Stage, options},
};

/// A stage with a player, and a wire from the desk to one of its members.
async fn led_to(target: &str, from: &str) -> (Stage, Player, zocp_interfaces::WireProxy<'static>) {
    let (stage, player, wire) = aimed_at(target, from).await;
    stage.becomes(&wire, "active").await;
    (stage, player, wire)
}

/// The same, whatever becomes of the wire.
async fn aimed_at(
    target: &str,
    from: &str,
) -> (Stage, Player, zocp_interfaces::WireProxy<'static>) {
    let stage = Stage::start().await;
    let player = Player::start(&stage.site()).await;
    let path = stage
        .bridge
        .wire_with(from, &member(target), options([]))
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    (stage, player, wire)
}

/// What the lamp's `total` or another capability is set to when the player does something.
async fn begun_at(source: &str, target: &str, act: impl Fn(&Player)) -> Value {
    let mut stage = Stage::start().await;
    let player = Player::start(&stage.site()).await;
    let to = format!("lamp:{target}");
    let path = stage
        .bridge
        .wire_with(&member(source), &to, options([]))
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    stage.becomes(&wire, "active").await;
    stage.listens().await;
    act(&player);
    stage.set(target).await
}

#[tokio::test]
async fn an_emitter_sets_a_property_of_a_service() {
    let (stage, mut player, wire) = led_to("Volume", "desk:fader").await;
    for value in [0.25, 0.25, 1.0] {
        stage.desk.emit("fader", value).await.unwrap();
    }
    for value in [0.25, 0.25, 1.0] {
        assert_eq!(player.heard().await, ("Volume".to_owned(), json!(value)));
    }
    stage.counted(&wire, 3).await;
}

#[tokio::test]
async fn a_value_becomes_what_the_property_takes_or_is_told_as_lost() {
    let (stage, mut player, wire) = led_to("Number", "desk:fader").await;
    stage.desk.emit("fader", 0.7).await.unwrap();
    assert_eq!(player.heard().await, ("Number".to_owned(), json!(1)));
    let (stage, _player, other) = led_to("Number", "desk:count").await;
    stage.desk.emit("count", 300).await.unwrap();
    stage.lost(&other, 1).await;
    assert!(other.last_error().await.unwrap().contains("takes \"y\""));
    drop(wire);
}

#[tokio::test]
async fn an_emitter_calls_a_method_with_the_value() {
    let (stage, mut player, _wire) = led_to("Seek", "desk:count").await;
    stage.desk.emit("count", -5).await.unwrap();
    assert_eq!(player.heard().await, ("Seek".to_owned(), json!([-5])));
}

#[tokio::test]
async fn a_threshold_calls_a_method_without_arguments() {
    let stage = Stage::start().await;
    let mut player = Player::start(&stage.site()).await;
    let trigger = options([("Threshold", 0.5.into())]);
    let path = stage
        .bridge
        .wire_with("desk:fader", &member("Play"), trigger)
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    stage.becomes(&wire, "active").await;
    for value in [0.4, 0.6, 0.9, 0.1, 0.5] {
        stage.desk.emit("fader", value).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(player.heard().await, ("Play".to_owned(), json!([])));
    }
    stage.counted(&wire, 2).await;
}

#[tokio::test]
async fn the_elements_of_a_list_are_the_arguments_of_a_method() {
    let stage = Stage::start().await;
    let mut player = Player::start(&stage.site()).await;
    let pair = options([("Expression", "[value, 1.0 - value]".into())]);
    let path = stage
        .bridge
        .wire_with("desk:fader", &member("Place"), pair)
        .await
        .unwrap();
    let wire = stage.at(&path).await;
    stage.becomes(&wire, "active").await;
    stage.desk.emit("fader", 0.25).await.unwrap();
    assert_eq!(
        player.heard().await,
        ("Place".to_owned(), json!([0.25, 0.75]))
    );
}

#[tokio::test]
async fn what_a_service_refuses_is_told_with_its_words() {
    let (stage, _player, wire) = led_to("Fail", "desk:fader").await;
    stage.desk.emit("fader", 0.5).await.unwrap();
    stage.lost(&wire, 1).await;
    assert!(wire.last_error().await.unwrap().contains("no music here"));
    // Seen without any value, as soon as the service says what it has.
    let (stage, _player, wire) = aimed_at("Title", "desk:text").await;
    stage.becomes(&wire, "failed").await;
    stage.desk.emit("text", "noise").await.unwrap();
    stage.lost(&wire, 1).await;
    assert!(
        wire.last_error()
            .await
            .unwrap()
            .contains("cannot be written")
    );
}

#[tokio::test]
async fn a_change_of_a_property_arrives_at_a_sensor() {
    let value = begun_at("Number", "total", |player| player.change("Number", 7_u8)).await;
    assert_eq!(value, json!(7));
}

#[tokio::test]
async fn a_property_that_only_tells_that_it_changed_is_asked_for() {
    let value = begun_at("Secret", "total", |player| player.change("Secret", -7)).await;
    assert_eq!(value, json!(-7));
}

#[tokio::test]
async fn a_signal_arrives_with_its_argument() {
    let struck = |player: &Player| player.emit("Struck", vec![42_i64.into()]);
    assert_eq!(begun_at("Struck", "total", struck).await, json!(42));
}

#[tokio::test]
async fn a_signal_arrives_after_its_wire_was_made_again_with_another_conversion() {
    let mut stage = Stage::start().await;
    let player = Player::start(&stage.site()).await;
    for scale in ["0..10=0..20", "0..10=0..100"] {
        let from = member("Struck");
        let options = options([("Scale", scale.into())]);
        let made = stage.bridge.wire_with(&from, "lamp:total", options);
        let wire = stage.at(&made.await.unwrap()).await;
        stage.becomes(&wire, "active").await;
    }
    stage.listens().await;
    player.emit("Struck", vec![4_i64.into()]);
    assert_eq!(stage.set("total").await, json!(40));
}

#[tokio::test]
async fn a_signal_without_arguments_is_a_trigger() {
    let clicked = |player: &Player| player.emit("Clicked", Vec::new());
    assert_eq!(begun_at("Clicked", "total", clicked).await, json!(1));
}

#[tokio::test]
async fn the_arguments_of_a_signal_are_a_list() {
    let moved = |player: &Player| player.emit("Moved", vec![0.5.into(), 2.0.into()]);
    assert_eq!(begun_at("Moved", "place", moved).await, json!([0.5, 2.0]));
}

#[tokio::test]
async fn a_wire_waits_for_its_service_and_works_again_when_it_is_back() {
    let (stage, player, wire) = led_to("Volume", "desk:fader").await;
    player.close().cancelled().await;
    stage.becomes(&wire, "waiting").await;
    assert!(
        wire.last_error()
            .await
            .unwrap()
            .contains("org.example.Player")
    );
    let mut player = Player::start(&stage.site()).await;
    stage.becomes(&wire, "active").await;
    stage.desk.emit("fader", 0.125).await.unwrap();
    assert_eq!(player.heard().await, ("Volume".to_owned(), json!(0.125)));
}

/// A method does something each time it is called, so it is called for what is emitted alone.
#[tokio::test]
async fn a_new_wire_hands_its_first_value_to_a_property_and_not_to_a_method() {
    let stage = Stage::start().await;
    let mut player = Player::start(&stage.site()).await;
    stage.desk.emit("fader", 0.75).await.unwrap();
    let nothing_said = std::collections::HashMap::new;
    let wire = async |target: &str| {
        let path = stage
            .bridge
            .wire_with("desk:fader", &member(target), nothing_said())
            .await
            .unwrap();
        let wire = stage.at(&path).await;
        stage.becomes(&wire, "active").await;
        wire
    };
    let _seek = wire("Seek").await;
    let _volume = wire("Volume").await;
    assert_eq!(player.heard().await, ("Volume".to_owned(), json!(0.75)));
    stage.desk.emit("fader", 1.0).await.unwrap();
    let mut said = [player.heard().await, player.heard().await];
    said.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("Seek", json!([1])), ("Volume", json!(1.0))];
    assert_eq!(said, expected.map(|(name, value)| (name.to_owned(), value)));
}

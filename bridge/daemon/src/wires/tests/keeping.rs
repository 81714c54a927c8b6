//! Wires that outlive the bridge.

use serde_json::json;

use super::{
    super::{Limits, board::Board, conversion::Calculator, kept::KeptWires},
    stage::{Stage, options},
};
use crate::state::StateDir;

#[tokio::test]
async fn a_lasting_wire_is_there_after_the_bridge_was_started_again() {
    let place = tempfile::tempdir().unwrap();
    let first = Stage::start_with(&StateDir::new(place.path().to_owned())).await;
    let lasting = || options([("Lasting", true.into()), ("Scale", "0..1=0..255".into())]);
    first
        .bridge
        .wire_with("desk:fader", "lamp:dim", lasting())
        .await
        .unwrap();
    first
        .bridge
        .wire("desk", "fader", "lamp", "level")
        .await
        .unwrap();
    first.close().await;

    let mut second = Stage::start_with(&StateDir::new(place.path().to_owned())).await;
    let wire = second.wire("desk:fader", "lamp:dim").await;
    assert!(wire.lasting().await.unwrap());
    second.becomes(&wire, "active").await;
    second.desk.emit("fader", 1.0).await.unwrap();
    assert_eq!(second.set("dim").await, json!(255));
    let gone = second.bridge.unwire("desk", "fader", "lamp", "level").await;
    assert!(gone.is_err(), "the other one was not lasting");
}

#[test]
fn what_is_kept_is_read_as_it_was() {
    let mut board = Board::new(zocp_node::PeerId::new([1; 16]), "bridge", Limits::default());
    let calculator = Calculator::default();
    let conversion = super::super::conversion::Conversion {
        expression: Some(calculator.understand("value + 1").unwrap()),
        clamp: true,
        threshold: Some(0.5),
        ..Default::default()
    };
    let ends = || {
        (
            "a:b:c".parse().unwrap(),
            "dbus:a.b:/c:d.e.F".parse().unwrap(),
        )
    };
    board.connect(ends(), conversion.clone(), true).unwrap();
    let kept = KeptWires::of(board.wires().map(|(_, wire)| wire));
    let text = serde_json::to_string(&kept).unwrap();
    let read: KeptWires = serde_json::from_str(&text).unwrap();
    assert_eq!(read.read(&calculator), [(ends(), conversion)]);
}

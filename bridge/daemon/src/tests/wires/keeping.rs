//! Wires that outlive the bridge.

use serde_json::json;

use super::stage::{Stage, options};
use zocp_state::StateDir;

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

//! Circles of wires end, and wires that follow one another do not.

use serde_json::json;

use super::stage::{Stage, options};

#[tokio::test]
async fn what_a_wire_sets_is_an_emission_for_the_next_one() {
    let mut stage = Stage::start().await;
    let plus = || options([("Expression", "value + 1".into())]);
    stage
        .bridge
        .wire_with("desk:count", "lamp:step", plus())
        .await
        .unwrap();
    stage
        .bridge
        .wire_with("lamp:step", "lamp:total", plus())
        .await
        .unwrap();
    stage.desk.emit("count", 5).await.unwrap();
    assert_eq!(stage.set("total").await, json!(7));
}

#[tokio::test]
async fn what_a_client_sets_is_one_too() {
    let mut stage = Stage::start().await;
    stage
        .bridge
        .wire_with("lamp:step", "lamp:total", options([]))
        .await
        .unwrap();
    for _ in 0..2 {
        stage.bridge_sets("step", 3).await;
        assert_eq!(stage.set("total").await, json!(3));
    }
}

#[tokio::test]
async fn a_circle_comes_to_rest_where_values_are_equal() {
    let mut stage = Stage::start().await;
    let there = options([("Expression", "value * 2".into())]);
    let back = options([("Expression", "value / 2".into())]);
    let there = stage
        .bridge
        .wire_with("lamp:step", "lamp:other", there)
        .await
        .unwrap();
    let back = stage
        .bridge
        .wire_with("lamp:other", "lamp:step", back)
        .await
        .unwrap();
    let (there, back) = (stage.at(&there).await, stage.at(&back).await);
    stage.bridge_sets("step", 8).await;
    assert_eq!(stage.set("other").await, json!(16));
    stage.counted(&there, 1).await;
    stage.counted(&back, 1).await;
    stage.bridge_sets("step", 4).await;
    assert_eq!(stage.set("other").await, json!(8));
    assert_eq!(there.lost().await.unwrap() + back.lost().await.unwrap(), 0);
}

#[tokio::test]
async fn a_circle_that_never_rests_is_ended_and_says_so() {
    let stage = Stage::start().await;
    let plus = || options([("Expression", "value + 1".into())]);
    let there = stage
        .bridge
        .wire_with("lamp:step", "lamp:other", plus())
        .await
        .unwrap();
    let back = stage
        .bridge
        .wire_with("lamp:other", "lamp:step", plus())
        .await
        .unwrap();
    let (there, back) = (stage.at(&there).await, stage.at(&back).await);
    stage.bridge_sets("step", 0).await;
    stage.lost(&there, 1).await;
    assert!(
        there
            .last_error()
            .await
            .unwrap()
            .contains("a circle of wires")
    );
    stage.counted(&there, 8).await;
    stage.counted(&back, 8).await;
}

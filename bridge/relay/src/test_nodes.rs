//! Nodes of the loopback, for tests.

use zocp_node::{BeaconMode, Config, Event, Events, Node};

/// Two nodes that have met.
pub(crate) async fn two_nodes() -> [(Node, Events); 2] {
    let (lamp, mut at_lamp) = node("lamp").await;
    let (desk, mut at_desk) = node("desk").await;
    let endpoint = format!("tcp://127.0.0.1:{}", lamp.port());
    desk.connect(&endpoint).await.unwrap();
    for events in [&mut at_lamp, &mut at_desk] {
        while !matches!(events.next().await, Some(Event::Entered(_))) {}
    }
    [(lamp, at_lamp), (desk, at_desk)]
}

async fn node(name: &str) -> (Node, Events) {
    let config = Config::new(name).with_loopback();
    Node::start(config.with_beacon(BeaconMode::Off))
        .await
        .unwrap()
}

//! What a bridge shows is not exported by another one of its bus, and what mirrors others only by name.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use zocp_node::{BeaconMode, Node};

use super::{
    service::Service,
    stage::{Bridge, Client, Stage},
};
use crate::config::Config;
use zocp_dbus::{
    server::{BusContext, BusScope},
    testbus::TestBus,
};
use zocp_relay::services::Services;

const ALL: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";

/// The services of a second bridge on a bus, which has no name of a bridge there. Its node's port.
async fn second_bridge(bus: &TestBus) -> u16 {
    let config = zocp_node::Config::new("second")
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    let (node, mut events) = Node::start(config).await.unwrap();
    let port = node.port();
    let settings = Config::parse(ALL).unwrap().check().unwrap().services;
    let site = BusContext::new(&bus.address, BusScope::Session);
    let mut services = Services::start(&TaskTracker::new(), &site, node, settings);
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while events.next_many(&mut batch, 16).await > 0 {
            for event in batch.drain(..) {
                let label = |_| Some(Arc::from("booth"));
                services.handle(&event, label).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn what_one_bridge_shows_another_one_of_the_same_bus_does_not_export() {
    let stage = Stage::start(ALL, "").await;
    let _far = Service::start(&stage.stage, "org.example.Far").await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned("org.example.Far.stage").await;
    let port = second_bridge(&stage.foh).await;
    let booth = TestBus::start();
    let bridge = Bridge::start(&booth, "booth", "", Some(port)).await;
    let mut client = Client::on(&booth).await;
    // What was there before, and what comes later.
    let _near = Service::start(&stage.foh, "org.example.Near").await;
    client.wait_until_owned("org.example.Near.second").await;
    let _later = Service::start(&stage.stage, "org.example.Later").await;
    foh.wait_until_owned("org.example.Later.stage").await;
    let _last = Service::start(&stage.foh, "org.example.Last").await;
    client.wait_until_owned("org.example.Last.second").await;
    let names = client.names().await;
    let shown: Vec<&String> = names
        .iter()
        .filter(|it| it.starts_with("org.example"))
        .collect();
    assert_eq!(
        shown,
        ["org.example.Last.second", "org.example.Near.second"]
    );
    bridge.stop().await;
}

#[tokio::test]
async fn a_service_that_hangs_is_offered_all_the_same() {
    let stage = Stage::start(ALL, "").await;
    let _hangs = Service::that_hangs(&stage.stage, "org.example.Hangs").await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned("org.example.Hangs.stage").await;
}

//! The examples of this crate do what they say, on a mesh of the loopback.
//!
//! Each example is compiled into this test as a module; the test calls the functions that its `main` calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use tokio::time::timeout;
use zocp_node::{BeaconMode, Change, Config, Event, Events, Node, json};

#[path = "../examples/methods.rs"]
#[allow(dead_code, reason = "its main runs in the example only")]
mod methods;
#[path = "../examples/signals.rs"]
#[allow(dead_code, reason = "its main runs in the example only")]
mod signals;
#[path = "../examples/values.rs"]
#[allow(dead_code, reason = "its main runs in the example only")]
mod values;

#[tokio::test]
async fn another_node_sets_the_value_of_the_lamp() {
    let (lamp, at_lamp) = values::start(config("lamp")).await.unwrap();
    let running = lamp.clone();
    let run = async move { values::run(&running, at_lamp).await.unwrap() };
    let test = async {
        let (desk, mut at_desk) = Node::start(near(&lamp, "desk")).await.unwrap();
        let known = |event| matches!(event, Event::TreeKnown { .. }).then_some(());
        until(&mut at_desk, known).await;
        desk.set(lamp.id(), "brightness", 0.0).await.unwrap();
        until(&mut at_desk, |event| match event {
            Event::Changed { changes, .. } => changes.into_iter().find_map(switched_off),
            _ => None,
        })
        .await;
        lamp.shutdown().await;
    };
    timeout(TIME, async { tokio::join!(run, test) })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_remote_control_turns_the_camera() {
    let (camera, at_camera) = methods::start(config("camera")).await.unwrap();
    let running = camera.clone();
    let run = async move { methods::run(&running, at_camera).await.unwrap() };
    let test = async {
        let turned = methods::turn(near(&camera, "remote"), 30.0).await.unwrap();
        assert_eq!(turned, json!(30.0));
        let turned = methods::turn(near(&camera, "remote"), 80.0).await.unwrap();
        assert_eq!(turned, json!(90.0));
        camera.shutdown().await;
    };
    timeout(TIME, async { tokio::join!(run, test) })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_lamp_follows_the_fader() {
    let (fader, at_fader) = signals::fader(config("fader")).await.unwrap();
    let (lamp, mut at_lamp) = signals::lamp(near(&fader, "lamp")).await.unwrap();
    let follow = async {
        let mut levels = Vec::new();
        while levels.len() < 3 {
            levels.push(signals::follow(&lamp, &mut at_lamp).await.unwrap().unwrap());
        }
        levels
    };
    let levels = timeout(TIME, async {
        tokio::select! {
            levels = follow => levels,
            ended = signals::fade(&fader) => panic!("{ended:?}"),
            ended = signals::ignore(at_fader) => panic!("{ended:?}"),
        }
    });
    let levels = levels.await.unwrap();
    let steps: Vec<f64> = levels.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(
        steps.iter().all(|step| (step.abs() - 0.05).abs() < 1e-9),
        "{levels:?}"
    );
}

fn switched_off(change: Change) -> Option<()> {
    match change {
        Change::Value { path, value } if &*path.name == "is_on" && value == false => Some(()),
        _ => None,
    }
}

/// A node that nobody finds by itself.
fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

/// A node that connects to another.
fn near(node: &Node, name: &str) -> Config {
    config(name).with_peers([format!("tcp://127.0.0.1:{}", node.port())])
}

async fn until<T>(events: &mut Events, wanted: impl Fn(Event) -> Option<T>) -> T {
    loop {
        let event = events.next().await.expect("the node runs");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

/// For all of one test.
const TIME: Duration = Duration::from_secs(20);

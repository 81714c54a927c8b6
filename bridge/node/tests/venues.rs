//! Nodes of one venue in another, by way of two nodes that are linked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use zocp_node::{
    Access, Argument, BeaconMode, CapPath, Capability, Config, Event, Events, ExitReason, KeyPair,
    Method, Node, NodeError, PassRule, PeerId, Security, Tree, Value, json,
};

use common::until;

/// A gate of a venue, and a node of that venue that has met it.
struct Venue {
    gate: Node,
    at_gate: Events,
    fader: Node,
    at_fader: Events,
}

impl Venue {
    /// `number` is of the gate's key; the fader has the next one.
    async fn open(name: &str, number: u8, rules: &[&str], links: &[&Node]) -> Self {
        let links = links.iter().map(|to| endpoint(to));
        let rule = PassRule::new(rules.iter().copied(), None::<[&str; 0]>);
        let config = secure("gate", number)
            .with_venue(name)
            .with_pass([rule])
            .with_links(links);
        let (gate, mut at_gate) = Node::start(config).await.unwrap();
        let (fader, at_fader) = joins("fader", number + 1, &gate, |_| {}).await;
        tree(&gate, &mut at_gate, fader.id()).await;
        Self {
            gate,
            at_gate,
            fader,
            at_fader,
        }
    }
}

/// A node that meets another one, with a level and a method.
async fn joins(
    name: &str,
    number: u8,
    gate: &Node,
    change: impl FnOnce(&mut Config),
) -> (Node, Events) {
    let mut config = secure(name, number);
    change(&mut config);
    let (node, events) = Node::start(config).await.unwrap();
    let level = Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5);
    let level = level.with_range(0.0, 1.0);
    node.publish("level", level).await.unwrap();
    node.publish("mute", Capability::new(Access::READ | Access::WRITE, false))
        .await
        .unwrap();
    let double = Method::new(
        vec![Argument::new("number", "int")],
        vec![Argument::new("twice", "int")],
        None,
    );
    node.publish_method("double", double).await.unwrap();
    node.connect(&endpoint(gate)).await.unwrap();
    (node, events)
}

#[tokio::test]
async fn a_node_that_a_rule_names_is_in_the_other_venue_with_its_values_events_and_methods() {
    let north = Venue::open("north", 1, &["fader"], &[]).await;
    let south = Venue::open("south", 11, &[], &[&north.gate]).await;
    let (mut events, desk) = (south.at_gate, south.gate);
    let id = north.fader.id();
    let there = tree(&desk, &mut events, id).await;
    assert_eq!(value(&there, "level"), Some(&json!(0.5)));
    let info = desk.peer(id).await.unwrap().expect("it is present");
    assert_eq!(info.name, "north/fader");
    assert_eq!(info.venue.as_deref(), Some("north"));
    assert_eq!(info.via, Some(north.gate.id()));

    // A node whose events are not taken reads nothing.
    let mut at_gate = north.at_gate;
    let gate = tokio::spawn(async move { while at_gate.next().await.is_some() {} });
    // Events keep their order, and none is lost.
    for number in 0..200 {
        north
            .fader
            .emit("level", f64::from(number) / 200.0)
            .await
            .unwrap();
    }
    for number in 0..200 {
        assert_eq!(
            emitted(&mut events, id).await,
            json!(f64::from(number) / 200.0)
        );
    }
    // A value that is set arrives, and what the node makes of it comes back.
    let mut at_fader = north.at_fader;
    desk.set(id, "level", 0.25).await.unwrap();
    until(&mut at_fader, |event| match event {
        Event::LocalSet { value, .. } if value == 0.25 => Some(()),
        _ => None,
    })
    .await;
    assert!(desk.set(id, "level", 2.0).await.is_err(), "out of range");
    north.fader.set_local("mute", true).await.unwrap();
    changed(&mut events, id, "mute", &json!(true)).await;
    // Calls.
    let call = desk.call(id, "double", vec![json!(21)]);
    let answer = async {
        let call = until(&mut at_fader, |event| match event {
            Event::Called(call) => Some(call),
            _ => None,
        });
        let call = call.await;
        assert_eq!(call.args, [json!(21)]);
        north.fader.reply(call, Ok(vec![json!(42)])).await.unwrap();
    };
    let (result, ()) = tokio::join!(call, answer);
    assert_eq!(result.unwrap(), [json!(42)]);
    // What it adds and takes away.
    let more = Capability::new(Access::READ, "x");
    north.fader.publish("more", more).await.unwrap();
    changed(&mut events, id, "more", &json!("x")).await;
    north.fader.unpublish("mute").await.unwrap();
    until(&mut events, |event| match event {
        Event::Changed { peer, changes } if peer == id => changes
            .iter()
            .any(|it| matches!(it, zocp_node::Change::CapabilityRemoved { .. }))
            .then_some(()),
        _ => None,
    })
    .await;

    // It leaves, and comes back.
    drop(at_fader);
    north.fader.shutdown().await;
    assert_eq!(exited(&mut events, id).await, ExitReason::Goodbye);
    assert!(matches!(
        desk.set(id, "level", 0.1).await,
        Err(NodeError::NodeGone(_))
    ));
    let (again, _again) = joins("fader", 2, &north.gate, |_| {}).await;
    tree(&desk, &mut events, again.id()).await;
    // The gate goes, and takes what it passes on along.
    north.gate.shutdown().await;
    gate.await.unwrap();
    assert_eq!(
        exited(&mut events, again.id()).await,
        ExitReason::LinkClosed
    );
    exited(&mut events, north.gate.id()).await;
}

#[tokio::test]
async fn what_no_rule_names_is_not_seen_and_rules_can_change() {
    let north = Venue::open("north", 1, &["fader"], &[]).await;
    let (lamp, _lamp) = joins("lamp", 3, &north.gate, |_| {}).await;
    let mut at_gate = north.at_gate;
    tree(&north.gate, &mut at_gate, lamp.id()).await;
    let south = Venue::open("south", 11, &["*"], &[&north.gate]).await;
    let mut events = south.at_gate;
    // The lamp was there before the fader is seen.
    tree(&south.gate, &mut events, north.fader.id()).await;
    assert!(south.gate.peer(lamp.id()).await.unwrap().is_none());
    tree(&north.gate, &mut at_gate, south.fader.id()).await;

    let rule = PassRule::new(["l*"], Some(["south"]));
    north.gate.pass(vec![rule]).await.unwrap();
    tree(&south.gate, &mut events, lamp.id()).await;
    exited(&mut events, north.fader.id()).await;
    let elsewhere = PassRule::new(["*"], Some(["east"]));
    north.gate.pass(vec![elsewhere]).await.unwrap();
    exited(&mut events, lamp.id()).await;
}

#[tokio::test]
async fn an_old_node_is_set_and_followed_and_cannot_be_called() {
    let north = Venue::open("north", 1, &["old"], &[]).await;
    let old = joins("old", 4, &north.gate, |config| config.extended = false);
    let (old, mut at_old) = old.await;
    let south = Venue::open("south", 11, &[], &[&north.gate]).await;
    let (mut events, desk) = (south.at_gate, south.gate);
    tree(&desk, &mut events, old.id()).await;
    desk.set(old.id(), "level", 0.75).await.unwrap();
    until(&mut at_old, |event| match event {
        Event::LocalSet { value, .. } if value == 0.75 => Some(()),
        _ => None,
    })
    .await;
    old.emit("level", 0.125).await.unwrap();
    until(&mut events, |event| match event {
        Event::Emitted { value, .. } if value == 0.125 => Some(()),
        _ => None,
    })
    .await;
    // It says nothing of methods to nodes, so there is none to call.
    assert!(desk.call(old.id(), "double", vec![json!(1)]).await.is_err());
}

#[tokio::test]
async fn a_venue_whose_mesh_is_open_passes_its_nodes_over_encrypted_links() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let keys = |number: u8, other: u8, listen| {
        let security = Security::new(pair(number)).with_trusted([pair(other).public()]);
        security.for_links(listen)
    };
    let open = |name: &str| {
        let config = Config::new(name)
            .with_loopback()
            .with_beacon(BeaconMode::Off);
        let rule = PassRule::new(["fader"], None::<[&str; 0]>);
        config.with_pass([rule])
    };
    let gate = open("gate")
        .with_venue("north")
        .with_security(keys(1, 2, Some(port)));
    let (gate, mut at_gate) = Node::start(gate).await.unwrap();
    // An old node, without any key.
    let mut config = open("fader");
    config.extended = false;
    let (fader, _at_fader) = Node::start(config).await.unwrap();
    let level = Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5);
    fader.publish("level", level).await.unwrap();
    let at = |node: &Node| format!("tcp://127.0.0.1:{}", node.port());
    fader.connect(&at(&gate)).await.unwrap();
    tree(&gate, &mut at_gate, fader.id()).await;
    // One without a key that says to be of the other venue is of this one.
    let (liar, _at_liar) = Node::start(open("liar").with_venue("south")).await.unwrap();
    liar.connect(&at(&gate)).await.unwrap();
    tree(&gate, &mut at_gate, liar.id()).await;
    assert_eq!(gate.peer(liar.id()).await.unwrap().unwrap().venue, None);

    let link = format!("tcp://{port}|{}", pair(1).public());
    let desk = open("desk")
        .with_venue("south")
        .with_security(keys(2, 1, None))
        .with_links([link.clone()]);
    let (desk, mut events) = Node::start(desk).await.unwrap();
    tree(&desk, &mut events, fader.id()).await;
    let info = desk.peer(gate.id()).await.unwrap().unwrap();
    assert_eq!((info.name.as_str(), info.is_secure()), ("north/gate", true));
    fader.emit("level", 0.75).await.unwrap();
    assert_eq!(emitted(&mut events, fader.id()).await, json!(0.75));
    assert!(desk.peer(liar.id()).await.unwrap().is_none());
    // Who is not trusted is met by nobody.
    let stranger = open("stranger")
        .with_venue("east")
        .with_security(keys(3, 1, None))
        .with_links([link]);
    let (stranger, _at_stranger) = Node::start(stranger).await.unwrap();
    until(&mut at_gate, |event| match event {
        Event::Stranger(stranger) if stranger.key == pair(3).public() => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(stranger.peers().await.unwrap(), []);
}

#[tokio::test]
async fn in_a_triangle_of_venues_each_node_is_there_once_and_nothing_is_passed_on_twice() {
    let north = Venue::open("north", 1, &["*"], &[]).await;
    let east = Venue::open("east", 11, &["*"], &[&north.gate]).await;
    let south = Venue::open("south", 21, &["*"], &[&north.gate, &east.gate]).await;
    let faders = [&north, &east, &south].map(|venue| venue.fader.id());
    let gates = [&north, &east, &south].map(|venue| venue.gate.id());
    let mut venues = [north, east, south];
    for (at, venue) in venues.iter_mut().enumerate() {
        let others = (0..3).filter(|other| *other != at);
        for id in others.flat_map(|other| [faders[other], gates[other]]) {
            tree(&venue.gate, &mut venue.at_gate, id).await;
        }
        let mut names: Vec<String> = venue
            .gate
            .peers()
            .await
            .unwrap()
            .into_iter()
            .map(|it| it.name)
            .collect();
        names.sort();
        let own = ["north", "east", "south"][at];
        let mut wanted = vec!["fader".to_owned()];
        for other in ["east", "north", "south"]
            .into_iter()
            .filter(|it| *it != own)
        {
            wanted.extend([format!("{other}/fader"), format!("{other}/gate")]);
        }
        wanted.sort();
        assert_eq!(names, wanted);
    }
    // One emission of the north arrives once in each of the others.
    let [north, east, south] = &mut venues;
    for round in 0..3 {
        north
            .fader
            .emit("level", f64::from(round) / 4.0)
            .await
            .unwrap();
    }
    for venue in [east, south] {
        for round in 0..3 {
            assert_eq!(
                emitted(&mut venue.at_gate, faders[0]).await,
                json!(f64::from(round) / 4.0)
            );
        }
    }
}

#[tokio::test]
async fn a_node_that_two_gates_pass_on_is_there_once_and_stays_when_one_goes() {
    let north = Venue::open("north", 1, &["fader"], &[]).await;
    let second = secure("second", 5)
        .with_venue("north")
        .with_pass([PassRule::new(["fader"], None::<[&str; 0]>)]);
    let (second, mut at_second) = Node::start(second).await.unwrap();
    north.fader.connect(&endpoint(&second)).await.unwrap();
    tree(&second, &mut at_second, north.fader.id()).await;
    let south = Venue::open("south", 11, &[], &[&north.gate, &second]).await;
    let mut events = south.at_gate;
    let id = north.fader.id();
    tree(&south.gate, &mut events, id).await;
    // Both are linked by now.
    for gate in [&north.gate, &second] {
        while south.gate.peer(gate.id()).await.unwrap().is_none() {
            events.next().await;
        }
        south.gate.ping(gate.id()).await.unwrap();
    }
    north.fader.emit("level", 0.75).await.unwrap();
    assert_eq!(emitted(&mut events, id).await, json!(0.75));
    let via = south.gate.peer(id).await.unwrap().unwrap().via.unwrap();
    drop(north.at_gate);
    let (gone, stays) = match via == second.id() {
        true => (second, north.gate),
        false => (north.gate, second),
    };
    gone.shutdown().await;
    exited(&mut events, id).await;
    tree(&south.gate, &mut events, id).await;
    let info = south.gate.peer(id).await.unwrap().unwrap();
    assert_eq!(info.via, Some(stays.id()));
}

fn endpoint(node: &Node) -> String {
    format!("tcp://127.0.0.1:{}|{}", node.port(), node.key().unwrap())
}

fn secure(name: &str, number: u8) -> Config {
    let trusted = (1..30).map(|number| pair(number).public());
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
        .with_security(Security::new(pair(number)).with_trusted(trusted))
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn value<'t>(tree: &'t Tree, name: &str) -> Option<&'t Value> {
    tree.capability(&CapPath::root(name))?.value.as_ref()
}

/// The tree of a node, when it is known.
async fn tree(node: &Node, events: &mut Events, id: PeerId) -> Tree {
    if let Some(tree) = node.tree(id).await.unwrap() {
        return tree;
    }
    until(events, |event| match event {
        Event::TreeKnown { peer, tree } if peer == id => Some(*tree),
        _ => None,
    })
    .await
}

async fn emitted(events: &mut Events, id: PeerId) -> Value {
    until(events, |event| match event {
        Event::Emitted { peer, value, .. } if peer == id => Some(value),
        _ => None,
    })
    .await
}

async fn changed(events: &mut Events, id: PeerId, name: &str, wanted: &Value) {
    let path = CapPath::root(name);
    let is_it = |change: &zocp_node::Change| match change {
        zocp_node::Change::Value { path: at, value } => *at == path && value == wanted,
        zocp_node::Change::CapabilityAdded {
            path: at,
            capability,
        } => *at == path && capability.value.as_ref() == Some(wanted),
        _ => false,
    };
    until(events, |event| match event {
        Event::Changed { peer, changes } if peer == id => changes.iter().any(is_it).then_some(()),
        _ => None,
    })
    .await;
}

async fn exited(events: &mut Events, id: PeerId) -> ExitReason {
    until(events, |event| match event {
        Event::Exited { peer, reason } if peer == id => Some(reason),
        _ => None,
    })
    .await
}

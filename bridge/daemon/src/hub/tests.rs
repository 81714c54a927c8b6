//! The hub on a real bus, with real nodes on the loopback.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    sync::mpsc,
};
use zbus::{Connection, OwnedVariant, fdo};
use zocp_interfaces::{
    BRIDGE_XML, BridgeProxy, EXPORTER_XML, MONITOR_INTERFACE, MONITOR_XML, MonitorProxy, PeerProxy,
    StatisticsProxy, VIEWS_INTERFACE, VIEWS_XML,
};
use zocp_node::{BeaconMode, Config, Content, Events};

use super::*;
use zocp_dbus::{
    introspection::parse_interfaces,
    message::readable::{assert_readable, odd_text},
    objects::Objects,
    server::BusScope,
    testbus::{TestBus, soon},
};
use zocp_relay::services::ServiceSettings;
use zocp_relay::services::Services;
use zocp_state::StateDir;
use zocp_wires::{self, Wires};

/// A hub on a bus of its own, fed by a node, and a client of it.
struct Stage {
    client: Connection,
    hub_node: Node,
    peer: Node,
    peer_events: Events,
    _bus: TestBus,
}

impl Stage {
    async fn start() -> Self {
        let bus = TestBus::start();
        let (hub_node, events) = Node::start(config("bridge")).await.unwrap();
        let site = BusContext::new(&bus.address, BusScope::Session);
        let (presence, mut presences) = mpsc::channel(16);
        let on_presence = move |told| presence.try_send(told).unwrap();
        let tasks = TaskTracker::new();
        let directory = Directory::default();
        let (rules, node) = (ServiceSettings::default(), hub_node.clone());
        let services = Services::start(&tasks, &site, node, rules);
        let wires = Wires::start(
            &tasks,
            &site,
            hub_node.clone(),
            zocp_wires::Limits::default(),
            &StateDir::none(),
        )
        .unwrap();
        let hub = Hub::start(
            &tasks,
            &site,
            HubParts::plain(&hub_node, &directory, &services, &wires, &site),
            on_presence,
        )
        .await
        .unwrap();
        tokio::spawn(follow(hub, directory, events));
        let named = soon(presences.recv()).await.unwrap();
        assert_eq!(named, Presence::Named(Arc::from("org.z25.Zocp1")));
        let (peer, peer_events) = Node::start(config("lamp@foh")).await.unwrap();
        let client = bus.client().await;
        let stage = Self {
            client,
            hub_node,
            peer,
            peer_events,
            _bus: bus,
        };
        stage.meet().await;
        stage
    }

    /// Connects the two nodes over the bus, and waits for the peer's object.
    async fn meet(&self) {
        let bridge = self.bridge().await;
        let manager = fdo::ObjectManagerProxy::builder(&self.client)
            .destination("org.z25.Zocp1")
            .path("/org/z25/Zocp1")
            .build()
            .await
            .unwrap();
        let mut added = manager.receive_interfaces_added().await.unwrap();
        let endpoint = format!("tcp://127.0.0.1:{}", self.peer.port());
        bridge.connect(&endpoint).await.unwrap();
        let added = soon(added.next()).await.unwrap();
        assert_eq!(added.args().unwrap().object_path.as_str(), PEER);
    }

    async fn bridge(&self) -> BridgeProxy<'static> {
        BridgeProxy::new(&self.client).await.unwrap()
    }

    async fn peer_proxy(&self) -> PeerProxy<'static> {
        PeerProxy::builder(&self.client)
            .path(PEER)
            .build()
            .await
            .unwrap()
    }
}

const PEER: &str = "/org/z25/Zocp1/nodes/lamp_40foh";

fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

async fn follow(mut hub: Hub, directory: Directory, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Event::Entered(info) = &event {
            directory.enter(info.id, &info.name, info.venue.as_deref());
        }
        hub.handle(&event).await;
    }
}

#[tokio::test]
async fn a_present_peer_is_described() {
    let stage = Stage::start().await;
    let peer = stage.peer_proxy().await;
    assert_eq!(peer.name().await.unwrap(), "lamp@foh");
    assert_eq!(peer.uuid().await.unwrap(), stage.peer.id().to_string());
    assert_eq!(peer.bus_name().await.unwrap(), "");
    assert_eq!(
        peer.endpoint().await.unwrap(),
        format!("tcp://127.0.0.1:{}", stage.peer.port())
    );
    assert_eq!(peer.headers().await.unwrap()["X-ZOCP"], "1");
    assert_eq!(peer.groups().await.unwrap(), ["ZOCP"]);
    assert_eq!(peer.services().await.unwrap(), HashMap::new());
    assert_eq!(peer.state().await.unwrap(), "ready");
    assert!(!peer.secure().await.unwrap());
    assert!(peer.ping().await.unwrap() > 0);
}

#[tokio::test]
async fn the_bridge_describes_itself() {
    let stage = Stage::start().await;
    let bridge = stage.bridge().await;
    assert_eq!(bridge.version().await.unwrap(), env!("CARGO_PKG_VERSION"));
    assert_eq!(bridge.name().await.unwrap(), "bridge");
    assert_eq!(
        bridge.uuid().await.unwrap(),
        stage.hub_node.id().to_string()
    );
    let endpoint = format!("tcp://127.0.0.1:{}", stage.hub_node.port());
    assert_eq!(bridge.endpoint().await.unwrap(), endpoint);
    assert_eq!(bridge.groups().await.unwrap(), ["ZOCP"]);
}

#[tokio::test]
async fn a_node_is_found_by_name_label_and_uuid() {
    let stage = Stage::start().await;
    let bridge = stage.bridge().await;
    let uuid = stage.peer.id().to_string();
    for text in ["lamp@foh", "lamp_40foh", &uuid, &uuid[..8]] {
        assert_eq!(
            bridge.find_node(text).await.unwrap().as_str(),
            PEER,
            "{text}"
        );
    }
    let error = bridge.find_node("nobody").await.unwrap_err();
    assert_eq!(name_of(&error), "org.z25.Zocp1.Error.NodeGone");
}

#[tokio::test]
async fn whispers_and_shouts_go_both_ways() {
    let mut stage = Stage::start().await;
    let (bridge, peer) = (stage.bridge().await, stage.peer_proxy().await);
    let mut whispered = peer.receive_whispered().await.unwrap();
    let mut shouted = bridge.receive_shouted().await.unwrap();

    bridge.join("lights").await.unwrap();
    assert_eq!(groups(&bridge).await, ["ZOCP", "lights"]);
    stage.peer.join("lights").await.unwrap();
    let hub = stage.hub_node.id();
    until(
        &mut stage.peer_events,
        |event| matches!(event, Event::Joined { peer, group } if *peer == hub && group == "lights"),
    )
    .await;

    stage
        .peer
        .whisper(hub, content(&[b"a", b"b"]))
        .await
        .unwrap();
    let told = soon(whispered.next()).await.unwrap();
    assert_eq!(told.args().unwrap().content, b"ab");

    stage.peer.shout("lights", content(&[b"on"])).await.unwrap();
    let told = soon(shouted.next()).await.unwrap();
    let args = told.args().unwrap();
    assert_eq!((args.peer.as_str(), args.group), (PEER, "lights"));
    assert_eq!(args.content, b"on");

    peer.whisper(b"hello").await.unwrap();
    let heard = until(&mut stage.peer_events, |event| {
        matches!(event, Event::Whispered { .. })
    })
    .await;
    assert!(matches!(heard, Event::Whispered { content, .. } if content.concat() == b"hello"));

    bridge.shout("lights", b"off").await.unwrap();
    let heard = until(&mut stage.peer_events, |event| {
        matches!(event, Event::Shouted { .. })
    })
    .await;
    assert!(matches!(heard, Event::Shouted { content, .. } if content.concat() == b"off"));

    bridge.leave("lights").await.unwrap();
    assert_eq!(groups(&bridge).await, ["ZOCP"]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let stage = Stage::start().await;
    let bridge = stage.bridge().await;
    let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
    assert_eq!(
        name_of(&bridge.connect("10.0.0.7").await.unwrap_err()),
        invalid
    );
    assert_eq!(name_of(&bridge.join("").await.unwrap_err()), invalid);
    assert_eq!(
        name_of(&bridge.join(&"x".repeat(256)).await.unwrap_err()),
        invalid
    );
    assert_eq!(name_of(&bridge.leave("ZOCP").await.unwrap_err()), invalid);
    assert_eq!(name_of(&bridge.shout("", b"x").await.unwrap_err()), invalid);
}

#[tokio::test]
async fn changes_of_a_peer_are_announced_and_its_end_too() {
    let stage = Stage::start().await;
    let properties = fdo::PropertiesProxy::builder(&stage.client)
        .destination("org.z25.Zocp1")
        .path(PEER)
        .build()
        .await
        .unwrap();
    let mut changes = properties.receive_properties_changed().await.unwrap();
    let mut removals = fdo::ObjectManagerProxy::builder(&stage.client)
        .destination("org.z25.Zocp1")
        .path("/org/z25/Zocp1")
        .build()
        .await
        .unwrap()
        .receive_interfaces_removed()
        .await
        .unwrap();
    stage.peer.join("lights").await.unwrap();
    let change = soon(changes.next()).await.unwrap();
    let change = change.args().unwrap();
    assert_eq!(change.interface_name, "org.z25.Zocp1.Peer");
    let groups = OwnedVariant::try_from(change.changed_properties["Groups"].try_clone().unwrap());
    assert_eq!(
        Vec::<String>::try_from(groups.unwrap()).unwrap(),
        ["ZOCP", "lights"]
    );

    stage.peer.shutdown().await;
    let removal = soon(removals.next()).await.unwrap();
    assert_eq!(removal.args().unwrap().object_path.as_str(), PEER);
}

#[tokio::test]
async fn what_went_over_the_mesh_is_counted_for_the_bridge_and_for_the_peer() {
    let stage = Stage::start().await;
    let of_bridge = StatisticsProxy::new(&stage.client).await.unwrap();
    let of_peer = StatisticsProxy::builder(&stage.client)
        .path(PEER)
        .build()
        .await
        .unwrap();
    let peer = stage.peer_proxy().await;
    peer.ping().await.unwrap();
    peer.whisper(b"hello").await.unwrap();
    peer.ping().await.unwrap();
    for statistics in [&of_bridge, &of_peer] {
        let sent = statistics.sent().await.unwrap();
        assert_eq!(sent["PING"].0, 2);
        // Signature, id, version, number and five octets.
        assert_eq!(sent["WHISPER"], (1, 11));
        assert_eq!(statistics.received().await.unwrap()["PING-OK"].0, 2);
        assert!(statistics.packets_sent().await.unwrap().is_empty());
        assert_eq!(statistics.queued().await.unwrap(), 0);
    }
    assert!(of_bridge.received().await.unwrap()["HELLO"].0 > 0);
    assert!(of_peer.since().await.unwrap() >= of_bridge.since().await.unwrap());

    let bridge = stage.bridge().await;
    bridge.find_node("nobody").await.unwrap_err();
    let counts = of_bridge.counts().await.unwrap();
    assert_eq!(counts["refused"]["org.z25.Zocp1.Error.NodeGone"], 1);
    assert_eq!(counts["peers"]["present"], 1);
}

/// Reads lines from a watcher's descriptor until one holds.
async fn line_with(
    lines: &mut tokio::io::Lines<BufReader<UnixStream>>,
    holds: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    loop {
        let line = soon(lines.next_line()).await.unwrap().expect("a line");
        let line = serde_json::from_str(&line).unwrap();
        if holds(&line) {
            return line;
        }
    }
}

async fn watch(
    stage: &Stage,
    options: HashMap<&str, zbus::Variant<'_>>,
) -> tokio::io::Lines<BufReader<UnixStream>> {
    let monitor = MonitorProxy::new(&stage.client).await.unwrap();
    let events = std::os::fd::OwnedFd::from(monitor.open(options).await.unwrap());
    let events = std::os::unix::net::UnixStream::from(events);
    events.set_nonblocking(true).unwrap();
    BufReader::new(UnixStream::from_std(events).unwrap()).lines()
}

#[tokio::test]
async fn who_watches_is_told_what_passes_and_what_is_refused() {
    let stage = Stage::start().await;
    let mut lines = watch(&stage, HashMap::new()).await;
    stage.peer_proxy().await.ping().await.unwrap();
    let sent = line_with(&mut lines, |line| line["verb"] == "PING").await;
    assert_eq!(sent["event"], "sent");
    assert_eq!(sent["peer"], "lamp@foh");
    assert_eq!(sent["octets"], 6);
    let answered = line_with(&mut lines, |line| line["verb"] == "PING-OK").await;
    assert_eq!(answered["event"], "received");

    let bridge = stage.bridge().await;
    bridge.find_node("nobody").await.unwrap_err();
    let refused = line_with(&mut lines, |line| line["event"] == "refused").await;
    assert_eq!(refused["error"], "org.z25.Zocp1.Error.NodeGone");
    assert_eq!(refused["member"], "org.z25.Zocp1.Bridge.FindNode");
    assert_eq!(
        refused["caller"],
        stage.client.unique_name().unwrap().as_str()
    );

    let mut visitor = TcpStream::connect(("127.0.0.1", stage.hub_node.port()))
        .await
        .unwrap();
    visitor.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let turned = line_with(&mut lines, |line| line["event"] == "turned away").await;
    assert_eq!(turned["kind"], "handshake");
    assert_eq!(turned["from"], visitor.local_addr().unwrap().to_string());

    stage.peer.shutdown().await;
    let left = line_with(&mut lines, |line| line["event"] == "left").await;
    assert_eq!(
        (&left["peer"], &left["why"]),
        (&"lamp@foh".into(), &"closed".into())
    );
}

#[tokio::test]
async fn a_program_has_four_watchers_at_most_and_one_that_it_closes_makes_room() {
    let stage = Stage::start().await;
    let mut watchers = Vec::new();
    for _ in 0..4 {
        watchers.push(watch(&stage, HashMap::new()).await);
    }
    let monitor = MonitorProxy::new(&stage.client).await.unwrap();
    let refused = monitor.open(HashMap::new()).await.unwrap_err();
    assert!(refused.to_string().contains("LimitsExceeded"), "{refused}");
    watchers.pop();
    soon(async {
        while monitor.open(HashMap::new()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(watchers);
    // Nobody watches: the tap of the node is closed again.
    let traffic = stage.hub_node.traffic();
    soon(async {
        while traffic.trace_hook().is_attached() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_live_introspection_is_what_is_declared() {
    let stage = Stage::start().await;
    for (path, xml, name) in [
        ("/org/z25/Zocp1", BRIDGE_XML, BRIDGE_INTERFACE),
        ("/org/z25/Zocp1", EXPORTER_XML, EXPORTER_INTERFACE),
        ("/org/z25/Zocp1", VIEWS_XML, VIEWS_INTERFACE),
        (PEER, PEER_XML, PEER_INTERFACE),
        ("/org/z25/Zocp1", STATISTICS_XML, STATISTICS_INTERFACE),
        ("/org/z25/Zocp1", MONITOR_XML, MONITOR_INTERFACE),
        (PEER, STATISTICS_XML, STATISTICS_INTERFACE),
    ] {
        let live = fdo::IntrospectableProxy::builder(&stage.client)
            .destination("org.z25.Zocp1")
            .path(path)
            .build()
            .await
            .unwrap()
            .introspect()
            .await
            .unwrap();
        let (live, declared) = (of_name(&live, name), of_name(xml, name));
        assert_eq!(live, declared, "{path}");
    }
}

/// An interface of an XML text, comparable.
fn of_name(xml: &str, name: &str) -> String {
    let interfaces = parse_interfaces(xml).unwrap();
    format!(
        "{:#?}",
        interfaces
            .iter()
            .find(|interface| &**interface.name() == name)
            .unwrap()
    )
}

async fn groups(bridge: &BridgeProxy<'_>) -> Vec<String> {
    let get = fdo::PropertiesProxy::builder(bridge.inner().connection())
        .destination("org.z25.Zocp1")
        .path("/org/z25/Zocp1")
        .build()
        .await
        .unwrap();
    let interface = zbus::names::InterfaceName::from_static_str_unchecked(BRIDGE_INTERFACE);
    Vec::<String>::try_from(get.get(interface, "Groups").await.unwrap()).unwrap()
}

async fn until(events: &mut Events, mut is_it: impl FnMut(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.next().await.unwrap();
            if is_it(&event) {
                return event;
            }
        }
    };
    soon(tokio::time::timeout(Duration::from_secs(10), found))
        .await
        .unwrap()
}

fn content(frames: &[&'static [u8]]) -> Content {
    frames
        .iter()
        .map(|frame| Bytes::from_static(frame))
        .collect()
}

fn name_of(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => zbus::DBusError::name(&**error).to_string(),
        other => panic!("{other}"),
    }
}

proptest::proptest! {
    #[test]
    fn a_peer_of_any_texts_is_read_by_everybody(
        texts in proptest::collection::vec(odd_text(), 2..12),
    ) {
        let pairs = texts.iter().zip(texts.iter().rev());
        let mut info = PeerInfo::new(PeerId::new([7; 16]), texts[0].clone());
        info.endpoint = texts[1].clone();
        info.headers = pairs.map(|(name, value)| (name.clone(), value.clone())).collect();
        info.groups = texts.clone();
        (info.zocp, info.extended) = (true, true);
        let peer = declared(PEER_XML, PEER_INTERFACE).unwrap();
        let mut objects = Objects::new(None);
        objects.add_manager("/a").unwrap();
        objects.set_announcing(true);
        objects.insert("/a/b", [described(peer, &info, &info.groups, None).unwrap()]).unwrap();
        let bridge = declared(BRIDGE_XML, BRIDGE_INTERFACE).unwrap();
        objects.insert("/a", [bridge]).unwrap();
        let path = zbus::ObjectPath::try_from("/a/b").unwrap().into();
        let shouted = vec![path, Variant::new(texts[0].clone()), Variant::new(vec![0u8])];
        objects.emit("/a", BRIDGE_INTERFACE, "Shouted", shouted).unwrap();
        objects.set("/a/b", PEER_INTERFACE, "Groups", Variant::new(texts)).unwrap();
        objects.flush_changes();
        let out = objects.take_outgoing();
        proptest::prop_assert!(out.len() >= 3);
        out.iter().for_each(|message| assert_readable(message));
    }
}

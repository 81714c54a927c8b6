//! A bridge's wires, two nodes that are wired, and a client of the bus.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use zbus::{Connection, OwnedObjectPath, Variant, fdo};
use zocp_interfaces::{BridgeProxy, WIRE_INTERFACE, WireProxy};
use zocp_node::{Access, BeaconMode, CapPath, Capability, Config, End, Event, Events, Node, Value};

use crate::hub::{Hub, HubParts};
use zocp_dbus::{
    server::{BusContext, BusScope, Presence},
    testbus::{TestBus, soon},
};
use zocp_mapping::directory::Directory;
use zocp_relay::services::ServiceSettings;
use zocp_relay::services::Services;
use zocp_state::StateDir;
use zocp_wires::{Limits, Wires};

/// See the [module](self).
pub(super) struct Stage {
    pub(super) bridge: BridgeProxy<'static>,
    pub(super) desk: Node,
    /// Taken by who reads them all.
    pub(super) desk_events: Option<Events>,
    lamp: Node,
    lamp_events: Events,
    client: Connection,
    node: Node,
    wires: Wires,
    wire_tasks: TaskTracker,
    bus: TestBus,
}

impl Stage {
    /// A desk that emits and a lamp that senses, both known to a bridge.
    pub(super) async fn start() -> Self {
        Self::start_with(&StateDir::none()).await
    }

    /// The same, with a bridge that keeps its state.
    pub(super) async fn start_with(state: &StateDir) -> Self {
        let bus = TestBus::start();
        let (node, events) = Node::start(config("bridge")).await.unwrap();
        let site = BusContext::new(&bus.address, BusScope::Session);
        let (presence, mut presences) = mpsc::channel(16);
        let on_presence = move |told| presence.try_send(told).unwrap();
        let (tasks, directory) = (TaskTracker::new(), Directory::default());
        let rules = ServiceSettings::default();
        let services = Services::start(&tasks, &site, node.clone(), rules);
        let wire_tasks = TaskTracker::new();
        let wires =
            Wires::start(&wire_tasks, &site, node.clone(), Limits::default(), state).unwrap();
        let hub = Hub::start(
            &tasks,
            &site,
            HubParts::plain(&node, &directory, &services, &wires, &site),
            on_presence,
        )
        .await
        .unwrap();
        tokio::spawn(follow(hub, wires.clone(), directory, events));
        let named = soon(presences.recv()).await.unwrap();
        assert!(matches!(named, Presence::Named(_)));
        let client = bus.client().await;
        let bridge = BridgeProxy::new(&client).await.unwrap();
        let (desk, desk_events) = desk().await;
        let (lamp, lamp_events) = lamp().await;
        let mut stage = Self {
            bridge,
            desk,
            desk_events: Some(desk_events),
            lamp,
            lamp_events,
            client,
            node,
            wires,
            wire_tasks,
            bus,
        };
        stage.meet().await;
        stage
    }

    /// All three know the trees of the others.
    async fn meet(&mut self) {
        for node in [&self.desk, &self.lamp] {
            let endpoint = format!("tcp://127.0.0.1:{}", node.port());
            self.bridge.connect(&endpoint).await.unwrap();
        }
        let endpoint = format!("tcp://127.0.0.1:{}", self.desk.port());
        self.lamp.connect(&endpoint).await.unwrap();
        let lamp = self.lamp.id();
        event(self.desk_events.as_mut().unwrap(), |event| {
            is_tree_of(event, lamp)
        })
        .await;
        // The bridge knows what a wire between them needs when it no longer refuses one.
        soon(async {
            while self
                .bridge
                .wire("desk", "ping", "lamp", "pong")
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// The bus.
    pub(super) fn site(&self) -> BusContext {
        BusContext::new(&self.bus.address, BusScope::Session)
    }

    /// Waits until the bus has heard all that wires asked of it so far: a wire with a member of the bus
    /// that is made now is active after them.
    pub(super) async fn listens(&self) {
        let own = self.client.unique_name().unwrap().to_string();
        let from = format!("dbus:{own}:/x:a.b.C");
        let path = self.bridge.wire_with(&from, "lamp:ear", options([])).await;
        let wire = self.at(&path.unwrap()).await;
        self.becomes(&wire, "active").await;
    }

    /// Ends the bridge and the nodes, when what is kept is written.
    pub(super) async fn close(self) {
        self.wires.close();
        self.wire_tasks.close();
        soon(self.wire_tasks.wait()).await;
        self.node.shutdown().await;
    }

    /// The lamp goes, and one of the same name comes.
    pub(super) async fn restart_lamp(&mut self) {
        self.lamp.shutdown().await;
        (self.lamp, self.lamp_events) = lamp().await;
        self.meet().await;
    }

    /// The wire between these ends, when it is there.
    pub(super) async fn wire(&self, from: &str, to: &str) -> WireProxy<'static> {
        let manager = fdo::ObjectManagerProxy::builder(&self.client)
            .destination("org.z25.Zocp1")
            .path("/org/z25/Zocp1")
            .build()
            .await
            .unwrap();
        let mut added = manager.receive_interfaces_added().await.unwrap();
        loop {
            for (path, interfaces) in manager.get_managed_objects().await.unwrap() {
                let Some(wire) = interfaces.get(WIRE_INTERFACE) else {
                    continue;
                };
                let text = |name: &str| String::try_from(wire[name].clone()).unwrap();
                if text("From") == from && text("To") == to {
                    return self.at(&path).await;
                }
            }
            soon(added.next()).await.unwrap();
        }
    }

    pub(super) async fn at(&self, path: &OwnedObjectPath) -> WireProxy<'static> {
        let proxy = WireProxy::builder(&self.client).path(path.clone());
        proxy
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .unwrap()
    }

    /// Waits until a wire has passed on so many values.
    pub(super) async fn counted(&self, wire: &WireProxy<'_>, count: u64) {
        poll(async || wire.count().await.unwrap() == count).await;
    }

    /// Waits until so many values of a wire were not passed on.
    pub(super) async fn lost(&self, wire: &WireProxy<'_>, count: u64) {
        poll(async || wire.lost().await.unwrap() == count).await;
    }

    pub(super) async fn becomes(&self, wire: &WireProxy<'_>, state: &str) {
        poll(async || wire.state().await.unwrap() == state).await;
    }

    pub(super) async fn is_gone(&self, wire: &WireProxy<'_>) {
        poll(async || wire.state().await.is_err()).await;
    }

    /// The next value that this sensor of the lamp hears.
    pub(super) async fn sensed(&mut self, sensor: &str) -> Value {
        loop {
            let sensed = event(&mut self.lamp_events, |event| {
                matches!(event, Event::LocalSensed { .. })
            });
            if let Event::LocalSensed {
                sensor: Some(path),
                value,
                ..
            } = sensed.await
                && path == CapPath::root(sensor)
            {
                return value;
            }
        }
    }

    /// The next value that this capability of the lamp is set to.
    pub(super) async fn set(&mut self, name: &str) -> Value {
        loop {
            let set = event(&mut self.lamp_events, |event| {
                matches!(event, Event::LocalSet { .. })
            });
            if let Event::LocalSet { path, value, .. } = set.await
                && path == CapPath::root(name)
            {
                return value;
            }
        }
    }

    /// The bridge's node has a capability.
    pub(super) async fn publish(&self, name: &str, access: &str, value: i64) {
        let capability = Capability::new(access.parse().unwrap(), value);
        self.node.publish(name, capability).await.unwrap();
        let is_wired = async || {
            let wired = self.bridge.wire("bridge", name, "bridge", name).await;
            let error = wired.unwrap_err().to_string();
            !error.contains("no capability")
        };
        poll(is_wired).await;
    }

    pub(super) async fn bridge_emits(&self, name: &str, value: i64) {
        self.node.emit(name, value).await.unwrap();
    }

    /// A client of the bridge sets a value of the lamp.
    pub(super) async fn bridge_sets(&self, name: &str, value: i64) {
        let (lamp, path) = (self.lamp.id(), CapPath::root(name));
        self.node.set(lamp, path, value).await.unwrap();
    }

    /// Waits until the lamp's sensor is wired by somebody.
    pub(super) async fn heard_by(&self, sensor: &str) {
        let bridge = self.bridge.uuid().await.unwrap().parse().unwrap();
        poll(async || {
            let tree = self.lamp.tree(bridge).await.unwrap().unwrap_or_default();
            tree.capabilities().any(|(_, capability)| {
                let subscribers = capability.info.subscribers.iter().flatten();
                subscribers
                    .into_iter()
                    .any(|one| one.receiver.as_deref() == Some(sensor))
            })
        })
        .await;
    }

    pub(super) async fn forgotten_by(&self, _sensor: &str) {
        let bridge = self.bridge.uuid().await.unwrap().parse().unwrap();
        poll(async || {
            let tree = self.lamp.tree(bridge).await.unwrap().unwrap_or_default();
            !tree
                .capabilities()
                .any(|(path, _)| path.name.starts_with("wire "))
        })
        .await;
    }

    /// The lamp wires a sensor of its own, without the bridge.
    pub(super) async fn lamp_subscribes(&self, emitter: &str, sensor: &str) {
        let end = |node: &Node, name: &str| End {
            node: node.id(),
            name: Some(name.to_owned()),
        };
        let (emitter, sensor) = (end(&self.desk, emitter), end(&self.lamp, sensor));
        poll(async || {
            self.lamp
                .subscribe(emitter.clone(), sensor.clone())
                .await
                .is_ok()
        })
        .await;
    }
}

async fn desk() -> (Node, Events) {
    let (desk, events) = Node::start(config("desk")).await.unwrap();
    let fader = Capability::new(Access::READ | Access::EMIT, 0.0).with_range(0.0, 1.0);
    desk.publish("fader", fader).await.unwrap();
    desk.publish("count", Capability::new(Access::READ | Access::EMIT, 0))
        .await
        .unwrap();
    desk.publish("text", Capability::new(Access::READ | Access::EMIT, ""))
        .await
        .unwrap();
    desk.publish("ping", Capability::new(Access::EMIT, 0))
        .await
        .unwrap();
    (desk, events)
}

async fn lamp() -> (Node, Events) {
    let (lamp, events) = Node::start(config("lamp")).await.unwrap();
    let level =
        Capability::new(Access::READ | Access::WRITE | Access::SENSE, 0.5).with_range(0.0, 1.0);
    lamp.publish("level", level).await.unwrap();
    let dim = Capability::new(Access::READ | Access::WRITE, 0).with_range(0, 255);
    lamp.publish("dim", dim).await.unwrap();
    let place = Capability::new(Access::READ | Access::WRITE, serde_json::json!([0.0, 0.0]));
    lamp.publish("place", place).await.unwrap();
    lamp.publish(
        "step",
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0),
    )
    .await
    .unwrap();
    lamp.publish(
        "other",
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0),
    )
    .await
    .unwrap();
    lamp.publish("total", Capability::new(Access::READ | Access::WRITE, 0))
        .await
        .unwrap();
    lamp.publish("ear", Capability::new(Access::SENSE, 0.0))
        .await
        .unwrap();
    lamp.publish("pong", Capability::new(Access::SENSE, 0))
        .await
        .unwrap();
    (lamp, events)
}

fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

async fn follow(mut hub: Hub, wires: Wires, directory: Directory, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Event::Entered(info) = &event {
            directory.enter(info.id, &info.name, info.venue.as_deref());
        }
        hub.handle(&event).await;
        wires.handle(&event).await;
    }
}

fn is_tree_of(event: &Event, node: zocp_node::PeerId) -> bool {
    matches!(event, Event::TreeKnown { peer, .. } if *peer == node)
}

/// The next event that is wanted.
pub(super) async fn event(events: &mut Events, is_wanted: impl Fn(&Event) -> bool) -> Event {
    soon(async {
        loop {
            let event = events.next().await.unwrap();
            if is_wanted(&event) {
                return event;
            }
        }
    })
    .await
}

/// Waits until it holds.
async fn poll(holds: impl AsyncFn() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// What a wire is asked to do: without a first value, and with every value, unless these say otherwise.
pub(super) fn options<const N: usize>(
    options: [(&'static str, Variant<'static>); N],
) -> HashMap<&'static str, Variant<'static>> {
    let mut all = HashMap::from([("Initial", false.into()), ("Deliver", "every".into())]);
    all.extend(options);
    all
}

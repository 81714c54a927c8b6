//! A hub on a bus of its own, a peer on the mesh, and programs.

use std::{num::NonZeroUsize, path::Path};

use futures_util::StreamExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{
    Connection, Message, MessageStream, OwnedVariant, Variant,
    fdo::{self, PropertiesProxy},
    names::InterfaceName,
};
use zocp_interfaces::{
    BRIDGE_NAME, BridgeProxy, LOCAL_PATH, LocalProxy, SIGNALS_INTERFACE, VALUES_INTERFACE,
};
use zocp_node::{BeaconMode, CapPath, Config, Event, Events, Node, PeerId, Value, model::Tree};

use crate::{
    hub::{Hub, HubParts},
    local::Limits,
};
use zocp_dbus::{
    server::{BusContext, BusScope, Presence},
    testbus::{TestBus, soon},
};
use zocp_mapping::directory::Directory;
use zocp_relay::services::ServiceSettings;
use zocp_relay::services::Services;
use zocp_state::StateDir;
use zocp_wires::{self, Wires};

/// See the [module](self).
pub(super) struct Stage {
    bus: TestBus,
    bridge: Bridge,
    pub(super) peer: Node,
    pub(super) peer_events: Events,
}

/// A hub with its node; ends when it is told to.
pub(super) struct Bridge {
    node: Node,
    tasks: TaskTracker,
    stop: CancellationToken,
    saving: CancellationToken,
}

impl Stage {
    pub(super) async fn start() -> Self {
        Self::with(Limits::default(), StateDir::none()).await
    }

    pub(super) async fn with(limits: Limits, state: StateDir) -> Self {
        let bus = TestBus::start();
        let bridge = Bridge::start(&bus, limits, state).await;
        let (peer, peer_events) = Node::start(config("peer")).await.unwrap();
        let mut stage = Self {
            bus,
            bridge,
            peer,
            peer_events,
        };
        let endpoint = format!("tcp://127.0.0.1:{}", stage.peer.port());
        let client = stage.bus.client().await;
        let proxy = BridgeProxy::new(&client).await.unwrap();
        proxy.connect(&endpoint).await.unwrap();
        stage
            .heard(|event| matches!(event, Event::TreeKnown { .. }))
            .await;
        stage
    }

    /// Keeps its state in a directory.
    pub(super) async fn keeping(place: &Path) -> Self {
        Self::with(Limits::default(), StateDir::new(place.to_owned())).await
    }

    /// A program of the bus.
    pub(super) async fn program(&self) -> Program {
        Program {
            bus: self.bus.client().await,
        }
    }

    /// The bridge's identity on the mesh.
    pub(super) fn id(&self) -> PeerId {
        self.bridge.node.id()
    }

    /// What the peer knows of the bridge's tree.
    pub(super) async fn seen(&self) -> Tree {
        let tree = self.peer.tree(self.id()).await.unwrap();
        tree.expect("the peer knows the tree")
    }

    /// Waits until the peer has heard such an event of the bridge.
    pub(super) async fn heard(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        soon(async {
            loop {
                let event = self.peer_events.next().await.unwrap();
                if is_it(&event) {
                    return event;
                }
            }
        })
        .await
    }

    /// Waits until the peer sees the bridge's tree so.
    pub(super) async fn becomes(&mut self, is_so: impl Fn(&Tree) -> bool) {
        while !is_so(&self.seen().await) {
            self.heard(|event| matches!(event, Event::Changed { .. }))
                .await;
        }
    }

    /// What the bridge has emitted to the peer next.
    pub(super) async fn emitted(&mut self) -> (String, Value) {
        let event = self
            .heard(|event| matches!(event, Event::Emitted { .. }))
            .await;
        match event {
            Event::Emitted { path, value, .. } => (path.to_string(), value),
            event => panic!("{event:?}"),
        }
    }

    /// Ends the bridge; what is to be kept is written.
    pub(super) async fn end(self) {
        self.bridge.end().await;
    }
}

impl Bridge {
    async fn start(bus: &TestBus, limits: Limits, state: StateDir) -> Self {
        let (node, events) = Node::start(config("bridge")).await.unwrap();
        let site = BusContext::new(&bus.address, BusScope::Session);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (directory, saving) = (Directory::default(), CancellationToken::new());
        let services = Services::start(&tasks, &site, node.clone(), ServiceSettings::default());
        let (presence, mut presences) = tokio::sync::mpsc::channel(16);
        let wires = Wires::start(
            &tasks,
            &site,
            node.clone(),
            zocp_wires::Limits::default(),
            &StateDir::none(),
        )
        .unwrap();
        let parts = HubParts {
            limits,
            state,
            saving: saving.clone(),
            ..HubParts::plain(&node, &directory, &services, &wires, &site)
        };
        let on_presence = move |told| drop(presence.try_send(told));
        let hub = Hub::start(&tasks, &site, parts, on_presence).await.unwrap();
        let end = stop.clone();
        tasks.spawn(async move {
            follow(hub, services, directory, events, end).await;
            wires.close();
        });
        let named = soon(presences.recv()).await.unwrap();
        assert!(matches!(named, Presence::Named(_)), "{named:?}");
        Self {
            node,
            tasks,
            stop,
            saving,
        }
    }

    async fn end(self) {
        self.saving.cancel();
        self.stop.cancel();
        self.node.shutdown().await;
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

async fn follow(
    mut hub: Hub,
    services: Services,
    directory: Directory,
    mut events: Events,
    stop: CancellationToken,
) {
    let follow = async {
        while let Some(event) = events.next().await {
            if let Event::Entered(info) = &event {
                directory.enter(info.id, &info.name, info.venue.as_deref());
            }
            hub.handle(&event).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow => {}
    }
    services.close();
    hub.close().cancelled().await;
}

/// A program of the bus.
pub(super) struct Program {
    pub(super) bus: Connection,
}

impl Program {
    pub(super) async fn local(&self) -> LocalProxy<'static> {
        LocalProxy::new(&self.bus).await.unwrap()
    }

    pub(super) async fn publish(
        &self,
        name: &str,
        value: impl Into<Variant<'_>>,
        options: &[(&str, Variant<'_>)],
    ) -> zbus::Result<()> {
        let options = options.iter().cloned().collect();
        self.local()
            .await
            .publish(name, &value.into(), options)
            .await
    }

    /// Properties of an object of the local tree; `path` is empty or begins with a slash.
    pub(super) async fn properties(&self, path: &str) -> PropertiesProxy<'static> {
        PropertiesProxy::builder(&self.bus)
            .destination(BRIDGE_NAME)
            .path(format!("{LOCAL_PATH}{path}"))
            .build()
            .await
            .unwrap()
    }

    pub(super) async fn set(&self, name: &str, value: impl Into<Variant<'_>>) -> fdo::Result<()> {
        let properties = self.properties("").await;
        properties.set(values(), name, &value.into()).await
    }

    /// The same without waiting for the answer.
    pub(super) async fn send_set(&self, name: &str, value: Variant<'_>) {
        let call = Message::method_call(LOCAL_PATH, "Set")
            .destination(BRIDGE_NAME)
            .interface("org.freedesktop.DBus.Properties");
        let call = call.build(&(VALUES_INTERFACE, name, value)).unwrap();
        self.bus.send(&call).await.unwrap();
    }

    pub(super) async fn get(&self, name: &str) -> fdo::Result<OwnedVariant> {
        self.properties("").await.get(values(), name).await
    }

    /// The signals of the local tree from now on.
    pub(super) async fn signals(&self) -> MessageStream {
        let rule = zbus::MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface(SIGNALS_INTERFACE)
            .build()
            .unwrap();
        MessageStream::for_match_rule(rule, &self.bus, NonZeroUsize::new(4096))
            .await
            .unwrap()
    }

    /// Calls a member of the local tree.
    pub(super) async fn call(
        &self,
        interface: &str,
        member: &str,
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> zbus::Result<Message> {
        self.bus
            .call_method(Some(BRIDGE_NAME), LOCAL_PATH, Some(interface), member, body)
            .await
    }

    /// Leaves the bus.
    pub(super) async fn leave(self) {
        self.bus.close().await.unwrap();
    }
}

/// The next signal: its member and its value.
pub(super) async fn next_signal(signals: &mut MessageStream) -> (String, OwnedVariant) {
    let message = soon(signals.next()).await.unwrap().unwrap();
    let member = message.header().member().unwrap().to_string();
    let body = message.body();
    let value = match body.signature() {
        zbus::Signature::F64 => Variant::F64(body.deserialize().unwrap()),
        zbus::Signature::I64 => Variant::I64(body.deserialize().unwrap()),
        other => panic!("a signal of type {other}"),
    };
    (member, value.try_into_owned().unwrap())
}

pub(super) fn values() -> InterfaceName<'static> {
    InterfaceName::from_static_str_unchecked(VALUES_INTERFACE)
}

/// The name of the error that a call ended with.
pub(super) fn error_name(error: impl Into<zbus::Error>) -> String {
    match error.into() {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => {
            use zbus::DBusError;
            error.name().to_string()
        }
        error => panic!("{error}"),
    }
}

pub(super) fn path(dotted: &str) -> CapPath {
    dotted.parse().unwrap()
}

fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

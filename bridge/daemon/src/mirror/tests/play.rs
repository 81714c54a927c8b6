//! A node that a test plays, its mirror, and a client that looks at it.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant, Variant, message::Type};
use zocp_dbus::{
    server::BusScope,
    testbus::{TestBus, soon},
};
use zocp_node::{
    CapPath, Invalid, NodeError, ObjectPath, RemoteError, Value,
    model::{Change, Limits, SetError, Tree},
};

use super::super::*;

pub(super) const PATH: &str = "/org/z25/Zocp1/Node";
pub(super) const VALUES: &str = "org.z25.Zocp1.Values";

/// A node that a test plays.
#[derive(Clone)]
pub(super) struct FakeNode {
    pub(super) tree: Arc<Mutex<Tree>>,
    pub(super) is_gone: Arc<AtomicBool>,
}

impl FakeNode {
    pub(super) fn new(tree: Value) -> Self {
        let tree = Tree::from_json(tree, &Limits::default()).unwrap();
        Self {
            tree: Arc::new(Mutex::new(tree)),
            is_gone: Arc::default(),
        }
    }

    /// What a `MOD` of it changes.
    pub(super) fn change(&self, patch: &Value) -> Vec<Change> {
        self.tree
            .lock()
            .unwrap()
            .merge(patch, &Limits::default())
            .unwrap()
    }
}

impl Commands for FakeNode {
    async fn acquire(
        &self,
        _: PeerId,
        name: &str,
        _: crate::streams::Wanted,
    ) -> Result<crate::streams::Acquired, zocp_dbus::errors::Refusal> {
        let text = format!("{name} has no streams");
        Err(zocp_dbus::errors::Refusal::NotSupported(text))
    }

    async fn set(&self, peer: PeerId, path: CapPath, value: Value) -> Result<(), NodeError> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(NodeError::NodeGone(peer));
        }
        let set = || {
            let tree = self.tree.lock().unwrap();
            let capability = tree.capability(&path).ok_or(SetError::UnknownCapability)?;
            Ok::<_, SetError>(capability.check_set(&value)?)
        };
        set()
            .map(|_| ())
            .map_err(|error| Invalid::Set(error).into())
    }

    async fn call(
        &self,
        _: PeerId,
        _: ObjectPath,
        method: &str,
        arguments: Vec<Value>,
    ) -> Result<Vec<Value>, NodeError> {
        match method {
            "blink it" => Ok(vec![Value::from(arguments[0] == 3)]),
            _ => Err(NodeError::Remote(RemoteError {
                name: "org.example.Broken".to_owned(),
                message: "lamp is out".to_owned(),
            })),
        }
    }
}

pub(super) struct Play {
    pub(super) bus: TestBus,
    pub(super) mirrors: Mirrors<FakeNode>,
    pub(super) directory: Directory,
    pub(super) node: FakeNode,
    pub(super) client: Connection,
}

pub(super) fn peer(digit: u8) -> PeerId {
    format!("{digit:02x}").repeat(16).parse().unwrap()
}

pub(super) fn info(id: PeerId, name: &str) -> PeerInfo {
    let mut info = PeerInfo::new(id, name);
    info.endpoint = "tcp://127.0.0.1:1".to_owned();
    (info.zocp, info.extended) = (true, true);
    info
}

impl Play {
    pub(super) async fn new(tree: Value) -> Self {
        let bus = TestBus::start();
        let site = BusContext::new(&bus.address, BusScope::Session);
        let node = FakeNode::new(tree);
        let client = bus.client().await;
        let directory = Directory::default();
        Self {
            mirrors: Mirrors::new(TaskTracker::new(), site, node.clone(), directory.clone())
                .unwrap(),
            directory,
            bus,
            node,
            client,
        }
    }

    /// A node of this name is there, and its tree known; its bus name.
    pub(super) async fn enter(&mut self, id: PeerId, name: &str) -> String {
        self.show(id, name).await;
        self.named(id).await.unwrap().to_string()
    }

    pub(super) async fn show(&mut self, id: PeerId, name: &str) {
        self.directory.enter(id, name, None);
        self.mirrors.handle(&Event::Entered(info(id, name))).await;
        let tree = Box::new(self.node.tree.lock().unwrap().clone());
        self.mirrors
            .handle(&Event::TreeKnown { peer: id, tree })
            .await;
    }

    pub(super) async fn named(&self, id: PeerId) -> Option<Arc<str>> {
        let named = soon(self.mirrors.named()).await;
        assert_eq!(named.peer, id);
        named.bus_name
    }

    pub(super) async fn change(&mut self, patch: Value) {
        let changes = self.node.change(&patch);
        let peer = peer(1);
        self.mirrors.handle(&Event::Changed { peer, changes }).await;
    }

    pub(super) async fn emit(&mut self, path: &str, value: impl Into<Value>) {
        let event = Event::Emitted {
            peer: peer(1),
            path: path.parse().unwrap(),
            value: value.into(),
            cause: None,
        };
        self.mirrors.handle(&event).await;
    }

    pub(super) async fn call<B>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let name = Some("org.z25.Zocp1.Node.lamp");
        soon(
            self.client
                .call_method(name, path, Some(interface), member, body),
        )
        .await
    }

    pub(super) async fn get(&self, path: &str, property: &str) -> OwnedVariant {
        let body = (VALUES, property);
        let answer = self
            .call(path, "org.freedesktop.DBus.Properties", "Get", &body)
            .await;
        answer.unwrap().body().deserialize().unwrap()
    }

    /// The error that a `Set` is answered with, if any.
    pub(super) async fn set(
        &self,
        path: &str,
        property: &str,
        value: impl Into<Variant<'static>>,
    ) -> Option<String> {
        let body = (VALUES, property, value.into());
        let answer = self
            .call(path, "org.freedesktop.DBus.Properties", "Set", &body)
            .await;
        match answer {
            Ok(_) => None,
            Err(zbus::Error::MethodError(name, ..)) => Some(name.to_string()),
            // zbus has the well-known ones as values of their own.
            Err(error) => error.to_string().split(": ").next().map(str::to_owned),
        }
    }

    pub(super) async fn xml(&self, path: &str) -> String {
        let interface = "org.freedesktop.DBus.Introspectable";
        let answer = self.call(path, interface, "Introspect", &()).await.unwrap();
        answer.body().deserialize().unwrap()
    }

    pub(super) async fn signals(&self) -> MessageStream {
        let client = self.bus.client().await;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .path_namespace(PATH);
        let queued = std::num::NonZeroUsize::new(65536);
        let rule = rule.build().unwrap();
        MessageStream::for_match_rule(rule, &client, queued)
            .await
            .unwrap()
    }
}

/// Something of everything.
pub(super) fn lamp() -> Value {
    json!({
        "level": {"value": 0.5, "typeHint": "flt", "access": "rwe", "min": 0.0, "max": 1.0, "step": 0.1,
            "subscribers": [["aa", null], ["bb", "dim\u{0}"]], "unit": "cd"},
        "count": {"value": 5, "typeHint": "int", "access": "rwe", "min": -10, "max": 10},
        "on": {"value": true, "typeHint": "bool", "access": "r"},
        "secret": {"value": "x", "typeHint": "string", "access": "w"},
        "pos": {"value": [1, 2, 3], "typeHint": "vec3f", "access": "rw"},
        "My \"strange\" <name>/\u{fc}": {"value": [1, "a"], "access": "rwe"},
        "bang": {"access": "e"},
        "_location": [1.0, 2.0],
        "methods": {"blink it": {"in": [{"name": "times", "typeHint": "int"}],
            "out": [{"name": "ok", "typeHint": "bool"}], "doc": "Blinks & more."},
            "fail": {"in": [], "out": []}},
        "objects": {"cam 1": {"type": "camera", "zoom": {"value": 2, "typeHint": "int", "access": "rw"},
            "objects": {"pan": {"angle": {"value": 1.5, "access": "r"}}}}},
    })
}

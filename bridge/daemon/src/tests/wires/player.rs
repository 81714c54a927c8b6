//! A service of the bus that wires lead to and begin at.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;

use zocp_dbus::{
    errors::Refusal,
    introspection::parse_interfaces,
    server::{
        Answer, BusContext, CallRequest, ObjectHandler, ObjectTable, Presence, Server,
        ServerOptions, SetRequest,
    },
    testbus::soon,
};
use zocp_mapping::convert::as_given;

pub(super) const SERVICE: &str = "org.example.Player";
const PATH: &str = "/org/example/Player";
const INTERFACE: &str = "org.example.Player1";
const XML: &str = r#"<node><interface name="org.example.Player1">
  <property name="Volume" type="d" access="readwrite"/>
  <property name="Number" type="y" access="readwrite"/>
  <property name="Title" type="s" access="read"/>
  <property name="Secret" type="i" access="read">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="invalidates"/>
  </property>
  <method name="Play"/>
  <method name="Seek"><arg name="to" type="x" direction="in"/></method>
  <method name="Place"><arg type="d" direction="in"/><arg type="d" direction="in"/></method>
  <method name="Fail"><arg type="v" direction="in"/></method>
  <signal name="Clicked"/>
  <signal name="Struck"><arg type="x"/></signal>
  <signal name="Moved"><arg type="d"/><arg type="d"/></signal>
</interface></node>"#;

/// A member of it as an end of a wire.
pub(super) fn member(name: &str) -> String {
    format!("dbus:{SERVICE}:{PATH}:{INTERFACE}.{name}")
}

/// See the [module](self).
pub(super) struct Player {
    table: ObjectTable,
    served: Server,
    said: mpsc::Receiver<(String, Value)>,
}

impl Player {
    /// One on this bus.
    pub(super) async fn start(site: &BusContext) -> Self {
        let table = site.table();
        let player = parse_interfaces(XML).unwrap().remove(0);
        let player = player
            .with("Volume", 0.5)
            .and_then(|player| player.with("Number", 1_u8))
            .and_then(|player| player.with("Title", "silence"))
            .and_then(|player| player.with("Secret", 0))
            .unwrap();
        table
            .with(|objects| objects.insert(PATH, [player]))
            .unwrap();
        let (named, mut presence) = mpsc::channel(4);
        let order = ServerOptions {
            site: site.clone(),
            table: table.clone(),
            names: vec![Arc::from(SERVICE)],
            takes_descriptors: None,
            after: None,
            on_presence: Box::new(move |told| {
                named.try_send(told).ok();
            }),
        };
        let (sender, said) = mpsc::channel(1000);
        let owner = PlayerOwner {
            table: table.clone(),
            said: sender,
        };
        let served = Server::spawn(&TaskTracker::new(), order, owner);
        while !matches!(soon(presence.recv()).await, Some(Presence::Named(_))) {}
        Self {
            table,
            served,
            said,
        }
    }

    /// The next member that was set or called, and with what.
    pub(super) async fn heard(&mut self) -> (String, Value) {
        soon(self.said.recv()).await.unwrap()
    }

    pub(super) fn change(&self, property: &str, value: impl Into<Variant<'static>>) {
        let set = self
            .table
            .with(|objects| objects.set(PATH, INTERFACE, property, value));
        assert!(set.unwrap());
    }

    pub(super) fn emit(&self, signal: &str, arguments: Vec<Variant<'static>>) {
        let emitted = self
            .table
            .with(|objects| objects.emit(PATH, INTERFACE, signal, arguments));
        emitted.unwrap();
    }

    pub(super) fn close(self) -> CancellationToken {
        self.served.close()
    }
}

struct PlayerOwner {
    table: ObjectTable,
    said: mpsc::Sender<(String, Value)>,
}

impl ObjectHandler for PlayerOwner {
    async fn call(&self, call: CallRequest) -> Answer {
        if &*call.member == "Fail" {
            return Err(Refusal::Failed("no music here".to_owned()));
        }
        let arguments: Vec<Value> = call
            .arguments
            .iter()
            .map(|one| as_given(one).unwrap())
            .collect();
        let said = (call.member.to_string(), json!(arguments));
        self.said.send(said).await.unwrap();
        Ok(Vec::new())
    }

    async fn set(&self, set: SetRequest) -> Result<(), Refusal> {
        let said = (set.property.to_string(), as_given(&set.value).unwrap());
        self.said.send(said).await.unwrap();
        self.table
            .with(|objects| objects.set(PATH, INTERFACE, &set.property, set.value))
            .map(|_| ())
            .map_err(|error| Refusal::InvalidArgs(error.to_string()))
    }
}

//! A remote object, as a D-Bus program has it before it.

use std::num::NonZero;

use futures_util::StreamExt;
use zbus::{
    Connection, MatchRule, Message, MessageStream, OwnedVariant, Variant, fdo::PropertiesProxy,
    names::InterfaceName,
};

use crate::{Bus, in_time};

/// An object of a service on a [`Bus`].
pub struct Object<'b> {
    bus: &'b Bus,
    name: String,
    path: String,
}

impl Bus {
    /// The object at `path` of the service `name`.
    #[must_use]
    pub fn object(&self, name: &str, path: &str) -> Object<'_> {
        Object {
            bus: self,
            name: name.to_owned(),
            path: path.to_owned(),
        }
    }

    /// The root object of the mirrored node with this label.
    #[must_use]
    pub fn node(&self, label: &str) -> Object<'_> {
        self.object(&format!("org.z25.Zocp1.Node.{label}"), NODE_PATH)
    }

    /// The object of the peer with this label on the bridge.
    #[must_use]
    pub fn peer(&self, label: &str) -> Object<'_> {
        self.object(BRIDGE, &format!("{BRIDGE_PATH}/nodes/{label}"))
    }

    /// Waits until the bridge has an object for the peer of this name.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn peer_appears(&self, name: &str) {
        let bridge = self.bridge();
        let mut changes = bridge.signals("org.freedesktop.DBus.ObjectManager").await;
        in_time(&format!("the peer {name}"), async {
            while bridge
                .call(BRIDGE_INTERFACE, "FindNode", &name)
                .await
                .is_err()
            {
                changes.next().await;
            }
        })
        .await;
    }

    /// The bridge's own object.
    #[must_use]
    pub fn bridge(&self) -> Object<'_> {
        self.object(BRIDGE, BRIDGE_PATH)
    }
}

impl Object<'_> {
    /// The object below this one by the path elements `below`.
    #[must_use]
    pub fn child(&self, below: &str) -> Self {
        Self {
            path: format!("{}/{below}", self.path),
            name: self.name.clone(),
            ..*self
        }
    }

    /// A property as `busctl` prints it: the type, a space, the value.
    ///
    /// # Panics
    /// When there is none.
    pub async fn shown(&self, interface: &str, property: &str) -> String {
        let property = ["get-property", &self.name, &self.path, interface, property];
        self.bus.busctl(&property).await.trim_end().to_owned()
    }

    /// A value of a node as `busctl` prints it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn shown_value(&self, member: &str) -> String {
        self.shown(VALUES, member).await
    }

    /// Sets a value of a node.
    ///
    /// # Errors
    /// The name of the D-Bus error.
    pub async fn set(&self, member: &str, value: impl Into<Variant<'_>>) -> Result<(), String> {
        let properties = self.properties(self.bus.connection()).await;
        let set = properties.set(values(), member, &value.into()).await;
        set.map_err(|error| error_name(&error.into()))
    }

    /// Waits until a value of a node is `wanted`. The object may not be there yet.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn becomes(&self, member: &str, wanted: impl Into<Variant<'static>>) {
        let wanted = wanted.into();
        let what = format!("{member} of {}{} to be {wanted:?}", self.name, self.path);
        let root = self.bus.object(&self.name, NODE_PATH);
        let mut added = root.signals("org.freedesktop.DBus.ObjectManager").await;
        let mut changes = self.signals(PROPERTIES).await;
        let properties = self.properties(self.bus.connection()).await;
        in_time(&what, async {
            while read(&properties, member).await.as_deref() != Some(&wanted) {
                futures_util::future::select(changes.next(), added.next()).await;
            }
        })
        .await;
    }

    /// Calls a method.
    ///
    /// # Errors
    /// The name of the D-Bus error.
    pub async fn call<B>(&self, interface: &str, method: &str, body: &B) -> Result<Message, String>
    where
        B: zbus::export::serde::Serialize + zbus::DynamicType,
    {
        let (name, path) = (self.name.as_str(), self.path.as_str());
        let call =
            self.bus
                .connection()
                .call_method(Some(name), path, Some(interface), method, body);
        in_time(method, call)
            .await
            .map_err(|error| error_name(&error))
    }

    /// The signals of one of its interfaces from now on, all of them.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn signals(&self, interface: &str) -> MessageStream {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(self.name.as_str())
            .path(self.path.as_str())
            .interface(interface)
            .build()
            .unwrap_or_else(|error| panic!("{}{}: {error}", self.name, self.path));
        // A connection of its own, since all nodes have the same paths.
        let connection = self.bus.connect().await;
        let stream =
            MessageStream::for_match_rule(rule, &connection, NonZero::new(SIGNALS_MAX)).await;
        stream.unwrap_or_else(|error| panic!("no signals of {}: {error}", self.name))
    }

    async fn properties<'c>(&self, connection: &'c Connection) -> PropertiesProxy<'c> {
        let builder = PropertiesProxy::builder(connection);
        let proxy = builder
            .destination(self.name.clone())
            .path(self.path.clone())
            .build()
            .await;
        proxy.unwrap_or_else(|error| panic!("{}{}: {error}", self.name, self.path))
    }
}

async fn read(properties: &PropertiesProxy<'_>, member: &str) -> Option<OwnedVariant> {
    properties.get(values(), member).await.ok()
}

fn values() -> InterfaceName<'static> {
    InterfaceName::from_static_str_unchecked(VALUES)
}

fn error_name(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => zbus::DBusError::name(&**error).to_string(),
        other => format!("not an answer: {other}"),
    }
}

const BRIDGE: &str = "org.z25.Zocp1";
const BRIDGE_INTERFACE: &str = "org.z25.Zocp1.Bridge";
const BRIDGE_PATH: &str = "/org/z25/Zocp1";
const NODE_PATH: &str = "/org/z25/Zocp1/Node";
const VALUES: &str = "org.z25.Zocp1.Values";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// More than a test lets come before it reads.
const SIGNALS_MAX: usize = 100_000;

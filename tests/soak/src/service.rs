//! A service on a bus.
//!
//! Model: a connection of its own, one task that answers. `Echo(u, s) → (u, s)`, `Slow(u ms) → u`, `Fail()`, the
//! signal `Tick(t)`, the property `Level d` that tells its changes. It ends in order ([`Service::leave`]) or from one
//! moment to the next ([`Service::die`]).

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use zbus::{Connection, Message, MessageStream, Variant, message::Type};
use zocp_testkit::Bus;

/// A running service.
pub(crate) struct Service {
    connection: Connection,
    answering: JoinHandle<()>,
}

impl Service {
    /// Serves under `name`.
    pub(crate) async fn start(bus: &Bus, name: &str) -> Self {
        let connection = bus.connect().await;
        let calls = MessageStream::from(&connection);
        let answering = tokio::task::spawn_local(answer_all(connection.clone(), calls));
        let named = connection.request_name(name).await;
        named.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            connection,
            answering,
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Tells the signal `Tick`.
    pub(crate) async fn tick(&self, number: u64) {
        tick(&self.connection, number).await;
    }

    /// Leaves the bus in order.
    pub(crate) async fn leave(self) {
        self.answering.abort();
        let _ = self.connection.close().await;
    }

    /// Is gone, whatever is under way.
    pub(crate) fn die(self) {
        self.answering.abort();
    }
}

/// Tells the signal `Tick`. One that is not told is missed where it is heard.
pub(crate) async fn tick(connection: &Connection, number: u64) {
    let tick = Message::signal(PATH, INTERFACE, "Tick").build(&number);
    let tick = tick.unwrap_or_else(|error| panic!("a signal: {error}"));
    // At the end of a run the bus is gone before its programs.
    let _ = connection.send(&tick).await;
}

async fn answer_all(connection: Connection, mut calls: MessageStream) {
    let mut level = 0.0;
    while let Some(Ok(call)) = calls.next().await {
        if call.message_type() != Type::MethodCall {
            continue;
        }
        if let Some(after) = delay(&call) {
            let connection = connection.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(after).await;
                let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
                let answer = Message::method_return(&call.header()).build(&milliseconds);
                // The caller, or the service itself, may be gone by now.
                if let Ok(answer) = answer {
                    let _ = connection.send(&answer).await;
                }
            });
            continue;
        }
        let answers = answers(&call, &mut level);
        let answers = answers.unwrap_or_else(|error| panic!("{call:?}: {error}"));
        if connection.send_all(&answers).await.is_err() {
            return;
        }
    }
}

fn delay(call: &Message) -> Option<Duration> {
    let slow = call.header().member()?.as_str() == "Slow";
    let milliseconds = slow
        .then(|| call.body().deserialize::<u32>().ok())
        .flatten()?;
    Some(Duration::from_millis(milliseconds.into()))
}

/// What a call leads to, in order.
fn answers(call: &Message, level: &mut f64) -> zbus::Result<Vec<Message>> {
    let (header, body) = (call.header(), call.body());
    let reply = Message::method_return(&header);
    let all = |level: f64| HashMap::from([("Level", Variant::new(level))]);
    Ok(match header.member().map_or("", |name| name.as_str()) {
        "Echo" => vec![reply.build(&body.deserialize::<(u32, &str)>()?)?],
        "Get" => vec![reply.build(&Variant::new(*level))?],
        "GetAll" => vec![reply.build(&all(*level))?],
        "Set" => {
            let (_, _, new): (&str, &str, Variant<'_>) = body.deserialize()?;
            *level = f64::try_from(new).unwrap_or_default();
            let changed = Message::signal(PATH, PROPERTIES, "PropertiesChanged");
            let changed = changed.build(&(INTERFACE, all(*level), Vec::<&str>::new()))?;
            vec![changed, reply.build(&())?]
        }
        "Introspect" => vec![reply.build(introspection(&header))?],
        "Fail" => vec![Message::error(&header, BROKEN).build(&"as it should")?],
        _ => vec![
            Message::error(&header, "org.freedesktop.DBus.Error.UnknownMethod")
                .build(&"no such method")?,
        ],
    })
}

fn introspection(header: &zbus::message::Header<'_>) -> &'static &'static str {
    let path = header.path().map_or("", |path| path.as_str());
    if path == PATH { &OBJECT } else { &NOTHING }
}

/// Where the object is.
pub(crate) const PATH: &str = "/org/example/Soak";
/// Its interface.
pub(crate) const INTERFACE: &str = "org.example.Soak1";
/// The error of `Fail`.
pub(crate) const BROKEN: &str = "org.example.Error.Broken";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const NOTHING: &str = "<node/>";
const OBJECT: &str = r#"<node><interface name="org.example.Soak1">
<method name="Echo"><arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="u" direction="out"/><arg type="s" direction="out"/></method>
<method name="Slow"><arg type="u" direction="in"/><arg type="u" direction="out"/></method>
<method name="Fail"/>
<signal name="Tick"><arg type="t"/></signal>
<property name="Level" type="d" access="readwrite">
<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></property>
</interface></node>"#;

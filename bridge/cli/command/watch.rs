//! `zocp watch [NODE [NAME]]`: print values and signals as they come.
//!
//! Model: one connection does nothing but listen, a second one asks; so a question never waits behind
//! the signals of a busy node. What is known of a node is read when its bus name appears.
//! Invariants: WATCH-1. what is there at the start is printed first. WATCH-2. a node's lines are in the bus's
//! order. WATCH-3. the end of the bus is an error, Ctrl-C is not.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use zbus::{
    Message, MessageStream, OwnedObjectPath, OwnedVariant, Signature,
    fdo::DBusProxy,
    message::{Header, Type},
    names::BusName,
};
use zocp_interfaces::{
    BRIDGE_NAME, BRIDGE_PATH, LOCAL_PATH, NODE_NAME_PREFIX, NODE_PATH, SIGNALS_INTERFACE,
    VALUES_INTERFACE,
};

use crate::{
    args::Until,
    client::{Client, UUID_PREFIX_MIN},
    exit::{Exit, Failure},
    output::{Output, printable},
    value::{fields, to_json},
    view::{NodeView, labels},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    (node, name): (Option<String>, Option<String>),
    until: Until,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    // From here on Ctrl-C is our end, before anything is said about it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = client.again().await?;
    let mut stream = MessageStream::from(&listener.connection);
    let dbus = DBusProxy::new(&listener.connection).await?;
    for rule in rules() {
        dbus.add_match_rule(rule.as_str().try_into()?).await?;
    }
    let mut watch = Watch {
        output,
        client,
        node,
        name,
        nodes: HashMap::new(),
        until,
        is_over: false,
    };
    watch.start().await?;
    watch.say_what_it_waits_for();
    let mut time_is_up = std::pin::pin!(until.time_is_up());
    while !watch.is_over {
        tokio::select! {
            // Cancel safe: a message is taken from the stream's queue, or stays in it.
            message = stream.next() => match message {
                Some(message) => watch.message(&message?).await?,
                None => return Err(Failure::new(Exit::NoBus, "the bus is gone")),
            },
            () = &mut time_is_up => return watch.until.at_end_of_time(),
            _ = interrupt.recv() => return Ok(()),
        }
    }
    Ok(())
}

/// What the listener asks the bus for: of the bridge as a node, and of the mirrored ones.
fn rules() -> [String; 8] {
    let names = NODE_NAME_PREFIX.trim_end_matches('.');
    let [a, b, c, d] = rules_of(&format!("arg0='{BRIDGE_NAME}'"), LOCAL_PATH, BRIDGE_PATH);
    let [e, f, g, h] = rules_of(&format!("arg0namespace='{names}'"), NODE_PATH, NODE_PATH);
    [a, b, c, d, e, f, g, h]
}

/// The owners of names, what the objects below a path emit, and the objects that a manager adds.
fn rules_of(owner: &str, below: &str, manager: &str) -> [String; 4] {
    [
        format!("type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',{owner}"),
        format!("type='signal',interface='{SIGNALS_INTERFACE}',path_namespace='{below}'"),
        format!(
            "type='signal',interface='org.freedesktop.DBus.Properties',\
             path_namespace='{below}',arg0='{VALUES_INTERFACE}'"
        ),
        format!(
            "type='signal',interface='org.freedesktop.DBus.ObjectManager',\
             member='InterfacesAdded',path='{manager}'"
        ),
    ]
}

struct Watch<'a> {
    output: &'a Output,
    client: Client,
    /// Only this node.
    node: Option<String>,
    /// Only this capability.
    name: Option<String>,
    /// What is known of the nodes, by the unique name of their connection.
    nodes: HashMap<String, Arc<NodeView>>,
    /// When to end.
    until: Until,
    is_over: bool,
}

impl Watch<'_> {
    async fn start(&mut self) -> Result<(), Failure> {
        let dbus = DBusProxy::new(&self.client.connection).await?;
        for name in dbus.list_names().await? {
            if is_node(name.as_str()) {
                // One that goes between the two questions is told by the bus.
                if let Ok(owner) = dbus.get_name_owner(BusName::from(&name)).await {
                    self.appeared(name.as_str(), owner.as_str()).await?;
                }
            }
        }
        Ok(())
    }

    async fn message(&mut self, message: &Message) -> Result<(), Failure> {
        let header = message.header();
        if header.message_type() != Type::Signal {
            return Ok(());
        }
        let (Some(interface), Some(member)) = (header.interface(), header.member()) else {
            return Ok(());
        };
        match (interface.as_str(), member.as_str()) {
            ("org.freedesktop.DBus", "NameOwnerChanged") => {
                let (name, old, new): (String, String, String) = message.body().deserialize()?;
                if !is_node(&name) {
                    return Ok(());
                }
                self.vanished(&name, &old)?;
                if !new.is_empty() {
                    self.appeared(&name, &new).await?;
                }
                Ok(())
            }
            (SIGNALS_INTERFACE, member) => self.signalled(&header, member, message),
            ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
                let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
                    message.body().deserialize()?;
                self.changed(&header, changed)
            }
            ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded") => {
                self.grown(&header, message).await
            }
            _ => Ok(()),
        }
    }

    async fn appeared(&mut self, bus_name: &str, owner: &str) -> Result<(), Failure> {
        if let Some(view) = self.nodes.get_mut(owner) {
            // It has another name now, and the bus will say that the one before is gone.
            bus_name.clone_into(&mut Arc::make_mut(view).bus_name);
            return Ok(());
        }
        let view = match self.client.tree(bus_name).await {
            Ok(view) => view,
            // It has gone again, and the bus will say so.
            Err(failure) if failure.exit == Exit::Unavailable => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if !self.is_meant(&view).await? {
            return Ok(());
        }
        // The bridge itself is here, whether it publishes something or not.
        if view.bus_name != BRIDGE_NAME {
            self.tell(&view, Happening::Entered)?;
        }
        for labels in view.objects.keys() {
            self.tell_object(&view, labels)?;
        }
        self.nodes.insert(owner.to_owned(), Arc::new(view));
        Ok(())
    }

    /// A connection has lost a name: its node is gone, unless it has another name already.
    fn vanished(&mut self, name: &str, owner: &str) -> Result<(), Failure> {
        let is_gone = |view: &Arc<NodeView>| view.bus_name == name;
        if !self.nodes.get(owner).is_some_and(is_gone) {
            return Ok(());
        }
        match self.nodes.remove(owner) {
            Some(view) if view.bus_name == BRIDGE_NAME => Ok(()),
            Some(view) => self.tell(&view, Happening::Exited),
            None => Ok(()),
        }
    }

    fn signalled(
        &mut self,
        header: &Header<'_>,
        member: &str,
        message: &Message,
    ) -> Result<(), Failure> {
        let Some((view, labels)) = self.source(header) else {
            return Ok(());
        };
        let value = argument(message)?;
        let name = name_of(&view, &labels, member);
        self.tell(&view, Happening::Signal(name, value))
    }

    fn changed(
        &mut self,
        header: &Header<'_>,
        changed: HashMap<String, OwnedVariant>,
    ) -> Result<(), Failure> {
        let Some((view, labels)) = self.source(header) else {
            return Ok(());
        };
        let mut changed: Vec<_> = changed.into_iter().collect();
        changed.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (member, value) in changed {
            let name = name_of(&view, &labels, &member);
            self.tell(&view, Happening::Value(name, to_json(&value)))?;
        }
        Ok(())
    }

    /// An object of a known node is new, or has new members.
    async fn grown(&mut self, header: &Header<'_>, message: &Message) -> Result<(), Failure> {
        let Some(owner) = header.sender().map(ToString::to_string) else {
            return Ok(());
        };
        let Some(known) = self.nodes.get(&owner) else {
            return Ok(());
        };
        let (path, _): (OwnedObjectPath, crate::view::Interfaces) = message.body().deserialize()?;
        // The bridge's manager adds peers and wires as well, which are nothing of a node.
        let Some(labels) = labels(&known.bus_name, path.as_str()) else {
            return Ok(());
        };
        let Ok(view) = self.client.tree(&known.bus_name).await else {
            return Ok(());
        };
        self.tell_object(&view, &labels)?;
        self.nodes.insert(owner, Arc::new(view));
        Ok(())
    }

    /// The node and object that a signal is from, if it is one to tell of.
    fn source(&self, header: &Header<'_>) -> Option<(Arc<NodeView>, Vec<String>)> {
        let view = self.nodes.get(header.sender()?.as_str())?;
        let labels = labels(&view.bus_name, header.path()?.as_str())?;
        Some((view.clone(), labels))
    }

    /// Says what it waits for, when nothing of that is here.
    fn say_what_it_waits_for(&self) {
        let node = match &self.node {
            Some(node) => format!("a node \"{node}\""),
            None => String::from("nodes"),
        };
        let is_here = |view: &Arc<NodeView>| match &self.name {
            Some(name) => view.find(name).is_some(),
            None => view.bus_name != BRIDGE_NAME,
        };
        if self.output.json || self.nodes.values().any(is_here) {
            return;
        }
        let text = match &self.name {
            Some(name) => format!("waits for \"{name}\" of {node}"),
            None => format!("waits for {node}"),
        };
        eprintln!("zocp: {}", printable(&text));
    }

    async fn is_meant(&self, view: &NodeView) -> Result<bool, Failure> {
        let Some(wanted) = &self.node else {
            return Ok(true);
        };
        let label = view.bus_name.strip_prefix(NODE_NAME_PREFIX);
        if wanted == view.name() || Some(wanted.as_str()) == label {
            return Ok(true);
        }
        let hex = wanted.replace('-', "").to_lowercase();
        if hex.len() < UUID_PREFIX_MIN || !hex.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Ok(false);
        }
        let peers = self.client.peers().await?;
        Ok(peers
            .iter()
            .any(|peer| peer.bus_name == view.bus_name && peer.uuid.starts_with(&hex)))
    }

    fn tell_object(&mut self, view: &NodeView, labels: &[String]) -> Result<(), Failure> {
        let Some(object) = view.objects.get(labels) else {
            return Ok(());
        };
        for capability in object.capabilities.values() {
            if let Some((value, _)) = &capability.value {
                let name = name_of(view, labels, &capability.member);
                self.tell(view, Happening::Value(name, value.clone()))?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, view: &NodeView, happening: Happening) -> Result<(), Failure> {
        if let (Some(wanted), Some(name)) = (&self.name, happening.name())
            && !name.is(wanted)
        {
            return Ok(());
        }
        if self.is_over {
            return Ok(());
        }
        if happening.name().is_some() {
            self.is_over = self.until.is_last();
        }
        if self.output.json {
            let time = Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
                .to_string();
            return Ok(self
                .output
                .json_line(&happening.to_json(view, &time).to_string())?);
        }
        let node = self.output.bold(&printable(view.name()));
        let time = Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        let time = self.output.dim(&time);
        Ok(self
            .output
            .line(&format!("{time}  {node}  {}", printable(&happening.text())))?)
    }
}

/// What there is to tell of a node.
enum Happening {
    Entered,
    Exited,
    Value(Name, Value),
    Signal(Name, Value),
}

/// A capability by both its names.
struct Name {
    raw: String,
    label: String,
}

impl Name {
    fn is(&self, wanted: &str) -> bool {
        self.raw == wanted || self.label == wanted
    }
}

impl Happening {
    fn name(&self) -> Option<&Name> {
        match self {
            Self::Value(name, _) | Self::Signal(name, _) => Some(name),
            Self::Entered | Self::Exited => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Entered => String::from("is here"),
            Self::Exited => String::from("is gone"),
            Self::Value(name, value) => format!("{} = {value}", name.raw),
            Self::Signal(name, value) => format!("{} emits {value}", name.raw),
        }
    }

    fn to_json(&self, view: &NodeView, time: &str) -> Value {
        let mut line = json!({ "time": time, "node": view.name(), "bus_name": view.bus_name });
        let (event, value) = match self {
            Self::Entered => ("entered", None),
            Self::Exited => ("exited", None),
            Self::Value(_, value) => ("value", Some(value)),
            Self::Signal(_, value) => ("signal", Some(value)),
        };
        line["event"] = json!(event);
        if let (Some(name), Some(value)) = (self.name(), value) {
            line["name"] = json!(name.raw);
            line["value"] = value.clone();
        }
        line
    }
}

/// The one argument of a node's signal. zbus shows a body of one structure as one of its fields.
fn argument(message: &Message) -> Result<Value, Failure> {
    let is_structure = matches!(message.body().signature(), Signature::Structure(_));
    let arguments = fields(message, is_structure)?;
    Ok(arguments.first().map(to_json).unwrap_or_default())
}

fn name_of(view: &NodeView, labels: &[String], member: &str) -> Name {
    let object = view.objects.get(labels);
    let raw = object.map_or_else(|| member.to_owned(), |object| object.raw_name(member));
    let label = [labels, &[member.to_owned()]].concat().join(".");
    Name {
        raw: view.dotted(labels, &raw),
        label,
    }
}

/// Whether a name on the bus is that of a node: a mirrored one, or the bridge as one.
fn is_node(name: &str) -> bool {
    name.starts_with(NODE_NAME_PREFIX) || name == BRIDGE_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_of_a_signal_is_shown_whole() {
        let signal = || Message::signal("/a", "a.b", "c");
        let number = signal().build(&(0.5,)).unwrap();
        assert_eq!(argument(&number).unwrap(), json!(0.5));
        let vector = signal().build(&((1.0, 2.0),)).unwrap();
        assert_eq!(argument(&vector).unwrap(), json!([1.0, 2.0]));
        let list = signal().build(&(vec!["x"],)).unwrap();
        assert_eq!(argument(&list).unwrap(), json!(["x"]));
    }
}

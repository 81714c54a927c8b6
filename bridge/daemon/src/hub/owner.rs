//! What the bridge and its peers' objects do when they are called.
//!
//! Model: a call is looked up, checked, and given to the node; what waits for the mesh is `Ping` alone.
//! Invariants: OWNER-1. each call has one answer, at the latest at [`PING_MAX`].

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;
use zbus::{ObjectPath, Variant};
use zocp_interfaces::{
    BRIDGE_INTERFACE, BRIDGE_PATH, EXPORTER_INTERFACE, LOCAL_INTERFACE, METHODS_INTERFACE,
    MONITOR_INTERFACE, PEER_INTERFACE, PEERS_PATH, TRUST_INTERFACE, WIRE_INTERFACE,
};
use zocp_node::{Content, Node, NodeError, PeerId};

use crate::{config::ExportConfig, local::Local, monitor::Monitor, trust::Trust};
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, ObjectHandler, ObjectTable, SetRequest},
};
use zocp_mapping::directory::Directory;
use zocp_policy::ExportRule;
use zocp_relay::export::{Exporter, Learned};
use zocp_wires::Wires;

/// Answers what the table cannot.
pub(super) struct HubOwner {
    pub(super) node: Node,
    pub(super) directory: Directory,
    pub(super) exporter: Exporter,
    pub(super) local: Local,
    pub(super) trust: Trust,
    pub(super) wires: Wires,
    pub(super) monitor: Monitor,
    pub(super) table: ObjectTable,
}

impl ObjectHandler for HubOwner {
    async fn call(&self, mut call: CallRequest) -> Answer {
        if matches!(
            (&*call.interface, &*call.member),
            (BRIDGE_INTERFACE, "Wire" | "Unwire" | "WireWith") | (WIRE_INTERFACE, _)
        ) {
            return self.wires.call(&call).await;
        }
        let arguments = Arguments(std::mem::take(&mut call.arguments));
        match (&*call.interface, &*call.member) {
            (BRIDGE_INTERFACE, "FindNode") => self.find_node(&arguments.text(0)?),
            (BRIDGE_INTERFACE, "Connect") => self.connect(&arguments.text(0)?).await,
            (BRIDGE_INTERFACE, "Join") => {
                let group = group(arguments.text(0)?)?;
                self.regroup(self.node.join(&group)).await
            }
            (BRIDGE_INTERFACE, "Leave") => {
                let group = group(arguments.text(0)?)?;
                self.regroup(self.node.leave(&group)).await
            }
            (BRIDGE_INTERFACE, "Shout") => {
                let group = group(arguments.text(0)?)?;
                done(self.node.shout(&group, arguments.content(1)?).await)
            }
            (EXPORTER_INTERFACE, "Export") => {
                let rule = export_rule(arguments.text(0)?, arguments.0.get(1))?;
                let exported = self.exporter.export(&program(call.caller)?, rule);
                exported.map(|()| Vec::new())
            }
            (EXPORTER_INTERFACE, "Unexport") => {
                let program = program(call.caller)?;
                let taken = self.exporter.unexport(&program, &arguments.text(0)?);
                taken.map(|()| Vec::new())
            }
            (EXPORTER_INTERFACE, "Learned") => {
                let program = program(call.caller)?;
                let learned = self.exporter.learned(&program, &arguments.text(0)?)?;
                Ok(told(learned))
            }
            (MONITOR_INTERFACE, "Open") => {
                let program = program(call.caller)?;
                let opened = self.monitor.open(&program, arguments.0.first()).await;
                opened.map(|events| vec![Variant::Fd(events.into())])
            }
            (TRUST_INTERFACE, "Trust") => self.trust.trust(&arguments.text(0)?).await,
            (TRUST_INTERFACE, "Distrust") => self.trust.distrust(&arguments.text(0)?).await,
            (TRUST_INTERFACE, "Strangers") => self.trust.strangers().await,
            (LOCAL_INTERFACE, "Publish") => {
                let program = program(call.caller)?;
                self.local.publish(&program, &arguments.0).await
            }
            (LOCAL_INTERFACE, "PublishMethod") => {
                let program = program(call.caller)?;
                self.local.publish_method(&program, &arguments.0).await
            }
            (LOCAL_INTERFACE, "Unpublish") => {
                let program = program(call.caller)?;
                self.local.unpublish(&program, &arguments.text(0)?).await
            }
            (METHODS_INTERFACE, _) => {
                let arguments = arguments.0;
                self.local.call(CallRequest { arguments, ..call }).await
            }
            (PEER_INTERFACE, "Ping") => self.ping(self.peer(&call.path)?).await,
            (PEER_INTERFACE, "Whisper") => {
                let peer = self.peer(&call.path)?;
                done(self.node.try_whisper(peer, arguments.content(0)?))
            }
            (_, member) => Err(Refusal::UnknownMethod {
                path: call.path.to_string(),
                member: member.to_owned(),
            }),
        }
    }

    /// Only values of the bridge's own tree can be written; else the table answers for us.
    fn set(&self, set: SetRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        self.local.set(&set)
    }
}

impl HubOwner {
    fn find_node(&self, text: &str) -> Answer {
        let found = self.directory.find(text);
        let found = found.and_then(|id| self.directory.label_of(id));
        let path = found.map(|label| format!("{PEERS_PATH}/{label}"));
        match path.and_then(|path| ObjectPath::try_from(path).ok()) {
            Some(path) => Ok(vec![Variant::ObjectPath(path)]),
            None => Err(Refusal::NodeGone(format!("\"{text}\""))),
        }
    }

    async fn connect(&self, endpoint: &str) -> Answer {
        done(self.node.connect(endpoint).await)
    }

    /// Shows the groups that the bridge is in when a change of them is done.
    async fn regroup(&self, change: impl Future<Output = Result<(), NodeError>>) -> Answer {
        change.await.map_err(refusal)?;
        let mut groups = self.node.groups().await.map_err(refusal)?;
        groups.sort();
        let shown = self.table.with(|objects| {
            objects.set(
                BRIDGE_PATH,
                BRIDGE_INTERFACE,
                "Groups",
                Variant::new(groups),
            )
        });
        shown
            .map(|_| Vec::new())
            .map_err(|error| Refusal::Failed(error.to_string()))
    }

    async fn ping(&self, peer: PeerId) -> Answer {
        match timeout(PING_MAX, self.node.ping(peer)).await {
            Ok(Ok(time)) => {
                let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                Ok(vec![Variant::U64(microseconds)])
            }
            Ok(Err(error)) => Err(refusal(error)),
            Err(_) => {
                let seconds = PING_MAX.as_secs();
                Err(Refusal::Timeout(format!("no answer within {seconds} s")))
            }
        }
    }

    fn peer(&self, path: &str) -> Result<PeerId, Refusal> {
        let label = path.rsplit('/').next().unwrap_or_default();
        let found = self.directory.labelled(label);
        found.ok_or_else(|| Refusal::NodeGone(format!("\"{label}\"")))
    }
}

/// The arguments of a call, of the types that are declared.
struct Arguments(Vec<Variant<'static>>);

impl Arguments {
    fn text(&self, index: usize) -> Result<String, Refusal> {
        match self.0.get(index) {
            Some(Variant::Str(text)) => Ok(text.to_string()),
            _ => Err(undeclared(index)),
        }
    }

    /// Octets as the one frame of a message.
    fn content(&self, index: usize) -> Result<Content, Refusal> {
        let Some(Variant::Array(array)) = self.0.get(index) else {
            return Err(undeclared(index));
        };
        let octets: Option<Vec<u8>> = array
            .inner()
            .iter()
            .map(|item| match item {
                Variant::U8(octet) => Some(*octet),
                _ => None,
            })
            .collect();
        let octets = octets.ok_or_else(|| undeclared(index))?;
        Ok(Content::from_iter([bytes::Bytes::from(octets)]))
    }
}

/// The program that calls; every caller on a bus has a name.
fn program(caller: Option<String>) -> Result<String, Refusal> {
    caller.ok_or_else(|| Refusal::Failed("a call without a sender".to_owned()))
}

/// What a program learned, as `Learned` answers it.
fn told(learned: Learned) -> Vec<Variant<'static>> {
    let notes = learned.notes.into_iter().map(|(note, is_allowed)| {
        let mut told = BTreeMap::from([
            ("service", Variant::new(note.service)),
            ("peer", Variant::new(note.peer)),
            ("word", Variant::new(note.word.text())),
            ("allowed", Variant::new(is_allowed)),
        ]);
        if !note.rule.is_empty() {
            told.insert("rule", Variant::new(note.rule));
        }
        if let Some(property) = note.property {
            told.insert("property", Variant::new(property));
        }
        told
    });
    let notes: Vec<BTreeMap<&str, Variant<'static>>> = notes.collect();
    vec![Variant::new(notes), Variant::new(learned.is_complete)]
}

/// The rule that a program wants to add.
fn export_rule(service: String, rules: Option<&Variant<'_>>) -> Result<ExportRule, Refusal> {
    let Some(Variant::Dict(rules)) = rules else {
        return Err(undeclared(1));
    };
    let mut export = ExportConfig {
        service,
        ..ExportConfig::default()
    };
    for (key, value) in rules.iter() {
        let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
            return Err(undeclared(1));
        };
        match (key.as_str(), &**value) {
            ("see", Variant::Bool(see)) => export.see = *see,
            ("talk", Variant::Bool(talk)) => export.talk = *talk,
            ("call", value) => export.call = texts(key, value)?,
            ("broadcast", value) => export.broadcast = texts(key, value)?,
            ("call_back", value) => export.call_back = texts(key, value)?,
            ("learn", Variant::Bool(learn)) => export.learn = *learn,
            ("timeout", Variant::F64(timeout)) => export.timeout = Some(*timeout),
            ("peers", value) => export.peers = texts(key, value)?,
            (key, _) => {
                let text = format!("\"{key}\" is no rule, or not of its type");
                return Err(Refusal::InvalidArgs(text));
            }
        }
    }
    let rule = export.check();
    rule.map_err(|error| Refusal::InvalidArgs(error.to_string()))
}

fn texts(key: &str, value: &Variant<'_>) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::InvalidArgs(format!("\"{key}\" is a list of texts"));
    let Variant::Array(array) = value else {
        return Err(wrong());
    };
    let texts = array.inner().iter().map(|item| match item {
        Variant::Str(text) => Some(text.to_string()),
        _ => None,
    });
    texts.collect::<Option<Vec<String>>>().ok_or_else(wrong)
}

fn undeclared(index: usize) -> Refusal {
    Refusal::InvalidArgs(format!(
        "argument {} is not of the declared type",
        index + 1
    ))
}

fn group(name: String) -> Result<String, Refusal> {
    match name.len() {
        1..=GROUP_LEN_MAX => Ok(name),
        length => Err(Refusal::InvalidArgs(format!(
            "the name of a group has 1 to {GROUP_LEN_MAX} octets, not {length}"
        ))),
    }
}

fn done(result: Result<(), NodeError>) -> Answer {
    result.map(|()| Vec::new()).map_err(refusal)
}

/// What a caller is told when the node refuses.
fn refusal(error: NodeError) -> Refusal {
    match error {
        NodeError::NodeGone(peer) => Refusal::NodeGone(peer.to_string()),
        NodeError::Busy => Refusal::Busy(error.to_string()),
        NodeError::Invalid(reason) => Refusal::InvalidArgs(reason.to_string()),
        NodeError::NotSupported => Refusal::NotSupported(error.to_string()),
        NodeError::Timeout => Refusal::Timeout(error.to_string()),
        NodeError::Remote(remote) => Refusal::Remote {
            error: remote.name,
            message: remote.message,
        },
        _ => Refusal::Failed(error.to_string()),
    }
}

/// Below the customary 25 s of D-Bus clients.
const PING_MAX: Duration = Duration::from_secs(20);
/// 36/ZRE: `string` is at most 255 octets.
const GROUP_LEN_MAX: usize = 255;

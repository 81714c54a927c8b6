//! Signals and answers of the bridge become changes of a model.
//!
//! Model: one connection listens and asks. A *source* is a connection of the bridge, its own or a node's, known by its
//! unique name. While a source is being asked for all that it has, what it signals is kept, and applied behind the
//! answer if it came behind it: the order is that of the connection.
//! Invariants: FEED-1. the stream of messages is always read, also while questions are under way: an answer waits behind
//! what is not read. FEED-2. a value that came before an answer never replaces what the answer says.
//! Limits: `ASKING_MAX` questions at once; `KEPT_MAX` messages of a source are kept while it is asked, with more it
//! is asked once again; a node whose shape changes all the time is asked at most every `ASK_AGAIN`.
//! Spec: docs/reference/dbus.md

mod question;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use zbus::{
    Connection, Message, MessageStream, OwnedObjectPath, OwnedVariant, fdo::DBusProxy,
    message::Type, names::OwnedInterfaceName,
};
use zocp_interfaces::{
    BRIDGE_INTERFACE, BRIDGE_NAME, EXPORTER_INTERFACE, LOCAL_PATH, NODE_PATH, OBJECT_INTERFACE,
    PEER_INTERFACE, PEERS_PATH, VALUES_INTERFACE, WIRE_INTERFACE, WIRES_PATH,
};

use self::question::{Answer, Question, ask};
use crate::{
    model::{Model, OWN_LABEL},
    tree::{clipped, id, labels},
    value::to_json,
};

/// A model that is kept up to date, and a notice of each change.
#[derive(Debug, Clone)]
pub struct Followed {
    model: Arc<Mutex<Model>>,
    version: watch::Receiver<u64>,
}

impl Followed {
    /// The model as it is now. The lock is held for as long as it is looked at, by nobody across an await.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the model has changed since this was asked last. `false` when nobody feeds it any more.
    pub async fn changed(&mut self) -> bool {
        self.version.changed().await.is_ok()
    }
}

/// Follows a bridge, which need not be there yet. The connection is for this alone: it has to be read all the time.
/// The future ends with the bus.
pub fn follow(connection: Connection) -> (Followed, impl Future<Output = zbus::Result<()>>) {
    let (version, receiver) = watch::channel(0);
    let model = Arc::new(Mutex::new(Model::default()));
    let followed = Followed {
        model: Arc::clone(&model),
        version: receiver,
    };
    let feed = Feed {
        connection,
        model,
        version,
        started: Instant::now(),
        sources: HashMap::new(),
        wanted: BTreeSet::new(),
        sought: BTreeSet::new(),
        asked: BTreeMap::new(),
        asking: JoinSet::new(),
    };
    (followed, feed.run())
}

/// Whom questions and signals are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Bridge,
    Node(String),
}

/// A connection of the bridge.
#[derive(Debug)]
struct Source {
    whom: Whom,
    /// What it signalled since it was asked for all; `None` while nothing is asked.
    kept: Option<Vec<Message>>,
}

struct Feed {
    connection: Connection,
    model: Arc<Mutex<Model>>,
    version: watch::Sender<u64>,
    started: Instant,
    /// By unique name.
    sources: HashMap<String, Source>,
    /// Who is to be asked for all.
    wanted: BTreeSet<Whom>,
    /// Whose connection is being asked for.
    sought: BTreeSet<Whom>,
    /// Who was asked lately, and when.
    asked: BTreeMap<Whom, Instant>,
    asking: JoinSet<(Question, zbus::Result<Answer>)>,
}

impl Feed {
    async fn run(mut self) -> zbus::Result<()> {
        let mut stream = MessageStream::from(&self.connection);
        let dbus = DBusProxy::new(&self.connection).await?;
        for rule in rules() {
            dbus.add_match_rule(rule.as_str().try_into()?).await?;
        }
        self.ask_owner(Whom::Bridge, Duration::ZERO);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Each is cancel safe: what is not taken stays in the queue, the set or the interval.
                message = stream.next() => match message {
                    Some(message) => self.heard(&message?),
                    None => return Ok(()),
                },
                Some(answered) = self.asking.join_next() => match answered {
                    Ok((question, answer)) => self.answered(question, answer),
                    Err(error) => tracing::warn!(%error, "a question to the bridge ended"),
                },
                _ = tick.tick() => self.tick(),
            }
            self.ask_further();
            let version = self.lock().version();
            self.version
                .send_if_modified(|sent| std::mem::replace(sent, version) != version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn tick(&mut self) {
        self.lock().expire(self.now());
        let is_there = self
            .sources
            .values()
            .any(|source| source.whom == Whom::Bridge);
        if is_there {
            self.asking
                .spawn(ask(self.connection.clone(), Question::Statistics));
        }
        let now = Instant::now();
        self.asked.retain(|_, at| *at + ASK_AGAIN > now);
    }

    /// Asks as many of those that are to be asked as may be at once.
    fn ask_further(&mut self) {
        while self.asking.len() < ASKING_MAX {
            // Who is being asked already is asked again behind its answer.
            let found = self
                .sources
                .iter_mut()
                .find(|(_, source)| source.kept.is_none() && self.wanted.contains(&source.whom));
            let Some((owner, source)) = found else {
                return;
            };
            let whom = source.whom.clone();
            self.wanted.remove(&whom);
            source.kept = Some(Vec::new());
            let now = Instant::now();
            let wait = self.asked.get(&whom).map_or(Duration::ZERO, |at| {
                (*at + ASK_AGAIN).saturating_duration_since(now)
            });
            self.asked.insert(whom.clone(), Instant::now() + wait);
            let question = Question::All(whom, owner.clone());
            let connection = self.connection.clone();
            self.asking.spawn(async move {
                sleep(wait).await;
                ask(connection, question).await
            });
        }
    }

    fn answered(&mut self, question: Question, answer: zbus::Result<Answer>) {
        if let Question::Owner(whom) = &question {
            self.sought.remove(whom);
        }
        match (question, answer) {
            (Question::Owner(whom), Ok(Answer::Owner(owner))) => {
                // It may have gone since it was asked for.
                if !self.is_expected(&whom) {
                    return;
                }
                self.sources.retain(|_, source| source.whom != whom);
                let whom_asked = whom.clone();
                self.sources.insert(owner, Source { whom, kept: None });
                self.wanted.insert(whom_asked);
            }
            (Question::Statistics, Ok(Answer::Statistics(statistics))) => {
                self.lock().set_statistics(statistics);
            }
            // The name has another owner soon, or none, and then the bridge says so; it may have been asked too early.
            (Question::Owner(whom @ Whom::Node(_)), Err(_)) if self.is_expected(&whom) => {
                self.ask_owner(whom, FAILED_PAUSE);
            }
            (Question::All(whom, owner), answer) => self.told_all(&whom, &owner, answer),
            (question, Err(error)) => tracing::debug!(?question, %error, "no answer"),
            (question, Ok(_)) => tracing::debug!(?question, "another answer"),
        }
    }

    fn told_all(&mut self, whom: &Whom, owner: &str, answer: zbus::Result<Answer>) {
        let Some(source) = self.sources.get_mut(owner) else {
            return;
        };
        let kept = source.kept.take().unwrap_or_default();
        let position = match answer {
            Ok(Answer::Bridge(answer)) => {
                let position = answer.position;
                self.set_bridge(*answer);
                position
            }
            Ok(Answer::Node(answer)) => {
                let Whom::Node(label) = whom else {
                    return;
                };
                self.lock().set_tree(label, answer.tree, answer.readings);
                answer.position
            }
            Ok(_) => return,
            Err(error) => {
                // One that went is told by the bus; one that is slow is asked again.
                tracing::debug!(?whom, %error, "not told what it has");
                if matches!(error, zbus::Error::InputOutput(_)) {
                    return;
                }
                if is_gone(&error) {
                    // The node may have another connection now.
                    self.sources.remove(owner);
                    if self.is_expected(whom) {
                        self.ask_owner(whom.clone(), FAILED_PAUSE);
                    }
                    return;
                }
                self.asked
                    .insert(whom.clone(), Instant::now() + FAILED_PAUSE);
                if self.sources.contains_key(owner) {
                    self.wanted.insert(whom.clone());
                }
                return;
            }
        };
        if kept.len() >= KEPT_MAX {
            self.wanted.insert(whom.clone());
        }
        for message in kept.into_iter().filter(|it| it.recv_position() > position) {
            self.apply(whom, &message);
        }
    }

    fn set_bridge(&mut self, answer: question::BridgeAnswer) {
        let now = self.now();
        let mut model = self.lock();
        model.set_bridge(answer.properties);
        let gone: Vec<String> = {
            let there = |label: &String| label == OWN_LABEL || answer.peers.contains_key(label);
            let known = model.nodes().keys();
            known.filter(|label| !there(label)).cloned().collect()
        };
        for label in gone {
            model.lose_node(&label, now);
        }
        let bus_names: Vec<(String, String)> = answer
            .peers
            .iter()
            .map(|(label, it)| (label.clone(), text(it, "BusName")))
            .collect();
        for (label, properties) in answer.peers {
            model.set_peer(&label, properties);
        }
        let unwired: Vec<u32> = model
            .wires()
            .keys()
            .copied()
            .filter(|it| !answer.wires.contains_key(it))
            .collect();
        for number in unwired {
            model.lose_wire(number);
        }
        for (number, properties) in answer.wires {
            model.set_wire(number, properties);
        }
        let own = model.bridge().properties.clone();
        let own = own
            .into_iter()
            .chain([("BusName".to_owned(), Value::from(BRIDGE_NAME))]);
        model.set_peer(OWN_LABEL, own.collect());
        model.set_tree(OWN_LABEL, answer.tree, answer.readings);
        drop(model);
        for (label, bus_name) in bus_names {
            self.meet(&label, &bus_name);
        }
    }

    /// A node has this bus name, or none any more.
    fn meet(&mut self, label: &str, bus_name: &str) {
        let whom = Whom::Node(label.to_owned());
        if bus_name.is_empty() {
            self.sources.retain(|_, source| source.whom != whom);
            self.wanted.remove(&whom);
        } else if !self.sources.values().any(|source| source.whom == whom) {
            self.ask_owner(whom, Duration::ZERO);
        }
    }

    /// Asks for the connection of somebody, after a while.
    fn ask_owner(&mut self, whom: Whom, wait: Duration) {
        // The bridge may have ended since it was asked for, and another begun.
        if whom != Whom::Bridge && !self.sought.insert(whom.clone()) {
            return;
        }
        let connection = self.connection.clone();
        self.asking.spawn(async move {
            sleep(wait).await;
            ask(connection, Question::Owner(whom)).await
        });
    }

    /// Whether somebody has a bus name, as far as the bridge told.
    fn is_expected(&self, whom: &Whom) -> bool {
        let Whom::Node(label) = whom else {
            return true;
        };
        let model = self.lock();
        let node = model.nodes().get(label);
        node.is_some_and(|node| node.left.is_none() && !node.bus_name.is_empty())
    }

    fn heard(&mut self, message: &Message) {
        let header = message.header();
        let Some(sender) = header
            .sender()
            .filter(|_| header.message_type() == Type::Signal)
        else {
            return;
        };
        if header
            .member()
            .is_some_and(|member| member == "NameOwnerChanged")
            && sender == "org.freedesktop.DBus"
        {
            if let Ok((name, old, new)) = message.body().deserialize::<(String, String, String)>() {
                self.owned(&name, &old, &new);
            }
            return;
        }
        let Some(source) = self.sources.get_mut(sender.as_str()) else {
            return;
        };
        let whom = source.whom.clone();
        match &mut source.kept {
            Some(kept) if kept.len() < KEPT_MAX => kept.push(message.clone()),
            Some(_) => {}
            None => self.apply(&whom, message),
        }
    }

    fn owned(&mut self, name: &str, old: &str, new: &str) {
        if name != BRIDGE_NAME {
            return;
        }
        if !old.is_empty() {
            self.sources.clear();
            self.wanted.clear();
            let now = self.now();
            self.lock().lose_bridge(now);
        }
        if !new.is_empty() {
            self.ask_owner(Whom::Bridge, Duration::ZERO);
        }
    }

    fn apply(&mut self, whom: &Whom, message: &Message) {
        let header = message.header();
        let (Some(member), Some(path)) = (header.member(), header.path()) else {
            return;
        };
        match member.as_str() {
            "PropertiesChanged" => {
                let body = message.body();
                let told: Result<(String, HashMap<String, OwnedVariant>, Vec<String>), _> =
                    body.deserialize();
                if let Ok((interface, changed, invalid)) = told {
                    self.properties(
                        whom,
                        path.as_str(),
                        &interface,
                        changed,
                        !invalid.is_empty(),
                    );
                }
            }
            "InterfacesAdded" => {
                type Added = (
                    OwnedObjectPath,
                    HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>,
                );
                if let Ok((path, interfaces)) = message.body().deserialize::<Added>() {
                    self.added(whom, path.as_str(), interfaces);
                }
            }
            "InterfacesRemoved" => {
                if let Ok((path, _)) = message
                    .body()
                    .deserialize::<(OwnedObjectPath, Vec<String>)>()
                {
                    self.removed(whom, path.as_str());
                }
            }
            _ => {}
        }
    }

    fn properties(
        &mut self,
        whom: &Whom,
        path: &str,
        interface: &str,
        changed: HashMap<String, OwnedVariant>,
        is_partial: bool,
    ) {
        match interface {
            VALUES_INTERFACE if is_partial => {
                self.wanted.insert(whom.clone());
            }
            VALUES_INTERFACE => {
                let (root, node) = match whom {
                    Whom::Bridge => (LOCAL_PATH, OWN_LABEL),
                    Whom::Node(label) => (NODE_PATH, label.as_str()),
                };
                let Some(labels) = labels(root, path) else {
                    return;
                };
                let mut model = self.lock();
                for (member, value) in changed {
                    model.set_value(&id(node, &labels, &member), clipped(to_json(&value)));
                }
            }
            OBJECT_INTERFACE => {
                self.wanted.insert(whom.clone());
            }
            WIRE_INTERFACE => {
                if let Some(number) = wire_number(path) {
                    self.lock().set_wire(number, json(&changed));
                }
            }
            PEER_INTERFACE => {
                if let Some(label) = peer_label(path) {
                    self.peer(label, json(&changed));
                }
            }
            BRIDGE_INTERFACE | EXPORTER_INTERFACE => self.lock().set_bridge(json(&changed)),
            _ => {}
        }
    }

    fn peer(&mut self, label: &str, properties: Map<String, Value>) {
        let bus_name = {
            let mut model = self.lock();
            model.set_peer(label, properties);
            let node = model.nodes().get(label);
            node.map(|node| node.bus_name.clone()).unwrap_or_default()
        };
        self.meet(label, &bus_name);
    }

    fn added(
        &mut self,
        whom: &Whom,
        path: &str,
        mut interfaces: HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>,
    ) {
        if *whom != Whom::Bridge || path.starts_with(LOCAL_PATH) {
            self.wanted.insert(whom.clone());
            return;
        }
        if let (Some(number), Some(wire)) = (wire_number(path), interfaces.remove(WIRE_INTERFACE)) {
            self.lock().set_wire(number, json(&wire));
        } else if let (Some(label), Some(peer)) =
            (peer_label(path), interfaces.remove(PEER_INTERFACE))
        {
            self.peer(label, json(&peer));
        }
    }

    fn removed(&mut self, whom: &Whom, path: &str) {
        if *whom != Whom::Bridge || path.starts_with(LOCAL_PATH) {
            self.wanted.insert(whom.clone());
            return;
        }
        if let Some(number) = wire_number(path) {
            self.lock().lose_wire(number);
        } else if let Some(label) = peer_label(path) {
            let (now, gone) = (self.now(), Whom::Node(label.to_owned()));
            self.sources.retain(|_, source| source.whom != gone);
            self.wanted.remove(&gone);
            self.lock().lose_node(label, now);
        }
    }
}

/// What the bus is asked to send. Nodes have connections of their own, so what is theirs is known by its path.
fn rules() -> [String; 6] {
    let properties =
        "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'";
    let objects = "type='signal',interface='org.freedesktop.DBus.ObjectManager'";
    [
        format!(
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{BRIDGE_NAME}'"
        ),
        format!("{properties},path_namespace='{NODE_PATH}',arg0='{VALUES_INTERFACE}'"),
        format!("{properties},path_namespace='{NODE_PATH}',arg0='{OBJECT_INTERFACE}'"),
        format!("{objects},path='{NODE_PATH}'"),
        format!("{properties},sender='{BRIDGE_NAME}'"),
        format!("{objects},sender='{BRIDGE_NAME}'"),
    ]
}

/// Whether a connection that was asked is gone, or shows nothing any more.
fn is_gone(error: &zbus::Error) -> bool {
    let name = match error {
        zbus::Error::MethodError(name, ..) => name.as_str(),
        _ => return false,
    };
    GONE.contains(&name)
}

fn wire_number(path: &str) -> Option<u32> {
    path.strip_prefix(WIRES_PATH)?
        .strip_prefix('/')?
        .parse()
        .ok()
}

fn peer_label(path: &str) -> Option<&str> {
    path.strip_prefix(PEERS_PATH)?.strip_prefix('/')
}

fn json(properties: &HashMap<String, OwnedVariant>) -> Map<String, Value> {
    let properties = properties.iter();
    properties
        .map(|(name, value)| (name.clone(), clipped(to_json(value))))
        .collect()
}

fn text(properties: &Map<String, Value>, key: &str) -> String {
    properties
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Errors of a connection that is gone, or shows nothing any more.
const GONE: [&str; 3] = [
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.UnknownObject",
];
/// Questions under way at once: so many nodes are read at the start without flooding the bridge.
const ASKING_MAX: usize = 16;
/// Messages of one source that are kept while it is asked.
const KEPT_MAX: usize = 4096;
/// How long after a question a node is asked again for all.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How much longer after a question that was not answered.
const FAILED_PAUSE: Duration = Duration::from_secs(2);
/// How often counters are read, and old nodes forgotten.
const TICK: Duration = Duration::from_secs(2);

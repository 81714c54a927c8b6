//! The connection on which wires follow services: their owners, signals and property changes.
//!
//! Model: a [`Listener`] watches the owners of the services that wires name, and has match rules for the members at
//! which wires begin. Whether such a member is a property or a signal is known from the messages that arrive.
//! Invariants: LISTENER-1. Values enter the queues of their wires in the order of the bus; while one of the queues is
//! full, nothing is read. An invalidated property is read again, one property after the other.
//! Limits: [`FETCHES_MAX`] properties that wait to be read; above that a change is not passed on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{
    Message, Signature, Structure, Variant,
    message::{Header, Type},
    names::MemberName,
};
use zocp_node::Value;

use super::{Caller, serve, sink::current};
use crate::{
    end::BusEnd,
    queue::{QueueItem, QueueSender},
    registry::WireId,
};
use zocp_dbus::connection::{BusConnection, Handler};
use zocp_mapping::convert;

/// See the [module](self). Clones share the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listener {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connection: BusConnection,
    wanted: Notify,
    /// Locked because the engine says what is to be followed, and the task of the connection looks it up for each
    /// message.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    is_connected: bool,
    /// The watched services with their owners.
    owners: HashMap<Arc<str>, Option<Arc<str>>>,
    /// The calls of `GetNameOwner`, by serial, with the service.
    asked: HashMap<NonZeroU32, Arc<str>>,
    sources: HashMap<BusEnd, Vec<(WireId, QueueSender)>>,
    /// The members at which wires begin, by path and interface.
    members: HashMap<(Box<str>, Box<str>), HashSet<BusEnd>>,
}

/// Called when a service has appeared on the bus or disappeared from it.
type OnService = Box<dyn Fn(&str, bool) + Send + Sync>;

impl Listener {
    /// Starts the connection; it ends when `stop` is cancelled.
    pub(crate) fn start(
        &self,
        tasks: &TaskTracker,
        address: Arc<str>,
        caller: Caller,
        on_service: OnService,
        stop: CancellationToken,
    ) {
        let (fetches, waiting) = mpsc::channel(FETCHES_MAX);
        tasks.spawn(self.clone().fetch(caller, waiting));
        let listener = self.clone();
        tasks.spawn(async move {
            let on_service = Arc::new(on_service);
            let mut handler = ListenerHandler {
                listener: listener.clone(),
                on_service: on_service.clone(),
                backlog: Arc::default(),
                fetches,
            };
            let on_change = |is_connected| listener.reconnected(is_connected, &on_service);
            let shared = &listener.shared;
            serve(
                &shared.connection,
                address,
                &shared.wanted,
                &mut handler,
                on_change,
                stop,
            )
            .await;
        });
    }

    /// Starts to report whether a service is on the bus.
    pub(crate) fn watch(&self, service: &Arc<str>) {
        let mut known = self.known();
        // A known owner stays: several wires may name one service.
        if !known.owners.contains_key(service) {
            known.owners.insert(service.clone(), None);
            if known.is_connected {
                self.ask(&mut known, service);
            }
        }
        self.shared.wanted.notify_one();
    }

    /// Stops reporting it.
    pub(crate) fn unwatch(&self, service: &str) {
        let mut known = self.known();
        if known.owners.remove(service).is_some() && known.is_connected {
            self.shared
                .connection
                .ask_bus("RemoveMatch", &owner_rule(service));
        }
    }

    /// Sends the values of a member to a wire.
    pub(crate) fn subscribe(&self, end: &BusEnd, id: WireId, sender: QueueSender) {
        let mut known = self.known();
        let senders = known.sources.entry(end.clone()).or_default();
        senders.push((id, sender));
        if senders.len() > 1 {
            return;
        }
        known
            .members
            .entry(place(end))
            .or_default()
            .insert(end.clone());
        if known.is_connected {
            self.add_matches(end);
        }
    }

    /// Stops sending them.
    pub(crate) fn unsubscribe(&self, end: &BusEnd, id: WireId) {
        let mut known = self.known();
        let Some(senders) = known.sources.get_mut(end) else {
            return;
        };
        senders.retain(|(one, _)| *one != id);
        if !senders.is_empty() {
            return;
        }
        known.sources.remove(end);
        if let Some(members) = known.members.get_mut(&place(end)) {
            members.remove(end);
            if members.is_empty() {
                known.members.remove(&place(end));
            }
        }
        if known.is_connected {
            for rule in rules(end) {
                self.shared.connection.ask_bus("RemoveMatch", &rule);
            }
        }
    }

    fn reconnected(&self, is_connected: bool, on_service: &OnService) {
        let mut known = self.known();
        known.is_connected = is_connected;
        known.asked.clear();
        let services: Vec<Arc<str>> = known.owners.keys().cloned().collect();
        if is_connected {
            for service in &services {
                self.ask(&mut known, service);
            }
            known.sources.keys().for_each(|end| self.add_matches(end));
            return;
        }
        known.owners.values_mut().for_each(|owner| *owner = None);
        drop(known);
        for service in services {
            on_service(&service, false);
        }
    }

    fn ask(&self, known: &mut Known, service: &Arc<str>) {
        let connection = &self.shared.connection;
        connection.ask_bus("AddMatch", &owner_rule(service));
        if let Some(serial) = connection.ask_bus("GetNameOwner", &&**service) {
            known.asked.insert(serial, service.clone());
        }
    }

    fn add_matches(&self, end: &BusEnd) {
        for rule in rules(end) {
            self.shared.connection.ask_bus("AddMatch", &rule);
        }
    }

    /// Reads properties that were invalidated.
    async fn fetch(self, caller: Caller, mut waiting: mpsc::Receiver<BusEnd>) {
        while let Some(end) = waiting.recv().await {
            match current(&caller, &end).await {
                Ok(value) => {
                    for (sender, item) in self.items(&end, &value) {
                        sender.push(item).await;
                    }
                }
                Err(error) => self.fail(&end, &error.to_string()),
            }
        }
    }

    /// The queue items for the wires that begin at a member.
    fn items(&self, end: &BusEnd, value: &Variant<'_>) -> Vec<(QueueSender, QueueItem)> {
        match convert::as_given(value) {
            Ok(value) => self.items_of(end, &value),
            Err(error) => {
                self.fail(end, &error.to_string());
                Vec::new()
            }
        }
    }

    fn items_of(&self, end: &BusEnd, value: &Value) -> Vec<(QueueSender, QueueItem)> {
        let known = self.known();
        let senders = known.sources.get(end).into_iter().flatten();
        let pass = |(_, sender): &(WireId, QueueSender)| {
            let value = value.clone();
            (sender.clone(), QueueItem::new(value))
        };
        senders.map(pass).collect()
    }

    fn fail(&self, end: &BusEnd, reason: &str) {
        let known = self.known();
        for (_, sender) in known.sources.get(end).into_iter().flatten() {
            sender.fail(reason);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = &self.shared.known;
        known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ListenerHandler {
    listener: Listener,
    on_service: Arc<OnService>,
    /// Values that wait for a full queue, in order.
    /// Locked because the handler of the connection appends, and the future that waits for a full queue takes out.
    backlog: Arc<Mutex<VecDeque<(QueueSender, QueueItem)>>>,
    fetches: mpsc::Sender<BusEnd>,
}

impl Handler for ListenerHandler {
    fn hear(&mut self, message: Message) {
        let header = message.header();
        match header.message_type() {
            Type::Signal => self.signal(&header, &message),
            Type::MethodReturn | Type::Error => self.answer(&header, &message),
            Type::MethodCall => {}
        }
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        if locked(&self.backlog).is_empty() {
            return None;
        }
        let backlog = self.backlog.clone();
        let work = async move {
            loop {
                // It is removed only after it was sent, so that this future may be cancelled.
                let Some((sender, item)) = locked(&backlog).front().cloned() else {
                    return;
                };
                sender.push(item).await;
                locked(&backlog).pop_front();
            }
        };
        Some(work.boxed())
    }
}

impl ListenerHandler {
    fn answer(&self, header: &Header<'_>, message: &Message) {
        let serial = header.reply_serial();
        let asked = serial.and_then(|serial| self.listener.known().asked.remove(&serial));
        let Some(service) = asked else { return };
        let owner = message.body().deserialize::<String>().ok();
        let is_owner = header.message_type() == Type::MethodReturn;
        self.owned(&service, owner.filter(|_| is_owner));
    }

    fn owned(&self, service: &str, owner: Option<String>) {
        let is_here = owner.is_some();
        let mut known = self.listener.known();
        let Some(kept) = known.owners.get_mut(service) else {
            return;
        };
        *kept = owner.map(Into::into);
        drop(known);
        (self.on_service)(service, is_here);
    }

    fn signal(&mut self, header: &Header<'_>, message: &Message) {
        let (Some(interface), Some(member)) = (header.interface(), header.member()) else {
            return;
        };
        match (interface.as_str(), member.as_str()) {
            ("org.freedesktop.DBus", "NameOwnerChanged") => {
                let changed = message.body().deserialize::<(String, String, String)>();
                if let Ok((name, _, new)) = changed {
                    self.owned(&name, Some(new).filter(|new| !new.is_empty()));
                }
            }
            ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
                self.properties_changed(header, message);
            }
            (interface, member) => {
                for end in self.ends(header, interface, |end| end.member == member) {
                    match arguments(message) {
                        Ok(value) => self.push_all(self.listener.items_of(&end, &value)),
                        Err(reason) => self.listener.fail(&end, &reason),
                    }
                }
            }
        }
    }

    fn properties_changed(&mut self, header: &Header<'_>, message: &Message) {
        let body = message.body();
        let changed = body.deserialize::<(String, HashMap<String, Variant<'_>>, Vec<String>)>();
        let Ok((interface, changed, invalidated)) = changed else {
            return;
        };
        let is_told = |end: &BusEnd| changed.contains_key(&end.member);
        for end in self.ends(header, &interface, is_told) {
            if let Some(value) = changed.get(&end.member) {
                self.push_all(self.listener.items(&end, value));
            }
        }
        for end in self.ends(header, &interface, |end| invalidated.contains(&end.member)) {
            if self.fetches.try_send(end.clone()).is_err() {
                self.listener
                    .fail(&end, "too many changed properties wait to be read");
            }
        }
    }

    /// The matching ends of this object and interface, of services that the sender owns (WIRESBUS-2).
    fn ends(
        &self,
        header: &Header<'_>,
        interface: &str,
        is_meant: impl Fn(&BusEnd) -> bool,
    ) -> Vec<BusEnd> {
        let (Some(path), Some(sender)) = (header.path(), header.sender()) else {
            return Vec::new();
        };
        let known = self.listener.known();
        let place = (Box::from(path.as_str()), Box::from(interface));
        let ends = known.members.get(&place).into_iter().flatten();
        let is_sent = |end: &&BusEnd| {
            let owner = known.owners.get(end.service.as_str());
            owner.and_then(Option::as_deref) == Some(sender.as_str())
        };
        let found = ends.filter(|end| is_meant(end)).filter(is_sent);
        found.cloned().collect()
    }

    /// Sends values, or stores them until the queue is not full.
    fn push_all(&self, items: Vec<(QueueSender, QueueItem)>) {
        let mut backlog = locked(&self.backlog);
        for (sender, item) in items {
            let rest = if backlog.is_empty() {
                sender.try_push(item)
            } else {
                Err(item)
            };
            if let Err(item) = rest {
                backlog.push_back((sender, item));
            }
        }
    }
}

/// The value of a signal: its only argument, a list of its arguments, or true if it has none.
fn arguments(message: &Message) -> Result<Value, String> {
    let body = message.body();
    if *body.signature() == Signature::Unit {
        return Ok(Value::Bool(true));
    }
    let arguments: Structure<'_> = body.deserialize().map_err(|error| error.to_string())?;
    let given = |value: &Variant<'_>| convert::as_given(value).map_err(|error| error.to_string());
    match (body.signature(), arguments.fields()) {
        // A structure is either all arguments or the only one: a list in both cases.
        (Signature::Structure(_), fields) => fields.iter().map(given).collect(),
        (_, [one]) => given(one),
        (_, fields) => fields.iter().map(given).collect(),
    }
}

/// The key of a member in the index.
fn place(end: &BusEnd) -> (Box<str>, Box<str>) {
    (end.path.as_str().into(), end.interface.as_str().into())
}

fn owner_rule(service: &str) -> String {
    format!(
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
         member='NameOwnerChanged',arg0='{service}'"
    )
}

/// The match rules for a member. A member whose name is not valid for a signal is a property.
fn rules(end: &BusEnd) -> Vec<String> {
    let BusEnd {
        service,
        path,
        interface,
        member,
    } = end;
    let mut rules = vec![format!(
        "type='signal',sender='{service}',path='{path}',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
         arg0='{interface}'"
    )];
    if MemberName::try_from(member.as_str()).is_ok() {
        rules.push(format!(
            "type='signal',sender='{service}',path='{path}',interface='{interface}',\
             member='{member}'"
        ));
    }
    rules
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const FETCHES_MAX: usize = 256;

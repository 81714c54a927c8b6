//! A bus in the simulation: names, calls that wait for replies, and what each connection has not read yet.
//!
//! Model: what is sent is put at once into the inboxes of who gets it; when it is read, whoever steps the simulation
//! decides. What the bus says to the bridge that watches it is in one queue, in its order. Calls of names that the bus can
//! start a service for wait until the service is there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use zbus::{Message, message::Type};

use crate::transport::testing::{sent_by, whole};
use zocp_dbus::message::Outgoing;

/// The bus itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
/// The connection that watches it.
pub(super) const WATCH: &str = ":1.0";

/// What the bus says to the connection that watches it.
#[derive(Debug)]
pub(super) enum News {
    Names(Vec<String>),
    /// All names that the bus can start a service for.
    Activatable(Vec<String>),
    Owner(Arc<str>, Option<String>),
    OwnerChanged(String, Option<String>),
    /// Whether a program is there.
    Program(Arc<str>, bool),
    Gone(String),
    Listening(Arc<str>, u64),
    Signal(Message),
    Reply(Message),
    Barrier(u64),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Bus {
    /// What its unique names begin with, `:1.` for 1.
    number: u32,
    last: u32,
    /// Who owns a name, and who waits for it.
    names: BTreeMap<String, Vec<String>>,
    inboxes: BTreeMap<String, VecDeque<Message>>,
    /// Who is to reply, by caller and serial.
    pending: BTreeMap<(String, NonZeroU32), String>,
    /// Programs, which hear every signal.
    listeners: BTreeSet<String>,
    /// The services whose signals the bridge hears.
    listened: BTreeSet<Arc<str>>,
    /// The names that it can start a service for, with the calls that wait for one, and who made them.
    activatable: BTreeMap<String, Vec<(String, Message)>>,
    /// The names of services that are to be started, since they were called.
    starts: VecDeque<String>,
    pub(super) news: VecDeque<News>,
}

impl Bus {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            last: 0,
            names: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            pending: BTreeMap::new(),
            listeners: BTreeSet::new(),
            listened: BTreeSet::new(),
            activatable: BTreeMap::new(),
            starts: VecDeque::new(),
            news: VecDeque::new(),
        }
    }

    /// A new connection; its unique name.
    pub(super) fn connect(&mut self, hears_signals: bool) -> String {
        self.last += 1;
        let unique = format!(":{}.{}", self.number, self.last);
        self.inboxes.insert(unique.clone(), VecDeque::new());
        if hears_signals {
            self.listeners.insert(unique.clone());
        }
        unique
    }

    /// A connection ends: its names go to who waits for them, and who waits for its replies gets errors.
    pub(super) fn disconnect(&mut self, unique: &str) {
        if self.inboxes.remove(unique).is_none() {
            return;
        }
        self.listeners.remove(unique);
        for waiting in self.activatable.values_mut() {
            waiting.retain(|(caller, _)| caller != unique);
        }
        let names: Vec<String> = self.names.keys().cloned().collect();
        for name in names {
            self.release(unique, &name);
        }
        let pending = std::mem::take(&mut self.pending);
        for ((caller, serial), callee) in pending {
            if caller == unique {
                continue;
            }
            if callee != unique {
                self.pending.insert((caller, serial), callee);
            } else {
                self.put_error(&caller, serial);
            }
        }
        self.news.push_back(News::Gone(unique.to_owned()));
    }

    pub(super) fn is_connected(&self, unique: &str) -> bool {
        self.inboxes.contains_key(unique)
    }

    pub(super) fn connections(&self) -> Vec<String> {
        self.inboxes.keys().cloned().collect()
    }

    /// The connections that have something to read.
    pub(super) fn readers(&self) -> Vec<String> {
        let readers = self.inboxes.iter().filter(|(_, inbox)| !inbox.is_empty());
        readers.map(|(unique, _)| unique.clone()).collect()
    }

    pub(super) fn owner(&self, name: &str) -> Option<&String> {
        self.names.get(name)?.first()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&String, &String)> {
        let names = self.names.iter();
        names.filter_map(|(name, owners)| Some((name, owners.first()?)))
    }

    /// The bus can start a service for this name, or no longer: then calls that wait for it get an error.
    pub(super) fn set_activatable(&mut self, name: &str, is_activatable: bool) {
        if is_activatable {
            self.activatable.entry(name.to_owned()).or_default();
        } else {
            self.fail_start(name);
            self.activatable.remove(name);
        }
    }

    pub(super) fn activatable(&self) -> impl Iterator<Item = &String> {
        self.activatable.keys()
    }

    /// The next name that a service is to be started for.
    pub(super) fn next_start(&mut self) -> Option<String> {
        while let Some(name) = self.starts.pop_front() {
            if self.owner(&name).is_none() && self.activatable.contains_key(&name) {
                return Some(name);
            }
        }
        None
    }

    /// No service of this name starts: calls that wait for it get an error.
    pub(super) fn fail_start(&mut self, name: &str) {
        let waiting = self.activatable.get_mut(name).map(std::mem::take);
        for (caller, call) in waiting.into_iter().flatten() {
            if wants_reply(&call) {
                self.put_error(&caller, call.primary_header().serial_num());
            }
        }
    }

    /// The next message for a connection.
    pub(super) fn receive(&mut self, unique: &str) -> Option<Message> {
        self.inboxes.get_mut(unique)?.pop_front()
    }

    pub(super) fn listen(&mut self, service: Arc<str>, question: u64) {
        self.listened.insert(service.clone());
        self.news.push_back(News::Listening(service, question));
    }

    pub(super) fn ignore(&mut self, service: &str) {
        self.listened.remove(service);
    }

    /// A connection sends a message.
    pub(super) fn send(&mut self, from: &str, message: &[u8]) {
        let message = sent_by(&whole(message), from);
        let header = message.header();
        let to = header.destination().map(|name| name.as_str().to_owned());
        let serial = message.primary_header().serial_num();
        match (message.message_type(), to) {
            (Type::MethodCall, Some(to)) if to == BUS => self.handle(from, &message),
            (Type::MethodCall, Some(to)) => self.call(from, &to, serial, &message),
            (Type::MethodReturn | Type::Error, Some(to)) => {
                let replied = header.reply_serial().expect("a reply has a serial");
                let waited = self.pending.remove(&(to.clone(), replied));
                if self.inboxes.contains_key(&to) || to == WATCH {
                    assert!(waited.is_some(), "a second reply: {message:?}");
                    self.put(&to, message);
                }
            }
            (Type::Signal, Some(to)) => self.put(&to, message),
            (Type::Signal, None) => self.broadcast(from, &message),
            (_, None) => panic!("a message for nobody: {message:?}"),
        }
    }

    fn call(&mut self, from: &str, to: &str, serial: NonZeroU32, message: &Message) {
        let owner = self.owner(to).map_or(to, String::as_str).to_owned();
        if !self.inboxes.contains_key(&owner) {
            if let Some(waiting) = self.activatable.get_mut(to) {
                waiting.push((from.to_owned(), message.clone()));
                self.starts.push_back(to.to_owned());
            } else if wants_reply(message) {
                self.put_error(from, serial);
            }
            return;
        }
        if wants_reply(message) {
            let key = (from.to_owned(), serial);
            let before = self.pending.insert(key, owner.clone());
            assert!(before.is_none(), "a serial is used twice: {message:?}");
        }
        self.put(&owner, message.clone());
    }

    fn broadcast(&mut self, from: &str, signal: &Message) {
        for listener in self.listeners.clone() {
            self.put(&listener, signal.clone());
        }
        let mut listened = self.listened.iter();
        if listened.any(|name| self.owner(name).is_some_and(|owner| owner == from)) {
            self.news.push_back(News::Signal(signal.clone()));
        }
    }

    /// A call of the bus itself.
    fn handle(&mut self, from: &str, call: &Message) {
        let header = call.header();
        let body = call.body();
        let reply = Message::method_return(&header);
        match header.member().map(|name| name.as_str()) {
            Some("RequestName") => {
                let (name, _) = body.deserialize::<(String, u32)>().expect("a name");
                let code = self.request(from, &name);
                let reply = Outgoing::build(reply, &code).expect("a reply");
                self.put(from, sent_by(&reply, BUS));
            }
            Some("ReleaseName") => {
                let name = body.deserialize::<String>().expect("a name");
                self.release(from, &name);
                let reply = Outgoing::build(reply, &1u32).expect("a reply");
                self.put(from, sent_by(&reply, BUS));
            }
            other => panic!("the bus is called with {other:?}"),
        }
    }

    /// Asks for a name; what the bus replies.
    pub(super) fn request(&mut self, unique: &str, name: &str) -> u32 {
        let owners = self.names.entry(name.to_owned()).or_default();
        if owners.iter().any(|owner| owner == unique) {
            return match owners[0] == unique {
                true => 4,
                false => 2,
            };
        }
        owners.push(unique.to_owned());
        if owners.len() > 1 {
            return 2;
        }
        self.changed(name);
        let waiting = self.activatable.get_mut(name).map(std::mem::take);
        for (caller, call) in waiting.into_iter().flatten() {
            self.call(&caller, name, call.primary_header().serial_num(), &call);
        }
        1
    }

    fn release(&mut self, unique: &str, name: &str) {
        let Some(owners) = self.names.get_mut(name) else {
            return;
        };
        let was_owner = owners.first().is_some_and(|owner| owner == unique);
        owners.retain(|owner| owner != unique);
        if owners.is_empty() {
            self.names.remove(name);
        }
        if was_owner {
            self.changed(name);
        }
    }

    /// A name has another owner: who watches the bus is told, and the owner.
    fn changed(&mut self, name: &str) {
        let owner = self.owner(name).cloned();
        let changed = News::OwnerChanged(name.to_owned(), owner.clone());
        self.news.push_back(changed);
        if let Some(owner) = owner {
            let signal = Message::signal("/org/freedesktop/DBus", BUS, "NameAcquired")
                .destination(owner.clone());
            let signal = Outgoing::build(signal, &name).expect("a signal");
            self.put(&owner, sent_by(&signal, BUS));
        }
    }

    fn put(&mut self, to: &str, message: Message) {
        if to == WATCH {
            self.news.push_back(News::Reply(message));
        } else if let Some(inbox) = self.inboxes.get_mut(to) {
            inbox.push_back(message);
        }
    }

    fn put_error(&mut self, to: &str, serial: NonZeroU32) {
        let call = Message::method_call("/", "M").serial(serial);
        let call = Outgoing::build(call, &()).expect("a call");
        let error = Message::error(
            &sent_by(&call, to).header(),
            "org.freedesktop.DBus.Error.NoReply",
        );
        let error = Outgoing::build(error, &"nobody is there").expect("an error");
        self.put(to, sent_by(&error, BUS));
    }
}

fn wants_reply(call: &Message) -> bool {
    let flags = call.primary_header().flags();
    !flags.contains(zbus::message::Flags::NO_REPLY_EXPECTED)
}

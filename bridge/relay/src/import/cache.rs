//! Values and introspection data of an imported service whose changes it emits, so that calls can be answered from memory.
//!
//! Model: a [`Cache`] learns from replies: introspection data of an object, and the properties of one of its interfaces
//! (`GetAll`). Both are asked for at the first `Get`. It answers `Introspect`, `Get` and `GetAll` where it knows, and forgets
//! or renews at every signal that says so.
//! Invariants:
//! CACHE-1. A value is answered only where the service declares in its introspection data that it emits its changes, by
//!     `EmitsChangedSignal` `true` or `const`.
//! CACHE-2. A reply to a question that was asked before a change was emitted is not learned.
//! CACHE-3. `GetAll` is answered only where CACHE-1 holds for all properties of the interface.
//! CACHE-4. A call may change any value, and many services emit a change only after the reply, when they are idle: from a
//!     call until [`SETTLING`] after its reply values are asked for, and introspection data from before a call are asked for
//!     anew.
//! CACHE-5. A value that has a signature in it is asked for each time, with all of its interface: zbus writes a signature of
//!     several types in another form than it came.
//! Limits: [`ENTRIES_MAX`] objects and interfaces, [`TEXT_LEN_MAX`] octets of one reply: what exceeds them is asked for each
//! time. Introspection data are kept for [`AGE_MAX`], since no signal has to say that objects come and go.
//! Spec: docs/reference/protocol.md §7.8

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use zbus::{Message, OwnedVariant, Signature, Variant, message::Type};

use super::{
    announcement::Announcement,
    change_signals::{ChangeSignals, change_signals},
};
use zocp_dbus::message::Outgoing;

/// What a service has said. Plain data.
#[derive(Debug, Default)]
pub(super) struct Cache {
    objects: HashMap<String, Object>,
    /// By object and interface.
    properties: HashMap<(String, String), Known>,
    /// Counts changes, for CACHE-2.
    changes: u64,
    /// When the last call was passed on, or got its reply, for CACHE-4.
    called: Option<Instant>,
}

#[derive(Debug)]
struct Object {
    text: Arc<str>,
    since: Instant,
    /// Its bridge says it in place of the service, which would say nothing, or less.
    is_supplied: bool,
    /// Which properties of which interface emit their changes.
    change_signals: ChangeSignals,
}

impl Object {
    fn new(text: &str, is_supplied: bool, now: Instant) -> Self {
        Self {
            text: text.into(),
            since: now,
            is_supplied,
            change_signals: change_signals(text),
        }
    }
}

/// The properties of an interface of an object.
#[derive(Debug, Default)]
struct Known {
    /// Empty where they are not known.
    values: BTreeMap<String, OwnedVariant>,
    /// The number of the last change.
    changed: u64,
    /// All of them were asked for, for the cache alone.
    is_asked: bool,
}

/// What a call means for the memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Introspect(String),
    Get(String, String, String),
    GetAll(String, String),
    /// No question: it makes what is known of the interface old.
    Set(String, String),
    /// No question either: it may change anything.
    Call,
}

impl Key {
    /// What a call is; `None` for one that only asks, and whose reply is not remembered.
    pub(super) fn of(call: &Message) -> Option<Self> {
        let header = call.header();
        let path = header.path()?.as_str();
        let body = call.body();
        let interface = header.interface().map(|name| name.as_str());
        match (interface.unwrap_or_default(), header.member()?.as_str()) {
            ("org.freedesktop.DBus.Introspectable", "Introspect") => {
                Some(Self::Introspect(path.to_owned()))
            }
            ("org.freedesktop.DBus.Properties", "Get") => {
                let (interface, name) = body.deserialize::<(String, String)>().ok()?;
                Some(Self::Get(path.to_owned(), interface, name))
            }
            ("org.freedesktop.DBus.Properties", "GetAll") => {
                let interface = body.deserialize::<String>().ok()?;
                Some(Self::GetAll(path.to_owned(), interface))
            }
            ("org.freedesktop.DBus.Properties", "Set") => {
                let (interface, _, _) = body
                    .deserialize::<(String, String, zbus::Variant<'_>)>()
                    .ok()?;
                Some(Self::Set(path.to_owned(), interface))
            }
            (
                "org.freedesktop.DBus.Introspectable"
                | "org.freedesktop.DBus.ObjectManager"
                | "org.freedesktop.DBus.Peer"
                | "org.freedesktop.DBus.Properties",
                _,
            ) => None,
            _ => Some(Self::Call),
        }
    }

    /// The question as a call of our own.
    pub(super) fn call(&self, service: &str, caller: &str, id: NonZeroU32) -> Option<Outgoing> {
        let call = |path: &str, interface: &'static str, member: &'static str| {
            Message::method_call(path.to_owned(), member)
                .destination(service.to_owned())
                .sender(caller.to_owned())
                .interface(interface)
                .serial(id)
        };
        let made = match self {
            Self::Introspect(path) => {
                let interface = "org.freedesktop.DBus.Introspectable";
                Outgoing::build(call(path, interface, "Introspect"), &())
            }
            Self::GetAll(path, interface) => {
                let call = call(path, "org.freedesktop.DBus.Properties", "GetAll");
                Outgoing::build_exact(call, interface)
            }
            Self::Get(..) | Self::Set(..) | Self::Call => return None,
        };
        made.ok()
    }
}

impl Cache {
    /// The reply to a question, where it is known.
    pub(super) fn answer(&self, key: &Key, call: &Message, now: Instant) -> Option<Outgoing> {
        let reply = Message::method_return(&call.header());
        match key {
            Key::Introspect(path) => {
                let object = self.objects.get(path)?;
                let is_new = now.duration_since(object.since) < AGE_MAX
                    && self.called.is_none_or(|called| called < object.since);
                (is_new || object.is_supplied)
                    .then(|| Outgoing::build(reply, &&*object.text).ok())
                    .flatten()
            }
            Key::Get(..) | Key::GetAll(..) if !self.is_settled(now) => None,
            Key::Get(path, interface, name) => {
                let is_telling = *self.change_signals(path, interface)?.get(name)?;
                let value = self.known(path, interface)?.values.get(name)?;
                let answer = is_telling.then(|| Outgoing::build_exact(reply, value));
                answer?.ok()
            }
            Key::GetAll(path, interface) => {
                let telling = self.change_signals(path, interface)?;
                let values = &self.known(path, interface)?.values;
                let is_all = telling.values().all(|is_telling| *is_telling)
                    && values.keys().all(|name| telling.contains_key(name));
                let answer = is_all.then(|| Outgoing::build_exact(reply, values));
                answer?.ok()
            }
            Key::Set(..) | Key::Call => None,
        }
    }

    /// What the bridge of the service announces, which it has just read.
    pub(super) fn announced(&mut self, announcement: &Announcement, now: Instant) {
        self.objects.retain(|_, object| !object.is_supplied);
        let own = announcement.own.iter().map(|it| (it, false));
        let supplied = announcement.supplied.iter().map(|it| (it, true));
        for ((path, text), is_supplied) in own.chain(supplied) {
            if self.objects.len() + self.properties.len() < ENTRIES_MAX {
                let object = Object::new(text, is_supplied, now);
                self.objects.insert(path.to_string(), object);
            }
        }
    }

    /// A call comes by on its way to the service (CACHE-4). A `Set` besides makes what is known of the interface
    /// old: until the service emits a change, nobody knows which value it has.
    pub(super) fn passes(&mut self, key: &Key, now: Instant) {
        match key {
            Key::Call => self.called(now),
            Key::Set(path, interface) => {
                self.called(now);
                let place = (path.clone(), interface.clone());
                if let Some(known) = self.properties.get_mut(&place) {
                    self.changes += 1;
                    known.changed = self.changes;
                    known.values.clear();
                }
            }
            _ => {}
        }
    }

    /// What is to be asked for so that the next question like this one can be answered from memory.
    pub(super) fn missing(&mut self, key: &Key) -> Vec<Key> {
        let (Key::Get(path, interface, _) | Key::GetAll(path, interface)) = key else {
            return Vec::new();
        };
        if self.properties.len() >= ENTRIES_MAX {
            return Vec::new();
        }
        let place = (path.clone(), interface.clone());
        let known = self.properties.entry(place).or_default();
        if known.is_asked || !known.values.is_empty() {
            return Vec::new();
        }
        known.is_asked = true;
        let properties = Key::GetAll(path.clone(), interface.clone());
        match self.objects.contains_key(path) {
            true => vec![properties],
            false => vec![Key::Introspect(path.clone()), properties],
        }
    }

    /// What was asked for, as [`missing`](Self::missing) said, gets no reply: it may be asked for again.
    pub(super) fn unasked(&mut self, key: &Key) {
        if let Key::GetAll(path, interface) = key {
            let place = (path.clone(), interface.clone());
            if let Some(known) = self.properties.get_mut(&place) {
                known.is_asked = false;
            }
        }
    }

    /// The place in time at which a question is passed on.
    pub(super) fn now(&self) -> u64 {
        self.changes
    }

    /// Learns from a reply to a question that was passed on at `asked`.
    pub(super) fn learn(&mut self, key: Key, asked: u64, answer: &Message, now: Instant) {
        if let Key::Set(..) | Key::Call = key {
            return self.called(now);
        }
        let is_long = answer.body().len() > TEXT_LEN_MAX;
        let is_full = self.objects.len() + self.properties.len() >= ENTRIES_MAX;
        if answer.message_type() != Type::MethodReturn || is_long || is_full {
            return;
        }
        let body = answer.body();
        match key {
            Key::Introspect(path) => {
                if let Ok(text) = body.deserialize::<&str>()
                    && asked == self.changes
                {
                    self.objects.insert(path, Object::new(text, false, now));
                }
            }
            Key::GetAll(path, interface) => {
                let values = body.deserialize::<BTreeMap<String, OwnedVariant>>();
                let known = self.properties.entry((path, interface)).or_default();
                known.is_asked = false;
                if let Ok(values) = values
                    && known.changed <= asked
                {
                    known.is_asked = values.values().any(|value| holds_signature(value));
                    known.values = if known.is_asked {
                        BTreeMap::new()
                    } else {
                        values
                    };
                }
            }
            // One value alone says nothing of the others.
            Key::Get(..) | Key::Set(..) | Key::Call => {}
        }
    }

    /// Follows a signal of the service.
    pub(super) fn follow(&mut self, signal: &Message) {
        let header = signal.header();
        let (Some(path), Some(interface), Some(member)) =
            (header.path(), header.interface(), header.member())
        else {
            return;
        };
        match (interface.as_str(), member.as_str()) {
            ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
                self.changes += 1;
                self.change(path.as_str(), signal);
            }
            ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded" | "InterfacesRemoved") => {
                // Which objects an object has below it is in its introspection data, and those of what
                // is gone are wrong: all is asked for anew.
                self.changes += 1;
                self.objects.retain(|_, object| object.is_supplied);
                self.properties.clear();
            }
            _ => {}
        }
    }

    fn change(&mut self, path: &str, signal: &Message) {
        type Changed = (String, BTreeMap<String, OwnedVariant>, Vec<String>);
        let body = signal.body();
        let Ok((interface, changed, invalidated)) = body.deserialize::<Changed>() else {
            return;
        };
        let key = (path.to_owned(), interface);
        // Also of what is not known yet: a reply may be under way (CACHE-2).
        if self.properties.len() >= ENTRIES_MAX && !self.properties.contains_key(&key) {
            return self.properties.clear();
        }
        let known = self.properties.entry(key).or_default();
        known.changed = self.changes;
        if known.values.is_empty() {
            return;
        }
        let is_altered = changed.values().any(|value| holds_signature(value));
        known.values.extend(changed);
        if is_altered || !invalidated.is_empty() {
            known.values.clear();
        }
    }

    fn called(&mut self, now: Instant) {
        self.called = Some(now);
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.called
            .is_none_or(|called| now.duration_since(called) >= SETTLING)
    }

    fn change_signals(&self, path: &str, interface: &str) -> Option<&BTreeMap<String, bool>> {
        self.objects.get(path)?.change_signals.get(interface)
    }

    fn known(&self, path: &str, interface: &str) -> Option<&Known> {
        let known = self
            .properties
            .get(&(path.to_owned(), interface.to_owned()))?;
        (!known.values.is_empty()).then_some(known)
    }
}

/// Whether there is a signature in a value (CACHE-5).
fn holds_signature(value: &Variant<'_>) -> bool {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Variant::Signature(_) => return true,
            Variant::Variant(inner) => left.push(inner),
            Variant::Array(array) if may_hold_signature(array.signature()) => {
                left.extend(array.iter())
            }
            Variant::Dict(dict) if may_hold_signature(dict.signature()) => {
                left.extend(dict.iter().flat_map(|(key, held)| [key, held]));
            }
            Variant::Structure(structure) => left.extend(structure.fields()),
            _ => {}
        }
    }
    false
}

fn may_hold_signature(signature: &Signature) -> bool {
    signature.to_string().contains(['g', 'v'])
}

/// Objects and interfaces that are remembered.
const ENTRIES_MAX: usize = 4096;
/// Octets of one reply that is remembered.
const TEXT_LEN_MAX: usize = 256 << 10;
/// How long introspection data are taken for right.
const AGE_MAX: Duration = Duration::from_secs(10);
/// Within which a service emits what a call changed, counted from its reply. Idle sources of main loops
/// take milliseconds; a busy machine may take a hundred times as long. Meanwhile a `Get` costs what a call
/// costs, three to six times as much as from memory.
const SETTLING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

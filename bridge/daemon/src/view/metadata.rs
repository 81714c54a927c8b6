//! The metadata of one object of a node, and the interfaces that follow from it.
//!
//! Model: [`ObjectMetadata`] has the description of each capability by its raw name; the values are in the table of
//! objects alone. Connection tasks read the metadata under a lock that is taken last (see `view`).
//! Invariants:
//! METADATA-1. No two capabilities of an object have one member name. A second name with the label of another, which
//!     two names of more than 200 octets can have, is listed in `Capabilities` without a member.
//! METADATA-2. A capability is a property if it has a value and may be read or written, a signal if it emits. Of
//!     our own node it is a property if it has a value, which its publisher may set in any case, and also
//!     a signal if it senses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zbus::{Dict, Signature, Variant};
use zocp_interfaces::{
    METHODS_INTERFACE, SIGNALS_INTERFACE, STREAMS_INTERFACE, VALUES_INTERFACE, annotations,
};
use zocp_node::{
    Capability, Value,
    model::{
        self, Info, Object,
        stream::{self, Direction, Stream},
    },
};

use zocp_dbus::{
    interface::{
        Access, Annotation, Argument, Content, Emits, Interface, Method, Property, Signal,
    },
    message::Text,
};
use zocp_mapping::{
    label::{LABEL_LEN_MAX, label, unlabel},
    types::{self, MemberType, member::Taken},
};

/// Whose tree it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// A remote node's: what its `access` says is all that can be done.
    Remote,
    /// Our own: whoever published a capability may do everything with it.
    Local,
}

/// The metadata of an object.
#[derive(Debug)]
pub(crate) struct ObjectMetadata {
    side: Side,
    /// By raw name.
    pub(super) capabilities: BTreeMap<Arc<str>, CapabilityMetadata>,
    /// By raw name.
    methods: BTreeMap<String, model::Method>,
    /// By raw name; without `type`, which is `kind`.
    data: BTreeMap<String, Value>,
    pub(super) kind: String,
}

/// The metadata of a capability.
#[derive(Debug, Clone)]
pub(crate) struct CapabilityMetadata {
    /// Its member name; none where another has it.
    pub(crate) member: Option<Arc<str>>,
    pub(crate) info: Arc<Info>,
    /// The type that its values have on the bus.
    pub(crate) kind: MemberType,
    /// Whether the value that is shown is another one than the node wrote.
    is_converted: bool,
    has_value: bool,
    side: Side,
}

/// The outcome of a description.
pub(super) struct Described {
    /// The value as it is shown.
    pub(super) shown: Variant<'static>,
    /// The property that shows it, if one does.
    pub(super) property: Option<Arc<str>>,
    /// Whether all members were there already, with these types and annotations.
    pub(super) is_alike: bool,
}

/// Metadata that tasks share.
/// Locked because connection tasks look capabilities up while the task that follows the node changes them.
pub(crate) type SharedMetadata = Arc<Mutex<ObjectMetadata>>;

/// A panic while the lock was held ended its task; metadata are consistent between steps.
pub(crate) fn lock(metadata: &SharedMetadata) -> MutexGuard<'_, ObjectMetadata> {
    metadata.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The interfaces whose members are the node's own.
pub(super) struct Members {
    pub(super) values: Interface,
    pub(super) signals: Interface,
    pub(super) methods: Interface,
}

impl CapabilityMetadata {
    /// Whether the members that follow from it are the same.
    fn is_shaped_like(&self, other: &Self) -> bool {
        let said = |info: &Info| {
            let bounds = [&info.min, &info.max, &info.step].map(Clone::clone);
            (info.type_hint.clone(), info.access, access_of(info), bounds)
        };
        self.kind.signature() == other.kind.signature()
            && self.has_value == other.has_value
            && (Arc::ptr_eq(&self.info, &other.info) || said(&self.info) == said(&other.info))
    }

    /// Takes the next value.
    pub(super) fn take(&mut self, value: &Value) -> Taken {
        let taken = self.kind.take(value);
        self.is_converted = taken.shown.is_converted;
        self.has_value = true;
        taken
    }

    /// Whether the value that is shown is another one than the node wrote.
    pub(super) fn is_converted(&self) -> bool {
        self.is_converted
    }

    /// Whether it is a property.
    pub(super) fn is_property(&self) -> bool {
        self.has_value && self.is_accessible()
    }

    /// Whether it is a property once it has a value.
    pub(super) fn is_accessible(&self) -> bool {
        self.side == Side::Local || self.info.access.read || self.info.access.write
    }

    fn is_signal(&self) -> bool {
        let access = &self.info.access;
        access.emit || (self.side == Side::Local && access.sense)
    }

    /// What it is on the bus.
    pub(super) fn members(&self) -> (Option<Property>, Option<Signal>) {
        let Some(member) = &self.member else {
            return (None, None);
        };
        let property = self.is_property().then(|| property(member, self));
        let signal = self.is_signal().then(|| signal(member, self));
        (property, signal)
    }
}

impl ObjectMetadata {
    /// Without any capability.
    pub(super) fn shared(side: Side) -> SharedMetadata {
        Arc::new(Mutex::new(Self {
            side,
            capabilities: BTreeMap::new(),
            methods: BTreeMap::new(),
            data: BTreeMap::new(),
            kind: String::new(),
        }))
    }

    /// Takes over what a node says of a capability. Its type goes on from the one that it had, unless the
    /// hint names another one than before.
    pub(super) fn describe(&mut self, name: &Arc<str>, capability: &Capability) -> Described {
        let old = self.capabilities.get(name);
        let hint = capability.info.hint();
        let kept = old.filter(|old| {
            Arc::ptr_eq(&old.info, &capability.info)
                || types::hinted(old.info.hint()) == types::hinted(hint)
        });
        let mut known = CapabilityMetadata {
            member: self.member_for(name),
            info: capability.info.clone(),
            kind: kept.map_or_else(|| MemberType::new(hint), |old| old.kind.clone()),
            is_converted: false,
            has_value: false,
            side: self.side,
        };
        let shown = match &capability.value {
            Some(value) => known.take(value).shown.value,
            None => types::natural(&Value::Null),
        };
        let member = known.member.clone().filter(|_| known.is_property());
        let is_alike = old.is_some_and(|old| old.is_shaped_like(&known));
        self.capabilities.insert(name.clone(), known);
        Described {
            shown,
            property: member,
            is_alike,
        }
    }

    /// Takes over what is neither capability nor object.
    pub(super) fn adopt_rest(&mut self, object: &Object) {
        self.kind = object.kind().unwrap_or_default().to_owned();
        self.methods = object.methods.clone();
        self.data = object.data.clone();
        if object.kind().is_some() {
            self.data.remove(TYPE);
        }
    }

    /// Takes over a plain entry, or that there is none of this name.
    pub(super) fn note(&mut self, name: &str, value: Option<&Value>) {
        let kind = value.and_then(Value::as_str).filter(|_| name == TYPE);
        if name == TYPE {
            self.kind = kind.unwrap_or_default().to_owned();
        }
        match value {
            Some(value) if kind.is_none() => self.data.insert(name.to_owned(), value.clone()),
            _ => self.data.remove(name),
        };
    }

    /// Takes over a method, or that there is none of this name.
    pub(super) fn declare(&mut self, name: &str, method: Option<&model::Method>) {
        match method {
            Some(method) => self.methods.insert(name.to_owned(), method.clone()),
            None => self.methods.remove(name),
        };
    }

    /// The capability that has a member name.
    pub(crate) fn capability(&self, member: &str) -> Option<(&Arc<str>, &CapabilityMetadata)> {
        let has_it = |known: &CapabilityMetadata| known.member.as_deref() == Some(member);
        if let Some(name) = unlabel(member)
            && let Some(found) = self.capabilities.get_key_value(name.as_str())
            && has_it(found.1)
        {
            return Some(found);
        }
        // A shorter label is the whole name, which is not there.
        let mut shortened = self
            .capabilities
            .iter()
            .filter(|_| member.len() >= LABEL_LEN_MAX);
        shortened.find(|(_, known)| has_it(known))
    }

    /// The raw name and the declaration of the method that has a member name.
    pub(crate) fn method(&self, member: &str) -> Option<(&str, &model::Method)> {
        let found = |(name, method)| (String::as_str(name), method);
        if let Some(name) = unlabel(member)
            && let Some(known) = self.methods.get_key_value(name.as_str())
            && label(&name) == member
        {
            return Some(found(known));
        }
        // A shorter label is the whole name, which is not there.
        let mut shortened = self
            .methods
            .iter()
            .filter(|_| member.len() >= LABEL_LEN_MAX);
        shortened.find(|(name, _)| label(name) == member).map(found)
    }

    /// The member name of a capability, shared with its raw name where they are the same.
    fn member_for(&self, name: &Arc<str>) -> Option<Arc<str>> {
        if let Some(known) = self.capabilities.get(name) {
            return known.member.clone();
        }
        let label = label(name);
        let may_be_taken = label.len() == LABEL_LEN_MAX;
        let is_taken = |known: &CapabilityMetadata| known.member.as_deref() == Some(label.as_str());
        if may_be_taken && self.capabilities.values().any(is_taken) {
            tracing::warn!(%label, "two capabilities have one label: the later is no member");
            return None;
        }
        Some(if *label == **name {
            name.clone()
        } else {
            label.into()
        })
    }

    /// The interfaces, with the values that `value` has for raw names.
    pub(super) fn members(
        &self,
        mut value: impl FnMut(&str, &CapabilityMetadata) -> Option<Variant<'static>>,
    ) -> Members {
        let mut members = Members {
            values: Interface::new(VALUES_INTERFACE),
            signals: Interface::new(SIGNALS_INTERFACE),
            methods: Interface::new(METHODS_INTERFACE),
        };
        for (name, known) in &self.capabilities {
            let (property, signal) = known.members();
            if let Some(property) = property {
                let content = value(name, known).map_or(Content::Missing, Content::Plain);
                if let Err(error) = members.values.add_property(property, content) {
                    tracing::error!(%error, "a value has lost its type");
                }
            }
            if let Some(signal) = signal {
                members.signals.add_signal(signal);
            }
        }
        for (name, declared) in &self.methods {
            members.methods.add_method(method(name, declared));
        }
        members
    }

    /// The stream of a direction and a name.
    pub(crate) fn stream(&self, direction: Direction, name: &str) -> Option<Stream> {
        let mut streams = stream::entries(self.data.get(direction.key()));
        streams.find(|(it, ..)| *it == name).map(|it| it.2)
    }

    /// `org.z25.Zocp1.Streams`, made of `shape`; empty if there are none.
    pub(super) fn streams(&self, shape: &Interface) -> Interface {
        let [sources, sinks] = Direction::ALL.map(|it| self.data.get(it.key()));
        let has_some = |entry| stream::entries(entry).next().is_some();
        if !has_some(sources) && !has_some(sinks) {
            return Interface::new(STREAMS_INTERFACE);
        }
        let shown = shape.clone().with("Sources", streams_shown(sources));
        let shown = shown.and_then(|shown| shown.with("Sinks", streams_shown(sinks)));
        shown.unwrap_or_else(|error| {
            tracing::error!(%error, "the streams of an object do not fit");
            Interface::new(STREAMS_INTERFACE)
        })
    }

    /// The property `Capabilities` of `org.z25.Zocp1.Object`.
    pub(super) fn capabilities_shown(&self) -> Variant<'static> {
        let inner = zbus::signature!("a{sv}");
        let mut dict = Dict::new(&Signature::Str, &inner);
        for (name, known) in &self.capabilities {
            let name = Variant::from(Text::new(name));
            if let Err(error) = dict.append(name, described(known)) {
                tracing::error!(%error, "a description has lost its type");
            }
        }
        Variant::Dict(dict)
    }

    /// The property `Data` of `org.z25.Zocp1.Object`.
    pub(super) fn data_shown(&self) -> Variant<'static> {
        types::dictionary(
            self.data
                .iter()
                .map(|(name, value)| (name.as_str(), types::natural(value))),
        )
    }
}

/// The property `Sources` or `Sinks`. What is null in a description is not there: so a node takes back what it said.
fn streams_shown(entry: Option<&Value>) -> Variant<'static> {
    let inner = zbus::signature!("a{sv}");
    let mut dict = Dict::new(&Signature::Str, &inner);
    for (name, entry, _) in stream::entries(entry) {
        let entries = entry.as_object().into_iter().flatten();
        let entries = entries.filter(|(_, value)| !value.is_null());
        let shown = entries.map(|(name, value)| (name.as_str(), types::natural(value)));
        if let Err(error) = dict.append(Variant::from(Text::new(name)), types::dictionary(shown)) {
            tracing::error!(%error, "a stream has lost its type");
        }
    }
    Variant::Dict(dict)
}

fn property(member: &Arc<str>, known: &CapabilityMetadata) -> Property {
    let access = match (known.side, known.info.access.read, known.info.access.write) {
        (Side::Local, _, _) | (_, true, true) => Access::ReadWrite,
        (_, false, true) => Access::Write,
        _ => Access::Read,
    };
    Property {
        name: member.clone(),
        signature: known.kind.signature().clone(),
        access,
        emits: match access {
            // Its value is never announced.
            Access::Write => Emits::Never,
            _ => Emits::Value,
        },
        annotations: annotated(&known.info),
    }
}

fn annotated(info: &Info) -> Vec<Annotation> {
    let json = |value: &Option<Value>| value.as_ref().map(ToString::to_string);
    [
        (
            annotations::TYPE_HINT,
            info.type_hint.as_deref().map(str::to_owned),
        ),
        (annotations::ACCESS, Some(access_of(info))),
        (annotations::MIN, json(&info.min)),
        (annotations::MAX, json(&info.max)),
        (annotations::STEP, json(&info.step)),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        Some(Annotation {
            name: name.into(),
            value: value?.into_boxed_str(),
        })
    })
    .collect()
}

/// The letters as they came, also where they are unusual.
fn access_of(info: &Info) -> String {
    match info.extra.get("access").and_then(Value::as_str) {
        Some(letters) => letters.to_owned(),
        None => info.access.to_string(),
    }
}

fn signal(member: &Arc<str>, known: &CapabilityMetadata) -> Signal {
    Signal {
        name: member.clone(),
        arguments: vec![Argument {
            name: "value".into(),
            signature: known.kind.signature().clone(),
        }],
        annotations: Vec::new(),
    }
}

fn method(name: &str, declared: &model::Method) -> Method {
    let arguments = |declared: &[model::Argument]| {
        declared
            .iter()
            .map(|argument| Argument {
                name: argument.name.clone().into(),
                signature: types::argument(argument.type_hint.as_deref()),
            })
            .collect()
    };
    let doc = declared.doc.as_ref().map(|doc| Annotation {
        name: DOC.into(),
        value: doc.as_str().into(),
    });
    Method {
        name: label(name).into(),
        inputs: arguments(&declared.inputs),
        outputs: arguments(&declared.outputs),
        annotations: doc.into_iter().collect(),
    }
}

/// An entry of `Capabilities`.
fn described(known: &CapabilityMetadata) -> Variant<'static> {
    let info = &known.info;
    let text = |text: &str| Variant::from(Text::new(text));
    let natural = |value: &Option<Value>| value.as_ref().map(types::natural);
    let own = [
        ("Member", known.member.as_deref().map(text)),
        ("TypeHint", info.type_hint.as_deref().map(text)),
        ("Access", Some(text(&access_of(info)))),
        ("Min", natural(&info.min)),
        ("Max", natural(&info.max)),
        ("Step", natural(&info.step)),
        ("Subscribers", subscribers(info)),
        (CONVERTED, known.is_converted.then_some(Variant::Bool(true))),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let is_ours = |name: &str| ["access", CONVERTED].contains(&name);
    let extra = info.extra.iter().filter(|(name, _)| !is_ours(name));
    let extra = extra.map(|(name, value)| (name.as_str(), types::natural(value)));
    // Of two entries of one name the later counts: ours, over one that the node calls so.
    types::dictionary(extra.chain(own))
}

/// Pairs of a node's UUID and a sensor, which may be empty.
fn subscribers(info: &Info) -> Option<Variant<'static>> {
    let text = |text: &str| Text::new(text).into_string();
    let pairs: Vec<(String, String)> = info
        .subscribers
        .as_ref()?
        .iter()
        .map(|one| {
            (
                text(&one.node),
                text(one.receiver.as_deref().unwrap_or_default()),
            )
        })
        .collect();
    Some(Variant::from(pairs))
}

/// The entry that marks a value that is shown with a loss.
const CONVERTED: &str = "Converted";
/// The annotation that GLib's tools show beside a member.
const DOC: &str = "org.gtk.GDBus.DocString";
/// The entry that says what an object is.
const TYPE: &str = "type";

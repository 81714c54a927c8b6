//! The tree of one node as D-Bus objects in a table.
//!
//! Model: a [`View`] has the path and the metadata of each object of a node. It follows the changes of the tree, without
//! comparing trees, and puts the outcome into the table. Values that clients send are converted by [`inbound`].
//! Invariants:
//! VIEW-1. Locks are taken in the order view, table, metadata. What a table computes on demand takes metadata only.
//! VIEW-2. Each object of the node has an object on the bus, and no others are there but the root.
//! VIEW-3. A change of members is announced as removal and addition of the interface, changes within a short time as
//! one; a
//!     change of a value as a change of its property alone. How the type of a member changes as values come is
//! `zocp_mapping::types::member`.
//! Not here: connections (`zocp_dbus::server`), which node (`crate::mirror` for remote ones, `crate::local` for
//! our own).
//! Spec: docs/reference/dbus.md, "A mirrored node".

pub(crate) mod inbound;
mod members;
pub(crate) mod metadata;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use zbus::Variant;
use zocp_interfaces::{
    OBJECT_INTERFACE, OBJECT_XML, SIGNALS_INTERFACE, STREAMS_INTERFACE, STREAMS_XML,
    VALUES_INTERFACE,
};
use zocp_node::{
    CapPath, Capability, ObjectPath, Value,
    model::{Change, Tree, stream::Direction},
};

use self::metadata::{Members, ObjectMetadata, SharedMetadata, Side};
use zocp_dbus::{
    interface::{Content, Interface, SlotError},
    introspection::{XmlError, parse_interfaces},
    message::Text,
    objects::{Objects, TableError},
    server::ObjectTable,
};
use zocp_mapping::label::label;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct View {
    name: String,
    side: Side,
    /// The path of the root object.
    root: &'static str,
    table: ObjectTable,
    objects: BTreeMap<ObjectPath, Shown>,
    /// The same by their paths on the bus.
    by_bus_path: HashMap<Arc<str>, ObjectPath>,
    /// The fixed interfaces, without values.
    shape: Shapes,
}

/// An object on the bus.
#[derive(Debug)]
struct Shown {
    path: Arc<str>,
    metadata: SharedMetadata,
}

/// Values by raw name that are not in the table yet.
type Fresh = BTreeMap<Arc<str>, Variant<'static>>;

impl View {
    /// A node of which only the name is known, below `root`. `shape` is what [`shape`] gives.
    pub(crate) fn new(
        name: &str,
        side: Side,
        root: &'static str,
        table: ObjectTable,
        shape: Shapes,
    ) -> Self {
        let mut view = Self {
            name: name.to_owned(),
            side,
            root,
            table,
            objects: BTreeMap::new(),
            by_bus_path: HashMap::new(),
            shape,
        };
        view.add_object(&ObjectPath::root());
        view.rebuild(&ObjectPath::root(), Fresh::new());
        view
    }

    /// Takes over a whole tree.
    pub(crate) fn adopt(&mut self, tree: &Tree) {
        for (path, object) in tree.root().walk() {
            let Some(shared) = self.add_object(&path) else {
                continue;
            };
            let mut metadata = metadata::lock(&shared);
            metadata.adopt_rest(object);
            let fresh = object
                .capabilities
                .iter()
                .map(|(name, capability)| {
                    let name: Arc<str> = name.as_str().into();
                    let described = metadata.describe(&name, capability);
                    (name, described.shown)
                })
                .collect();
            drop(metadata);
            self.rebuild(&path, fresh);
        }
    }

    /// Follows changes of the tree.
    pub(crate) fn follow(&mut self, changes: &[Change]) {
        let mut touched: BTreeMap<ObjectPath, Fresh> = BTreeMap::new();
        let mut noted: BTreeSet<&ObjectPath> = BTreeSet::new();
        for change in changes {
            match change {
                Change::ObjectAdded(path) => {
                    self.add_object(path);
                    touched.entry(path.clone()).or_default();
                }
                Change::ObjectRemoved(path) => {
                    touched.retain(|object, _| !object.starts_with(path));
                    self.remove_object(path);
                }
                Change::CapabilityAdded { path, capability }
                | Change::CapabilityChanged { path, capability } => {
                    self.follow_description(path, capability, &mut touched);
                }
                Change::CapabilityRemoved { path } => {
                    if let Some(fresh) = touched.get_mut(&path.object) {
                        fresh.remove(&path.name);
                    }
                    self.follow_removal(path);
                }
                Change::Value { path, value } => self.follow_value(path, value, &mut touched),
                Change::Method {
                    object,
                    name,
                    method,
                } => {
                    if let Some(metadata) = self.metadata(object) {
                        metadata::lock(&metadata).declare(name, method.as_ref());
                    }
                    touched.entry(object.clone()).or_default();
                }
                Change::Data {
                    object,
                    name,
                    value,
                } => {
                    if let Some(metadata) = self.metadata(object) {
                        metadata::lock(&metadata).note(name, value.as_ref());
                    }
                    if Direction::ALL.iter().any(|it| it.key() == name) {
                        touched.entry(object.clone()).or_default();
                    }
                    noted.insert(object);
                }
                _ => {}
            }
        }
        for path in noted.into_iter().filter(|path| !touched.contains_key(path)) {
            self.retell(path);
        }
        for (path, fresh) in touched {
            self.rebuild(&path, fresh);
        }
    }

    /// Emits a signal, its type made to fit if need be.
    pub(crate) fn emit(&mut self, path: &CapPath, value: &Value) {
        let Some(taken) = self.take(path, value) else {
            return;
        };
        if !taken.is_alike {
            let mut touched = BTreeMap::new();
            self.follow_members(path, taken.shown.clone(), &mut touched);
            for (path, fresh) in touched {
                self.rebuild(&path, fresh);
            }
        } else if taken.is_marked_anew {
            self.retell_capabilities(&path.object);
        }
        let Some(member) = taken.member else { return };
        let shown = self.table.with(|objects| {
            objects.emit(&taken.object, SIGNALS_INTERFACE, &member, vec![taken.shown])
        });
        log(shown);
    }

    /// The object at a path on the bus, with its metadata.
    pub(crate) fn at(&self, path: &str) -> Option<(ObjectPath, SharedMetadata)> {
        let object = self.by_bus_path.get(path)?;
        Some((object.clone(), self.metadata(object)?))
    }

    fn metadata(&self, path: &ObjectPath) -> Option<SharedMetadata> {
        Some(self.objects.get(path)?.metadata.clone())
    }

    fn follow_description(
        &self,
        path: &CapPath,
        capability: &Capability,
        touched: &mut BTreeMap<ObjectPath, Fresh>,
    ) {
        let Some(object) = self.objects.get(&path.object) else {
            return;
        };
        let described = metadata::lock(&object.metadata).describe(&path.name, capability);
        if !described.is_alike || touched.contains_key(&path.object) {
            return self.follow_members(path, described.shown, touched);
        }
        log(self.table.with(|objects| {
            if let Some(member) = described.property {
                objects.set(&object.path, VALUES_INTERFACE, &member, described.shown)?;
            }
            let (property, content) = capabilities(&object.metadata);
            objects.set_content(&object.path, OBJECT_INTERFACE, property, content)
        }));
    }

    fn follow_value(
        &self,
        path: &CapPath,
        value: &Value,
        touched: &mut BTreeMap<ObjectPath, Fresh>,
    ) {
        let Some(taken) = self.take(path, value) else {
            return;
        };
        if !taken.is_alike || touched.contains_key(&path.object) {
            return self.follow_members(path, taken.shown, touched);
        }
        if let (Some(member), true) = (taken.member, taken.is_property) {
            log(self.table.with(|objects| {
                objects.set(&taken.object, VALUES_INTERFACE, &member, taken.shown)
            }));
        }
        if taken.is_marked_anew {
            self.retell_capabilities(&path.object);
        }
    }

    /// Takes the next value of a capability, which may make its type another one.
    fn take(&self, path: &CapPath, value: &Value) -> Option<Taken> {
        let object = self.objects.get(&path.object)?;
        let mut metadata = metadata::lock(&object.metadata);
        let known = metadata.capabilities.get_mut(&path.name)?;
        let (was_property, was_converted) = (known.is_property(), known.is_converted());
        let taken = known.take(value);
        Some(Taken {
            object: object.path.clone(),
            member: known.member.clone(),
            is_property: known.is_property(),
            is_alike: !taken.is_retyped && was_property == known.is_property(),
            is_marked_anew: was_converted != known.is_converted(),
            shown: taken.shown.value,
        })
    }

    /// The metadata of an object, which is made if need be. `None` where another has its path (the labels
    /// of two names of more than 200 octets can be the same) or where what it is in has none.
    fn add_object(&mut self, path: &ObjectPath) -> Option<SharedMetadata> {
        if let Some(shown) = self.objects.get(path) {
            return Some(shown.metadata.clone());
        }
        let bus_path: Arc<str> = match (path.parent(), path.name()) {
            (Some(parent), Some(name)) => {
                let above = &self.objects.get(&parent)?.path;
                format!("{above}/{}", label(name)).into()
            }
            _ => self.root.into(),
        };
        if self.by_bus_path.contains_key(&bus_path) {
            tracing::warn!(path = %bus_path, "two objects have one path: the later is not shown");
            return None;
        }
        let metadata = ObjectMetadata::shared(self.side);
        self.by_bus_path.insert(bus_path.clone(), path.clone());
        self.objects.insert(
            path.clone(),
            Shown {
                path: bus_path,
                metadata: metadata.clone(),
            },
        );
        Some(metadata)
    }

    /// Removes an object with all below it.
    fn remove_object(&mut self, path: &ObjectPath) {
        let Some(shown) = self.objects.get(path) else {
            return;
        };
        let bus_path = shown.path.clone();
        self.table.with(|objects| objects.remove_tree(&bus_path));
        let below: Vec<ObjectPath> = self
            .objects
            .range((Bound::Included(path), Bound::Unbounded))
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(path))
            .cloned()
            .collect();
        for path in below {
            if let Some(gone) = self.objects.remove(&path) {
                self.by_bus_path.remove(&gone.path);
            }
        }
    }

    /// Announces that the plain entries of an object changed.
    fn retell(&self, path: &ObjectPath) {
        let Some(shown) = self.objects.get(path) else {
            return;
        };
        let kind = Text::new(&metadata::lock(&shown.metadata).kind).into_string();
        log(self.table.with(|objects| {
            objects.set(&shown.path, OBJECT_INTERFACE, "Type", kind)?;
            let (property, content) = data(&shown.metadata);
            objects.set_content(&shown.path, OBJECT_INTERFACE, property, content)
        }));
    }

    /// Announces that the description of a capability of an object changed.
    fn retell_capabilities(&self, path: &ObjectPath) {
        let Some(shown) = self.objects.get(path) else {
            return;
        };
        let (property, content) = capabilities(&shown.metadata);
        log(self
            .table
            .with(|objects| objects.set_content(&shown.path, OBJECT_INTERFACE, property, content)));
    }

    /// Makes an object on the bus from its metadata, with new values and those that are in the table already.
    fn rebuild(&self, path: &ObjectPath, mut fresh: Fresh) {
        let Some(shown) = self.objects.get(path) else {
            return;
        };
        let old = self.table.with(|objects| {
            let old = objects.interface(&shown.path, VALUES_INTERFACE);
            old.cloned()
        });
        let metadata = metadata::lock(&shown.metadata);
        let members = metadata.members(|name, known| {
            let kept = || old.as_ref()?.value(known.member.as_deref()?);
            fresh
                .remove(name)
                .or_else(kept)
                .filter(|value| value.value_signature() == known.kind.signature())
        });
        let streams = metadata.streams(&self.shape.streams);
        let kind = Text::new(&metadata.kind).into_string();
        drop(metadata);
        let name = Text::new(path.name().unwrap_or(&self.name)).into_string();
        let shape = &self.shape.object;
        log(self
            .table
            .with(|objects| put(objects, shown, shape, &name, &kind, (members, streams))));
    }
}

/// The interfaces of objects whose members are always the same, without values.
#[derive(Debug, Clone)]
pub(crate) struct Shapes {
    object: Interface,
    streams: Interface,
}

/// The fixed interfaces, for [`View::new`].
pub(crate) fn shape() -> Result<Shapes, XmlError> {
    let declared = |xml, name| {
        let mut declared = parse_interfaces(xml)?.into_iter();
        declared
            .find(|interface| &**interface.name() == name)
            .ok_or_else(|| XmlError::Misplaced("node".to_owned()))
    };
    Ok(Shapes {
        object: declared(OBJECT_XML, OBJECT_INTERFACE)?,
        streams: declared(STREAMS_XML, STREAMS_INTERFACE)?,
    })
}

/// A value that a capability took.
struct Taken {
    object: Arc<str>,
    member: Option<Arc<str>>,
    shown: Variant<'static>,
    is_property: bool,
    /// Whether the members were there already, with its type.
    is_alike: bool,
    /// Whether it is marked as converted and the one before was not, or the other way round.
    is_marked_anew: bool,
}

/// Puts an object into the table: new interfaces, interfaces whose members changed, and changed values.
fn put(
    objects: &mut Objects,
    shown: &Shown,
    shape: &Interface,
    name: &str,
    kind: &str,
    (members, streams): (Members, Interface),
) -> Result<(), TableError> {
    let path = &shown.path;
    let mut changed = Vec::new();
    if objects.interface(path, OBJECT_INTERFACE).is_none() {
        changed.push(object_interface(shown, shape, name, kind)?);
    } else {
        objects.set(path, OBJECT_INTERFACE, "Type", kind.to_owned())?;
        put_computed(objects, shown)?;
    }
    for interface in [members.values, members.signals, members.methods, streams] {
        let old = objects.interface(path, interface.name());
        let is_alike = old.is_some_and(|old| old.is_shaped_like(&interface));
        if is_alike {
            objects.take_values(path, interface)?;
        } else if !interface.is_empty() {
            changed.push(interface);
        } else {
            objects.remove(path, [&**interface.name()]);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    objects.insert(path, changed)
}

/// Announces that the description of an object changed.
fn put_computed(objects: &mut Objects, shown: &Shown) -> Result<(), TableError> {
    for (property, content) in [capabilities(&shown.metadata), data(&shown.metadata)] {
        objects.set_content(&shown.path, OBJECT_INTERFACE, property, content)?;
    }
    Ok(())
}

fn object_interface(
    shown: &Shown,
    shape: &Interface,
    name: &str,
    kind: &str,
) -> Result<Interface, SlotError> {
    let mut interface = shape
        .clone()
        .with("Name", name.to_owned())?
        .with("Type", kind.to_owned())?;
    for (property, content) in [capabilities(&shown.metadata), data(&shown.metadata)] {
        interface.set(property, content)?;
    }
    Ok(interface)
}

/// What describes the capabilities of an object.
fn capabilities(metadata: &SharedMetadata) -> (&'static str, Content) {
    (
        "Capabilities",
        computed(metadata, ObjectMetadata::capabilities_shown),
    )
}

/// The plain entries of an object.
fn data(metadata: &SharedMetadata) -> (&'static str, Content) {
    ("Data", computed(metadata, ObjectMetadata::data_shown))
}

/// A value that is computed when it is read, since it is large and rarely read.
fn computed(metadata: &SharedMetadata, show: fn(&ObjectMetadata) -> Variant<'static>) -> Content {
    let metadata = metadata.clone();
    Content::Computed(Arc::new(move || show(&metadata::lock(&metadata))))
}

/// The table refuses only mistakes of the bridge itself.
fn log<T>(result: Result<T, TableError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a mirror and its table differ");
    }
}

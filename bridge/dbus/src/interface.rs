//! Interfaces: their members, and the values of their properties.
//!
//! Model: an [`Interface`] is a shape (the members, shared by all objects with the same ones) and a slot for each
//! property. Shapes are made at run time, or once from XML by [`crate::introspection::parse_interfaces`].
//! Invariants:
//! INTERFACE-1. Members of a kind are sorted by name, and no two have the same name.
//! INTERFACE-2. There are as many slots as properties, in the same order.
//! INTERFACE-3. A plain value in a slot has the signature of its property.
//! Not here: the validity of names, for which `zocp_mapping::label` is responsible; a message with an invalid name is
//! rejected when it is built.

use std::{borrow::Cow, fmt, sync::Arc};

use zbus::{Signature, Variant};

/// An argument of a method or a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The name in the introspection data; may be empty.
    pub name: Cow<'static, str>,
    /// The type.
    pub signature: Signature,
}

/// A name and a text in the introspection data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The name, in the form of an interface name.
    pub name: Cow<'static, str>,
    /// Any text.
    pub value: Box<str>,
}

/// A method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The member name.
    pub name: Arc<str>,
    /// The input arguments.
    pub inputs: Vec<Argument>,
    /// The output arguments.
    pub outputs: Vec<Argument>,
    /// The annotations.
    pub annotations: Vec<Annotation>,
}

impl Method {
    /// The value of the annotation with this name.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|one| one.name == name);
        found.map(|one| &*one.value)
    }
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The member name.
    pub name: Arc<str>,
    /// The arguments.
    pub arguments: Vec<Argument>,
    /// The annotations.
    pub annotations: Vec<Annotation>,
}

/// The access of clients to a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Write only: it is not in `GetAll`, and its value is never announced.
    Write,
    /// Read and write.
    ReadWrite,
}

impl Access {
    /// Whether it may be read.
    #[must_use]
    pub fn reads(self) -> bool {
        self != Self::Write
    }

    /// Whether it may be written.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// How a change of a property is announced: `org.freedesktop.DBus.Property.EmitsChangedSignal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emits {
    /// With the new value (`true`, the default).
    Value,
    /// By its name alone (`invalidates`).
    Invalidation,
    /// It does not change while the object is there (`const`).
    Const,
    /// Not at all (`false`).
    Never,
}

/// A property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The member name.
    pub name: Arc<str>,
    /// The type.
    pub signature: Signature,
    /// What a client may do with it.
    pub access: Access,
    /// How a change is announced.
    pub emits: Emits,
    /// The annotations.
    pub annotations: Vec<Annotation>,
}

/// The content of a property.
#[derive(Clone)]
pub enum Content {
    /// No value yet. Reading it is an error, and `GetAll` leaves it out.
    Missing,
    /// A value.
    Plain(Variant<'static>),
    /// Computed when it is read; the result has the property's signature. The function must not take the lock of the
    /// table that contains it.
    Computed(Arc<dyn Fn() -> Variant<'static> + Send + Sync>),
}

impl Content {
    pub(super) fn value(&self) -> Option<Cow<'_, Variant<'static>>> {
        match self {
            Self::Missing => None,
            Self::Plain(value) => Some(Cow::Borrowed(value)),
            Self::Computed(compute) => Some(Cow::Owned(compute())),
        }
    }

    /// Whether both are the same plain value.
    fn is(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Plain(a), Self::Plain(b)) if a == b)
    }

    fn fits(&self, signature: &Signature) -> bool {
        match self {
            Self::Plain(value) => value.value_signature() == signature,
            Self::Missing | Self::Computed(_) => true,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing"),
            Self::Plain(value) => f.debug_tuple("Plain").field(value).finish(),
            Self::Computed(_) => f.write_str("Computed"),
        }
    }
}

/// Why a property cannot be set, which is a bug of the caller. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The interface has no such property.
    #[error("no property {0}")]
    NoProperty(String),
    /// The value has another type than the property.
    #[error("{name} is of type {expected}, not {found}")]
    Type {
        /// The property.
        name: String,
        /// Its signature.
        expected: String,
        /// The signature of the value.
        found: String,
    },
}

/// An interface with the values of its properties. See the [module](self).
#[derive(Debug, Clone)]
pub struct Interface {
    pub(super) shape: Arc<Shape>,
    pub(super) slots: Vec<Slot>,
    /// Whether any slot is dirty.
    pub(super) dirty: bool,
}

/// The members of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: Arc<str>,
    pub(super) methods: Vec<Method>,
    pub(super) properties: Vec<Property>,
    pub(super) signals: Vec<Signal>,
    pub(super) annotations: Vec<Annotation>,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) content: Content,
    /// Counts the changes.
    pub(super) revision: u32,
    /// Changed since the last announcement.
    pub(super) dirty: bool,
}

impl Slot {
    fn new(content: Content) -> Self {
        Self {
            content,
            revision: 0,
            dirty: false,
        }
    }
}

impl Interface {
    /// An interface without members.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            shape: Arc::new(Shape {
                name: name.into(),
                methods: Vec::new(),
                properties: Vec::new(),
                signals: Vec::new(),
                annotations: Vec::new(),
            }),
            slots: Vec::new(),
            dirty: false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.shape.name
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let shape = &self.shape;
        shape.methods.is_empty() && shape.properties.is_empty() && shape.signals.is_empty()
    }

    /// Whether it has the same members, whatever their values are.
    #[must_use]
    pub fn is_shaped_like(&self, other: &Self) -> bool {
        self.shape == other.shape
    }

    /// Its methods, sorted by name.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.shape.methods
    }

    /// The method of this name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&Method> {
        let at = find(&self.shape.methods, name, |method| &method.name).ok()?;
        self.shape.methods.get(at)
    }

    /// The property of this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        let at = find(&self.shape.properties, name, |property| &property.name).ok()?;
        self.shape.properties.get(at)
    }

    /// The signal of this name.
    #[must_use]
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        let at = find(&self.shape.signals, name, |signal| &signal.name).ok()?;
        self.shape.signals.get(at)
    }

    /// Adds a method; replaces one with the same name.
    pub fn add_method(&mut self, method: Method) {
        let methods = &mut Arc::make_mut(&mut self.shape).methods;
        match find(methods, &method.name, |method| &method.name) {
            Ok(at) => methods[at] = method,
            Err(at) => methods.insert(at, method),
        }
    }

    /// Adds a signal; replaces one with the same name.
    pub fn add_signal(&mut self, signal: Signal) {
        let signals = &mut Arc::make_mut(&mut self.shape).signals;
        match find(signals, &signal.name, |signal| &signal.name) {
            Ok(at) => signals[at] = signal,
            Err(at) => signals.insert(at, signal),
        }
    }

    /// Adds a property; replaces one with the same name.
    ///
    /// # Errors
    ///
    /// [`SlotError::Type`] if the content is not of the property's type.
    pub fn add_property(&mut self, property: Property, content: Content) -> Result<(), SlotError> {
        check_type(&property, &content)?;
        let properties = &mut Arc::make_mut(&mut self.shape).properties;
        match find(properties, &property.name, |property| &property.name) {
            Ok(at) => {
                properties[at] = property;
                self.slots[at] = Slot::new(content);
            }
            Err(at) => {
                properties.insert(at, property);
                self.slots.insert(at, Slot::new(content));
            }
        }
        Ok(())
    }

    /// Removes all members with this name.
    pub fn remove_member(&mut self, name: &str) {
        let shape = Arc::make_mut(&mut self.shape);
        if let Ok(at) = find(&shape.properties, name, |property| &property.name) {
            shape.properties.remove(at);
            self.slots.remove(at);
        }
        shape.methods.retain(|method| &*method.name != name);
        shape.signals.retain(|signal| &*signal.name != name);
    }

    /// Sets a property and returns the interface, to build objects of fixed interfaces.
    ///
    /// # Errors
    ///
    /// As [`Interface::set`].
    pub fn with(
        mut self,
        property: &str,
        value: impl Into<Variant<'static>>,
    ) -> Result<Self, SlotError> {
        self.set(property, Content::Plain(value.into()))?;
        Ok(self)
    }

    /// Sets a property; returns whether its content changed.
    ///
    /// # Errors
    ///
    /// There is no such property, or it has another type.
    pub fn set(&mut self, property: &str, content: Content) -> Result<bool, SlotError> {
        let at = find(&self.shape.properties, property, |property| &property.name)
            .map_err(|_| SlotError::NoProperty(property.to_owned()))?;
        check_type(&self.shape.properties[at], &content)?;
        let slot = &mut self.slots[at];
        slot.revision = slot.revision.wrapping_add(1);
        if slot.content.is(&content) {
            return Ok(false);
        }
        slot.content = content;
        slot.dirty = true;
        self.dirty = true;
        Ok(true)
    }

    /// The content of a property.
    #[must_use]
    pub fn value(&self, property: &str) -> Option<Variant<'static>> {
        let slot = self.slot(property)?;
        slot.content.value().map(Cow::into_owned)
    }

    pub(super) fn slot(&self, property: &str) -> Option<&Slot> {
        let at = find(&self.shape.properties, property, |property| &property.name).ok()?;
        self.slots.get(at)
    }

    /// Each property with its slot.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Property, &Slot)> {
        self.shape.properties.iter().zip(&self.slots)
    }
}

fn check_type(property: &Property, content: &Content) -> Result<(), SlotError> {
    match content {
        Content::Plain(value) if !content.fits(&property.signature) => Err(SlotError::Type {
            name: property.name.as_ref().to_owned(),
            expected: property.signature.to_string(),
            found: value.value_signature().to_string(),
        }),
        _ => Ok(()),
    }
}

/// The index of the member with this name, or the index at which to insert it.
fn find<T>(members: &[T], name: &str, name_of: impl Fn(&T) -> &Arc<str>) -> Result<usize, usize> {
    members.binary_search_by(|member| name_of(member).as_ref().cmp(name))
}

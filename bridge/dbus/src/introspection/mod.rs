//! Introspection data: the interfaces of an object, as XML.
//!
//! Model: `xml` writes it for our objects, with annotations of C++ types for Qt programs (`qt`). `lenient` parses the
//! data of other programs and accepts whatever it can use. `strict` parses our own files and rejects every error.
//! Not here: interfaces and members themselves (`crate::interface`).
//! Spec: D-Bus specification, "Introspection Data Format".

mod lenient;
mod qt;
mod strict;
mod xml;

pub(crate) use self::xml::xml;
pub use self::{
    lenient::{
        Described, DescribedMethod, DescribedProperty, DescribedSignal, Description, describe,
        is_property,
    },
    strict::{XmlError, parse_interfaces},
};

/// The annotation that declares how changes of properties are announced.
const EMITS_CHANGED: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

//! Introspection data: what an object has, as XML.
//!
//! Model: `xml` writes it for objects of ours, with the types that programs of Qt need (`qt`). What others write is read
//! by `lenient`, which takes from any text what can be understood. What is written by us is read by `strict`, which
//! refuses everything that is not exact.
//! Not here: what an interface is (`crate::interface`).
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

/// The annotation of a property or an interface that says how changes are told.
const EMITS_CHANGED: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

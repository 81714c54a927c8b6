//! What one element of introspection data says by its attributes.
//!
//! Model: each function returns `None` for what is not valid on the bus; other attributes are ignored.

use quick_xml::{XmlVersion, events::BytesStart};
use zbus::{ObjectPath, Signature, names::MemberName};

use super::description::{DescribedMethod, DescribedProperty, DescribedSignal};
use crate::interface::{Access, Emits};

pub(super) fn method(element: &BytesStart<'_>) -> Option<DescribedMethod> {
    Some(DescribedMethod {
        name: member_name(element)?,
        inputs: Some(Vec::new()),
    })
}

pub(super) fn signal(element: &BytesStart<'_>) -> Option<DescribedSignal> {
    Some(DescribedSignal {
        name: member_name(element)?,
        arguments: Vec::new(),
    })
}

pub(super) fn property(element: &BytesStart<'_>) -> Option<DescribedProperty> {
    Some(DescribedProperty {
        name: attribute(element, "name").filter(|name| is_property(name))?,
        signature: signature(element)?,
        access: access(&attribute(element, "access").unwrap_or_default()),
        emits: None,
    })
}

fn member_name(element: &BytesStart<'_>) -> Option<String> {
    attribute(element, "name").filter(|name| MemberName::try_from(name.as_str()).is_ok())
}

/// Whether a property may have this name (LENIENT-6).
pub fn is_property(name: &str) -> bool {
    !name.is_empty() && name.len() <= PROPERTY_LEN_MAX && !name.chars().any(char::is_control)
}

fn access(said: &str) -> Access {
    match said.trim().to_ascii_lowercase().as_str() {
        "read" | "readonly" | "read-only" => Access::Read,
        "write" | "writeonly" | "write-only" => Access::Write,
        _ => Access::ReadWrite,
    }
}

/// One complete type.
pub(super) fn signature(element: &BytesStart<'_>) -> Option<Signature> {
    let text = attribute(element, "type")?;
    let text = text.trim();
    let signature = Signature::try_from(text).ok()?;
    // zbus parses several types as a structure and an empty text as unit.
    (signature != Signature::Unit && signature.to_string() == text).then_some(signature)
}

pub(super) fn emits(value: &str) -> Option<Emits> {
    match value {
        "true" => Some(Emits::Value),
        "invalidates" => Some(Emits::Invalidation),
        "const" => Some(Emits::Const),
        "false" => Some(Emits::Never),
        _ => None,
    }
}

pub(super) fn is_child(name: &str) -> bool {
    ObjectPath::try_from(format!("/{name}")).is_ok() && !name.is_empty()
}

/// The first attribute of this name, also if other attributes are malformed.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = element.attributes();
    attributes.with_checks(false);
    let found = attributes
        .flatten()
        .find(|attribute| attribute.key.as_ref() == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

const PROPERTY_LEN_MAX: usize = 255;

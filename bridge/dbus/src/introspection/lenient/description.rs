//! What is understood of introspection data.

use std::ops::Range;

use zbus::Signature;

use crate::interface::{Access, Emits};

/// The introspection data of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// In the order of the text.
    pub interfaces: Vec<Described>,
    /// The names of the direct children.
    pub children: Vec<String>,
    /// Whether the text is complete XML.
    pub is_whole: bool,
}

/// An interface of a described object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Described {
    /// The name.
    pub name: String,
    /// In the order of the text.
    pub methods: Vec<DescribedMethod>,
    /// In the order of the text.
    pub properties: Vec<DescribedProperty>,
    /// In the order of the text.
    pub signals: Vec<DescribedSignal>,
    /// Whether it has any member, including one that cannot be used.
    pub has_members: bool,
    /// The range of its first occurrence in the text.
    pub span: Range<usize>,
}

/// A method of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedMethod {
    /// The name.
    pub name: String,
    /// The types of the input arguments; `None` if they cannot be parsed.
    pub inputs: Option<Vec<Signature>>,
}

/// A property of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedProperty {
    /// The name: any text, because the name of a property is an argument on the bus.
    pub name: String,
    /// Its type.
    pub signature: Signature,
    /// Whether it can be read and written.
    pub access: Access,
    /// How its changes are announced, if declared (LENIENT-2).
    pub emits: Option<Emits>,
}

/// A signal of a described interface.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedSignal {
    /// The name.
    pub name: String,
    /// The types of its arguments.
    pub arguments: Vec<Signature>,
}

//! How a program names what an operation is about: capabilities, methods, objects, ends of subscriptions.

use zocp_model::{CapPath, ObjectPath};
use zocp_zre::PeerId;

use crate::error::{Invalid, NodeError};

/// What names a capability or a method: a [`CapPath`], or text in which dots separate the objects from each other and
/// from the name: `"level"`, `"cam.pan.angle"`.
///
/// A name that holds a dot itself cannot be written as text; [`CapPath::root`] and [`ObjectPath::capability`] take it as
/// it is.
pub trait IntoCapPath {
    /// The path.
    ///
    /// # Errors
    /// `Invalid` when the text has an empty element.
    fn into_cap_path(self) -> Result<CapPath, NodeError>;
}

impl IntoCapPath for CapPath {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        Ok(self)
    }
}

impl IntoCapPath for &CapPath {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        Ok(self.clone())
    }
}

impl IntoCapPath for &str {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        self.parse().map_err(|error| Invalid::Path(error).into())
    }
}

impl IntoCapPath for &String {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        self.as_str().into_cap_path()
    }
}

impl IntoCapPath for String {
    fn into_cap_path(self) -> Result<CapPath, NodeError> {
        self.as_str().into_cap_path()
    }
}

/// What names an object: an [`ObjectPath`], or text in which dots separate nested objects: `"cam.pan"`; the empty text
/// is the root.
pub trait IntoObjectPath {
    /// The path.
    ///
    /// # Errors
    /// `Invalid` when the text has an empty element.
    fn into_object_path(self) -> Result<ObjectPath, NodeError>;
}

impl IntoObjectPath for ObjectPath {
    fn into_object_path(self) -> Result<ObjectPath, NodeError> {
        Ok(self)
    }
}

impl IntoObjectPath for &ObjectPath {
    fn into_object_path(self) -> Result<ObjectPath, NodeError> {
        Ok(self.clone())
    }
}

impl IntoObjectPath for &str {
    fn into_object_path(self) -> Result<ObjectPath, NodeError> {
        self.parse().map_err(|error| Invalid::Path(error).into())
    }
}

/// One end of a subscription: a node, and the name of one of its capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The node.
    pub node: PeerId,
    /// The name as the wire carries it, with the objects before it and dots between; `None` for every emitter of the
    /// node, or for a subscriber that names no sensor.
    pub name: Option<String>,
}

impl End {
    /// One capability of a node.
    #[must_use]
    pub fn new(node: PeerId, name: impl Into<String>) -> Self {
        Self {
            node,
            name: Some(name.into()),
        }
    }

    /// Every emitter of a node, or a node that names no sensor.
    #[must_use]
    pub const fn unnamed(node: PeerId) -> Self {
        Self { node, name: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_path_name_the_same_capability() {
        let path = ObjectPath::root().child("cam").capability("angle");
        assert_eq!("cam.angle".into_cap_path().unwrap(), path);
        assert_eq!(String::from("cam.angle").into_cap_path().unwrap(), path);
        assert_eq!((&path).into_cap_path().unwrap(), path);
        assert_eq!("cam".into_object_path().unwrap(), path.object);
        assert!("cam..angle".into_cap_path().is_err());
    }
}

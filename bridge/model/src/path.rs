//! Where objects and capabilities sit in a tree.
//!
//! Model: an [`ObjectPath`] is the keys of `objects` on the way from the root; a
//! [`CapPath`] is an object and the raw name of one of its capabilities.
//! Written with dots: `cam.pan.angle`.
//! Invariants: the written form is for people and for the mesh's wiring; raw
//! names may hold dots themselves, so that reading it needs the tree
//! ([`crate::Tree::resolve`]) wherever that can matter.

use std::{fmt, str::FromStr, sync::Arc};

/// The place of an object: the keys of `objects` on the way; none = the root.
///
/// Cheap to clone; the root needs no memory.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectPath(Option<Arc<[Arc<str>]>>);

impl ObjectPath {
    /// The root of a tree.
    pub const fn root() -> Self {
        Self(None)
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.segments().is_empty()
    }

    /// The raw names on the way from the root.
    pub fn segments(&self) -> &[Arc<str>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The raw name of the object itself; the root has none.
    pub fn name(&self) -> Option<&str> {
        self.segments().last().map(AsRef::as_ref)
    }

    /// The object `name` in this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        self.segments()
            .iter()
            .cloned()
            .chain([Arc::from(name)])
            .collect()
    }

    /// The object that this one is in; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, before) = self.segments().split_last()?;
        Some(before.iter().cloned().collect())
    }

    /// Whether this is `other` or somewhere below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        self.segments().starts_with(other.segments())
    }

    /// The capability `name` of this object.
    #[must_use]
    pub fn capability(&self, name: &str) -> CapPath {
        CapPath {
            object: self.clone(),
            name: Arc::from(name),
        }
    }
}

impl FromIterator<Arc<str>> for ObjectPath {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(names: I) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        if names.is_empty() {
            Self(None)
        } else {
            Self(Some(names.into()))
        }
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.segments().iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.segments())
    }
}

impl FromStr for ObjectPath {
    type Err = PathError;

    /// Every dot separates; the empty text is the root.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        text.split('.')
            .map(|name| {
                if name.is_empty() {
                    Err(PathError)
                } else {
                    Ok(Arc::from(name))
                }
            })
            .collect()
    }
}

/// The place of a capability: its object and its raw name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapPath {
    /// The object that has the capability.
    pub object: ObjectPath,
    /// The raw name, as the node wrote it.
    pub name: Arc<str>,
}

impl CapPath {
    /// A capability of the root object.
    pub fn root(name: impl Into<Arc<str>>) -> Self {
        Self {
            object: ObjectPath::root(),
            name: name.into(),
        }
    }
}

impl fmt::Display for CapPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.object.is_root() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}.{}", self.object, self.name)
        }
    }
}

impl fmt::Debug for CapPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.object, self.name)
    }
}

impl FromStr for CapPath {
    type Err = PathError;

    /// Every dot separates; what is behind the last one is the name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (object, name) = text.rsplit_once('.').unwrap_or(("", text));
        if name.is_empty() || (object.is_empty() && text.contains('.')) {
            return Err(PathError);
        }
        Ok(Self {
            object: object.parse()?,
            name: Arc::from(name),
        })
    }
}

/// A dotted path has an empty element. Fault of who wrote it; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an element of the path is empty")]
pub struct PathError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_path_names_object_and_capability() {
        let path: CapPath = "cam.pan.angle".parse().unwrap();
        assert_eq!(path.object, ObjectPath::root().child("cam").child("pan"));
        assert_eq!(&*path.name, "angle");
        assert_eq!(path.to_string(), "cam.pan.angle");
        assert_eq!("x".parse(), Ok(CapPath::root("x")));
        assert_eq!("".parse(), Ok(ObjectPath::root()));
    }

    #[test]
    fn an_empty_element_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(text.parse::<CapPath>(), Err(PathError), "{text}");
        }
        assert_eq!("a..b".parse::<ObjectPath>(), Err(PathError));
    }

    #[test]
    fn a_child_knows_its_parent() {
        let cam = ObjectPath::root().child("cam");
        assert_eq!(cam.child("pan").parent(), Some(cam.clone()));
        assert_eq!(cam.parent(), Some(ObjectPath::root()));
        assert_eq!(ObjectPath::root().parent(), None);
        assert!(cam.child("pan").starts_with(&cam));
    }
}

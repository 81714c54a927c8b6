//! Names that no capability of a face can have.
//!
//! Model: a file gives a capability its name. What the node would refuse, and what the face itself publishes there, is a
//! mistake in the file, told when it is read.

use crate::{counts, mesh::CapPath};

/// Whether a capability can have this name.
///
/// # Errors
///
/// With the reason why not.
pub(crate) fn check(path: &CapPath) -> Result<(), &'static str> {
    if matches!(&*path.name, "objects" | "methods") {
        return Err("objects and methods are no names of capabilities");
    }
    if counts::is_own(path) {
        return Err("the face itself has a counter of this name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::ObjectPath;

    #[test]
    fn what_the_node_or_the_face_has_there_is_refused() {
        let root = ObjectPath::root();
        let counts = root.child("counts");
        for path in [
            root.capability("objects"),
            root.child("a").capability("methods"),
            counts.capability("sent"),
            counts.capability("reason"),
        ] {
            assert!(check(&path).is_err(), "{path}");
        }
        for path in [
            root.capability("sent"),
            root.capability("counts"),
            counts.capability("dimmer"),
            root.child("objects").capability("x"),
        ] {
            assert_eq!(check(&path), Ok(()), "{path}");
        }
    }
}

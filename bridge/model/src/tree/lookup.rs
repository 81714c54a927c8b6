//! Finds the capability that a dotted name means, which depends on the names in the tree.

use super::Tree;
use crate::{CapPath, Object, ObjectPath};

impl Tree {
    /// The capability that `text` names: its raw name, or its dotted path.
    ///
    /// Names may hold dots themselves. In every object the exact name wins, then objects
    /// with longer names are looked into before those with shorter ones.
    pub fn resolve(&self, text: &str) -> Option<CapPath> {
        self.search(text, |object, path, rest| {
            object
                .capabilities
                .contains_key(rest)
                .then(|| path.capability(rest))
        })
    }

    /// The object that `text` names by its dotted path; the empty text is the root.
    pub fn resolve_object(&self, text: &str) -> Option<ObjectPath> {
        if text.is_empty() {
            return Some(ObjectPath::root());
        }
        self.search(text, |object, path, rest| {
            object.objects.contains_key(rest).then(|| path.child(rest))
        })
    }

    /// Looks into every object whose path is a beginning of `text`; each at most once.
    fn search<T>(
        &self,
        text: &str,
        found: impl Fn(&Object, &ObjectPath, &str) -> Option<T>,
    ) -> Option<T> {
        let mut open = vec![(ObjectPath::root(), self.root(), text)];
        while let Some((path, object, rest)) = open.pop() {
            if let Some(found) = found(object, &path, rest) {
                return Some(found);
            }
            // Shorter names first onto the stack, so that longer ones are tried first.
            for (dot, _) in rest.match_indices('.') {
                let (name, behind) = rest.split_at(dot);
                if let Some(child) = object.objects.get(name) {
                    open.push((path.child(name), child, behind.get(1..).unwrap_or_default()));
                }
            }
        }
        None
    }
}

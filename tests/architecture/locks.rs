//! Every lock has its reason at its declaration, and the page of locks lists all of them.
//!
//! Model: a lock is a field, a tuple struct or a type alias whose type contains `Mutex` or `RwLock`. Its reason is the
//! sentence of its documentation that begins with [`REASON`].
//! `UPDATE=1 cargo test -p zocp-architecture` writes the page anew.

use std::{fmt::Write as _, fs};

use syn::{
    Attribute, Expr, ExprLit, Fields, ItemMod, ItemStruct, ItemType, Lit, Meta, Type,
    visit::{self, Visit},
};

use super::{
    crates::crates,
    modules::{Modules, is_of_tests},
    root,
};

const REASON: &str = "Locked because ";
const PAGE: &str = "docs/explanation/locks.md";

/// A lock, and why it is there.
struct Lock {
    place: String,
    reason: Option<String>,
}

#[test]
fn the_page_of_locks_has_each_lock_with_its_reason() {
    let mut locks = Vec::new();
    for (name, it) in crates() {
        for (path, file) in Modules::read(&it.root).files() {
            let text = fs::read_to_string(file).expect("a source");
            let module = [std::slice::from_ref(&name), path].concat().join("::");
            let mut finder = Finder {
                module,
                locks: &mut locks,
            };
            finder.visit_file(&syn::parse_file(&text).expect("a source that compiles"));
        }
    }
    locks.sort_by(|one, other| one.place.cmp(&other.place));
    let without: Vec<&str> = locks
        .iter()
        .filter(|lock| lock.reason.is_none())
        .map(|lock| lock.place.as_str())
        .collect();
    assert!(
        without.is_empty(),
        "the documentation of these locks has no sentence that begins with {REASON:?}: {without:#?}"
    );
    assert!(locks.len() > 50, "the sources are found: {}", locks.len());

    let page = root().join(PAGE);
    let made = page_of(&locks);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &made).expect("the page is written");
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == made,
        "{PAGE} is old: UPDATE=1 cargo test -p zocp-architecture"
    );
}

fn page_of(locks: &[Lock]) -> String {
    let mut page = format!(
        "# Locks\n\n\
         State that decides something belongs to one task, or is a pure state behind a lock, so that several tasks can\n\
         give it inputs. A lock is held for a lookup, a change, or one input with its outputs, never while the program\n\
         waits for something. The exceptions are locks of tokio, which order changes that take several steps; their\n\
         reasons say so. The bridge has few threads, so its tasks seldom wait for a lock; a message to another task\n\
         instead would always cost the wake-up of that task.\n\n\
         `UPDATE=1 cargo test -p zocp-architecture` makes this page from the declarations of all {} locks.\n\n\
         | lock | why it is there |\n| --- | --- |\n",
        locks.len()
    );
    for lock in locks {
        let reason = lock.reason.as_deref().unwrap_or_default();
        writeln!(page, "| `{}` | {reason} |", lock.place).expect("a string takes all");
    }
    page
}

struct Finder<'a> {
    module: String,
    locks: &'a mut Vec<Lock>,
}

impl Finder<'_> {
    fn check(&mut self, place: &str, of: &Type, attributes: &[Attribute]) {
        if is_lock(of) {
            self.locks.push(Lock {
                place: format!("{}::{place}", self.module),
                reason: reason(attributes),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_of_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        if is_of_tests(&item.attrs) {
            return;
        }
        for field in &item.fields {
            match (&item.fields, &field.ident) {
                (Fields::Named(_), Some(name)) => {
                    self.check(&format!("{}::{name}", item.ident), &field.ty, &field.attrs);
                }
                _ => self.check(&item.ident.to_string(), &field.ty, &item.attrs),
            }
        }
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.check(&item.ident.to_string(), &item.ty, &item.attrs);
    }
}

/// Whether a type is a lock, or contains one.
fn is_lock(of: &Type) -> bool {
    struct Names(bool);
    impl<'ast> Visit<'ast> for Names {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            self.0 |= segment.ident == "Mutex" || segment.ident == "RwLock";
            visit::visit_path_segment(self, segment);
        }
    }
    let mut names = Names(false);
    names.visit_type(of);
    names.0
}

/// The reason in a documentation, in one line and without its beginning.
fn reason(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    let text = lines.collect::<Vec<_>>().join(" ");
    let (_, reason) = text.split_once(REASON)?;
    // As the documentation of the module, links lead nowhere outside of it.
    let reason = reason.trim_end_matches('.').replace(['[', ']'], "");
    Some(reason)
}

#[test]
fn a_lock_is_found_with_its_reason() {
    let text = "
        struct One {
            /// What waits.
            ///
            /// Locked because two tasks
            /// need it.
            queue: Arc<tokio::sync::Mutex<u8>>,
            none: u8,
        }
        struct Two(RwLock<u8>);
        #[cfg(test)]
        mod tests { struct Three { queue: Mutex<u8> } }";
    let mut locks = Vec::new();
    let mut finder = Finder {
        module: "crate".to_owned(),
        locks: &mut locks,
    };
    finder.visit_file(&syn::parse_file(text).expect("a source"));
    let found: Vec<_> = locks
        .iter()
        .map(|lock| (lock.place.as_str(), lock.reason.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("crate::One::queue", Some("two tasks need it")),
            ("crate::Two", None),
        ]
    );
}

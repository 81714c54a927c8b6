//! Introspection data for objects whose service gives none, made of installed descriptions.
//!
//! Model: by custom a service `org.example.Lamp` has its object at `/org/example/Lamp` and interfaces of that name or below;
//! `org.mpris.MediaPlayer2.mpv` those of `org.mpris.MediaPlayer2`.
//! Limits: [`GUESSES_MAX`] interfaces are tried.
//! Spec: docs/reference/protocol.md §7.11

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{interface_files::InterfaceFiles, place::Place};

/// Where the interfaces of a service may be, going by its name.
pub(super) fn guesses(service: &str, installed: &InterfaceFiles) -> BTreeSet<Place> {
    let ends = service.match_indices('.').map(|(dot, _)| dot);
    // A name of two elements is an organisation's and no service's.
    let stems = ends.skip(2).chain([service.len()]);
    let places = stems.filter_map(|end| service.get(..end)).flat_map(|stem| {
        let path = format!("/{}", stem.replace('.', "/").replace('-', "_"));
        let names = installed.below(stem);
        names.map(move |interface| Place::new(&path, interface))
    });
    places.take(GUESSES_MAX).collect()
}

/// A text in which interfaces that are only named are written out.
pub(super) fn filled(text: &str, bare: &[(Range<usize>, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut done = 0;
    for (span, interface) in bare {
        filled.push_str(text.get(done..span.start).unwrap_or_default());
        filled.push_str(interface);
        done = span.end;
    }
    filled.push_str(text.get(done..).unwrap_or_default());
    filled
}

/// Data of these interfaces' objects, and of those above, so that they are found from the root.
pub(super) fn nodes<'a>(
    places: impl Iterator<Item = &'a Place>,
    installed: &InterfaceFiles,
) -> BTreeMap<String, String> {
    let mut inner: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for place in places {
        let text = installed.get(&place.interface).map(|it| it.text.clone());
        let entries = inner.entry(place.path.to_string()).or_default();
        entries.extend(text);
        let mut path = &*place.path;
        while let Some((above, child)) =
            path.rsplit_once('/').filter(|(_, child)| !child.is_empty())
        {
            let above = if above.is_empty() { "/" } else { above };
            let entries = inner.entry(above.to_owned()).or_default();
            entries.insert(format!("<node name=\"{child}\"/>"));
            path = above;
        }
    }
    let written = inner.into_iter().map(|(path, entries)| {
        let entries: Vec<String> = entries.into_iter().collect();
        (path, format!("<node>\n{}\n</node>\n", entries.join("\n")))
    });
    written.collect()
}

const GUESSES_MAX: usize = 32;

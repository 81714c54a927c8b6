//! What a peer's tree says of the services that it exports.
//!
//! Limits: [`TEXTS_MAX`] objects, [`TEXT_LEN_MAX`] octets of each; what exceeds them is asked for instead.
//! Spec: docs/reference/protocol.md §7.2, §7.10

use std::{collections::BTreeMap, sync::Arc};

use zocp_node::{ObjectPath, PeerId, Value, model::Tree};

use crate::schema::{
    ACTIVATABLE, INTROSPECTION, ORIGIN, REVISION, RUNNING, SERVICE_TYPE, SERVICES, SUPPLIED,
};

/// A service that a peer exports.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) revision: u64,
    /// Whether somebody owns it; else its bus can start it.
    pub(crate) runs: bool,
    /// Whether its bus can start it.
    pub(crate) is_activatable: bool,
    pub(crate) announcement: Announcement,
}

/// Its introspection data by object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// What the service says.
    pub(super) own: BTreeMap<Arc<str>, Arc<str>>,
    /// What its bridge says in place of the service.
    pub(super) supplied: BTreeMap<Arc<str>, Arc<str>>,
}

impl Announcement {
    /// Reads the two entries of a service's object in the tree.
    pub(super) fn read(own: Option<&Value>, supplied: Option<&Value>) -> Self {
        Self {
            own: texts(own),
            supplied: texts(supplied),
        }
    }
}

fn texts(entry: Option<&Value>) -> BTreeMap<Arc<str>, Arc<str>> {
    let entries = entry.and_then(Value::as_object).into_iter().flatten();
    let texts = entries.filter_map(|(path, text)| {
        let text = text.as_str()?;
        // What is no text on a bus would end our connection to it.
        let is_one = text.len() <= TEXT_LEN_MAX && !text.contains('\0');
        is_one.then(|| (path.as_str().into(), text.into()))
    });
    texts.take(TEXTS_MAX).collect()
}

/// What a peer's tree says that it exports: of its own, so that nothing goes round.
pub(super) fn exports_of(tree: &Tree, peer: PeerId, max: usize) -> BTreeMap<Arc<str>, Export> {
    let services = tree.object(&ObjectPath::root().child(SERVICES));
    let uuid = peer.to_string();
    let objects = services.into_iter().flat_map(|services| &services.objects);
    let exported = objects.filter_map(|(name, object)| {
        let entry = |name: &str| object.data.get(name);
        let is_its = entry(ORIGIN).and_then(|it| it.as_str()) == Some(uuid.as_str());
        let is_service = object.kind() == Some(SERVICE_TYPE);
        let is_name = zbus::names::WellKnownName::try_from(name.as_str()).is_ok();
        let flag = |name: &str| entry(name).and_then(|it| it.as_bool());
        // Bridges that do not say so show what runs and what does not alike.
        let runs = flag(RUNNING).unwrap_or(true);
        let export = Export {
            revision: entry(REVISION)?.as_u64()?,
            runs,
            is_activatable: flag(ACTIVATABLE).unwrap_or(!runs),
            announcement: Announcement::read(entry(INTROSPECTION), entry(SUPPLIED)),
        };
        (is_its && is_service && is_name).then(|| (Arc::from(name.as_str()), export))
    });
    exported.take(max).collect()
}

const TEXTS_MAX: usize = 1024;
const TEXT_LEN_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_texts_that_a_bus_takes_are_read() {
        let long = "x".repeat(TEXT_LEN_MAX + 1);
        let own = json!({"/": "<node/>", "/a": 7, "/b": "a\u{0}b", "/c": long});
        let read = Announcement::read(Some(&own), Some(&json!("no object")));
        assert_eq!(read.own, [("/".into(), "<node/>".into())].into());
        assert!(read.supplied.is_empty());
        let many: serde_json::Map<_, _> = (0..=TEXTS_MAX)
            .map(|i| (format!("/{i}"), json!("<node/>")))
            .collect();
        let read = Announcement::read(Some(&many.into()), None);
        assert_eq!(read.own.len(), TEXTS_MAX);
        assert_eq!(Announcement::read(None, None), Announcement::default());
    }
}

//! What a face has counted, and the capabilities under which its node tells it.
//!
//! Model: a face has one [`Counts`]; once a second what is different is told as a value of the object `counts` of its
//! own node, so that the bridge's monitor and everybody else sees it.
//! Limits: [`TEXT_LEN_MAX`] octets of a reason.

use crate::mesh::{Access, CapPath, Capability, ObjectPath, Value};

/// What was counted since the face began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages, or frames of channels, that were understood.
    pub(crate) received: u64,
    /// Values that were set.
    pub(crate) taken: u64,
    /// Values that a newer one replaced before they were set.
    pub(crate) replaced: u64,
    /// Messages that were sent.
    pub(crate) sent: u64,
    /// What was not understood, or had a wrong type, range or address.
    pub(crate) refused: u64,
    /// What there was no place for.
    pub(crate) dropped: u64,
    /// Why something was refused last.
    pub(crate) reason: String,
}

impl Counts {
    /// Something was refused.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.refuse_all(1, reason);
    }

    /// So many things were refused for the same reason.
    pub(crate) fn refuse_all(&mut self, count: u64, reason: &str) {
        self.refused += count;
        let shown = reason.chars().filter(|one| !one.is_control());
        self.reason = shown.take(TEXT_LEN_MAX / 4).collect();
        tracing::debug!(reason = %self.reason, "refused");
    }

    /// All of them, by name.
    pub(crate) fn values(&self) -> [(&'static str, Value); 7] {
        [
            ("received", Value::from(self.received)),
            ("taken", Value::from(self.taken)),
            ("replaced", Value::from(self.replaced)),
            ("sent", Value::from(self.sent)),
            ("refused", Value::from(self.refused)),
            ("dropped", Value::from(self.dropped)),
            ("reason", Value::from(self.reason.as_str())),
        ]
    }
}

/// Whether one of the counts is told there.
pub(crate) fn is_own(path: &CapPath) -> bool {
    let names = Counts::default().values();
    names.iter().any(|(name, _)| self::path(name) == *path)
}

/// Where a count is told.
pub(crate) fn path(name: &str) -> CapPath {
    ObjectPath::root().child("counts").capability(name)
}

/// A count as it is told.
pub(crate) fn capability(value: Value) -> Capability {
    Capability::new(Access::READ | Access::EMIT, value)
}

/// Octets of a reason.
const TEXT_LEN_MAX: usize = 1024;

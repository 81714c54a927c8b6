//! The links that were added by command.
//!
//! Not here: those of the configuration, which has them.
//! Spec: docs/reference/configuration.md, "What is kept".

use serde::{Deserialize, Serialize};
use zocp_state::Document;

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SavedLinks {
    /// `tcp://HOST:PORT|KEY` of each, in the order in which they were added.
    pub(super) links: Vec<String>,
    /// Those by iroh. A bridge of before reads a document without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) iroh: Vec<SavedIroh>,
}

/// A link by iroh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SavedIroh {
    /// `iroh:ID|KEY`.
    pub(super) to: String,
    /// Where both ends meet.
    pub(super) relays: Vec<String>,
    /// The certificate of the relay, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
}

impl Document for SavedLinks {
    const NAME: &'static str = "links";
    const VERSION: u32 = 1;
}

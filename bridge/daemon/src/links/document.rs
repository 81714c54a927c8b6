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
}

impl Document for SavedLinks {
    const NAME: &'static str = "links";
    const VERSION: u32 = 1;
}

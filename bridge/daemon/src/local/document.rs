//! The saved lasting values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zocp_node::{Access, CapPath, Capability, Value};

use zocp_state::Document;

/// All lasting values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LastingValues {
    pub(super) values: Vec<SavedValue>,
}

impl Document for LastingValues {
    const NAME: &'static str = "published";
    const VERSION: u32 = 1;
}

/// A value with its description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedValue {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    object: Vec<String>,
    name: String,
    value: Value,
    access: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    type_hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Value>,
}

impl SavedValue {
    pub(super) fn new(path: &CapPath, capability: &Capability) -> Self {
        let info = &capability.info;
        let segments = path.object.segments().iter();
        Self {
            object: segments.map(|name| name.as_ref().to_owned()).collect(),
            name: path.name.as_ref().to_owned(),
            value: capability.value.clone().unwrap_or_default(),
            access: info.access.to_string(),
            type_hint: info.type_hint.as_deref().map(str::to_owned),
            min: info.min.clone(),
            max: info.max.clone(),
            step: info.step.clone(),
        }
    }

    pub(super) fn into_parts(self) -> (CapPath, Capability) {
        let object = self.object.into_iter().map(Arc::from).collect();
        let path = CapPath {
            object,
            name: self.name.into(),
        };
        let capability =
            Capability::new(Access::from_wire(&self.access), self.value).with(|info| {
                if let Some(hint) = self.type_hint {
                    info.type_hint = Some(hint.into());
                }
                (info.min, info.max, info.step) = (self.min, self.max, self.step);
            });
        (path, capability)
    }
}

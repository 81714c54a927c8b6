//! The options of a wire, `a{sv}`, and the saved and displayed form of a conversion.
//!
//! Model: all three use the same keys: `Expression s`, `Scale s` (`ends`, or `0..1=0..255`), `Clamp b`, `Invert b`,
//! `Threshold d`, `Deliver s` (`every`, `latest`), `Initial b`; options of a caller also `Lasting b`.

use serde::{Deserialize, Serialize};
use zbus::Variant;

use super::conversion::{Calculator, Conversion, Delivery};
use zocp_dbus::{errors::Refusal, message::Text};
use zocp_mapping::types;

/// The options of a caller.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) conversion: Conversion,
    pub(super) lasting: bool,
}

/// A conversion as it is saved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SavedConversion {
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clamp: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    invert: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial: Option<bool>,
}

impl Options {
    /// Parses the options of a caller.
    pub(super) fn read(
        options: Option<&Variant<'_>>,
        calculator: &Calculator,
    ) -> Result<Self, Refusal> {
        let Some(Variant::Dict(options)) = options else {
            return Err(Refusal::InvalidArgs(
                "options must be of type a{sv}".to_owned(),
            ));
        };
        let (mut saved, mut lasting) = (SavedConversion::default(), false);
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                return Err(Refusal::InvalidArgs(
                    "options must be of type a{sv}".to_owned(),
                ));
            };
            match (key.as_str(), &**value) {
                ("Expression", Variant::Str(text)) => saved.expression = Some(text.to_string()),
                ("Scale", Variant::Str(text)) => saved.scale = Some(text.to_string()),
                ("Clamp", Variant::Bool(clamp)) => saved.clamp = *clamp,
                ("Invert", Variant::Bool(invert)) => saved.invert = *invert,
                ("Threshold", Variant::F64(threshold)) if threshold.is_finite() => {
                    saved.threshold = Some(*threshold);
                }
                ("Deliver", Variant::Str(text)) => saved.deliver = Some(text.to_string()),
                ("Initial", Variant::Bool(initial)) => saved.initial = Some(*initial),
                ("Lasting", Variant::Bool(is_lasting)) => lasting = *is_lasting,
                (key, _) => {
                    let text = format!("unknown option \"{key}\", or a value of the wrong type");
                    return Err(Refusal::InvalidArgs(text));
                }
            }
        }
        let conversion = saved.read(calculator).map_err(Refusal::InvalidArgs)?;
        Ok(Self {
            conversion,
            lasting,
        })
    }
}

impl SavedConversion {
    /// Parses the conversion; the error is a text for users.
    pub(super) fn read(&self, calculator: &Calculator) -> Result<Conversion, String> {
        let expression = self.expression.as_deref();
        let expression = expression
            .map(|text| calculator.understand(text))
            .transpose();
        let scale = self.scale.as_deref().map(str::parse).transpose();
        Ok(Conversion {
            expression: expression.map_err(|error| error.to_string())?,
            scale: scale.map_err(|error: super::conversion::RangeError| error.to_string())?,
            clamp: self.clamp,
            invert: self.invert,
            threshold: self.threshold,
            delivery: self.deliver.as_deref().map(delivery).transpose()?,
            initial: self.initial,
        })
    }
}

impl From<&Conversion> for SavedConversion {
    fn from(conversion: &Conversion) -> Self {
        let expression = conversion.expression.as_ref();
        Self {
            expression: expression.map(|expression| expression.text().to_owned()),
            scale: conversion.scale.map(|scale| scale.to_string()),
            clamp: conversion.clamp,
            invert: conversion.invert,
            threshold: conversion.threshold,
            deliver: conversion.delivery.map(|delivery| {
                let text = match delivery {
                    Delivery::Every => EVERY,
                    Delivery::Latest => LATEST,
                };
                text.to_owned()
            }),
            initial: conversion.initial,
        }
    }
}

/// A conversion as the object of its wire shows it.
pub(super) fn shown(conversion: &Conversion) -> Variant<'static> {
    let saved = SavedConversion::from(conversion);
    let text = |text: String| Variant::from(Text::new(&text));
    let entries = [
        ("Expression", saved.expression.map(text)),
        ("Scale", saved.scale.map(text)),
        ("Clamp", saved.clamp.then(|| Variant::new(true))),
        ("Invert", saved.invert.then(|| Variant::new(true))),
        ("Threshold", saved.threshold.map(Variant::new)),
        ("Deliver", saved.deliver.map(text)),
        ("Initial", saved.initial.map(Variant::new)),
    ];
    let entries = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    types::dictionary(entries)
}

fn delivery(text: &str) -> Result<Delivery, String> {
    match text {
        EVERY => Ok(Delivery::Every),
        LATEST => Ok(Delivery::Latest),
        other => Err(format!(
            "Deliver must be \"{EVERY}\" or \"{LATEST}\", not \"{other}\""
        )),
    }
}

const EVERY: &str = "every";
const LATEST: &str = "latest";

//! Values that clients send to a capability or a method, and results for them, converted to the types that the node
//! declared.
//!
//! Not here: access and range, which the node checks; types themselves (`zocp_mapping::types`, `zocp_mapping::convert`).

use zbus::Variant;
use zocp_node::{
    Value,
    model::{self, CheckError},
};

use super::metadata::CapabilityMetadata;
use zocp_dbus::{errors::Refusal, server::Answer};
use zocp_mapping::{
    convert::{self, Mismatch},
    types,
};

/// The value that a client sends, as the capability wants it: by its hint, else by its present type, where a number
/// may be any number. What is shown as a value of any type, because its node does not keep to the hint or to one
/// type, takes what the hint wants, else what comes; whether it is like the present value the node checks.
pub(crate) fn wanted(known: &CapabilityMetadata, inbound: &Variant<'_>) -> Result<Value, Mismatch> {
    let hinted = types::hinted(known.info.hint());
    let is_hinted = hinted.is_some();
    let signature = hinted.unwrap_or_else(|| known.kind.signature().clone());
    let is_number = |signature| types::integer_variant(signature, 0).is_some();
    match convert::as_wanted(&signature, inbound) {
        Err(_) if known.kind.is_any() => convert::as_given(inbound),
        Err(Mismatch::Number { .. })
            if !is_hinted && is_number(&signature) && convert::is_number(inbound) =>
        {
            convert::as_given(inbound)
        }
        converted => converted,
    }
}

/// The arguments of a call, by the types that the method declares.
pub(crate) fn arguments(
    method: &model::Method,
    inbound: &[Variant<'_>],
) -> Result<Vec<Value>, Refusal> {
    method
        .inputs
        .iter()
        .zip(inbound)
        .map(|(argument, inbound)| {
            let signature = types::argument(argument.type_hint.as_deref());
            convert::as_wanted(&signature, inbound).map_err(|mismatch| {
                Refusal::InvalidArgs(format!("argument {:?}: {mismatch}", argument.name))
            })
        })
        .collect()
}

/// The results of a call, which must be of the declared types: a caller relies on them.
pub(crate) fn results(method: &model::Method, values: &[Value]) -> Answer {
    if values.len() != method.outputs.len() {
        return Err(Refusal::Failed(format!(
            "the node answered with {} values instead of {}",
            values.len(),
            method.outputs.len()
        )));
    }
    let shown = method.outputs.iter().zip(values).map(|(output, value)| {
        let signature = types::argument(output.type_hint.as_deref());
        types::as_type(&signature, value).ok_or_else(|| {
            Refusal::Failed(format!(
                "the node's answer {:?} is not of type \"{signature}\"",
                output.name
            ))
        })
    });
    shown.collect()
}

/// The D-Bus error for a value that is refused.
pub(crate) fn unfit(error: CheckError, what: &str) -> Refusal {
    match error {
        CheckError::NotWritable => Refusal::PropertyReadOnly(what.to_owned()),
        CheckError::OutOfRange { min, max } => {
            Refusal::OutOfRange(format!("{what} is {}", range(min.as_ref(), max.as_ref())))
        }
        error @ CheckError::WrongType { .. } => Refusal::InvalidArgs(format!("{what}: {error}")),
    }
}

/// The range that a value has to be in.
fn range(min: Option<&Value>, max: Option<&Value>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "in no range".to_owned(),
    }
}

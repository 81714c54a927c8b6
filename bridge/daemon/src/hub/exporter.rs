//! `org.z25.Zocp1.Exporter`: programs that export services, and what they learn.

use std::collections::BTreeMap;

use futures_util::{FutureExt, future::BoxFuture};
use zbus::Variant;
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, strings, undeclared, unknown_method},
};
use zocp_policy::ExportRule;
use zocp_relay::export::{Exporter, Learned};

use crate::config::ExportConfig;

/// Answers the calls of the interface.
pub(super) struct ExporterHandler {
    pub(super) exporter: Exporter,
    /// The venue of the bridge.
    pub(super) venue: Option<String>,
}

impl InterfaceHandler for ExporterHandler {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        std::future::ready(self.answer(&call)).boxed()
    }
}

impl ExporterHandler {
    fn answer(&self, call: &CallRequest) -> Answer {
        match &*call.member {
            "Export" => {
                let venue = self.venue.as_deref();
                let rule = export_rule(call.text(0)?.to_owned(), call.arguments.get(1), venue)?;
                self.exporter.export(call.program()?, rule)?;
                Ok(Vec::new())
            }
            "Unexport" => {
                self.exporter.unexport(call.program()?, call.text(0)?)?;
                Ok(Vec::new())
            }
            "Learned" => Ok(learned(
                self.exporter.learned(call.program()?, call.text(0)?)?,
            )),
            _ => Err(unknown_method(call)),
        }
    }
}

/// What a program learned, as `Learned` answers it.
fn learned(learned: Learned) -> Vec<Variant<'static>> {
    let notes = learned.notes.into_iter().map(|(note, is_allowed)| {
        let mut entry = BTreeMap::from([
            ("service", Variant::new(note.service)),
            ("peer", Variant::new(note.peer)),
            ("word", Variant::new(note.word.text())),
            ("allowed", Variant::new(is_allowed)),
        ]);
        if !note.rule.is_empty() {
            entry.insert("rule", Variant::new(note.rule));
        }
        if let Some(property) = note.property {
            entry.insert("property", Variant::new(property));
        }
        entry
    });
    let notes: Vec<BTreeMap<&str, Variant<'static>>> = notes.collect();
    vec![Variant::new(notes), Variant::new(learned.is_complete)]
}

/// The rule that a program wants to add.
fn export_rule(
    service: String,
    rules: Option<&Variant<'_>>,
    venue: Option<&str>,
) -> Result<ExportRule, Refusal> {
    let Some(Variant::Dict(rules)) = rules else {
        return Err(undeclared(1));
    };
    let mut export = ExportConfig {
        service,
        ..ExportConfig::default()
    };
    for (key, value) in rules.iter() {
        let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
            return Err(undeclared(1));
        };
        match (key.as_str(), &**value) {
            ("see", Variant::Bool(see)) => export.see = *see,
            ("talk", Variant::Bool(talk)) => export.talk = *talk,
            ("call", value) => export.call = texts(key, value)?,
            ("broadcast", value) => export.broadcast = texts(key, value)?,
            ("call_back", value) => export.call_back = texts(key, value)?,
            ("learn", Variant::Bool(learn)) => export.learn = *learn,
            ("timeout", Variant::F64(timeout)) => export.timeout = Some(*timeout),
            ("peers", value) => export.peers = texts(key, value)?,
            ("venues", value) => export.venues = Some(texts(key, value)?),
            (key, _) => {
                let text = format!("\"{key}\" is not an export option, or has the wrong type");
                return Err(Refusal::InvalidArgs(text));
            }
        }
    }
    let rule = export.check(venue);
    rule.map_err(|error| Refusal::InvalidArgs(error.to_string()))
}

fn texts(key: &str, value: &Variant<'_>) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::InvalidArgs(format!("\"{key}\" must be a list of strings"));
    strings(value).ok_or_else(wrong)
}

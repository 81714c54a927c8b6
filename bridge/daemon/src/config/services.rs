//! `[[export]]` and `[[import]]`: what of this bus others may use, and what of theirs appears here.
//!
//! Model: exactly the keys of the file, each table made into a rule of [`crate::policy`].
//! Invariants: S1. a table that allows nothing is an error: nobody writes one on purpose.

use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::policy::{
    ExportPolicy, ExportRule, Grant, ImportName, ImportRule, Members, Peers, ServicePattern,
};

/// One `[[export]]`: lets peers use a service of this bus.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// A bus name, one with ".*" behind it for all below it, or "*".
    pub service: String,
    /// May know of it, introspect and ping it.
    #[serde(default)]
    pub see: bool,
    /// May call everything and hear every signal.
    #[serde(default)]
    pub talk: bool,
    /// May call these: "interface.member@/path".
    #[serde(default)]
    pub call: Vec<String>,
    /// May hear these signals: "interface.member@/path".
    #[serde(default)]
    pub broadcast: Vec<String>,
    /// The names or UUIDs of the peers. Default: every peer.
    #[serde(default)]
    pub peers: Vec<String>,
}

/// One `[[import]]`: how services of peers appear on this bus. The first that fits decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// A bus name, one with ".*" behind it for all below it, or "*".
    pub service: String,
    /// The name or UUID of the peer. Default: "*", every peer.
    pub from: Option<String>,
    /// The name here, with "{node}", "{service}" and "{tail}" (what "*" matched), or false: not at
    /// all. Default: the customary name.
    pub name: Option<ImportNameConfig>,
    /// What programs here may call. Default: everything.
    pub call: Option<Vec<String>>,
    /// The signals that are let in. Default: all.
    pub broadcast: Option<Vec<String>>,
    /// Whether properties that announce their changes are answered from memory. Default: true.
    pub cache: Option<bool>,
}

/// `name` of an `[[import]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ImportNameConfig {
    /// Whether at all.
    Wanted(bool),
    /// Which.
    Template(String),
}

impl ExportConfig {
    /// What `--export SERVICE` says.
    #[must_use]
    pub fn talk(service: String) -> Self {
        Self {
            service,
            talk: true,
            ..Self::default()
        }
    }

    /// The rule that it says.
    ///
    /// # Errors
    /// It allows nothing, or names what cannot exist.
    pub fn check(self) -> Result<ExportRule, ConfigError> {
        let grant = Grant {
            see: self.see,
            talk: self.talk,
            call: members("export.call", &self.call)?,
            broadcast: members("export.broadcast", &self.broadcast)?,
        };
        if !grant.may_see() {
            let reason = format!(
                "\"{}\" allows nothing: say talk = true, see = true, call or broadcast",
                self.service
            );
            return Err(invalid("export", &reason));
        }
        Ok(ExportRule {
            service: service("export.service", &self.service)?,
            peers: Peers::new(&self.peers),
            grant,
        })
    }
}

impl ImportConfig {
    fn check(self) -> Result<ImportRule, ConfigError> {
        let everything = || vec![String::from("*")];
        Ok(ImportRule {
            service: service("import.service", &self.service)?,
            from: Peers::new(&[self.from.unwrap_or_else(|| String::from("*"))]),
            name: match self.name {
                None | Some(ImportNameConfig::Wanted(true)) => ImportName::Default,
                Some(ImportNameConfig::Wanted(false)) => ImportName::Never,
                Some(ImportNameConfig::Template(text)) => template(text)?,
            },
            grant: Grant {
                see: true,
                talk: false,
                call: members("import.call", &self.call.unwrap_or_else(everything))?,
                broadcast: members(
                    "import.broadcast",
                    &self.broadcast.unwrap_or_else(everything),
                )?,
            },
            cache: self.cache.unwrap_or(true),
        })
    }
}

/// Checks all `[[export]]`.
pub(super) fn exports(tables: Vec<ExportConfig>) -> Result<ExportPolicy, ConfigError> {
    let rules: Result<_, _> = tables.into_iter().map(ExportConfig::check).collect();
    Ok(ExportPolicy { rules: rules? })
}

/// Checks all `[[import]]`.
pub(super) fn imports(tables: Vec<ImportConfig>) -> Result<Vec<ImportRule>, ConfigError> {
    tables.into_iter().map(ImportConfig::check).collect()
}

fn service(key: &'static str, text: &str) -> Result<ServicePattern, ConfigError> {
    ServicePattern::parse(text).map_err(|error| invalid(key, &error))
}

fn members(key: &'static str, texts: &[String]) -> Result<Vec<Members>, ConfigError> {
    let parse = |text: &String| Members::parse(text).map_err(|error| invalid(key, &error));
    texts.iter().map(parse).collect()
}

/// Only that the words in braces are known; the name itself is known when a service comes.
fn template(text: String) -> Result<ImportName, ConfigError> {
    let plain = ["{node}", "{service}", "{tail}"]
        .iter()
        .fold(text.clone(), |text, word| text.replace(word, "x"));
    if plain.is_empty() || plain.contains(['{', '}']) {
        let reason = format!("\"{text}\": only {{node}}, {{service}} and {{tail}} are known");
        return Err(invalid("import.name", &reason));
    }
    Ok(ImportName::Template(text.into()))
}

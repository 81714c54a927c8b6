//! `[[export]]` and `[[import]]`: what of this bus others may use, and what of theirs appears here.
//!
//! Model: exactly the keys of the file, each table made into a rule of [`zocp_policy`].
//! Invariants: SERVICES-1. a table that allows nothing is an error: nobody writes one on purpose. SERVICES-2. what is no
//! rule is an error of the file at its line, not only of the whole.

use std::{
    fmt::{self, Display, Formatter},
    marker::PhantomData,
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{ConfigError, invalid, limits::positive};
use zocp_policy::{
    Descriptors, ExportPolicy, ExportRule, Grant, ImportName, ImportRule, Members, Peers,
    ServicePattern, Venues,
};

/// One `[[export]]`: lets peers use a service of this bus.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// A bus name, one with ".*" behind it for all below it, or "*".
    #[serde(deserialize_with = "service_text")]
    pub service: String,
    /// May know of it, introspect and ping it.
    #[serde(default)]
    pub see: bool,
    /// May call everything and hear every signal.
    #[serde(default)]
    pub talk: bool,
    /// May call these: "interface.member@/path".
    #[serde(default, deserialize_with = "members_texts")]
    pub call: Vec<String>,
    /// May hear these signals: "interface.member@/path".
    #[serde(default, deserialize_with = "members_texts")]
    pub broadcast: Vec<String>,
    /// The service may call these of programs there that called it: "interface.member@/path".
    #[serde(default, deserialize_with = "members_texts")]
    pub call_back: Vec<String>,
    /// Seconds until a call is answered with an error. Default: it waits as long as its caller does.
    pub timeout: Option<f64>,
    /// The kinds of file descriptors that messages may bring: "pipe", "socket", "file". Default: none.
    #[serde(default)]
    pub descriptors: Vec<DescriptorConfig>,
    /// The names or UUIDs of the peers. Default: every peer.
    #[serde(default, deserialize_with = "peers_texts")]
    pub peers: Vec<String>,
    /// The venues of the peers; "*": every venue. Default: the own one alone.
    #[serde(default)]
    pub venues: Option<Vec<String>>,
    /// What peers ask is recorded. Only a program on the bus may want that, so it is no key of the file.
    #[serde(skip)]
    pub learn: bool,
}

/// One `[[import]]`: how services of peers appear on this bus. The first that fits decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// A bus name, one with ".*" behind it for all below it, or "*".
    #[serde(deserialize_with = "service_text")]
    pub service: String,
    /// The name or UUID of the peer. Default: "*", every peer.
    #[serde(default, deserialize_with = "some_peer_text")]
    pub from: Option<String>,
    /// The venues of the peer. Default: every venue.
    #[serde(default)]
    pub venues: Option<Vec<String>>,
    /// The name here, with "{node}", "{service}" and "{tail}" (what "*" matched), or false: not at
    /// all. Default: the customary name.
    pub name: Option<ImportNameConfig>,
    /// What programs here may call. Default: everything.
    #[serde(default, deserialize_with = "some_members_texts")]
    pub call: Option<Vec<String>>,
    /// The signals that are let in. Default: all.
    #[serde(default, deserialize_with = "some_members_texts")]
    pub broadcast: Option<Vec<String>>,
    /// What the service may call of programs here that called it. Default: nothing.
    #[serde(default, deserialize_with = "members_texts")]
    pub call_back: Vec<String>,
    /// Whether properties that announce their changes are answered from memory. Default: true.
    pub cache: Option<bool>,
    /// Seconds until a call is answered with an error. Default: it waits as long as its caller does.
    pub timeout: Option<f64>,
    /// The kinds of file descriptors that messages may bring: "pipe", "socket", "file". Default: none.
    #[serde(default)]
    pub descriptors: Vec<DescriptorConfig>,
    /// Whether a service that does not run, and that a call would start, has its name here. Default: unless it is a
    /// player.
    pub activate: Option<bool>,
    /// What the Identity of a player is here, with "{identity}" (what it is there), "{node}", "{service}" and
    /// "{tail}". Default: what it is there.
    pub identity: Option<String>,
    /// Whether pictures that messages name are copied to the other machine: cover art of players, icons of
    /// notifications. Default: for these two, yes.
    pub files: Option<bool>,
}

/// A kind of file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DescriptorConfig {
    /// Ends of pipes and FIFOs.
    Pipe,
    /// Connected sockets.
    Socket,
    /// Files that were opened for reading.
    File,
}

impl DescriptorConfig {
    const fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::File => "file",
        }
    }
}

fn descriptors(kinds: &[DescriptorConfig]) -> Descriptors {
    Descriptors {
        pipe: kinds.contains(&DescriptorConfig::Pipe),
        socket: kinds.contains(&DescriptorConfig::Socket),
        file: kinds.contains(&DescriptorConfig::File),
    }
}

fn write_descriptors(f: &mut Formatter<'_>, kinds: &[DescriptorConfig]) -> fmt::Result {
    if kinds.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    write!(f, ", descriptors = {names:?}")
}

/// On one line, as it would be written in the file.
impl Display for ExportConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[[export]] service = {:?}", self.service)?;
        for (key, is_said) in [("see", self.see), ("talk", self.talk)] {
            if is_said {
                write!(f, ", {key} = true")?;
            }
        }
        for (key, texts) in [
            ("call", &self.call),
            ("broadcast", &self.broadcast),
            ("call_back", &self.call_back),
            ("peers", &self.peers),
        ] {
            if !texts.is_empty() {
                write!(f, ", {key} = {texts:?}")?;
            }
        }
        if let Some(venues) = &self.venues {
            write!(f, ", venues = {venues:?}")?;
        }
        write_descriptors(f, &self.descriptors)?;
        match self.timeout {
            Some(timeout) => write!(f, ", timeout = {timeout}"),
            None => Ok(()),
        }
    }
}

/// On one line, as it would be written in the file.
impl Display for ImportConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[[import]] service = {:?}", self.service)?;
        if let Some(from) = &self.from {
            write!(f, ", from = {from:?}")?;
        }
        if let Some(venues) = &self.venues {
            write!(f, ", venues = {venues:?}")?;
        }
        match &self.name {
            None => {}
            Some(ImportNameConfig::Wanted(is_wanted)) => write!(f, ", name = {is_wanted}")?,
            Some(ImportNameConfig::Template(text)) => write!(f, ", name = {text:?}")?,
        }
        for (key, texts) in [("call", &self.call), ("broadcast", &self.broadcast)] {
            if let Some(texts) = texts {
                write!(f, ", {key} = {texts:?}")?;
            }
        }
        if !self.call_back.is_empty() {
            write!(f, ", call_back = {:?}", self.call_back)?;
        }
        for (key, is_said) in [
            ("cache", self.cache),
            ("activate", self.activate),
            ("files", self.files),
        ] {
            if let Some(is_said) = is_said {
                write!(f, ", {key} = {is_said}")?;
            }
        }
        if let Some(identity) = &self.identity {
            write!(f, ", identity = {identity:?}")?;
        }
        write_descriptors(f, &self.descriptors)?;
        match self.timeout {
            Some(timeout) => write!(f, ", timeout = {timeout}"),
            None => Ok(()),
        }
    }
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

    /// The rule that it says, in the venue `own`.
    ///
    /// # Errors
    /// It allows nothing, or names what cannot exist.
    pub fn check(self, own: Option<&str>) -> Result<ExportRule, ConfigError> {
        let grant = Grant {
            see: self.see,
            talk: self.talk,
            call: members("export.call", &self.call)?,
            broadcast: members("export.broadcast", &self.broadcast)?,
            call_back: members("export.call_back", &self.call_back)?,
            learn: self.learn,
            timeout: timeout("export.timeout", self.timeout)?,
            descriptors: descriptors(&self.descriptors),
        };
        if !grant.may_see() && !grant.learn {
            let reason = format!(
                "\"{}\" allows nothing: say talk = true, see = true, call or broadcast",
                self.service
            );
            return Err(invalid("export", &reason));
        }
        Ok(ExportRule {
            service: service("export.service", &self.service)?,
            peers: peers("export.peers", &self.peers)?.within(match &self.venues {
                Some(names) => Venues::named(names, own),
                None => Venues::Own,
            }),
            grant,
        })
    }
}

impl ImportConfig {
    fn check(self, own: Option<&str>) -> Result<ImportRule, ConfigError> {
        let everything = || vec![String::from("*")];
        Ok(ImportRule {
            service: service("import.service", &self.service)?,
            from: peers(
                "import.from",
                &[self.from.unwrap_or_else(|| String::from("*"))],
            )?
            .within(match &self.venues {
                Some(names) => Venues::named(names, own),
                None => Venues::Every,
            }),
            name: match self.name {
                None | Some(ImportNameConfig::Wanted(true)) => ImportName::Default,
                Some(ImportNameConfig::Wanted(false)) => ImportName::Never,
                Some(ImportNameConfig::Template(text)) => template(text)?,
            },
            grant: Grant {
                see: true,
                talk: false,
                learn: false,
                call: members("import.call", &self.call.unwrap_or_else(everything))?,
                broadcast: members(
                    "import.broadcast",
                    &self.broadcast.unwrap_or_else(everything),
                )?,
                call_back: members("import.call_back", &self.call_back)?,
                timeout: timeout("import.timeout", self.timeout)?,
                descriptors: descriptors(&self.descriptors),
            },
            cache: self.cache.unwrap_or(true),
            activate: self.activate,
            identity: self.identity.map(identity).transpose()?,
            files: self.files,
        })
    }
}

/// Checks all `[[export]]`.
pub(super) fn exports(
    tables: Vec<ExportConfig>,
    own: Option<&str>,
) -> Result<ExportPolicy, ConfigError> {
    let rules: Result<_, _> = tables.into_iter().map(|table| table.check(own)).collect();
    Ok(ExportPolicy { rules: rules? })
}

/// Checks all `[[import]]`.
pub(super) fn imports(
    tables: Vec<ImportConfig>,
    own: Option<&str>,
) -> Result<Vec<ImportRule>, ConfigError> {
    tables.into_iter().map(|table| table.check(own)).collect()
}

fn service(key: &'static str, text: &str) -> Result<ServicePattern, ConfigError> {
    ServicePattern::parse(text).map_err(|error| invalid(key, &error))
}

fn timeout(key: &'static str, seconds: Option<f64>) -> Result<Option<Duration>, ConfigError> {
    seconds.map(|seconds| positive(key, seconds)).transpose()
}

fn peers(key: &'static str, texts: &[String]) -> Result<Peers, ConfigError> {
    Peers::new(texts).map_err(|error| invalid(key, &error))
}

fn members(key: &'static str, texts: &[String]) -> Result<Vec<Members>, ConfigError> {
    let parse = |text: &String| Members::parse(text).map_err(|error| invalid(key, &error));
    texts.iter().map(parse).collect()
}

/// Only that the words in braces are known; the name itself is known when a service comes.
fn template(text: String) -> Result<ImportName, ConfigError> {
    if !is_template(&text, &["{node}", "{venue}", "{service}", "{tail}"]) {
        let reason =
            format!("\"{text}\": only {{node}}, {{venue}}, {{service}} and {{tail}} are known");
        return Err(invalid("import.name", &reason));
    }
    Ok(ImportName::Template(text.into()))
}

fn identity(text: String) -> Result<Box<str>, ConfigError> {
    if !is_template(&text, &["{identity}", "{node}", "{service}", "{tail}"]) {
        let reason =
            format!("\"{text}\": only {{identity}}, {{node}}, {{service}} and {{tail}} are known");
        return Err(invalid("import.identity", &reason));
    }
    Ok(text.into())
}

/// Whether a text has no braces but around these words.
fn is_template(text: &str, words: &[&str]) -> bool {
    let plain = words
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(word, "x"));
    !plain.is_empty() && !plain.contains(['{', '}'])
}

/// Every `[[export]]` of a file, each an error at its own line (SERVICES-2).
pub(super) fn export_tables<'de, D>(tables: D) -> Result<Vec<ExportConfig>, D::Error>
where
    D: Deserializer<'de>,
{
    tables.deserialize_seq(Tables("[[export]]", PhantomData))
}

/// Every `[[import]]` of a file, each an error at its own line (SERVICES-2).
pub(super) fn import_tables<'de, D>(tables: D) -> Result<Vec<ImportConfig>, D::Error>
where
    D: Deserializer<'de>,
{
    tables.deserialize_seq(Tables("[[import]]", PhantomData))
}

/// Reads tables of which there may be several, by what begins each.
struct Tables<T>(&'static str, PhantomData<T>);

impl<'de, T> Visitor<'de> for Tables<T>
where
    Meant<T>: Deserialize<'de>,
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "a list of tables: write {}, with two brackets", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Meant(table)) = tables.next_element()? {
            read.push(table);
        }
        Ok(read)
    }
}

/// A table that is a rule.
struct Meant<T>(T);

impl<'de> Deserialize<'de> for Meant<ExportConfig> {
    fn deserialize<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        let table = ExportConfig::deserialize(table)?;
        table.clone().check(None).map_err(D::Error::custom)?;
        Ok(Self(table))
    }
}

impl<'de> Deserialize<'de> for Meant<ImportConfig> {
    fn deserialize<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        let table = ImportConfig::deserialize(table)?;
        table.clone().check(None).map_err(D::Error::custom)?;
        Ok(Self(table))
    }
}

fn service_text<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    let text = String::deserialize(text)?;
    ServicePattern::parse(&text).map_err(D::Error::custom)?;
    Ok(text)
}

fn members_texts<'de, D: Deserializer<'de>>(texts: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(texts)?;
    for text in &texts {
        Members::parse(text).map_err(D::Error::custom)?;
    }
    Ok(texts)
}

fn peers_texts<'de, D: Deserializer<'de>>(texts: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(texts)?;
    Peers::new(&texts).map_err(D::Error::custom)?;
    Ok(texts)
}

fn some_peer_text<'de, D: Deserializer<'de>>(text: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(text)?;
    Peers::new(text.as_slice()).map_err(D::Error::custom)?;
    Ok(text)
}

fn some_members_texts<'de, D: Deserializer<'de>>(
    texts: D,
) -> Result<Option<Vec<String>>, D::Error> {
    members_texts(texts).map(Some)
}

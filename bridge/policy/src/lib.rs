//! Policies: who may see a service, call its methods and receive its signals. The rules are like those of
//! xdg-dbus-proxy; without a rule, access is denied.
//!
//! Model: a [`ServicePattern`] selects services, a [`Members`] rule selects members of them. A [`Grant`] is what one
//! peer may do with one service: the union of all rules that match both.
//! Invariants: POLICY-1. What no rule allows is denied. POLICY-2. A peer that has any access to a service may see it,
//! introspect it and ping it, also without naming the interface. POLICY-3. A call without an interface is allowed if
//! it matches exactly one allowed method, and is forwarded with the interface of that method, so it can never reach a
//! method that is not allowed. POLICY-4. The members of `org.freedesktop.DBus.Properties` are treated like all others.
//! Limits: none; a message costs one text comparison for each rule.
//! Not here: enforcement (`zocp_relay::export` for messages from a peer, `zocp_relay::import` for messages to a peer).
//! Spec: docs/reference/protocol.md §7.6; xdg-dbus-proxy(1)

mod peers;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use self::peers::{Peers, Venues, Who};

/// Selects services: a bus name, a name and all names below it (`org.example.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePattern {
    /// The name, or the beginning of all names; empty for all.
    stem: Arc<str>,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Exact,
    Below,
    All,
}

impl ServicePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The text is neither a bus name, nor a bus name followed by `.*`, nor `*`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (stem, reach) = match text.strip_suffix(".*") {
            _ if text == "*" => ("", Reach::All),
            Some(stem) => (stem, Reach::Below),
            None => (text, Reach::Exact),
        };
        let is_stem = match reach {
            Reach::All => true,
            Reach::Below => is_name(stem),
            Reach::Exact => is_name(stem) && stem.contains('.'),
        };
        if !is_stem {
            return Err(RuleError::Service(text.to_owned()));
        }
        Ok(Self {
            stem: stem.into(),
            reach,
        })
    }

    /// Whether a service matches. Unique names never match.
    #[must_use]
    pub fn matches(&self, service: &str) -> bool {
        self.tail(service).is_some()
    }

    /// The part of the name that matches `*`, which may be empty. `None` if the service does not match.
    #[must_use]
    pub fn tail<'s>(&self, service: &'s str) -> Option<&'s str> {
        if service.starts_with(':') {
            return None;
        }
        if self.reach == Reach::All {
            return Some(service);
        }
        let rest = service.strip_prefix(&*self.stem)?;
        match self.reach {
            _ if rest.is_empty() => Some(rest),
            Reach::Below => rest.strip_prefix('.'),
            _ => None,
        }
    }

    /// Whether it can match only one service.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.reach == Reach::Exact
    }

    /// The text of the pattern.
    #[must_use]
    pub fn text(&self) -> String {
        match self.reach {
            Reach::All => "*".to_owned(),
            Reach::Below => format!("{}.*", self.stem),
            Reach::Exact => self.stem.to_string(),
        }
    }
}

/// Selects members of the objects of a service, `[METHOD][@PATH]`: METHOD is `interface.member`, a whole interface
/// as `interface.*`, or `*`; PATH is an object path, or a path followed by `/*` for the object and all objects below
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    interface: Option<Box<str>>,
    member: Option<Box<str>>,
    path: Option<(Box<str>, Depth)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Here,
    AndBelow,
}

impl Members {
    /// Parses a rule.
    ///
    /// # Errors
    /// The text contains an invalid interface, member or path.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Members(text.to_owned());
        let (method, path) = match text.split_once('@') {
            Some((method, path)) => (method, Some(path)),
            None => (text, None),
        };
        let (interface, member) = match method {
            "" | "*" => (None, None),
            method => match method.rsplit_once('.').ok_or_else(wrong)? {
                (interface, "*") => (Some(interface), None),
                (interface, member) => (Some(interface), Some(member)),
            },
        };
        let is_interface = interface.is_none_or(|name| name.contains('.') && is_name(name));
        if !is_interface || !member.is_none_or(is_element) {
            return Err(wrong());
        }
        Ok(Self {
            interface: interface.map(Box::from),
            member: member.map(Box::from),
            path: path.map(parse_path).transpose().map_err(|()| wrong())?,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let member = self.member.as_deref().unwrap_or("*");
        let method = match &self.interface {
            Some(interface) => format!("{interface}.{member}"),
            None => "*".to_owned(),
        };
        match &self.path {
            None => method,
            Some((path, Depth::Here)) => format!("{method}@{path}"),
            Some((path, Depth::AndBelow)) => format!("{method}@{path}/*"),
        }
    }

    /// The rule `*`.
    #[must_use]
    pub fn any() -> Self {
        Self {
            interface: None,
            member: None,
            path: None,
        }
    }

    fn matches(&self, member: &Member<'_>) -> bool {
        let path = self.path.as_ref().is_none_or(|(stem, depth)| {
            let rest = member.path.strip_prefix(&**stem);
            rest.is_some_and(|rest| {
                rest.is_empty() || (*depth == Depth::AndBelow && rest.starts_with('/'))
            })
        });
        let names = |wanted: &Option<Box<str>>, is: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| is == Some(&**wanted))
        };
        path && names(&self.interface, member.interface) && names(&self.member, Some(member.member))
    }
}

/// The member of an object that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The object.
    pub path: &'a str,
    /// The interface, which calls may omit.
    pub interface: Option<&'a str>,
    /// The method or signal.
    pub member: &'a str,
}

impl<'a> Member<'a> {
    /// The member in the header of a call or a signal. A missing field is empty.
    #[must_use]
    pub fn of(header: &'a zbus::message::Header<'_>) -> Self {
        Self {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        }
    }
}

impl Member<'_> {
    /// Whether it is a call that every peer that may see the service may make (POLICY-2).
    #[must_use]
    pub fn is_seeing(&self) -> bool {
        match self.interface {
            Some(INTROSPECTABLE) => self.member == "Introspect",
            Some(PEER) => true,
            _ => false,
        }
    }

    /// The standard interface of a call without an interface that every peer that may see the service may make
    /// (POLICY-2).
    fn seen_by(&self) -> Option<&'static str> {
        match self.member {
            "Introspect" => Some(INTROSPECTABLE),
            "Ping" | "GetMachineId" => Some(PEER),
            _ => None,
        }
    }

    /// The narrowest rule that matches it. Without an interface the rule matches every interface.
    #[must_use]
    pub fn rule(&self) -> String {
        match self.interface {
            Some(interface) => format!("{interface}.{}@{}", self.member, self.path),
            None => format!("*@{}", self.path),
        }
    }
}

/// What one peer may do with one service, or what one rule allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// May see, introspect and ping it.
    pub see: bool,
    /// May call all methods, receive all signals, and be called back.
    pub talk: bool,
    /// May call these methods.
    pub call: Vec<Members>,
    /// May receive these signals.
    pub broadcast: Vec<Members>,
    /// The service may call these methods of its callers, on the other bus.
    pub call_back: Vec<Members>,
    /// Records all calls, allowed or not; allows nothing by itself.
    pub learn: bool,
    /// How long a call waits for its reply; `None`: as long as its caller waits.
    pub timeout: Option<Duration>,
    /// The kinds of file descriptors that messages may bring, in both directions.
    pub descriptors: Descriptors,
}

/// Kinds of file descriptors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// Ends of pipes and FIFOs.
    pub pipe: bool,
    /// Connected sockets.
    pub socket: bool,
    /// Regular files that were opened for reading, and sealed memory; they are copied.
    pub file: bool,
}

impl Descriptors {
    /// The kinds, as they are written.
    #[must_use]
    pub fn texts(self) -> Vec<&'static str> {
        let kinds = [
            (self.pipe, "pipe"),
            (self.socket, "socket"),
            (self.file, "file"),
        ];
        let kinds = kinds.into_iter().filter(|(is_in, _)| *is_in);
        kinds.map(|(_, kind)| kind).collect()
    }
}

impl Grant {
    /// The grant of `talk = true`.
    #[must_use]
    pub fn all() -> Self {
        Self {
            see: true,
            talk: true,
            ..Self::default()
        }
    }

    /// The grant of an import without a rule: everything except calling back. A program that calls a service of
    /// another machine does not expect that this machine may call it.
    #[must_use]
    pub fn of_import() -> Self {
        Self {
            see: true,
            call: vec![Members::any()],
            broadcast: vec![Members::any()],
            ..Self::default()
        }
    }

    /// Whether the service may be seen (POLICY-2).
    #[must_use]
    pub fn may_see(&self) -> bool {
        self.see || self.talk || !self.call.is_empty() || !self.broadcast.is_empty()
    }

    /// Whether a method may be called.
    #[must_use]
    pub fn may_call(&self, method: &Member<'_>) -> bool {
        self.talk
            || (method.is_seeing() && self.may_see())
            || self.call.iter().any(|rule| rule.matches(method))
    }

    /// Decides whether and how a call is forwarded; `knows` returns whether an interface of the object has the
    /// method, if that is known.
    #[must_use]
    pub fn passage(&self, method: &Member<'_>, knows: impl Fn(&str) -> Option<bool>) -> Passage {
        if self.may_call(method) {
            return Passage::AsItIs;
        }
        let seen = method.seen_by().filter(|_| self.may_see());
        Passage::of(method, &self.call, seen, knows)
    }

    /// Decides whether and how a call of the service to one of its callers is forwarded.
    #[must_use]
    pub fn passage_back(&self, method: &Member<'_>) -> Passage {
        if self.talk || self.call_back.iter().any(|rule| rule.matches(method)) {
            return Passage::AsItIs;
        }
        Passage::of(method, &self.call_back, None, |_| None)
    }

    /// Whether a signal may be received.
    #[must_use]
    pub fn may_hear(&self, signal: &Member<'_>) -> bool {
        self.talk || self.broadcast.iter().any(|rule| rule.matches(signal))
    }

    /// Whether all signals may be received, so that the receiver knows every change.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        self.talk
            || self.broadcast.iter().any(|rule| {
                rule.interface.is_none() && rule.member.is_none() && rule.path.is_none()
            })
    }

    /// Whether values from signals may be cached and used for replies. Not while calls are recorded, because then
    /// each call must reach the exporter.
    #[must_use]
    pub fn may_remember(&self) -> bool {
        !self.learn && self.hears_all()
    }

    fn add(&mut self, other: &Self) {
        self.see |= other.see;
        self.talk |= other.talk;
        self.learn |= other.learn;
        // The shortest one: each rule is an upper limit.
        self.timeout = [self.timeout, other.timeout].into_iter().flatten().min();
        self.call.extend_from_slice(&other.call);
        self.broadcast.extend_from_slice(&other.broadcast);
        self.call_back.extend_from_slice(&other.call_back);
        self.descriptors.pipe |= other.descriptors.pipe;
        self.descriptors.socket |= other.descriptors.socket;
        self.descriptors.file |= other.descriptors.file;
    }
}

/// How a call is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It is not forwarded.
    Denied,
    /// Unchanged.
    AsItIs,
    /// With this interface, because the call has none (POLICY-3).
    With(Box<str>),
}

impl Passage {
    /// Decides about a call that no rule allows unchanged.
    fn of(
        method: &Member<'_>,
        rules: &[Members],
        seen: Option<&str>,
        knows: impl Fn(&str) -> Option<bool>,
    ) -> Self {
        if method.interface.is_some() {
            return Self::Denied;
        }
        let mut meant: Vec<(&str, bool)> = seen.map(|seen| (seen, true)).into_iter().collect();
        for rule in rules {
            let Some(interface) = rule.interface.as_deref() else {
                continue;
            };
            let named = Member {
                interface: Some(interface),
                ..*method
            };
            let is_one = rule.matches(&named) && has_standard(interface, method.member);
            if is_one && !meant.iter().any(|(other, _)| *other == interface) {
                meant.push((interface, rule.member.is_some()));
            }
        }
        // Prefers the interfaces that the object is known to have, then those that a rule names with the method,
        // then all.
        let is_known = meant.iter().any(|(one, _)| knows(one).is_some());
        let names_it = meant.iter().any(|(_, is_named)| *is_named);
        meant.retain(|(one, is_named)| match (is_known, names_it) {
            (true, _) => knows(one) == Some(true),
            (false, true) => *is_named,
            (false, false) => true,
        });
        match meant[..] {
            [(interface, _)] => Self::With(interface.into()),
            _ => Self::Denied,
        }
    }

    /// Whether the call is forwarded.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        *self != Self::Denied
    }

    /// The interface to add to the call.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::With(interface) => Some(interface),
            _ => None,
        }
    }
}

/// Whether an interface has a method; `true` for interfaces that are not standard.
fn has_standard(interface: &str, method: &str) -> bool {
    match interface {
        INTROSPECTABLE => method == "Introspect",
        PEER => ["Ping", "GetMachineId"].contains(&method),
        "org.freedesktop.DBus.Properties" => ["Get", "GetAll", "Set"].contains(&method),
        "org.freedesktop.DBus.ObjectManager" => method == "GetManagedObjects",
        _ => true,
    }
}

/// One `[[export]]` rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// The services.
    pub service: ServicePattern,
    /// The peers that it applies to.
    pub peers: Peers,
    /// What it allows.
    pub grant: Grant,
}

impl ExportRule {
    /// Whether it applies to a service. A service that only mirrors others (`MIRRORS`) matches its exact name but no
    /// pattern, because otherwise it would appear twice, together with the service that it mirrors.
    #[must_use]
    pub fn names(&self, service: &str) -> bool {
        self.service.matches(service) && (self.service.is_exact() || !MIRRORS.contains(&service))
    }
}

/// The rules of the exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportPolicy {
    /// The rules; their order does not matter, because grants are united.
    pub rules: Vec<ExportRule>,
}

impl ExportPolicy {
    /// Whether a service is exported to any peer.
    #[must_use]
    pub fn offers(&self, service: &str) -> bool {
        self.rules.iter().any(|rule| rule.names(service))
    }

    /// What every peer may do with a service.
    #[must_use]
    pub fn public_grant(&self, service: &str) -> Grant {
        let mut grant = Grant::default();
        for rule in &self.rules {
            if rule.service.matches(service) && rule.peers.is_everybody() {
                grant.add(&rule.grant);
            }
        }
        grant
    }

    /// What a peer may do with a service.
    #[must_use]
    pub fn grant(&self, service: &str, peer: Who<'_>) -> Grant {
        let mut grant = Grant::default();
        for rule in &self.rules {
            if rule.names(service) && rule.peers.matches(peer) {
                grant.add(&rule.grant);
            }
        }
        grant
    }

    /// The first rule that applies to a service, also for other peers: the place to look for the reason of a
    /// rejection.
    #[must_use]
    pub fn about(&self, service: &str) -> Option<&ExportRule> {
        self.rules.iter().find(|rule| rule.names(service))
    }
}

/// One `[[import]]` rule; the first that matches service and peer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// The services.
    pub service: ServicePattern,
    /// The peers that offer them.
    pub from: Peers,
    /// The bus name.
    pub name: ImportName,
    /// What local programs may do with it.
    pub grant: Grant,
    /// Whether properties are answered from a cache where that is correct.
    pub cache: bool,
    /// Whether a service that is not running but can be activated is shown; `None`: unless it is a media player.
    pub activate: Option<bool>,
    /// The value that replaces the `Identity` of a media player.
    pub identity: Option<Box<str>>,
    /// Whether files that messages name are copied; `None`: those of media players and notifications.
    pub files: Option<bool>,
}

/// The bus name of the service that shows notifications.
pub const NOTIFICATIONS: &str = "org.freedesktop.Notifications";
/// The prefix of the bus names of media players.
pub const PLAYERS: &str = "org.mpris.MediaPlayer2.";

impl ImportRule {
    /// Whether a service that is not running but can be activated is shown. The default for media players is no:
    /// programs that list players treat every such name as a running player, and would start it by reading its
    /// properties.
    #[must_use]
    pub fn activates(rule: Option<&Self>, service: &str) -> bool {
        let said = rule.and_then(|rule| rule.activate);
        said.unwrap_or_else(|| !service.starts_with(PLAYERS))
    }

    /// Whether files that messages of a service name are copied, as far as its interface is known to name files.
    #[must_use]
    pub fn copies_files(rule: Option<&Self>, service: &str) -> bool {
        let said = rule.and_then(|rule| rule.files);
        said.unwrap_or_else(|| service.starts_with(PLAYERS) || service == NOTIFICATIONS)
    }
}

/// The bus name of an imported service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// The default name.
    Default,
    /// No name: the service is not imported.
    Never,
    /// With `{node}`, `{service}` and `{tail}` replaced.
    Template(Box<str>),
}

/// Why a rule is invalid: the writer's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Neither a bus name nor a pattern.
    #[error("\"{0}\" is neither a bus name, nor a bus name followed by \".*\", nor \"*\"")]
    Service(String),
    /// Not a rule for members.
    #[error(
        "\"{0}\" is not [interface.member][@/path], where member may be * and the path end in /*"
    )]
    Members(String),
    /// Neither a key nor a fingerprint.
    #[error(
        "\"key:{0}\" names neither a key, 40 characters, nor a fingerprint, five groups of four digits"
    )]
    Key(String),
}

fn parse_path(text: &str) -> Result<(Box<str>, Depth), ()> {
    let (stem, depth) = match text.strip_suffix("/*") {
        Some(stem) => (stem, Depth::AndBelow),
        None => (text, Depth::Here),
    };
    // "/*" matches all paths: its stem is empty, and every path begins with "/".
    let is_path = (stem.is_empty() && depth == Depth::AndBelow)
        || stem == "/"
        || (stem.starts_with('/') && stem[1..].split('/').all(is_path_element));
    is_path.then(|| (stem.into(), depth)).ok_or(())
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX && text.split('.').all(is_element)
}

fn is_element(text: &str) -> bool {
    let is_legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-';
    !text.is_empty()
        && text.bytes().all(is_legal)
        && !text.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

fn is_path_element(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PEER: &str = "org.freedesktop.DBus.Peer";
/// Octets of a bus name.
const NAME_LEN_MAX: usize = 255;
/// Services that present other services of the same bus under one name.
const MIRRORS: [&str; 1] = ["org.mpris.MediaPlayer2.playerctld"];

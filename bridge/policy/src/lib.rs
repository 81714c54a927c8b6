//! Who may see, call and hear what: rules in xdg-dbus-proxy's words, denied by default.
//!
//! Model: a [`ServicePattern`] says which services, a [`Members`] rule which members of them, a
//! [`Grant`] is what one peer may do with one service: the union of all rules that name both.
//! Invariants: POLICY-1. what no rule allows is denied. POLICY-2. whoever may do anything with a service may see
//! it, introspect it and ping it, also without naming the interface. POLICY-3. a call without an interface is allowed
//! when there is no doubt which allowed method it means, and goes on with that interface: so it never calls a
//! method of one that is not allowed. POLICY-4. `org.freedesktop.DBus.Properties` are members like any other.
//! Limits: none here; a rule costs one comparison of text for each message that it is asked about.
//! Not here: asking (`zocp_relay::export` for what comes from a peer, `zocp_relay::import` for what goes to it).
//! Spec: docs/reference/protocol.md §7.6; xdg-dbus-proxy(1)

mod peers;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use self::peers::{Peers, Who};

/// Which services: a bus name, a name and all below it (`org.example.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePattern {
    /// The name, or what all names begin with; empty for all.
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
    /// Reads a pattern.
    ///
    /// # Errors
    /// The writer's: it is neither a bus name nor one with `.*` behind it, nor `*`.
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

    /// Whether a service is meant. Unique names never are.
    #[must_use]
    pub fn matches(&self, service: &str) -> bool {
        self.tail(service).is_some()
    }

    /// What `*` stands for in a service's name: empty where it stands for nothing. `None` where the
    /// service is not meant.
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

    /// Whether it names one service and no other.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.reach == Reach::Exact
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> String {
        match self.reach {
            Reach::All => "*".to_owned(),
            Reach::Below => format!("{}.*", self.stem),
            Reach::Exact => self.stem.to_string(),
        }
    }
}

/// Which members of a service's objects, `[METHOD][@PATH]`: the method `interface.member`, a whole
/// interface as `interface.*`, or `*`; the path an object's, or with `/*` behind it also those of all
/// below it.
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
    /// Reads a rule.
    ///
    /// # Errors
    /// The writer's: it names no interface, member or path that can exist.
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

    /// What `*` says.
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

/// A member of an object, as a message names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The object.
    pub path: &'a str,
    /// The interface; calls may leave it out.
    pub interface: Option<&'a str>,
    /// The method or signal.
    pub member: &'a str,
}

impl<'a> Member<'a> {
    /// The member that the header of a call or a signal names. What it leaves out is empty.
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
    /// Whether it is a call that whoever may see a service may make (POLICY-2).
    #[must_use]
    pub fn is_seeing(&self) -> bool {
        match self.interface {
            Some(INTROSPECTABLE) => self.member == "Introspect",
            Some(PEER) => true,
            _ => false,
        }
    }

    /// The standard interface that whoever may see a service may call it with, if it says none (POLICY-2).
    fn seen_by(&self) -> Option<&'static str> {
        match self.member {
            "Introspect" => Some(INTROSPECTABLE),
            "Ping" | "GetMachineId" => Some(PEER),
            _ => None,
        }
    }

    /// The narrowest rule that names it. One without an interface may be of any.
    #[must_use]
    pub fn rule(&self) -> String {
        match self.interface {
            Some(interface) => format!("{interface}.{}@{}", self.member, self.path),
            None => format!("*@{}", self.path),
        }
    }
}

/// What one peer may do with one service, or what a rule lets it do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// May know of it, introspect and ping it.
    pub see: bool,
    /// May call everything and hear everything, and be called back.
    pub talk: bool,
    /// May call these.
    pub call: Vec<Members>,
    /// May hear these signals.
    pub broadcast: Vec<Members>,
    /// The service may call these of those that called it, on the other bus.
    pub call_back: Vec<Members>,
    /// What is asked is recorded, allowed or not; allows nothing by itself.
    pub learn: bool,
    /// How long a call waits for its answer; without it as long as its caller does.
    pub timeout: Option<Duration>,
}

impl Grant {
    /// What `talk = true` says.
    #[must_use]
    pub fn all() -> Self {
        Self {
            see: true,
            talk: true,
            ..Self::default()
        }
    }

    /// What holds for an import of which no rule says anything: everything, but it calls nobody back.
    /// Whoever calls a service of another machine did not mean to open itself to that machine.
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

    /// How a call goes on; `knows` tells whether an interface of the object has the method, where that is known.
    #[must_use]
    pub fn passage(&self, method: &Member<'_>, knows: impl Fn(&str) -> Option<bool>) -> Passage {
        if self.may_call(method) {
            return Passage::AsItIs;
        }
        let seen = method.seen_by().filter(|_| self.may_see());
        Passage::of(method, &self.call, seen, knows)
    }

    /// How a call of the service to who called it goes on.
    #[must_use]
    pub fn passage_back(&self, method: &Member<'_>) -> Passage {
        if self.talk || self.call_back.iter().any(|rule| rule.matches(method)) {
            return Passage::AsItIs;
        }
        Passage::of(method, &self.call_back, None, |_| None)
    }

    /// Whether a signal may be heard.
    #[must_use]
    pub fn may_hear(&self, signal: &Member<'_>) -> bool {
        self.talk || self.broadcast.iter().any(|rule| rule.matches(signal))
    }

    /// Whether every signal may be heard, so that who hears them knows all.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        self.talk
            || self.broadcast.iter().any(|rule| {
                rule.interface.is_none() && rule.member.is_none() && rule.path.is_none()
            })
    }

    /// Whether who hears the signals may answer from memory what they tell of. Not while what is asked
    /// is recorded: it has to arrive to be.
    #[must_use]
    pub fn may_remember(&self) -> bool {
        !self.learn && self.hears_all()
    }

    fn add(&mut self, other: &Self) {
        self.see |= other.see;
        self.talk |= other.talk;
        self.learn |= other.learn;
        // Of several the shortest: each rule says how long it may be at most.
        self.timeout = [self.timeout, other.timeout].into_iter().flatten().min();
        self.call.extend_from_slice(&other.call);
        self.broadcast.extend_from_slice(&other.broadcast);
        self.call_back.extend_from_slice(&other.call_back);
    }
}

/// How a call goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// Not at all.
    Denied,
    /// As it was made.
    AsItIs,
    /// With this interface, since it has none (POLICY-3).
    With(Box<str>),
}

impl Passage {
    /// Of a call that no rule allows as it is.
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
        // What the object is known to have; else what a rule names with the method; else all.
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

    /// Whether it goes on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        *self != Self::Denied
    }

    /// The interface that it goes on with, where it has none.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::With(interface) => Some(interface),
            _ => None,
        }
    }
}

/// Whether an interface, if it is a standard one, has a method.
fn has_standard(interface: &str, method: &str) -> bool {
    match interface {
        INTROSPECTABLE => method == "Introspect",
        PEER => ["Ping", "GetMachineId"].contains(&method),
        "org.freedesktop.DBus.Properties" => ["Get", "GetAll", "Set"].contains(&method),
        "org.freedesktop.DBus.ObjectManager" => method == "GetManagedObjects",
        _ => true,
    }
}

/// One `[[export]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRule {
    /// Of which services.
    pub service: ServicePattern,
    /// To whom.
    pub peers: Peers,
    /// What.
    pub grant: Grant,
}

impl ExportRule {
    /// Whether it is about a service. One that only mirrors others (`MIRRORS`) is meant by its own
    /// name alone, not by a pattern: with what it mirrors it would be there twice.
    #[must_use]
    pub fn names(&self, service: &str) -> bool {
        self.service.matches(service) && (self.service.is_exact() || !MIRRORS.contains(&service))
    }
}

/// All rules of the exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportPolicy {
    /// Their order does not matter: they add up.
    pub rules: Vec<ExportRule>,
}

impl ExportPolicy {
    /// Whether a service is exported to anybody.
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

    /// The first rule about a service, also one for other peers: whoever looks for the reason of a
    /// refusal begins there.
    #[must_use]
    pub fn about(&self, service: &str) -> Option<&ExportRule> {
        self.rules.iter().find(|rule| rule.names(service))
    }
}

/// One `[[import]]`: the first that names service and peer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// Of which services.
    pub service: ServicePattern,
    /// From whom.
    pub from: Peers,
    /// Under which name.
    pub name: ImportName,
    /// What programs here may do with it.
    pub grant: Grant,
    /// Whether properties are answered from memory where that is right.
    pub cache: bool,
    /// Whether a service that does not run, and can be started, is shown; `None`: unless it is a player.
    pub activate: Option<bool>,
    /// What the `Identity` of a player is here.
    pub identity: Option<Box<str>>,
}

/// What the names of players begin with.
pub const PLAYERS: &str = "org.mpris.MediaPlayer2.";

impl ImportRule {
    /// Whether a service that does not run, and can be started, is shown, as the rule says that is about it. A player
    /// is not if nobody says so: programs that list players take what has such a name for one that runs, and start it
    /// by asking what it plays.
    #[must_use]
    pub fn activates(rule: Option<&Self>, service: &str) -> bool {
        let said = rule.and_then(|rule| rule.activate);
        said.unwrap_or_else(|| !service.starts_with(PLAYERS))
    }
}

/// Under which name a service appears here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportName {
    /// The customary one.
    Default,
    /// Not at all.
    Never,
    /// With `{node}`, `{service}` and `{tail}` replaced.
    Template(Box<str>),
}

/// What is wrong with a rule. The writer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No bus name, and no pattern of them.
    #[error("\"{0}\" is neither a bus name, nor one with \".*\" behind it, nor \"*\"")]
    Service(String),
    /// No member or path.
    #[error(
        "\"{0}\" is not [interface.member][@/path], where member may be * and the path end in /*"
    )]
    Members(String),
    /// No key of a peer.
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
    // "/*" is all: its stem is empty, and every path begins with "/".
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
/// Of every name on a bus.
const NAME_LEN_MAX: usize = 255;
/// Services that show what other services of the same bus are, under one name.
const MIRRORS: [&str; 1] = ["org.mpris.MediaPlayer2.playerctld"];

//! What one peer may do with one service.
//!
//! Model: a [`Grant`] decides about one message; a [`Passage`] tells whether and how a call is forwarded.
//! Invariants: those of `super`.

use std::time::Duration;

use super::member::{INTROSPECTABLE, Member, Members, PEER};

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

    pub(super) fn add(&mut self, other: &Self) {
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

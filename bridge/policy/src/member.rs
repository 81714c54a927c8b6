//! Members of objects, and rules that select them.
//!
//! Model: a [`Member`] is what one message is about; a [`Members`] rule selects members by interface, name and path.

use super::{RuleError, is_element, is_name, is_path_element};

/// Selects members of the objects of a service, `[METHOD][@PATH]`: METHOD is `interface.member`, a whole interface
/// as `interface.*`, or `*`; PATH is an object path, or a path followed by `/*` for the object and all objects below
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    pub(super) interface: Option<Box<str>>,
    pub(super) member: Option<Box<str>>,
    pub(super) path: Option<(Box<str>, Depth)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
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

    pub(super) fn matches(&self, member: &Member<'_>) -> bool {
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
    pub(super) fn seen_by(&self) -> Option<&'static str> {
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

pub(super) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(super) const PEER: &str = "org.freedesktop.DBus.Peer";

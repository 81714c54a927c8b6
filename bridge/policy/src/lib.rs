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
//! Layout: `pattern` services; `member` members of objects; `peers` whom a rule means; `grant` what is allowed; `rules`
//! exports and imports.
//! Not here: enforcement (`zocp_relay::export` for messages from a peer, `zocp_relay::import` for messages to a peer).
//! Spec: docs/reference/protocol.md §7.6; xdg-dbus-proxy(1)

mod grant;
mod member;
mod pattern;
mod peers;
mod rules;
#[cfg(test)]
mod tests;

pub use self::{
    grant::{Descriptors, Grant, Passage},
    member::{Member, Members},
    pattern::ServicePattern,
    peers::{Peers, Venues, Who},
    rules::{ExportPolicy, ExportRule, ImportName, ImportRule, NOTIFICATIONS, PLAYERS},
};

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

/// Octets of a bus name.
const NAME_LEN_MAX: usize = 255;

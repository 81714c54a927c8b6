//! Rules of the policy, beside a plain reading of xdg-dbus-proxy's words.
//!
//! Input: lines: a pattern of services, a rule of members, a service, a path, an interface, a member.
//! Holds: patterns are written as they were read, and name what a bus can have; rules allow what the
//! plain reading allows, and nothing else (P1); who may do anything may look (P2).

use zbus::names::{InterfaceName, MemberName, WellKnownName};
use zocp_policy::{Grant, Member, Members, ServicePattern};

/// Runs the target.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, rule, service) = (line(), line(), line());
    check_pattern(pattern, service);
    let (path, interface, member) = (line(), line(), line());
    let member = Member {
        path,
        interface: Some(interface).filter(|name| !name.is_empty()),
        member,
    };
    // What else would be on a bus?
    let is_interface = interface.is_empty() || InterfaceName::try_from(interface).is_ok();
    if is_interface && path.starts_with('/') && MemberName::try_from(member.member).is_ok() {
        check_rule(rule, &member);
    }
}

fn check_pattern(text: &str, service: &str) {
    let read = ServicePattern::parse(text);
    if text != "*" && !text.ends_with(".*") {
        assert_eq!(
            read.is_ok(),
            WellKnownName::try_from(text).is_ok(),
            "{text}"
        );
    }
    let Ok(pattern) = read else { return };
    assert_eq!(pattern.text(), text);
    let tail = match text.strip_suffix(".*") {
        _ if service.starts_with(':') => None,
        _ if text == "*" => Some(service),
        Some(stem) if service == stem => Some(""),
        Some(stem) => service
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('.')),
        None => (service == text).then_some(""),
    };
    assert_eq!(pattern.tail(service), tail, "{text} {service}");
    assert_eq!(pattern.matches(service), tail.is_some());
}

fn check_rule(text: &str, member: &Member<'_>) {
    let Ok(rule) = Members::parse(text) else {
        return;
    };
    let expected = allows(text, member);
    let call = Grant {
        call: vec![rule.clone()],
        ..Grant::default()
    };
    let broadcast = Grant {
        broadcast: vec![rule],
        ..Grant::default()
    };
    let looks = is_looking(member);
    assert_eq!(
        call.may_call(member),
        expected || looks,
        "{text} {member:?}"
    );
    assert_eq!(broadcast.may_hear(member), expected, "{text} {member:?}");
    assert_eq!(broadcast.may_call(member), looks);
    assert!(!call.may_hear(member));
    assert!(call.may_see() && broadcast.may_see());
    assert!(!Grant::default().may_call(member) && !Grant::default().may_hear(member));
    assert!(!broadcast.hears_all() || broadcast.may_hear(member));
}

fn is_looking(member: &Member<'_>) -> bool {
    match member.interface {
        Some("org.freedesktop.DBus.Introspectable") => member.member == "Introspect",
        Some("org.freedesktop.DBus.Peer") => true,
        _ => false,
    }
}

/// `[METHOD][@PATH]`, read as xdg-dbus-proxy(1) describes it.
fn allows(rule: &str, member: &Member<'_>) -> bool {
    let (method, path) = rule.split_once('@').unwrap_or((rule, "/*"));
    let at = match path.strip_suffix("/*") {
        Some(stem) => {
            let rest = member.path.strip_prefix(stem);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) || path == "/*"
        }
        None => member.path == path,
    };
    let named = match method {
        "" | "*" => true,
        _ => member.interface.is_some_and(|interface| {
            method == format!("{interface}.*") || method == format!("{interface}.{}", member.member)
        }),
    };
    at && named
}

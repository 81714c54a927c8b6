//! The names, rules and limits of a simulation.

use std::time::Duration;

use zocp_policy::{ExportPolicy, ExportRule, Grant, ImportName, ImportRule, Peers, ServicePattern};

use crate::limits::{HEADER_MORE, ServiceLimits};

pub(super) fn policy(number: u8) -> ExportPolicy {
    let rule = |service: &str, peers: &str| ExportRule {
        service: ServicePattern::parse(service).expect("a pattern"),
        peers: Peers::new(&[peers.to_owned()]).expect("peers"),
        grant: Grant::all(),
    };
    let rules = match number % POLICIES {
        0 => vec![rule("org.example.*", "*")],
        1 => vec![rule(SERVICES[0], "*")],
        2 => vec![rule("org.example.*", NAMES[0])],
        _ => Vec::new(),
    };
    ExportPolicy { rules }
}

/// Programs here may be called by what they called.
pub(super) fn import_rules() -> Vec<ImportRule> {
    vec![ImportRule {
        service: ServicePattern::parse("*").expect("a pattern"),
        from: Peers::default(),
        name: ImportName::Template("{service}.{node}".into()),
        grant: Grant::all(),
        cache: false,
        activate: None,
        identity: None,
        files: None,
    }]
}

/// Few, so that they are reached.
pub(super) fn limits() -> ServiceLimits {
    ServiceLimits {
        callers_max: 3,
        caller_calls_max: 4,
        requests_max: 10,
        calls_back_max: 2,
        packet_len_max: HEADER_MORE + TAKEN_LEN,
        answer_max: Some(Duration::from_secs(30)),
        ..ServiceLimits::default()
    }
}

/// Octets of a message that a bus takes, and of one that fits a packet.
pub(super) const TAKEN_LEN: usize = 800;
/// An argument with which a message is longer than that.
pub(super) fn long_text() -> String {
    "x".repeat(TAKEN_LEN)
}

pub(super) const NAMES: [&str; 3] = ["left", "middle", "right"];
pub(super) const SERVICES: [&str; 2] = ["org.example.A", "org.example.B"];
/// The first ones only call; the others are services, too.
pub(super) const PROGRAMS: usize = 4;
pub(super) const FIRST_SERVICE: usize = 2;
/// What a bus can start when it is called, if it is said that it can.
pub(super) const ACTIVATABLE: &str = SERVICES[1];
pub(super) const POLICIES: u8 = 4;

//! The events that watchers get.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use zbus::message::Header;
use zocp_node::{PeerId, plumbing::TraceEvent};

use zocp_dbus::errors::{ErrorKind, Refusal};

/// An event, and when it happened.
#[derive(Debug)]
pub(super) struct Event {
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) what: EventKind,
}

/// The kinds of events.
#[derive(Debug)]
pub(super) enum EventKind {
    /// On the mesh.
    Mesh(TraceEvent),
    /// The bridge answered a call with an error of its own.
    Refused(RefusedCall),
    /// A peer was there before the watcher came.
    Known(PeerId, Arc<str>),
}

/// A call that the bridge itself answered with an error.
#[derive(Debug, Default)]
pub(super) struct RefusedCall {
    pub(super) error: Option<ErrorKind>,
    pub(super) message: String,
    pub(super) caller: Option<String>,
    pub(super) service: Option<String>,
    pub(super) path: Option<String>,
    pub(super) member: Option<String>,
}

impl RefusedCall {
    pub(super) fn new(refusal: &Refusal, call: Option<&Header<'_>>) -> Self {
        let mut denial = Self {
            error: Some(refusal.kind()),
            message: refusal.to_string(),
            ..Self::default()
        };
        if let Some(call) = call {
            denial.caller = call.sender().map(ToString::to_string);
            denial.service = call.destination().map(ToString::to_string);
            denial.path = call.path().map(ToString::to_string);
            denial.member = member(call);
        }
        denial
    }
}

impl Event {
    pub(super) fn now(what: EventKind) -> Self {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = passed.map_or(0, |passed| {
            u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
        });
        Self { at, what }
    }

    /// The memory that it holds, about.
    pub(super) fn weight(&self) -> usize {
        match &self.what {
            EventKind::Mesh(TraceEvent::Message(passed)) => WEIGHT + passed.octets(),
            _ => WEIGHT,
        }
    }
}

/// The method that is called, with its interface where the call names one.
pub(super) fn member(header: &Header<'_>) -> Option<String> {
    let member = header.member()?;
    Some(match header.interface() {
        Some(interface) => format!("{interface}.{member}"),
        None => member.to_string(),
    })
}

/// The memory of an event beside its content.
const WEIGHT: usize = 256;

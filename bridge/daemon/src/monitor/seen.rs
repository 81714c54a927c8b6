//! What a watcher can be told of, and what it wants to be told.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use zbus::message::Header;
use zocp_node::{PeerId, plumbing::TraceEvent};

use zocp_dbus::errors::{ErrorKind, Refusal};

/// Something that happened, and when.
#[derive(Debug)]
pub(super) struct Seen {
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// On the mesh.
    Mesh(TraceEvent),
    /// The bridge answered a call with an error of its own.
    Refused(Denial),
    /// A peer was there before the watcher came.
    Known(PeerId, Arc<str>),
}

/// A call that the bridge itself answered with an error.
#[derive(Debug, Default)]
pub(super) struct Denial {
    pub(super) error: Option<ErrorKind>,
    pub(super) message: String,
    pub(super) caller: Option<String>,
    pub(super) service: Option<String>,
    pub(super) path: Option<String>,
    pub(super) member: Option<String>,
}

impl Denial {
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

impl Seen {
    pub(super) fn now(what: What) -> Self {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = passed.map_or(0, |passed| {
            u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
        });
        Self { at, what }
    }

    /// How much memory it holds on to, about.
    pub(super) fn weight(&self) -> usize {
        match &self.what {
            What::Mesh(TraceEvent::Message(passed)) => WEIGHT + passed.octets(),
            _ => WEIGHT,
        }
    }
}

/// What is called, with its interface where one is named.
pub(super) fn member(header: &Header<'_>) -> Option<String> {
    let member = header.member()?;
    Some(match header.interface() {
        Some(interface) => format!("{interface}.{member}"),
        None => member.to_string(),
    })
}

/// What a thing that was seen takes beside its content.
const WEIGHT: usize = 256;

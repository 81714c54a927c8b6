//! A call to the bus, and what comes of it.

use super::fault::Fault;
use crate::{
    ConnectionId,
    message::{Cursor, Message, Writer},
};

/// A call to the bus.
pub(super) struct Call<'a> {
    pub(super) from: ConnectionId,
    pub(super) message: &'a Message<'a>,
    pub(super) args: Cursor<'a>,
}

/// What a call comes to: the results with their types, if they have not been sent.
pub(super) type Answer = Result<Option<(&'static str, Writer)>, Failure>;

/// Why a call has no results.
pub(super) enum Failure {
    Fault(Fault),
    /// The arguments are not what the signature says: the connection ends.
    Body,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(super) const MONITORING: &str = "org.freedesktop.DBus.Monitoring";
pub(super) const PEER: &str = "org.freedesktop.DBus.Peer";

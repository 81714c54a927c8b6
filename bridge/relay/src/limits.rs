//! The limits of D-Bus over the mesh that can be changed, also while the bridge runs.
//!
//! Model: [`ServiceLimits`] is plain data; [`Limits`] is the one place that keeps it for connections. What is there already
//! stays when a limit gets lower.
//! Spec: docs/reference/limits.md

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Limits of D-Bus over the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Services of one peer that are shown; further ones are not.
    pub imports_max: usize,
    /// Rules that programs add; further ones are refused.
    pub exports_max: usize,
    /// Callers of one peer; further ones are refused.
    pub callers_max: usize,
    /// Calls of one remote caller that wait for replies; further ones get `Busy`.
    pub caller_calls_max: usize,
    /// Octets of one remote caller's calls that the bus has not taken; above that `Busy`.
    pub caller_queue_max: usize,
    /// What one peer was asked and has not replied to, calls of services and calls back each; further calls get `Busy`.
    pub requests_max: usize,
    /// Calls of services that one caller, or one import's callers, have not replied to; further ones get `Busy`.
    pub calls_back_max: usize,
    /// Octets of a packet; what is longer is refused, or dropped where it comes from a peer.
    pub packet_len_max: usize,
    /// Octets that wait for one peer, above which calls get `Busy` and everything else waits.
    pub packets_queue_max: usize,
    /// Until a call gets `Timeout`, where its rule says nothing else. Without it a call waits as
    /// long as its caller does.
    pub answer_max: Option<Duration>,
}

impl ServiceLimits {
    /// Octets of a message that fits a packet, whatever its new header says.
    pub(crate) fn message_len_max(&self) -> usize {
        self.packet_len_max.saturating_sub(HEADER_MORE)
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            imports_max: 1024,
            exports_max: 1024,
            callers_max: 256,
            caller_calls_max: 4096,
            caller_queue_max: 64 << 20,
            // Also what a misbehaving peer can make us keep by never answering.
            requests_max: 16_384,
            // Far more than any agent is asked at once.
            calls_back_max: 256,
            packet_len_max: 48 << 20,
            // Several long packets.
            packets_queue_max: 64 << 20,
            answer_max: None,
        }
    }
}

/// The limits that hold now. Clones are the same.
/// Locked because connection tasks read the limits for each call, and a reload changes them; a reader holds up no other
/// reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits(Arc<RwLock<ServiceLimits>>);

impl Limits {
    pub(crate) fn new(limits: ServiceLimits) -> Self {
        Self(Arc::new(RwLock::new(limits)))
    }

    pub(crate) fn now(&self) -> ServiceLimits {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, limits: ServiceLimits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

/// How much longer a packet's header may be than the one that came.
pub(crate) const HEADER_MORE: usize = 4 << 10;

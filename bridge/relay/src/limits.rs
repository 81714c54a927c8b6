//! The bounds of D-Bus over the mesh that can be moved, also while the bridge runs.
//!
//! Model: [`ServiceLimits`] is plain data; [`Limits`] is the one place where it is kept, which everybody
//! looks at when something comes. What is there already stays when a bound gets lower.
//! Spec: docs/reference/limits.md

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Bounds of D-Bus over the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Services of one peer that are shown; further ones are not.
    pub imports_max: usize,
    /// Rules that programs add; further ones are refused.
    pub exports_max: usize,
    /// Callers of one peer; further ones are refused.
    pub callers_max: usize,
    /// Calls of one remote caller that wait for answers; further ones are told `Busy`.
    pub caller_calls_max: usize,
    /// Octets of one remote caller's calls that the bus has not taken; above that `Busy`.
    pub caller_queue_max: usize,
    /// What one peer was asked and has not answered; further calls are told `Busy`.
    pub requests_max: usize,
    /// Calls of services that one caller, or one import's callers, have not answered; above that `Busy`.
    pub calls_back_max: usize,
    /// Octets of a packet; what is longer is refused, or dropped where it comes from a peer.
    pub packet_len_max: usize,
    /// Octets that wait for one peer, above which calls are told `Busy` and everything else waits.
    pub packets_queue_max: usize,
    /// Until a call is answered with `Timeout`, where its rule says nothing else. Without it a call waits as
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

/// The bounds that hold now. Clones are the same.
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
const HEADER_MORE: usize = 4 << 10;

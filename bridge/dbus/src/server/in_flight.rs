//! The number of calls of each caller that wait for the handler.
//!
//! Limits: [`PENDING_PER_CALLER_MAX`] calls of one caller; a further call is rejected.

use std::collections::HashMap;

use super::PENDING_PER_CALLER_MAX;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct InFlightQuota {
    taken: HashMap<String, usize>,
}

impl InFlightQuota {
    /// Counts a call; `false` if its caller has reached the limit.
    pub(super) fn take(&mut self, caller: Option<String>) -> bool {
        let taken = self.taken.entry(caller.unwrap_or_default()).or_default();
        let has_room = *taken < PENDING_PER_CALLER_MAX;
        *taken += usize::from(has_room);
        has_room
    }

    /// Uncounts a call that was answered.
    pub(super) fn release(&mut self, caller: Option<String>) {
        let caller = caller.unwrap_or_default();
        if let Some(taken) = self.taken.get_mut(&caller) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&caller);
            }
        }
    }
}

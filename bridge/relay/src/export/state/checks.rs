//! What tests look at.

use super::State;
use crate::limits::ServiceLimits;

impl State {
    /// How many requests and calls wait for replies, and questions for answers.
    pub(crate) fn waiting(&self) -> usize {
        let requests = self.peers.values().map(|peer| peer.requests.len());
        let callers = self.callers.values();
        let pending = callers.map(|caller| caller.pending.len() + caller.calls_back.len());
        requests.chain(pending).sum::<usize>() + self.origins.len()
    }

    /// There is not more of anything than its limit allows, and nothing of what is gone.
    pub(crate) fn check_limits(&self, limits: &ServiceLimits) {
        let mut callers = 0;
        for peer in self.peers.values() {
            callers += peer.callers.len();
            assert!(peer.callers.len() <= limits.callers_max);
            assert!(peer.requests.len() <= limits.requests_max);
            for request in peer.requests.iter() {
                let caller = self.callers.get(&request.caller);
                assert!(caller.is_some(), "EXPORT-7: {:?} is gone", request.caller);
            }
        }
        assert_eq!(callers, self.callers.len(), "a caller that no peer has");
        for caller in self.callers.values() {
            assert!(caller.pending.len() <= limits.caller_calls_max);
            assert!(caller.calls_back.len() <= limits.calls_back_max);
        }
        let mut subscribers = self.offers.subscribers();
        assert!(subscribers.all(|peer| self.peers.contains_key(&peer)));
        assert!(self.output.is_empty(), "outputs are left");
    }
}

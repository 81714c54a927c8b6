//! What tests look at.

use super::State;
use crate::{limits::ServiceLimits, requests::Request as _};

impl State {
    /// How many requests and calls wait for replies.
    pub(crate) fn waiting(&self) -> usize {
        let requests = self.peers.values().map(|peer| peer.requests.len());
        let calls_back = self.imports.values().map(|import| import.calls_back.len());
        requests.chain(calls_back).sum()
    }

    /// There is not more of anything than its limit allows, and nothing of what is gone.
    pub(crate) fn check_limits(&self, limits: &ServiceLimits) {
        let mut imports = 0;
        for (id, peer) in &self.peers {
            for (service, subscription) in &peer.services {
                assert!(!subscription.imports.is_empty(), "a subscription of none");
                for (bus, import) in &subscription.imports {
                    let import = self.imports.get(import);
                    let its = import.map(|it| (it.peer, it.bus, &it.service));
                    assert_eq!(its, Some((*id, *bus, service)));
                    imports += 1;
                }
            }
            assert!(peer.services.len() <= limits.imports_max);
            assert!(peer.requests.len() <= limits.requests_max + peer.services.len());
            assert!(peer.requests.of_programs() <= limits.caller_calls_max);
            for request in peer.requests.iter() {
                if let Some(import) = request.import() {
                    let import = self.imports.get(&import);
                    assert_eq!(import.map(|import| import.peer), Some(*id), "IMPORT-6");
                }
                let caller = request.program();
                assert!(
                    caller.is_none_or(|caller| self.callers.contains_key(caller)),
                    "IMPORT-6: {caller:?} is gone"
                );
            }
            let mut subscriptions = peer.by_subscription.values();
            assert!(subscriptions.all(|service| peer.services.contains_key(service)));
        }
        assert_eq!(imports, self.imports.len(), "an import that no peer has");
        for import in self.imports.values() {
            assert!(import.calls_back.len() <= limits.calls_back_max);
            for caller in &import.callers {
                let peers = self.callers.get(caller);
                assert!(
                    peers.is_some_and(|it| it.peers.contains(&import.peer) && it.bus == import.bus)
                );
            }
        }
        assert!(self.output.is_empty(), "outputs are left");
    }
}

//! What bridges of peers ask: to hear of a service or no more, and who of their callers is gone.

use std::{num::NonZeroU32, sync::Arc};

use zocp_node::PeerId;

use super::{Exporter, caller::Caller, learning::Note, locked, offers::Subscribed};
use crate::{
    link::Link,
    transport::{Control, Lane, Offer},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::Grant;

impl Exporter {
    /// What a peer's bridge asks or says, under this number.
    pub(crate) fn control(&self, link: &Arc<Link>, control: Control, id: NonZeroU32) {
        match control {
            Control::Subscribe(service) => {
                if let Err(refusal) = self.subscribe(link, &service, id) {
                    link.refuse(Lane::Service(service.into()), id, &refusal);
                }
            }
            Control::Unsubscribe(service) => self.unsubscribe(link, &service),
            Control::CallerGone(caller) => {
                let key = (link.peer, Arc::from(caller));
                if let Some(caller) = locked(&self.shared.callers).remove(&key) {
                    caller.close();
                }
            }
            // For the importer.
            Control::Revised(_) => {}
        }
    }

    /// A peer is here.
    pub(crate) fn peer_came(&self, link: &Arc<Link>) {
        locked(&self.shared.peers).insert(link.peer, link.clone());
    }

    /// A peer is gone, and with it its callers and subscriptions.
    pub(crate) fn peer_gone(&self, link: &Link) {
        let shared = &self.shared;
        locked(&shared.peers).remove(&link.peer);
        let callers = &mut *locked(&shared.callers);
        for (_, caller) in callers.extract_if(|(peer, _), _| *peer == link.peer) {
            caller.close();
        }
        for service in locked(&shared.offers).leave(link.peer) {
            shared.watch.ignore(&service);
        }
        locked(&shared.calls_back).remove(&link.peer);
        locked(&shared.refused).forget(link.peer);
    }

    fn subscribe(&self, link: &Arc<Link>, service: &str, id: NonZeroU32) -> Result<(), Refusal> {
        let grant = self.grant(link, service)?;
        if grant.learn {
            self.note(link, &Note::see(service, &link.name), true);
        }
        self.shared.announcer.wanted(service);
        let mut offers = locked(&self.shared.offers);
        match offers.subscribe(service, link, id, grant.clone()) {
            None => Err(Refusal::ServiceUnknown(format!("{service} is gone"))),
            Some(Subscribed::Ready) => {
                offered(link, service, id, &grant);
                Ok(())
            }
            Some(Subscribed::First(name)) => {
                drop(offers);
                self.shared.watch.listen(&name);
                Ok(())
            }
            Some(Subscribed::Waiting) => Ok(()),
        }
    }

    /// A peer may not see a service any more: calls under way are refused.
    pub(super) fn revoke(&self, link: &Link, service: &str) {
        let text = format!("{service} is not exported to {} any more", link.name);
        let refusal = Refusal::AccessDenied(text);
        let callers = locked(&self.shared.callers);
        for (_, caller) in callers.iter().filter(|((peer, _), _)| *peer == link.peer) {
            caller.refuse_all(service, &refusal);
        }
        drop(callers);
        self.unsubscribe(link, service);
    }

    fn unsubscribe(&self, link: &Link, service: &str) {
        if let Some(name) = locked(&self.shared.offers).unsubscribe(service, link.peer) {
            self.shared.watch.ignore(&name);
        }
        let callers = &mut *locked(&self.shared.callers);
        // Whoever shows it no more has answered its callers: what a service never answers is not kept for it.
        let gone = Refusal::ServiceUnknown(format!("{service} is not shown there any more"));
        for (_, caller) in callers.iter().filter(|((peer, _), _)| *peer == link.peer) {
            caller.refuse_all(service, &gone);
        }
        let is_done = |peer: PeerId, caller: &Caller| peer == link.peer && caller.forget(service);
        for (_, caller) in callers.extract_if(|(peer, _), caller| is_done(*peer, caller)) {
            caller.close();
        }
    }
}

/// Agrees to a subscription.
pub(super) fn offered(link: &Link, service: &str, id: NonZeroU32, grant: &Grant) {
    let offer = Offer {
        hears_all: grant.may_remember(),
    };
    match offer.packet(id) {
        Ok(packet) => {
            let packet = Octets::from(packet).into_bytes();
            link.outlet.push(Lane::Service(service.into()), packet);
        }
        Err(error) => tracing::error!(%error, "an offer cannot be made"),
    }
}

//! What bridges of peers say: that they subscribe to a service or no more, and which of their callers is gone.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::Arc,
};

use zocp_node::PeerId;

use super::{CallerId, Output, Peer, State, calls::is_gone, offers::Subscribed};
use crate::{
    export::record::Note,
    remote::Remote,
    requests::Requests,
    transport::{Control, Offer, Stream},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::Grant;

impl State {
    /// A peer is here.
    pub(crate) fn handle_peer(&mut self, remote: Arc<Remote>) {
        let id = remote.id;
        let peer = Peer {
            remote,
            callers: HashMap::new(),
            requests: Requests::default(),
        };
        self.peers.insert(id, peer);
    }

    /// A peer is gone, and with it its callers and subscriptions.
    pub(crate) fn handle_peer_gone(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else {
            return;
        };
        let gone = Refusal::NodeGone(self.name.clone());
        let callers: Vec<CallerId> = known.callers.values().copied().collect();
        for caller in callers {
            self.close_caller(caller, &gone);
        }
        self.peers.remove(&peer);
        for service in self.offers.leave(peer) {
            self.output.push_back(Output::Ignore(service));
        }
        self.denied.forget(peer);
    }

    /// What a peer's bridge asks or says, under this number.
    pub(crate) fn handle_control(&mut self, peer: PeerId, control: Control, id: NonZeroU32) {
        match control {
            Control::Subscribe(service) => {
                if let Err(error) = self.subscribe(peer, &service, id) {
                    self.output.push_back(Output::RefusePeer {
                        peer,
                        stream: Stream::Service(service.into()),
                        id,
                        error,
                    });
                }
            }
            Control::Unsubscribe(service) => self.unsubscribe(peer, &service),
            Control::CallerGone(caller) => {
                let known = self.peers.get(&peer);
                if let Some(id) = known.and_then(|known| known.callers.get(&*caller)).copied() {
                    let gone = Refusal::NodeGone(self.name.clone());
                    self.close_caller(id, &gone);
                }
            }
            // For the importer.
            Control::Revised(_) => {}
        }
    }

    /// The bus sends the signals of a service from now on (EXPORT-3).
    pub(crate) fn handle_listening(&mut self, service: &str, question: u64) {
        for (peer, id, grant) in self.offers.listening(service, question) {
            self.agree(peer, service, id, &grant);
        }
    }

    fn subscribe(&mut self, peer: PeerId, service: &str, id: NonZeroU32) -> Result<(), Refusal> {
        let grant = self.grant(peer, service)?;
        if grant.learn {
            self.note(peer, true, |peer| Note::see(service, peer));
        }
        self.output.push_back(Output::Wanted(service.into()));
        match self.offers.subscribe(service, peer, id, grant.clone()) {
            None => return Err(is_gone(service)),
            Some(Subscribed::Ready) => self.agree(peer, service, id, &grant),
            Some(Subscribed::First(name, question)) => {
                self.output.push_back(Output::Listen(name, question));
            }
            Some(Subscribed::Waiting) => {}
        }
        Ok(())
    }

    /// Agrees to a subscription.
    fn agree(&mut self, peer: PeerId, service: &str, id: NonZeroU32, grant: &Grant) {
        let offer = Offer {
            hears_all: grant.may_remember() && !self.is_passage,
        };
        match offer.packet(id) {
            Ok(packet) => self.output.push_back(Output::Send {
                peer,
                stream: Stream::Service(service.into()),
                packet: Octets::from(packet).into_bytes(),
                behind: None,
            }),
            Err(error) => tracing::error!(%error, "an offer cannot be made"),
        }
    }

    /// A peer may not see a service any more: calls under way are refused.
    pub(super) fn revoke(&mut self, remote: &Remote, service: &str) {
        let text = format!("{service} is not exported to {} any more", remote.name);
        let error = Refusal::AccessDenied(text);
        // A subscription that waits gets no other reply.
        if let Some(id) = self.offers.waiting(service, remote.id) {
            self.output.push_back(Output::RefusePeer {
                peer: remote.id,
                stream: Stream::Service(service.into()),
                id,
                error: error.clone(),
            });
        }
        self.refuse_calls(remote.id, service, &error);
        self.unsubscribe(remote.id, service);
    }

    fn unsubscribe(&mut self, peer: PeerId, service: &str) {
        if let Some(name) = self.offers.unsubscribe(service, peer) {
            self.output.push_back(Output::Ignore(name));
        }
        // Whoever shows it no more has replied to its callers: what a service never replies to is not kept for it.
        let gone = Refusal::ServiceUnknown(format!("{service} is not shown there any more"));
        self.refuse_calls(peer, service, &gone);
        let done = self.callers.iter_mut().filter_map(|(id, caller)| {
            let is_done =
                caller.peer == peer && caller.called.remove(service) && caller.called.is_empty();
            is_done.then_some(*id)
        });
        let done: Vec<CallerId> = done.collect();
        for caller in done {
            let gone = Refusal::NodeGone(self.name.clone());
            self.close_caller(caller, &gone);
        }
    }

    /// Replies to the calls of a service that wait for a peer's callers.
    fn refuse_calls(&mut self, peer: PeerId, service: &str, error: &Refusal) {
        for caller in self.callers.values_mut().filter(|it| it.peer == peer) {
            let its = |pending: &super::caller::Pending| *pending.service == *service;
            let all = std::mem::take(&mut caller.pending).into_iter();
            let (taken, pending) = all.partition(|(_, pending)| its(pending));
            caller.pending = pending;
            for pending in BTreeMap::into_values(taken) {
                let refused = caller.refuse(&pending, error.clone());
                self.output.push_back(refused);
            }
        }
    }
}

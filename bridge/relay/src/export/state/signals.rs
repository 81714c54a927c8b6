//! Broadcast signals of services.

use zbus::Message;

use super::{Output, State};
use crate::{
    export::record::Note,
    transport::{Stream, has_descriptors, outgoing_signal},
};
use zocp_policy::{Member, PLAYERS};

impl State {
    /// A broadcast goes to each peer that subscribed to a service of its sender and may receive it.
    pub(crate) fn handle_signal(&mut self, message: &Message) {
        let header = message.header();
        let (Some(sender), Some(_), Some(member)) =
            (header.sender(), header.path(), header.member())
        else {
            return;
        };
        let signal = Member::of(&header);
        let max = self.limits.message_len_max();
        if has_descriptors(message) || message.data().len() > max {
            return self.output.push_back(Output::LogSignal {
                sender: sender.as_str().into(),
                member: member.as_str().into(),
            });
        }
        for (service, subscription) in self.offers.hearers(sender.as_str()) {
            let is_allowed = subscription.grant.may_hear(&signal);
            if subscription.grant.learn
                && let Some(peer) = self.peers.get(&subscription.peer)
            {
                let note = Note::member(service, &peer.remote.name, &signal, message);
                self.rules.note(&peer.remote, &note, is_allowed);
            }
            if !is_allowed {
                continue;
            }
            if service.starts_with(PLAYERS)
                && let Some(peer) = self.peers.get(&subscription.peer)
            {
                self.departures.announce(&peer.remote, message);
            }
            match outgoing_signal(message, subscription.id, None) {
                Ok(packet) => self.output.push_back(Output::Send {
                    peer: subscription.peer,
                    stream: Stream::Service(service.clone()),
                    packet,
                    behind: None,
                }),
                Err(error) => tracing::debug!(%error, "a signal cannot be passed on"),
            }
        }
    }
}

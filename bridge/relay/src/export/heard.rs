//! What the watch hears: names that come and go, answers of the bus, signals of services.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use zbus::Message;

use super::{Exporter, learning::Note, locked, origin::is_origin, peers::offered};
use crate::{
    transport::{Lane, has_descriptors, outgoing_signal},
    watch::Asked,
};
use zocp_policy::Member;

impl Exporter {
    pub(crate) fn connected(&self) {
        self.shared.watch.ask_names();
    }

    pub(crate) fn lost(&self) {
        self.programs_gone();
        // Nobody answers any more what was asked.
        locked(&self.shared.origins).clear();
        self.shared.announcer.lost();
        let gone = locked(&self.shared.offers).lose();
        self.withdrawn(&gone);
    }

    pub(crate) fn owner_changed(&self, name: &str, new: Option<&str>) {
        if name.starts_with(':') {
            return;
        }
        let gone = locked(&self.shared.offers).owner_gone(name);
        if let Some(owner) = new {
            self.consider(&Arc::from(name), &Arc::from(owner));
        }
        let stays = locked(&self.shared.offers).revision(name);
        match stays {
            // What was known of it is old.
            Some(stays) => self.announced(vec![stays]),
            None => self.withdrawn(gone.as_slice()),
        }
    }

    pub(crate) fn answered(&self, asked: &Asked, answer: &Message) {
        let body = answer.body();
        match asked {
            Asked::Names => {
                let names: Vec<String> = body.deserialize().unwrap_or_default();
                let rules = locked(&self.shared.rules);
                for name in names.iter().filter(|name| rules.all.offers(name)) {
                    self.shared.watch.ask_owner(&Arc::from(name.as_str()));
                }
            }
            Asked::Activatable => {
                let names: Vec<String> = body.deserialize().unwrap_or_default();
                let rules = locked(&self.shared.rules).all.clone();
                for name in names.iter().filter(|name| rules.offers(name)) {
                    locked(&self.shared.offers).set_activatable(name);
                    self.shared.watch.ask_owner(&Arc::from(name.as_str()));
                }
            }
            Asked::Owner(name) => {
                let owner: zbus::Result<&str> = body.deserialize();
                let is_error = answer.header().error_name().is_some();
                match owner {
                    Ok(owner) if !is_error => self.consider(name, &Arc::from(owner)),
                    _ => self.offer(name, None),
                }
            }
            Asked::Program(question) => {
                self.origin_answered(*question, is_origin(answer));
                self.shared.announcer.answered(*question, answer);
            }
            Asked::Match(service) => {
                for (link, id, grant) in locked(&self.shared.offers).matched(service) {
                    offered(&link, service, id, &grant);
                }
            }
            _ => {}
        }
    }

    /// A broadcast goes to who subscribed to a service of its sender and may hear it.
    pub(crate) fn signal(&self, message: &Message) {
        let header = message.header();
        let (Some(sender), Some(path), Some(member)) =
            (header.sender(), header.path(), header.member())
        else {
            return;
        };
        self.shared.announcer.heard(sender.as_str(), message);
        let signal = Member {
            path: path.as_str(),
            interface: header.interface().map(|name| name.as_str()),
            member: member.as_str(),
        };
        let max = self.shared.limits.now().message_len_max();
        if has_descriptors(message) || message.data().len() > max {
            if let Some(left_out) = self.shared.site.report().log(sender.as_str()) {
                tracing::warn!(
                    sender = sender.as_str(),
                    member = member.as_str(),
                    left_out,
                    "signals cannot be passed on: too long, or with file descriptors"
                );
            }
            return;
        }
        let offers = locked(&self.shared.offers);
        for (service, subscription) in offers.hearers(sender.as_str()) {
            let is_allowed = subscription.grant.may_hear(&signal);
            if subscription.grant.learn {
                let link = &subscription.link;
                let note = Note::member(service, &link.name, &signal, message);
                self.note(link, &note, is_allowed);
            }
            if !is_allowed {
                continue;
            }
            match outgoing_signal(message, subscription.id, None) {
                Ok(packet) => {
                    let lane = Lane::Service(service.clone());
                    subscription.link.outlet.push(lane, packet);
                }
                Err(error) => tracing::debug!(%error, "a signal cannot be passed on"),
            }
        }
    }

    /// Waits for the peer that takes no more.
    pub(crate) fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let link = locked(&self.shared.offers).first_full()?;
        Some(Box::pin(async move { link.outlet.room().await }))
    }
}

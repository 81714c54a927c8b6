//! Calls of peers.
//!
//! Model: a call is checked against its peer's grant, made a call of this bus, and given to its caller's
//! connection. What cannot be is refused there and then.
//! Limits: `callers_max` callers of one peer.

use std::sync::Arc;

use zbus::{Message, message::Flags};

use super::{Exporter, caller::Caller, learning::Note, locked};
use crate::link::Link;
use zocp_dbus::errors::Refusal;
use zocp_policy::{Grant, Member};

impl Exporter {
    /// A call from a peer for a service of ours.
    pub(crate) fn call(&self, link: &Arc<Link>, packet: &Message) {
        let id = packet.primary_header().serial_num();
        let header = packet.header();
        let (Some(caller), Some(service)) = (header.sender(), header.destination()) else {
            return;
        };
        let wants_answer = !packet
            .primary_header()
            .flags()
            .contains(Flags::NO_REPLY_EXPECTED);
        if let Err(refusal) = self.try_call(link, packet, service.as_str(), caller.as_str())
            && wants_answer
        {
            link.refuse_call(service.as_str(), caller.as_str(), id, &refusal);
        }
    }

    fn try_call(
        &self,
        link: &Arc<Link>,
        packet: &Message,
        service: &str,
        caller: &str,
    ) -> Result<(), Refusal> {
        let header = packet.header();
        let method = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        let grant = self.grant(link, service)?;
        let announcer = &self.shared.announcer;
        let knows = |interface: &str| announcer.has_method(service, &method, interface);
        let passage = grant.passage(&method, knows);
        let is_allowed = passage.is_allowed();
        if grant.learn {
            let note = Note::member(service, &link.name, &method, packet);
            self.note(link, &note, is_allowed);
        }
        if !is_allowed {
            return Err(self.denied(link, service, &method));
        }
        let service = locked(&self.shared.offers).name(service);
        let service = service.ok_or_else(|| unknown_service(header.destination()))?;
        let max = self.shared.site.message_len_max();
        let caller = self.caller(link, caller)?;
        caller.call(packet, service, passage.interface(), max, grant.timeout)
    }

    /// What a peer may do with a service that is offered to it. One that it may not see does not exist
    /// for it.
    pub(super) fn grant(&self, link: &Link, service: &str) -> Result<Arc<Grant>, Refusal> {
        let offers = locked(&self.shared.offers);
        if let Some(grant) = offers.granted(service, link.peer) {
            return Ok(grant);
        }
        let is_offered = offers.name(service).is_some();
        drop(offers);
        let grant = locked(&self.shared.rules).all.grant(service, link.who());
        if grant.may_see() {
            // A call that was under way when the service left its bus is denied nothing.
            let gone = || Refusal::ServiceUnknown(format!("{service} is gone"));
            return is_offered.then(|| Arc::new(grant)).ok_or_else(gone);
        }
        if grant.learn {
            self.note(link, &Note::see(service, &link.name), false);
        }
        Err(Refusal::AccessDenied(format!(
            "{service} is not exported to {}",
            link.name
        )))
    }

    /// Logged once for each rule and peer; `zocp export --learn` tells each call.
    pub(super) fn denied(&self, link: &Link, service: &str, method: &Member<'_>) -> Refusal {
        let call = method.rule();
        let rules = locked(&self.shared.rules).all.clone();
        let rule = rules.about(service).map(|rule| rule.service.text());
        let rule = rule.as_deref().unwrap_or_default();
        if locked(&self.shared.refused).is_new(link.peer, rule) {
            let peer = &link.name;
            tracing::warn!(
                peer,
                service,
                rule,
                call,
                "denied: the rule does not allow it"
            );
        } else {
            tracing::debug!(peer = link.name, service, rule, call, "denied");
        }
        let hint = match method.interface {
            Some(_) => "",
            None => ": it names no interface",
        };
        Refusal::AccessDenied(format!("no rule lets {} call {call}{hint}", link.name))
    }

    /// The connection of a remote caller, made at its first call.
    fn caller(&self, link: &Arc<Link>, name: &str) -> Result<Caller, Refusal> {
        let mut callers = locked(&self.shared.callers);
        let key = (link.peer, Arc::from(name));
        if let Some(caller) = callers.get(&key)
            && !caller.is_closed()
        {
            return Ok(caller.clone());
        }
        let count = callers
            .keys()
            .filter(|(peer, _)| *peer == link.peer)
            .count();
        if count >= link.limits.now().callers_max {
            let text = format!("{count} callers of {} are connected", link.name);
            return Err(Refusal::LimitsExceeded(text));
        }
        let caller = Caller::connect(self.clone(), link.clone(), key.1.clone());
        callers.insert(key, caller.clone());
        Ok(caller)
    }
}

fn unknown_service(name: Option<&zbus::names::BusName<'_>>) -> Refusal {
    let name = name.map_or("the service", |name| name.as_str());
    Refusal::ServiceUnknown(format!("{name} is gone"))
}

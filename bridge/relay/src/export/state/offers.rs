//! Which services are offered, who owns them, and who subscribed.
//!
//! Model: an offer has a revision, which changes each time its owner does: what an importer knows of the service belongs to
//! one revision.
//! Invariants: OFFER-1. The services of an owner are those whose offer names it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    num::NonZeroU32,
    sync::Arc,
};

use zocp_node::PeerId;

use zocp_policy::Grant;

/// What is offered.
#[derive(Debug, Default)]
pub(super) struct Offers {
    services: HashMap<Arc<str>, Service>,
    /// By owner's unique name.
    owned: HashMap<String, Vec<Arc<str>>>,
    /// Names that the bus can start a service for.
    activatable: HashSet<String>,
    /// Owners of names that were asked whether they are bridges.
    claims: HashMap<Arc<str>, Arc<str>>,
    revisions: u64,
    /// How often the bus was asked for signals.
    questions: u64,
}

#[derive(Debug)]
struct Service {
    owner: Option<String>,
    is_activatable: bool,
    revision: u64,
    subscribers: BTreeMap<PeerId, Subscription>,
    listening: Listening,
}

/// Whether the bus sends us a service's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    No,
    /// By the question of this number. An answer to an older question says nothing: the bus was told meanwhile to send
    /// none.
    Asked(u64),
    Yes,
}

/// What follows when the bus can start other services than before.
#[derive(Debug, Default)]
pub(super) struct ActivatableChanges {
    /// Services that can be started now, or not any more, with their revisions.
    pub(super) changed: Vec<(Arc<str>, u64)>,
    /// Services that do not run and cannot be started any more.
    pub(super) gone: Vec<Arc<str>>,
}

/// A peer that receives the signals of a service.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) peer: PeerId,
    pub(super) id: NonZeroU32,
    pub(super) grant: Arc<Grant>,
}

/// What a subscription waits for.
#[derive(Debug)]
pub(super) enum Subscribed {
    /// Nothing.
    Ready,
    /// The bus, which is to be asked for the signals by the question of this number.
    First(Arc<str>, u64),
    /// The bus, which was asked.
    Waiting,
}

impl Offers {
    /// The bus can start services of these names, and of no others.
    pub(super) fn set_activatable(&mut self, names: HashSet<String>) -> ActivatableChanges {
        self.activatable = names;
        let mut changes = ActivatableChanges::default();
        for (name, service) in &mut self.services {
            let is_activatable = self.activatable.contains(&**name);
            if service.is_activatable == is_activatable {
                continue;
            }
            service.is_activatable = is_activatable;
            match service.owner.is_some() || is_activatable {
                true => changes.changed.push((name.clone(), service.revision)),
                false => changes.gone.push(name.clone()),
            }
        }
        for name in &changes.gone {
            self.services.remove(name);
        }
        changes
    }

    /// A name has this owner, which may be a bridge; whether that is to be asked. A service that was
    /// offered because the bus could start it is this owner's meanwhile, so that none of its signals is
    /// missed.
    pub(super) fn claim(&mut self, name: &Arc<str>, owner: &Arc<str>) -> bool {
        let offered = self.services.get(name);
        if offered.is_some_and(|it| it.owner.as_deref() == Some(&**owner)) {
            return false;
        }
        if offered.is_some_and(|it| it.owner.is_none()) {
            self.offer(name, Some(owner));
        }
        self.claims.insert(name.clone(), owner.clone());
        true
    }

    /// What was asked of an owner is known; whether it still has the name.
    pub(super) fn settle(&mut self, name: &Arc<str>, owner: &Arc<str>) -> bool {
        let is_current = self.claims.get(name) == Some(owner);
        if is_current {
            self.claims.remove(name);
        }
        is_current
    }

    /// A service is there, or can be started; its new revision if that is news. An owner where there was
    /// none is no news: nothing was known of it that could be old.
    pub(super) fn offer(
        &mut self,
        name: &Arc<str>,
        owner: Option<&str>,
    ) -> Option<(Arc<str>, u64)> {
        let is_activatable = self.activatable.contains(&**name);
        if owner.is_none() && !is_activatable {
            return None;
        }
        let revision = self.revisions + 1;
        match self.services.entry(name.clone()) {
            Entry::Occupied(entry) => {
                let service = entry.into_mut();
                let owner = owner.filter(|owner| service.owner.as_deref() != Some(owner))?;
                let before = service.owner.replace(owner.to_owned());
                self.owned
                    .entry(owner.to_owned())
                    .or_default()
                    .push(name.clone());
                before?;
                service.revision = revision;
            }
            Entry::Vacant(entry) => {
                if let Some(owner) = owner {
                    let owned = self.owned.entry(owner.to_owned()).or_default();
                    owned.push(name.clone());
                }
                entry.insert(Service {
                    owner: owner.map(str::to_owned),
                    is_activatable,
                    revision,
                    subscribers: BTreeMap::new(),
                    listening: Listening::No,
                });
            }
        }
        self.revisions = revision;
        Some((name.clone(), revision))
    }

    /// The owner of a service is gone. The service if it is gone with it.
    pub(super) fn owner_gone(&mut self, name: &str) -> Option<Arc<str>> {
        self.claims.remove(name);
        let (name, service) = self.services.get_key_value(name)?;
        let (name, is_activatable) = (name.clone(), service.is_activatable);
        let service = self.services.get_mut(&name)?;
        let owner = service.owner.take()?;
        if let Entry::Occupied(mut owned) = self.owned.entry(owner) {
            owned.get_mut().retain(|other| *other != name);
            if owned.get().is_empty() {
                owned.remove();
            }
        }
        if is_activatable {
            self.revisions += 1;
            service.revision = self.revisions;
            return None;
        }
        self.services.remove(&name);
        Some(name)
    }

    /// Nothing is known of the bus any more; what was offered.
    pub(super) fn lose(&mut self) -> Vec<Arc<str>> {
        self.claims.clear();
        self.activatable.clear();
        self.retain(|_| false)
    }

    /// Drops what is not to be kept; what that was.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let gone = self.services.extract_if(|name, _| !keep(name));
        let gone: Vec<Arc<str>> = gone.map(|(name, _)| name).collect();
        self.owned.retain(|_, owned| {
            owned.retain(|name| !gone.contains(name));
            !owned.is_empty()
        });
        gone
    }

    /// A peer that subscribed may do something else.
    pub(super) fn regrant(&mut self, service: &str, peer: PeerId, grant: Grant) {
        let service = self.services.get_mut(service);
        if let Some(subscription) = service.and_then(|it| it.subscribers.get_mut(&peer)) {
            subscription.grant = Arc::new(grant);
        }
    }

    /// All that is offered, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.services.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// The revision of a service that is offered.
    pub(super) fn revision(&self, name: &str) -> Option<(Arc<str>, u64)> {
        let (name, service) = self.services.get_key_value(name)?;
        Some((name.clone(), service.revision))
    }

    /// The unique name of the owner of a service that is offered.
    pub(super) fn owner(&self, service: &str) -> Option<Arc<str>> {
        self.services.get(service)?.owner.as_deref().map(Arc::from)
    }

    /// Whether the bus can start it.
    pub(super) fn is_activatable(&self, service: &str) -> bool {
        self.services
            .get(service)
            .is_some_and(|it| it.is_activatable)
    }

    /// The name of a service that is offered.
    pub(super) fn name(&self, service: &str) -> Option<Arc<str>> {
        let (name, _) = self.services.get_key_value(service)?;
        Some(name.clone())
    }

    /// What a peer that subscribed may do.
    pub(super) fn granted(&self, service: &str, peer: PeerId) -> Option<Arc<Grant>> {
        let subscription = self.services.get(service)?.subscribers.get(&peer)?;
        Some(subscription.grant.clone())
    }

    /// Adds a subscription; `None` when there is no such service.
    pub(super) fn subscribe(
        &mut self,
        service: &str,
        peer: PeerId,
        id: NonZeroU32,
        grant: Arc<Grant>,
    ) -> Option<Subscribed> {
        let name = self.name(service)?;
        let service = self.services.get_mut(&name)?;
        let subscription = Subscription { peer, id, grant };
        service.subscribers.insert(peer, subscription);
        Some(match service.listening {
            Listening::Yes => Subscribed::Ready,
            Listening::Asked(_) => Subscribed::Waiting,
            Listening::No => {
                self.questions += 1;
                service.listening = Listening::Asked(self.questions);
                Subscribed::First(name, self.questions)
            }
        })
    }

    /// The bus answered the question of this number, and sends the signals of a service from now on: who waited for that.
    pub(super) fn listening(
        &mut self,
        service: &str,
        question: u64,
    ) -> Vec<(PeerId, NonZeroU32, Arc<Grant>)> {
        let Some(service) = self.services.get_mut(service) else {
            return Vec::new();
        };
        if service.listening != Listening::Asked(question) {
            return Vec::new();
        }
        service.listening = Listening::Yes;
        let subscribers = service.subscribers.values();
        subscribers
            .map(|it| (it.peer, it.id, it.grant.clone()))
            .collect()
    }

    /// The number of a subscription that waits until the bus sends the signals.
    pub(super) fn waiting(&self, service: &str, peer: PeerId) -> Option<NonZeroU32> {
        let service = self.services.get(service)?;
        let subscription = service.subscribers.get(&peer)?;
        matches!(service.listening, Listening::Asked(_)).then_some(subscription.id)
    }

    /// Ends a subscription; the service if no peer receives it any more.
    pub(super) fn unsubscribe(&mut self, service: &str, peer: PeerId) -> Option<Arc<str>> {
        let name = self.name(service)?;
        let service = self.services.get_mut(&name)?;
        service.subscribers.remove(&peer)?;
        let is_last = service.subscribers.is_empty() && service.listening != Listening::No;
        if is_last {
            service.listening = Listening::No;
        }
        is_last.then_some(name)
    }

    /// Ends all subscriptions of a peer; the services that no peer receives any more.
    pub(super) fn leave(&mut self, peer: PeerId) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = self.services.keys().cloned().collect();
        let unheard = names.iter().filter_map(|name| self.unsubscribe(name, peer));
        unheard.collect()
    }

    /// The subscriptions to the services that a connection owns.
    pub(super) fn hearers(&self, owner: &str) -> impl Iterator<Item = (&Arc<str>, &Subscription)> {
        let services = self.owned.get(owner).into_iter().flatten();
        services.flat_map(|name| {
            let subscribers = self.services.get(name).map(|it| it.subscribers.values());
            subscribers.into_iter().flatten().map(move |it| (name, it))
        })
    }

    /// The subscription of one peer to a service of a connection that it called.
    pub(super) fn hearer(
        &self,
        owner: &str,
        peer: PeerId,
        is_called: impl Fn(&str) -> bool,
    ) -> Option<(Arc<str>, NonZeroU32)> {
        let mut hearers = self.hearers(owner);
        let found = hearers.find(|(name, it)| it.peer == peer && is_called(name));
        found.map(|(name, subscription)| (name.clone(), subscription.id))
    }

    /// Who subscribed to a service.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn subscribers(&self) -> impl Iterator<Item = PeerId> {
        let services = self.services.values();
        services.flat_map(|service| service.subscribers.keys().copied())
    }

    /// Whether a peer subscribed to a service.
    pub(super) fn is_subscriber(&self, peer: PeerId) -> bool {
        let mut services = self.services.values();
        services.any(|service| service.subscribers.contains_key(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_older_question_starts_no_subscription() {
        let peer = PeerId::new([1; 16]);
        let name: Arc<str> = "org.example.A".into();
        let mut offers = Offers::default();
        offers.offer(&name, Some(":1.1")).unwrap();
        let subscribe = |offers: &mut Offers| {
            let grant = Arc::new(Grant::all());
            match offers.subscribe(&name, peer, NonZeroU32::MIN, grant) {
                Some(Subscribed::First(_, question)) => question,
                other => panic!("{other:?}"),
            }
        };
        let first = subscribe(&mut offers);
        assert!(offers.unsubscribe("org.example.A", peer).is_some());
        let second = subscribe(&mut offers);
        assert!(offers.listening("org.example.A", first).is_empty());
        assert_eq!(offers.waiting("org.example.A", peer), Some(NonZeroU32::MIN));
        assert_eq!(offers.listening("org.example.A", second).len(), 1);
        assert_eq!(offers.waiting("org.example.A", peer), None);
    }
}

//! One imported service: what is known of it, and what waits for it.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
};

use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

use super::{BusId, ImportId, OWN_BUS, naming::Naming};
use crate::{
    deadlines::Deadlines,
    import::{
        announcement::{Announcement, Export},
        cache::{Cache, Key},
        identity,
    },
    requests::{self, Half},
    serials::Serials,
    transport::Offer,
};
use zocp_dbus::message::Outgoing;
use zocp_policy::Grant;

/// How a service is to appear.
#[derive(Debug)]
pub(super) struct Appearance {
    pub(super) name: Arc<str>,
    pub(super) rule: Rule,
}

/// What the rules here say of a service.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// The service of the rule as the configuration has it; empty where no rule names the service.
    pub(super) text: Box<str>,
    pub(super) grant: Grant,
    pub(super) cache: bool,
    /// Whether the files that it names are copied here, and those that programs here name to it are copied there.
    pub(super) files: bool,
    /// What the `Identity` of a player is, with what it is there to be put in.
    pub(super) identity: Option<Box<str>>,
}

/// A question whose answer is worth remembering, and when it was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: Key,
    at: u64,
}

/// A service of a peer that is imported on at least one bus.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) imports: BTreeMap<BusId, ImportId>,
    /// The subscription that was asked for last, while it has no reply.
    pub(super) asked: Option<NonZeroU32>,
    /// What its bridge offers, once it does.
    pub(super) offer: Option<Offer>,
}

impl Subscription {
    pub(super) fn imports(&self) -> impl Iterator<Item = ImportId> {
        self.imports.values().copied()
    }

    /// Its bridge agrees to the subscription of this number; whether it had agreed to another one before. `None` if this
    /// is not the one that was asked for last.
    pub(super) fn agree(&mut self, number: NonZeroU32, offer: Offer) -> Option<bool> {
        self.asked.take_if(|asked| *asked == number)?;
        Some(self.offer.replace(offer).is_some())
    }
}

/// What a peer was asked.
#[derive(Debug)]
pub(super) enum Request {
    /// To send the signals of this service.
    Subscribe(Arc<str>),
    /// Something of the service, for the memory of an import alone.
    Memory(ImportId, Question),
    /// To call a method for a program here.
    Call {
        import: ImportId,
        program: Arc<str>,
        /// What gets the reply.
        call: Message,
        /// What is learned from the reply.
        question: Option<Question>,
    },
}

impl requests::Request for Request {
    const HALF: Half = Half::Import;

    fn program(&self) -> Option<&Arc<str>> {
        match self {
            Self::Call { program, .. } => Some(program),
            Self::Subscribe(_) | Self::Memory(..) => None,
        }
    }

    /// A service has one open subscription, and `imports_max` bounds the services. A service whose subscription is
    /// refused would not be shown until its revision changes.
    fn is_always_kept(&self) -> bool {
        matches!(self, Self::Subscribe(_))
    }
}

impl Request {
    /// The import that it is for, if it is for one.
    pub(super) fn import(&self) -> Option<ImportId> {
        match self {
            Self::Memory(import, _) | Self::Call { import, .. } => Some(*import),
            Self::Subscribe(_) => None,
        }
    }

    /// The call that waits for the reply.
    pub(super) fn call(&self) -> Option<&Message> {
        match self {
            Self::Call { call, .. } => Some(call),
            Self::Subscribe(_) | Self::Memory(..) => None,
        }
    }
}

/// A call of the service that waits for the reply of a program here.
#[derive(Debug)]
pub(super) struct CallBack {
    /// Its number between the bridges.
    pub(super) id: NonZeroU32,
    /// Who is called.
    pub(super) caller: Arc<str>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Import {
    pub(super) service: Arc<str>,
    pub(super) peer: PeerId,
    pub(super) bus: BusId,
    pub(super) rule: Rule,
    pub(super) naming: Naming,
    /// Our unique name on its connection.
    pub(super) unique: Option<Arc<str>>,
    /// Whether its bridge sends us all of its signals.
    hears_all: bool,
    /// Who called it; only they get directed signals.
    pub(super) callers: HashSet<Arc<str>>,
    /// When requests are given up.
    pub(super) deadlines: Deadlines<NonZeroU32>,
    /// Calls of programs here, by serial on its connection.
    pub(super) calls_back: BTreeMap<NonZeroU32, CallBack>,
    pub(super) call_back_deadlines: Deadlines<NonZeroU32>,
    /// Whether somebody owns it on its bus; else a call starts it there.
    pub(super) runs: bool,
    /// Whether its bus can start it.
    pub(super) is_activatable: bool,
    /// Whether its bridge agreed to the subscription.
    pub(super) is_agreed: bool,
    /// Whether its bridge is expected to agree, as it did to the revision before.
    pub(super) is_expected: bool,
    /// Whether it has a connection, or makes one.
    pub(super) connects: bool,
    /// In a view: somebody called it while it did not run, and it keeps its name at least until then.
    pub(super) starts_until: Option<Instant>,
    announcement: Announcement,
    /// What it said; none where nothing may be answered from memory.
    cache: Option<Cache>,
    serials: Serials,
}

impl Import {
    pub(super) fn new(service: Arc<str>, peer: PeerId, bus: BusId, appearance: Appearance) -> Self {
        Self {
            service,
            peer,
            bus,
            rule: appearance.rule,
            naming: Naming::new(appearance.name),
            unique: None,
            hears_all: false,
            callers: HashSet::new(),
            deadlines: Deadlines::default(),
            calls_back: BTreeMap::new(),
            call_back_deadlines: Deadlines::default(),
            runs: true,
            is_activatable: false,
            is_agreed: false,
            is_expected: false,
            connects: false,
            starts_until: None,
            announcement: Announcement::default(),
            cache: None,
            serials: Serials::default(),
        }
    }

    /// A serial for a call on its connection.
    pub(super) fn next_serial(&mut self) -> NonZeroU32 {
        self.serials.next()
    }

    /// Its bridge agrees to the subscription.
    pub(super) fn set_offer(&mut self, offer: Offer, now: Instant) {
        self.is_agreed = true;
        self.hears_all = offer.hears_all;
        self.settle_memory(now);
    }

    /// What the rules here say now.
    pub(super) fn set_rule(&mut self, rule: Rule, now: Instant) {
        self.rule = rule;
        self.settle_memory(now);
    }

    /// What its bridge announces.
    pub(super) fn set_export(&mut self, export: &Export, now: Instant) {
        self.runs = export.runs;
        self.is_activatable = export.is_activatable;
        let announcement = &export.announcement;
        if self.announcement == *announcement {
            return;
        }
        self.announcement = announcement.clone();
        if let Some(cache) = &mut self.cache {
            cache.announced(announcement, now);
        }
    }

    /// The name that it has on its bus, or that is offered there.
    pub(super) fn name_there(&self) -> Option<&Arc<str>> {
        let is_offered = self.may_be_offered() && self.waits_for_call();
        let offered = is_offered.then(|| self.naming.wanted());
        self.naming.shown().or(offered)
    }

    /// Whether its name may be offered, if its bus can start it.
    pub(super) fn may_be_offered(&self) -> bool {
        self.is_agreed || self.is_expected
    }

    /// Whether it is in a view, where it is only offered until somebody calls it.
    pub(super) fn waits_for_call(&self) -> bool {
        self.bus != OWN_BUS && !self.runs && self.starts_until.is_none()
    }

    /// The reply to a question where it is known, or else the question, to be learned from its reply.
    pub(super) fn recall(
        &mut self,
        call: &Message,
        now: Instant,
    ) -> Result<Outgoing, Option<Question>> {
        let Some(cache) = &mut self.cache else {
            return Err(None);
        };
        let Some(key) = Key::of(call) else {
            return Err(None);
        };
        cache.passes(&key, now);
        match cache.answer(&key, call, now) {
            Some(answer) => Ok(answer),
            None => Err(Some(Question {
                at: cache.now(),
                key,
            })),
        }
    }

    /// A call whose reply nobody wants is passed on.
    pub(super) fn pass(&mut self, call: &Message, now: Instant) {
        if let Some(cache) = &mut self.cache
            && let Some(key) = Key::of(call)
        {
            cache.passes(&key, now);
        }
    }

    /// What is to be asked for, for the memory alone, after this was not known.
    pub(super) fn missing(&mut self, question: &Question) -> Vec<Question> {
        let Some(cache) = &mut self.cache else {
            return Vec::new();
        };
        let at = cache.now();
        let keys = cache.missing(&question.key).into_iter();
        keys.map(|key| Question { key, at }).collect()
    }

    /// The reply to a question.
    pub(super) fn learn(&mut self, question: Question, reply: &Message, now: Instant) {
        if let Some(cache) = &mut self.cache {
            cache.learn(question.key, question.at, reply, now);
        }
    }

    /// A question for our memory alone gets no reply: it may be asked again.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(cache) = &mut self.cache {
            cache.unasked(key);
        }
    }

    /// A signal of the service to all.
    pub(super) fn follow(&mut self, signal: &Message) {
        if let Some(cache) = &mut self.cache {
            cache.follow(signal);
        }
    }

    /// A reply as it is given here, where that is another one.
    pub(super) fn presented_reply(&self, call: &Message, reply: &Message) -> Option<Outgoing> {
        identity::of_answer(self.rule.identity.as_deref()?, call, reply)
    }

    /// A signal as it is emitted here, where that is another one.
    pub(super) fn presented_signal(&self, signal: &Message) -> Option<Outgoing> {
        identity::of_signal(self.rule.identity.as_deref()?, signal)
    }

    /// A service whose changes are all known can be answered from memory, where a rule does not forbid it.
    fn settle_memory(&mut self, now: Instant) {
        let may_cache = self.hears_all && self.rule.cache && self.rule.grant.hears_all();
        if !may_cache {
            self.cache = None;
        } else if self.cache.is_none() {
            let mut cache = Cache::default();
            cache.announced(&self.announcement, now);
            self.cache = Some(cache);
        }
    }
}

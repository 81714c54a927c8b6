//! One imported service: what is known of it, and what waits for it.
//!
//! Model: shared between the house that serves it and the task that hears the mesh.
//! Invariants: S1. after [`Imported::close`] no call is passed on; those that were are answered.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use zbus::Message;

use super::{
    announcement::Announcement,
    cache::{Cache, Key},
    calls_back::CallsBack,
    identity, remote,
};
use crate::{
    requests::{self, Half},
    transport::Offer,
};
use zocp_dbus::{
    errors::Refusal,
    line::Line,
    message::{Octets, Outgoing},
};
use zocp_policy::{Grant, Member, Passage};

/// The peer of an import, with what it was asked.
pub(super) type Remote = remote::Remote<Request>;

/// What the peer was asked.
#[derive(Debug)]
pub(super) enum Request {
    /// To tell the signals of a service.
    Subscribe(Arc<Imported>),
    /// To say something of a service for our memory alone.
    Own {
        /// Of which service.
        imported: Arc<Imported>,
        /// What.
        asked: Asked,
    },
    /// To call a method for a local caller.
    Call {
        /// Through which service.
        imported: Arc<Imported>,
        /// Who called.
        program: Arc<str>,
        /// What is to be answered.
        call: Message,
        /// What is learned from the answer.
        asked: Option<Asked>,
    },
}

impl requests::Request for Request {
    const HALF: Half = Half::Import;

    fn program(&self) -> Option<&Arc<str>> {
        match self {
            Self::Call { program, .. } => Some(program),
            Self::Subscribe(_) | Self::Own { .. } => None,
        }
    }
}

impl Request {
    fn is_of(&self, of: &Arc<Imported>) -> bool {
        let (Self::Subscribe(imported) | Self::Own { imported, .. } | Self::Call { imported, .. }) =
            self;
        Arc::ptr_eq(imported, of)
    }
}

/// How it is to appear.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) name: Arc<str>,
    pub(super) rule: Rule,
}

/// What the rules here say of it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// What of the configuration it is; empty where nothing is said.
    pub(super) text: Box<str>,
    pub(super) grant: Grant,
    pub(super) cache: bool,
    /// What the `Identity` of a player is, with what it is there to be put in.
    pub(super) identity: Option<Box<str>>,
}

/// A question whose answer is worth remembering, and when it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    key: Key,
    at: u64,
}

impl Asked {
    /// The question as a call of our own.
    pub(super) fn call(&self, service: &str, caller: &str, id: NonZeroU32) -> Option<Outgoing> {
        self.key.call(service, caller, id)
    }
}

/// One imported service. See the [module](self).
#[derive(Debug)]
pub(crate) struct Imported {
    service: Arc<str>,
    link: Arc<Remote>,
    name: Mutex<Arc<str>>,
    line: Line,
    stop: CancellationToken,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rule: Rule,
    /// The subscription that was asked for last, while it is not answered.
    asked: Option<NonZeroU32>,
    /// What its bridge offers, once it does.
    offer: Option<Offer>,
    /// Who called it; only they get directed signals.
    callers: HashSet<Arc<str>>,
    /// The name that it has on this bus.
    shown_as: Option<Arc<str>>,
    calls_back: CallsBack,
    /// Whether somebody owns it there.
    runs: bool,
    /// What its bridge announced.
    announcement: Announcement,
    /// What it said; none where that is not to be answered from.
    cache: Option<Cache>,
}

impl Imported {
    pub(super) fn new(service: Arc<str>, link: Arc<Remote>, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            service,
            line: Line::new(link.report.clone()),
            link,
            name: Mutex::new(terms.name),
            stop: CancellationToken::new(),
            is_closed: AtomicBool::new(false),
            state: Mutex::new(State {
                rule: terms.rule,
                asked: None,
                offer: None,
                callers: HashSet::new(),
                shown_as: None,
                calls_back: CallsBack::default(),
                runs: true,
                announcement: Announcement::default(),
                cache: None,
            }),
        })
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.service
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn link(&self) -> &Arc<Remote> {
        &self.link
    }

    /// The name that it is to have on this bus.
    pub(super) fn name(&self) -> Arc<str> {
        self.lock_name().clone()
    }

    /// It is to have another name; the house sees to it.
    pub(super) fn rename(&self, name: Arc<str>) {
        *self.lock_name() = name;
        self.line.nudge();
    }

    fn lock_name(&self) -> MutexGuard<'_, Arc<str>> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// A subscription is asked for.
    pub(super) fn set_asked(&self, id: NonZeroU32) {
        self.state().asked = Some(id);
    }

    /// Whether a subscription was asked for and that is not answered.
    pub(super) fn is_asked(&self) -> bool {
        self.state().asked.is_some()
    }

    /// What its bridge offers; whether it did so before. Nothing if it is not what was asked for last.
    pub(super) fn set_offer(&self, id: NonZeroU32, offer: Offer) -> Option<bool> {
        let mut state = self.state();
        state.asked.take_if(|asked| *asked == id)?;
        let was_offered = state.offer.replace(offer).is_some();
        state.settle_memory();
        Some(was_offered)
    }

    /// What the rules here say now.
    pub(super) fn set_rule(&self, rule: Rule) {
        let mut state = self.state();
        state.rule = rule;
        state.settle_memory();
    }

    /// What of the configuration says how it is used here.
    pub(super) fn rule_text(&self) -> Box<str> {
        self.state().rule.text.clone()
    }

    /// Whether somebody owns it on its bus; else a call starts it there.
    pub(super) fn runs(&self) -> bool {
        self.state().runs
    }

    /// Its bridge announces what it says of itself.
    pub(super) fn announced(&self, announcement: &Announcement, runs: bool) {
        let mut state = self.state();
        state.runs = runs;
        if state.announcement == *announcement {
            return;
        }
        state.announcement = announcement.clone();
        if let Some(cache) = &mut state.cache {
            cache.announced(announcement);
        }
    }

    /// The answer to a question where it is known, or the place in time at which it is asked.
    pub(super) fn recall(&self, call: &Message) -> Result<Outgoing, Option<Asked>> {
        let mut state = self.state();
        let Some(cache) = &mut state.cache else {
            return Err(None);
        };
        let Some(key) = Key::of(call) else {
            return Err(None);
        };
        cache.passes(&key);
        match cache.answer(&key, call) {
            Some(answer) => Ok(answer),
            None => Err(Some(Asked {
                at: cache.now(),
                key,
            })),
        }
    }

    /// A call whose answer nobody wants is passed on.
    pub(super) fn unsettled(&self, call: &Message) {
        if let Some(cache) = &mut self.state().cache
            && let Some(key) = Key::of(call)
        {
            cache.passes(&key);
        }
    }

    pub(super) fn set_shown(&self, name: Option<Arc<str>>) {
        self.state().shown_as = name;
    }

    pub(super) fn shown_as(&self) -> Option<String> {
        self.state().shown_as.as_ref().map(ToString::to_string)
    }

    /// An answer as it is told here, where that is another one.
    pub(super) fn presented(&self, call: &Message, answer: &Message) -> Option<Outgoing> {
        identity::of_answer(self.state().rule.identity.as_deref()?, call, answer)
    }

    /// A signal as it is told here, where that is another one.
    pub(super) fn presented_signal(&self, signal: &Message) -> Option<Outgoing> {
        identity::of_signal(self.state().rule.identity.as_deref()?, signal)
    }

    /// How long a call waits for its answer, if a rule says so.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.state().rule.grant.timeout
    }

    /// How a call of a program here goes on. What interfaces an object has, its exporter knows.
    pub(super) fn passage(&self, method: &Member<'_>) -> Passage {
        self.state().rule.grant.passage(method, |_| None)
    }

    pub(super) fn may_hear(&self, signal: &Member<'_>) -> bool {
        self.state().rule.grant.may_hear(signal)
    }

    pub(super) fn passage_back(&self, method: &Member<'_>) -> Passage {
        self.state().rule.grant.passage_back(method)
    }

    pub(super) fn with_calls_back<R>(&self, use_them: impl FnOnce(&mut CallsBack) -> R) -> R {
        use_them(&mut self.state().calls_back)
    }

    /// A caller; whether it is new.
    pub(super) fn add_caller(&self, caller: &Arc<str>) -> bool {
        self.state().callers.insert(caller.clone())
    }

    pub(super) fn forget_caller(&self, caller: &str) {
        self.state().callers.remove(caller);
    }

    pub(super) fn forget_callers(&self) {
        self.state().callers.clear();
    }

    pub(super) fn has_caller(&self, caller: &str) -> bool {
        self.state().callers.contains(caller)
    }

    /// What is to be asked for, for the memory alone, after this was not known.
    pub(super) fn missing(&self, asked: &Asked) -> Vec<Asked> {
        let mut state = self.state();
        let Some(cache) = &mut state.cache else {
            return Vec::new();
        };
        let at = cache.now();
        let keys = cache.missing(&asked.key).into_iter();
        keys.map(|key| Asked { key, at }).collect()
    }

    /// The answer to a question of our own.
    pub(super) fn learned(&self, asked: Asked, answer: &Message) {
        if let Some(cache) = &mut self.state().cache {
            cache.learn(asked.key, asked.at, answer);
        }
    }

    /// The answer to a call: as it came, and made for this bus.
    pub(super) fn answered(&self, asked: Option<Asked>, packet: &Message, answer: Octets) {
        if let Some(asked) = asked {
            self.learned(asked, packet);
        }
        self.line.push(answer);
    }

    /// A signal: as it came, and made for this bus.
    pub(super) fn signalled(&self, packet: &Message, signal: Octets) {
        if packet.header().destination().is_none()
            && let Some(cache) = &mut self.state().cache
        {
            cache.follow(packet);
        }
        self.line.push(signal);
    }

    /// It is gone: calls in flight are answered, then the connection ends, and with it the name.
    pub(super) fn close(self: &Arc<Self>, refusal: &Refusal) {
        self.is_closed.store(true, Ordering::Release);
        for request in self.close_requests() {
            if let Request::Call { call, .. } = request {
                self.line.refuse(&call, refusal);
            }
        }
        self.refuse_calls_back(refusal);
        self.set_shown(None);
        self.stop.cancel();
    }

    /// Takes out all that its peer was asked for it.
    pub(super) fn close_requests(self: &Arc<Self>) -> Vec<Request> {
        self.link.close_all(|request| request.is_of(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is told of every change can be answered from memory, where a rule does not forbid it.
    fn settle_memory(&mut self) {
        let hears_all = self.offer.is_some_and(|offer| offer.hears_all);
        let may_cache = hears_all && self.rule.cache && self.rule.grant.hears_all();
        if !may_cache {
            self.cache = None;
        } else if self.cache.is_none() {
            let mut cache = Cache::default();
            cache.announced(&self.announcement);
            self.cache = Some(cache);
        }
    }
}

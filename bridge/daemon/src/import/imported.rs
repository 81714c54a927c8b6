//! One imported service: what is known of it, and what waits for it.
//!
//! Model: shared between the house that serves it and the task that hears the mesh.
//! Invariants: S1. after [`Imported::close`] no call is passed on; those that were are answered.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;
use zbus::Message;

use crate::{
    errors::Refusal,
    line::Line,
    policy::{Grant, Member},
    services::{Link, Request},
    transport::Offer,
};

/// How it is to appear.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) name: Arc<str>,
    pub(super) grant: Grant,
    pub(super) cache: bool,
}

/// One imported service. See the [module](self).
#[derive(Debug)]
pub(crate) struct Imported {
    service: Arc<str>,
    link: Arc<Link>,
    terms: Terms,
    line: Line,
    stop: CancellationToken,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who called it; only they get directed signals.
    callers: HashSet<Arc<str>>,
    /// The name that it has on this bus.
    shown_as: Option<Arc<str>>,
    hears_all: bool,
}

impl Imported {
    pub(super) fn new(service: Arc<str>, link: Arc<Link>, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            service,
            link,
            terms,
            line: Line::default(),
            stop: CancellationToken::new(),
            is_closed: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.service
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.terms.name
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn set_offer(&self, offer: Offer) {
        self.state().hears_all = offer.hears_all;
    }

    pub(super) fn set_shown(&self, name: Option<Arc<str>>) {
        self.state().shown_as = name;
    }

    pub(super) fn shown_as(&self) -> Option<String> {
        self.state().shown_as.as_ref().map(ToString::to_string)
    }

    pub(super) fn may_call(&self, method: &Member<'_>) -> bool {
        self.terms.grant.may_call(method)
    }

    pub(super) fn may_hear(&self, signal: &Member<'_>) -> bool {
        self.terms.grant.may_hear(signal)
    }

    /// A caller; whether it is new.
    pub(super) fn add_caller(&self, caller: &Arc<str>) -> bool {
        self.state().callers.insert(caller.clone())
    }

    pub(super) fn has_caller(&self, caller: &str) -> bool {
        self.state().callers.contains(caller)
    }

    /// The answer to a call, made for this bus.
    pub(super) fn answered(&self, _call: &Message, answer: &Message) {
        self.line.push(answer.clone());
    }

    /// A signal, made for this bus.
    pub(super) fn signalled(&self, signal: Message) {
        self.line.push(signal);
    }

    /// It is gone: calls in flight are answered, then the connection ends, and with it the name.
    pub(super) fn close(self: &Arc<Self>, refusal: &Refusal) {
        self.is_closed.store(true, Ordering::Release);
        for request in self.link.close_all(self) {
            if let Request::Call { call, .. } = request {
                self.line.refuse(&call, refusal);
            }
        }
        self.set_shown(None);
        self.stop.cancel();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

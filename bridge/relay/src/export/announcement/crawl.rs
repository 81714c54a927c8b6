//! The crawl of a service's introspection data: what objects, interfaces and values it has.
//!
//! Model: a [`Crawl`] asks one question at a time: from the root on each object for its introspection data, and each
//! interface with properties for their values. Changes that the service emits meanwhile are taken in. Where a service gives
//! no introspection data, the installed interfaces that its name suggests are tried at the path that its name suggests.
//! Invariants: CRAWL-1. Of a service that replies nothing, or with invalid data, the result is empty; the crawl ends.
//! CRAWL-2. A value is the newest one that the service emitted.
//! Limits: those of `limits`; what exceeds them is left out, and why is in [`CrawlResult::cuts`].
//! Not here: who may know of it (`shape`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use zbus::{Message, OwnedVariant, message::Type};

use super::{
    interface_files::InterfaceFiles,
    limits::{ANSWER_LEN_MAX, DEPTH_MAX, INTERFACES_MAX, TEXT_LEN_MAX, TEXTS_LEN_MAX, VISITS_MAX},
    place::{Place, Question},
    supplements,
};
use zocp_dbus::introspection::{Described, Description, describe};

/// Values of properties by name.
pub(super) type Values = BTreeMap<String, OwnedVariant>;

/// What is asked of a service. See the [module](self).
#[derive(Debug)]
pub(super) struct Crawl {
    service: Arc<str>,
    installed: Arc<InterfaceFiles>,
    open: VecDeque<Question>,
    visits: usize,
    /// Values that were asked for again because they changed meanwhile.
    rereads: usize,
    /// Interfaces that its name suggests and that it has not shown yet.
    guesses: BTreeSet<Place>,
    has_guessed: bool,
    text_octets: usize,
    findings: CrawlResult,
}

/// What a service has.
#[derive(Debug, Default)]
pub(super) struct CrawlResult {
    pub(super) interfaces: BTreeMap<Place, Described>,
    pub(super) values: BTreeMap<Place, Values>,
    /// Introspection data of objects, as the service gives them.
    pub(super) texts: BTreeMap<String, String>,
    /// Such data of objects of which the service gives none, or not all.
    pub(super) supplied: BTreeMap<String, String>,
    /// What was left out, and why.
    pub(super) cuts: BTreeSet<&'static str>,
}

impl Crawl {
    pub(super) fn new(service: Arc<str>, installed: Arc<InterfaceFiles>) -> Self {
        Self {
            service,
            installed,
            open: [Question::Introspect("/".into())].into(),
            visits: 1,
            rereads: 0,
            guesses: BTreeSet::new(),
            has_guessed: false,
            text_octets: 0,
            findings: CrawlResult::default(),
        }
    }

    /// The next question; `None` when nothing is left to ask.
    pub(super) fn next(&mut self) -> Option<Question> {
        if self.open.is_empty() && self.findings.interfaces.is_empty() && !self.has_guessed {
            self.guess();
        }
        self.open.pop_front()
    }

    /// What the service has, when all is asked.
    pub(super) fn findings(mut self) -> CrawlResult {
        if self.has_guessed {
            let found = self.findings.interfaces.keys();
            let supplied = supplements::nodes(found, &self.installed);
            self.findings.supplied.extend(supplied);
        }
        self.findings
    }

    /// A reply, or that none came.
    pub(super) fn answered(&mut self, question: &Question, answer: Option<&Message>) {
        let is_long = answer.is_some_and(|answer| answer.body().len() > ANSWER_LEN_MAX);
        if is_long {
            self.cut("an answer is too long");
        }
        let returned = answer.filter(|it| it.message_type() == Type::MethodReturn && !is_long);
        match question {
            Question::Introspect(path) => {
                let body = returned.map(Message::body);
                let text = body.as_ref().and_then(|body| body.deserialize().ok());
                self.introspected(path, text.unwrap_or_default());
            }
            Question::Values(place) => {
                let values = returned.and_then(|answer| answer.body().deserialize().ok());
                self.valued(place, values);
            }
            Question::Value(..) | Question::Set(..) => {}
        }
    }

    /// Properties changed while the crawl goes on (CRAWL-2).
    pub(super) fn changed(&mut self, place: &Place, changed: Values, invalidated: &[String]) {
        let Some(values) = self.findings.values.get_mut(place) else {
            return;
        };
        values.extend(changed);
        let again = Question::Values(place.clone());
        if !invalidated.is_empty() && self.rereads < INTERFACES_MAX && !self.open.contains(&again) {
            self.rereads += 1;
            self.open.push_back(again);
        }
    }

    fn introspected(&mut self, path: &str, text: &str) {
        let description = describe(text);
        if !description.is_whole {
            self.cut("introspection data are no XML to their end");
        }
        self.descend(path, &description);
        let mut bare = Vec::new();
        for described in description.interfaces {
            if STANDARD.contains(&&*described.name) {
                continue;
            }
            let installed = self.installed.get(&described.name);
            match installed.filter(|_| !described.has_members) {
                Some(installed) => {
                    bare.push((described.span, installed.text.clone()));
                    self.found(
                        Place::new(path, &described.name),
                        installed.described.clone(),
                    );
                }
                None => self.found(Place::new(path, &described.name), described),
            }
        }
        if bare.is_empty() {
            self.keep(path, text);
        } else {
            let whole = supplements::filled(text, &bare);
            self.findings.supplied.insert(path.to_owned(), whole);
        }
    }

    fn descend(&mut self, path: &str, description: &Description) {
        for child in &description.children {
            let path = match path {
                "/" => format!("/{child}"),
                path => format!("{path}/{child}"),
            };
            if path.matches('/').count() > DEPTH_MAX {
                self.cut("objects are too deep");
            } else if self.visits >= VISITS_MAX {
                return self.cut("there are too many objects");
            } else {
                self.visits += 1;
                self.open.push_back(Question::Introspect(path.into()));
            }
        }
    }

    fn found(&mut self, place: Place, described: Described) {
        if self.findings.interfaces.len() >= INTERFACES_MAX {
            return self.cut("there are too many interfaces");
        }
        if !described.properties.is_empty() {
            self.open.push_front(Question::Values(place.clone()));
        }
        self.findings.interfaces.insert(place, described);
    }

    fn keep(&mut self, path: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let octets = self.text_octets + text.len();
        if text.len() > TEXT_LEN_MAX || octets > TEXTS_LEN_MAX {
            return self.cut("introspection data are too long");
        }
        self.text_octets = octets;
        self.findings.texts.insert(path.to_owned(), text.to_owned());
    }

    fn valued(&mut self, place: &Place, values: Option<Values>) {
        let is_guess = self.guesses.remove(place);
        if let (true, Some(_), Some(installed)) =
            (is_guess, &values, self.installed.get(&place.interface))
        {
            let described = installed.described.clone();
            self.findings.interfaces.insert(place.clone(), described);
        }
        // Also an empty set, so that changes that are emitted from now on are known (CRAWL-2).
        if self.findings.interfaces.contains_key(place) {
            let known = self.findings.values.entry(place.clone()).or_default();
            known.extend(values.unwrap_or_default());
        }
    }

    fn guess(&mut self) {
        self.has_guessed = true;
        self.guesses = supplements::guesses(&self.service, &self.installed);
        let guesses = self.guesses.iter().cloned();
        self.open.extend(guesses.map(Question::Values));
    }

    fn cut(&mut self, reason: &'static str) {
        self.findings.cuts.insert(reason);
    }
}

/// Interfaces that every object may have, and that are about the others.
const STANDARD: [&str; 4] = [
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.ObjectManager",
    "org.freedesktop.DBus.Peer",
    "org.freedesktop.DBus.Properties",
];

#[cfg(test)]
mod tests;

//! One exported service, as far as everybody may know of it: what is in the tree, and why.
//!
//! Model: a [`Service`] is plain data. It takes the replies and signals of the service and the values that nodes set, and
//! gives [`Step`]s: questions for the service, changes of the tree. The publisher carries them out in order.
//! Invariants: SERVICE-1. The tree shows the newest value that the service emitted, except while the service is asked to
//! take another one (`settings`). SERVICE-2. Emissions are passed on one by one and in order. SERVICE-3. What the service
//! does not have any more is taken from the tree.
//! Not here: the bus, the node (`publisher`).
//! Spec: docs/reference/protocol.md §7.10

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;
use zbus::Message;
use zocp_node::{CapPath, Capability, ObjectPath, Value};

use super::{
    crawl::{Crawl, CrawlResult},
    interface_files::InterfaceFiles,
    limits::{CRAWL_AGE_MAX, CRAWL_PAUSE},
    methods::Methods,
    place::{Place, Question, service_object},
    shape::{Shape, shapes},
};
use crate::schema::{INTROSPECTION, SUPPLIED};
use zocp_dbus::message::Outgoing;
use zocp_policy::Grant;

/// One service. See the [module](self).
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    /// The unique name of its owner.
    pub(super) owner: Arc<str>,
    pub(super) revision: u64,
    /// What everybody may do with it.
    grant: Arc<Grant>,
    crawl: Option<Crawl>,
    pub(super) shapes: BTreeMap<Place, Shape>,
    texts: Texts,
    pub(super) settings: HashMap<(Place, Arc<str>), Settings>,
    /// Interfaces whose values are asked for again.
    rereads: BTreeSet<Place>,
    /// When it was asked what it has.
    crawled: Instant,
    /// When it is to be asked again.
    due: Option<Instant>,
    steps: Vec<Step>,
}

/// What of a property is under way.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) count: usize,
    /// The newest value, where there are too many.
    pub(super) waiting: Option<Value>,
    /// How often it was asked what it has. Answers come in order: only the last is of now.
    pub(super) questions: usize,
}

/// What is announced of a service's introspection data.
#[derive(Debug, Default, Clone, PartialEq)]
struct Texts {
    own: BTreeMap<String, String>,
    supplied: BTreeMap<String, String>,
}

/// What follows.
#[derive(Debug)]
pub(super) enum Step {
    /// Ask the service.
    Ask(Question, Outgoing),
    /// Give an object of the tree other plain entries.
    Describe(ObjectPath, Vec<(String, Value)>),
    /// Put a member into the tree, or describe it anew.
    Publish(CapPath, Capability),
    /// Take one from it.
    Unpublish(CapPath),
    /// Take an object from it.
    Remove(ObjectPath),
    /// Another value.
    Value(CapPath, Value),
    /// An emission.
    Emit(CapPath, Value),
    /// What its objects can be called with.
    Methods(Methods),
}

/// How much of the tree is left for a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) members: usize,
    /// Octets of introspection data.
    pub(super) octets: usize,
}

impl Service {
    /// A service of this owner, of which nothing is in the tree.
    pub(super) fn new(name: Arc<str>, owner: Arc<str>, revision: u64, grant: Arc<Grant>) -> Self {
        Self {
            name,
            owner,
            revision,
            grant,
            crawl: None,
            shapes: BTreeMap::new(),
            texts: Texts::default(),
            settings: HashMap::new(),
            rereads: BTreeSet::new(),
            crawled: Instant::now(),
            due: None,
            steps: Vec::new(),
        }
    }

    /// Another owner, or other rules: what is in the tree stays until it is known what that one has, but
    /// for introspection data, which belong to a revision.
    pub(super) fn renew(&mut self, owner: Arc<str>, revision: u64, grant: Arc<Grant>) {
        self.announce(Texts::default());
        (self.owner, self.revision, self.grant) = (owner, revision, grant);
        self.crawl = None;
        self.due = None;
        self.settings.clear();
        self.rereads.clear();
    }

    /// Asks the service what it has.
    pub(super) fn begin(&mut self, installed: &Arc<InterfaceFiles>, room: Room) {
        self.due = None;
        self.crawled = Instant::now();
        self.crawl = Some(Crawl::new(self.name.clone(), installed.clone()));
        self.go_on(room);
    }

    /// Whether it is time to ask it again, and when it will be.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.crawl.is_none())
    }

    /// Its objects come and go.
    pub(super) fn is_old(&mut self) {
        let next = self.crawled + CRAWL_PAUSE;
        self.due.get_or_insert(next);
    }

    /// A bridge comes to show it.
    pub(super) fn is_wanted(&mut self) {
        if self.crawled.elapsed() >= CRAWL_AGE_MAX {
            self.is_old();
        }
    }

    /// A reply, or that none came in time.
    pub(super) fn answered(&mut self, question: &Question, answer: Option<&Message>, room: Room) {
        let of_survey = matches!(question, Question::Introspect(_) | Question::Values(_));
        match question {
            Question::Set(place, name) => self.set_answered(place, name, answer),
            Question::Value(place, name) => self.value_answered(place, name, answer),
            Question::Values(place) if self.rereads.remove(place) => {
                self.values_answered(place, answer);
            }
            _ => {}
        }
        if let Some(crawl) = self.crawl.as_mut().filter(|_| of_survey) {
            crawl.answered(question, answer);
            self.go_on(room);
        }
    }

    /// What is to be done, in order.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// How many members are in the tree, and how many octets of introspection data.
    pub(super) fn used(&self) -> Room {
        let texts = self.texts.own.iter().chain(&self.texts.supplied);
        Room {
            members: self.shapes.values().map(Shape::len).sum(),
            octets: texts.map(|(path, text)| path.len() + text.len()).sum(),
        }
    }

    /// Takes all of it from the tree.
    pub(super) fn clear(&mut self) {
        let paths: BTreeSet<Arc<str>> = self.shapes.keys().map(|it| it.path.clone()).collect();
        for path in paths {
            self.step(Step::Remove(service_object(&self.name).child(&path)));
        }
        self.shapes.clear();
        self.announce(Texts::default());
    }

    pub(super) fn crawl(&mut self) -> Option<&mut Crawl> {
        self.crawl.as_mut()
    }

    pub(super) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Asks for the values of an interface again.
    pub(super) fn reread(&mut self, place: &Place) {
        let question = Question::Values(place.clone());
        // The crawl asks for them itself.
        if self.crawl.is_none()
            && let Some(call) = question.call(&self.owner)
            && self.rereads.insert(place.clone())
        {
            self.step(Step::Ask(question, call));
        }
    }

    /// The crawl's next question, or its end.
    fn go_on(&mut self, room: Room) {
        while let Some(crawl) = &mut self.crawl {
            let Some(question) = crawl.next() else {
                return self.finish(room);
            };
            match question.call(&self.owner) {
                Some(call) => return self.step(Step::Ask(question, call)),
                None => crawl.answered(&question, None),
            }
        }
    }

    /// Makes the tree like what was found.
    fn finish(&mut self, room: Room) {
        let Some(crawl) = self.crawl.take() else {
            return;
        };
        let mut findings = crawl.findings();
        let (found, is_whole) = shapes(&findings, &self.grant, room.members);
        if !is_whole {
            findings.cuts.insert("there are too many members");
        }
        let texts = texts(&mut findings, room.octets);
        for reason in &findings.cuts {
            tracing::info!(
                service = &*self.name,
                reason,
                "not all of it is in the tree"
            );
        }
        // Who may call everything may do so without an interface.
        if !self.grant.talk {
            self.step(Step::Methods(Methods::of(&findings)));
        }
        self.announce(texts);
        self.show(found);
    }

    fn announce(&mut self, texts: Texts) {
        let entries = [
            (INTROSPECTION, &self.texts.own, &texts.own),
            (SUPPLIED, &self.texts.supplied, &texts.supplied),
        ];
        let mut changed = Vec::new();
        for (name, old, new) in entries {
            if old == new {
                continue;
            }
            // An entry that is an object would be merged.
            if !old.is_empty() {
                changed.push((name.to_owned(), Value::Null));
            }
            if !new.is_empty() {
                let new = new
                    .iter()
                    .map(|(path, text)| (path.clone(), text.clone().into()));
                changed.push((name.to_owned(), Value::Object(new.collect())));
            }
        }
        if !changed.is_empty() {
            self.step(Step::Describe(service_object(&self.name), changed));
        }
        self.texts = texts;
    }

    /// Shows these interfaces in place of those that are shown (SERVICE-3).
    fn show(&mut self, found: BTreeMap<Place, Shape>) {
        let mut old = std::mem::replace(&mut self.shapes, found);
        self.remove(&old);
        let mut last: Option<Arc<str>> = None;
        let places: Vec<Place> = self.shapes.keys().cloned().collect();
        for place in places {
            if last.as_ref() != Some(&place.path) {
                let object = service_object(&self.name).child(&place.path);
                self.describe(object, OBJECT_TYPE);
                last = Some(place.path.clone());
            }
            let object = place.object(&self.name);
            self.describe(object.clone(), INTERFACE_TYPE);
            let before = old.remove(&place).unwrap_or_default();
            self.show_members(&place, &object, &before);
        }
    }

    fn show_members(&mut self, place: &Place, object: &ObjectPath, before: &Shape) {
        let Some(shape) = self.shapes.get_mut(place) else {
            return;
        };
        let mut steps = Vec::new();
        for (name, property) in &mut shape.properties {
            if let Some(capability) = property.capability() {
                property.is_shown = true;
                steps.push(Step::Publish(object.capability(name), capability));
            }
        }
        for (name, emitter) in &shape.signals {
            let capability = emitter.capability();
            steps.push(Step::Publish(object.capability(name), capability));
        }
        let shown = before.properties.iter().filter(|(_, it)| it.is_shown);
        let shown = shown.map(|(name, _)| name).chain(before.signals.keys());
        for name in shown {
            let stays = shape.properties.get(name).is_some_and(|it| it.is_shown)
                || shape.signals.contains_key(name);
            if !stays {
                self.steps.push(Step::Unpublish(object.capability(name)));
            }
        }
        self.steps.extend(steps);
    }

    /// Removes the objects of which nothing is left.
    fn remove(&mut self, old: &BTreeMap<Place, Shape>) {
        let mut gone: Option<&Arc<str>> = None;
        for place in old.keys() {
            if self.shapes.contains_key(place) || gone == Some(&place.path) {
                continue;
            }
            if self.shapes.keys().any(|kept| kept.path == place.path) {
                self.steps.push(Step::Remove(place.object(&self.name)));
            } else {
                let object = service_object(&self.name).child(&place.path);
                self.steps.push(Step::Remove(object));
                gone = Some(&place.path);
            }
        }
    }

    fn describe(&mut self, object: ObjectPath, kind: &str) {
        let entries = vec![("type".to_owned(), Value::from(kind))];
        self.step(Step::Describe(object, entries));
    }
}

/// What is announced of the data that were found: nothing where there is no room for all.
fn texts(findings: &mut CrawlResult, room: usize) -> Texts {
    let texts = Texts {
        own: std::mem::take(&mut findings.texts),
        supplied: std::mem::take(&mut findings.supplied),
    };
    let all = texts.own.iter().chain(&texts.supplied);
    let octets: usize = all.map(|(path, text)| path.len() + text.len()).sum();
    if octets > room {
        findings
            .cuts
            .insert("there are too many introspection data");
        return Texts::default();
    }
    texts
}

/// The type of an object of a service.
const OBJECT_TYPE: &str = zocp_node::model::DBUS_OBJECT;
/// The type of an interface of such an object.
const INTERFACE_TYPE: &str = "dbus-interface";

#[cfg(test)]
mod tests;

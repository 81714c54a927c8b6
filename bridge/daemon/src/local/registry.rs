//! The registry of publications: which program published what.
//!
//! Model: plain data. A *place* is a path in the tree and whether a value or a method is there; who is at a
//! place owns it. Lasting values have no owner between two programs.
//! Invariants: REGISTRY-1. no program gets a place that another one has. REGISTRY-2. the object `services` is reserved for the
//! bridge, which announces its exports there.
//! Limits: [`Limits`]; a further publication is refused.

use std::{collections::BTreeMap, sync::Arc};

use zocp_node::{CapPath, Capability, ObjectPath, Value, model::stream::Direction};

use super::{
    document::{LastingValues, SavedValue},
    methods::Target,
    place::{Kind, Place},
};
use crate::streams::offers::Offer;
use zocp_dbus::errors::Refusal;
use zocp_relay::schema::SERVICES;

/// The bounds of publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Values and methods of all programs together.
    pub publications_max: usize,
    /// Of one program.
    pub publications_per_program_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publications_max: 8192,
            publications_per_program_max: 1024,
        }
    }
}

/// What is at a place.
#[derive(Debug)]
pub(super) enum What {
    /// A value; with its newest state if it outlives its publisher.
    Capability { lasting: Option<Box<Capability>> },
    /// A method, and who does it.
    Method(Arc<Target>),
    /// A stream, and where it is.
    Stream(Arc<Offer>),
}

#[derive(Debug)]
struct Publication {
    /// The unique name of the program.
    owner: Option<Arc<str>>,
    what: What,
}

impl Publication {
    fn lasting(&self) -> Option<&Capability> {
        match &self.what {
            What::Capability { lasting } => lasting.as_deref(),
            What::Method(_) | What::Stream(_) => None,
        }
    }
}

/// All that programs published. See the [module](self).
#[derive(Debug)]
pub(super) struct Registry {
    limits: Limits,
    published: BTreeMap<Place, Publication>,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            published: BTreeMap::new(),
        }
    }

    /// Whether a program may publish at a place.
    pub(super) fn admit(&self, program: &str, place: &Place) -> Result<(), Refusal> {
        let path = &place.path;
        let first = path.object.segments().first().unwrap_or(&path.name);
        if **first == *SERVICES {
            let text = format!("{path}: the bridge itself says in \"{SERVICES}\" what it exports");
            return Err(Refusal::AccessDenied(text));
        }
        match self.published.get(place) {
            Some(there) => match &there.owner {
                Some(owner) if **owner != *program => Err(belongs(path, owner)),
                _ => Ok(()),
            },
            None => self.admit_one_more(program),
        }
    }

    fn admit_one_more(&self, program: &str) -> Result<(), Refusal> {
        let all = self.limits.publications_max;
        if self.published.len() >= all {
            let text = format!("{all} values, methods and streams are published");
            return Err(Refusal::LimitsExceeded(text));
        }
        let own = self.limits.publications_per_program_max;
        if self.of(program).count() >= own {
            let text = format!("{program} publishes {own} values, methods and streams");
            return Err(Refusal::LimitsExceeded(text));
        }
        Ok(())
    }

    /// Puts what a program published at its place. Whether what is kept is something else now.
    pub(super) fn put(&mut self, program: &str, place: Place, what: What) -> bool {
        let publication = Publication {
            owner: Some(program.into()),
            what,
        };
        let is_lasting = publication.lasting().is_some();
        let old = self.published.insert(place, publication);
        is_lasting || old.is_some_and(|old| old.lasting().is_some())
    }

    /// Puts what was kept at its place.
    pub(super) fn restore(&mut self, path: CapPath, capability: Capability) {
        let lasting = Some(Box::new(capability));
        let publication = Publication {
            owner: None,
            what: What::Capability { lasting },
        };
        let place = Place::new(Kind::Capability, path);
        self.published.insert(place, publication);
    }

    /// Takes out what a program published under this text, or what nobody owns.
    pub(super) fn take_back(&mut self, program: &str, name: &str) -> Result<Vec<Place>, Refusal> {
        let places = self.named(name);
        for place in &places {
            if let Some(owner) = self.published.get(place).and_then(|one| one.owner.as_ref())
                && **owner != *program
            {
                return Err(belongs(&place.path, owner));
            }
        }
        if places.is_empty() {
            let text = format!("nothing is published as \"{name}\"");
            return Err(Refusal::InvalidArgs(text));
        }
        for place in &places {
            self.published.remove(place);
        }
        Ok(places)
    }

    /// What is published under a text: at the root by its raw name, else by its dotted path.
    fn named(&self, name: &str) -> Vec<Place> {
        let at = |path: &CapPath| {
            Kind::ALL
                .into_iter()
                .map(|kind| Place::new(kind, path.clone()))
                .filter(|place| self.published.contains_key(place))
                .collect::<Vec<_>>()
        };
        match at(&CapPath::root(name)) {
            none if none.is_empty() => name.parse().map(|path| at(&path)).unwrap_or_default(),
            places => places,
        }
    }

    /// A program is gone: what is to be taken out of the tree.
    pub(super) fn abandon(&mut self, program: &str) -> Vec<Place> {
        let places: Vec<Place> = self.of(program).cloned().collect();
        let mut gone = Vec::new();
        for place in places {
            match self.published.get_mut(&place) {
                Some(one) if one.lasting().is_some() => one.owner = None,
                _ => {
                    self.published.remove(&place);
                    gone.push(place);
                }
            }
        }
        gone
    }

    pub(super) fn is_owner(&self, program: &str, place: &Place) -> bool {
        let owner = self.published.get(place).and_then(|one| one.owner.as_ref());
        owner.is_some_and(|owner| **owner == *program)
    }

    /// Who does a method.
    pub(super) fn target(&self, place: &Place) -> Option<Arc<Target>> {
        match &self.published.get(place)?.what {
            What::Method(target) => Some(target.clone()),
            What::Capability { .. } | What::Stream(_) => None,
        }
    }

    /// Where a stream is.
    pub(super) fn offer(&self, path: &CapPath, direction: Direction) -> Option<Arc<Offer>> {
        let place = Place::new(Kind::Stream(direction), path.clone());
        match &self.published.get(&place)?.what {
            What::Stream(offer) => Some(offer.clone()),
            What::Capability { .. } | What::Method(_) => None,
        }
    }

    /// Whether an object has streams of this direction.
    pub(super) fn has_streams(&self, object: &ObjectPath, direction: Direction) -> bool {
        let is_one =
            |place: &&Place| place.path.object == *object && place.kind == Kind::Stream(direction);
        self.published.keys().any(|place| is_one(&place))
    }

    /// A value is another one now. Whether it is lasting.
    pub(super) fn note(&mut self, path: &CapPath, value: &Value) -> bool {
        let place = Place::new(Kind::Capability, path.clone());
        let found = self.published.get_mut(&place).map(|one| &mut one.what);
        let Some(What::Capability {
            lasting: Some(capability),
        }) = found
        else {
            return false;
        };
        capability.value = Some(value.clone());
        true
    }

    /// The largest object, from this one up, in and below which nothing is published; never the root.
    pub(super) fn emptied(&self, object: &ObjectPath) -> Option<ObjectPath> {
        let is_used = |object: &ObjectPath| {
            self.published
                .keys()
                .any(|place| place.path.object.starts_with(object))
        };
        let above = std::iter::successors(Some(object.clone()), ObjectPath::parent);
        above
            .take_while(|object| !object.is_root() && !is_used(object))
            .last()
    }

    /// The document to be saved.
    pub(super) fn kept(&self) -> LastingValues {
        let lasting = self.published.iter().filter_map(|(place, one)| {
            let capability = one.lasting()?;
            Some(SavedValue::new(&place.path, capability))
        });
        LastingValues {
            values: lasting.collect(),
        }
    }

    fn of<'a>(&'a self, program: &'a str) -> impl Iterator<Item = &'a Place> {
        let is_its = move |one: &Publication| one.owner.as_deref() == Some(program);
        let published = self.published.iter();
        published
            .filter(move |(_, one)| is_its(one))
            .map(|(place, _)| place)
    }
}

fn belongs(path: &CapPath, owner: &str) -> Refusal {
    Refusal::AccessDenied(format!("{path} belongs to another program, {owner}"))
}

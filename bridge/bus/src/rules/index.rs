//! Finding the rules that may match a message.
//!
//! Model: a rule is filed under the hash of all that it says about type, sender, interface, member, path and first
//! argument. Which of these a rule says something about is its shape; there are few shapes in use. For a message one
//! hash is made for each shape in use (for namespaces: one for each beginning of the path or the argument; for senders: one
//! for each name of the sender that a rule names), and only what is filed under one of these is compared as a whole. So
//! ten thousand rules for as many objects cost a signal no more than one.
//! Invariants: INDEX-1. a rule is filed as often as it was added. INDEX-2. nobody is found twice for a message.
//! Limits: rules that differ only in other arguments than the first are compared one by one.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::Arc,
};

use smallvec::SmallVec;

use super::{ArgTest, Owners, Place, Rule, Subject, parse::TEXT_LEN_MAX};
use crate::{
    ConnectionId,
    message::{Arg, Kind},
};

/// The rules of all connections.
#[derive(Debug, Default)]
pub(crate) struct Index {
    hasher: RandomState,
    /// The rules of each connection, and how often it added each.
    rules: HashMap<ConnectionId, HashMap<Arc<Rule>, usize>>,
    filed: HashMap<u64, Vec<(ConnectionId, Arc<Rule>)>>,
    /// The shapes in use, and by how many.
    shapes: Vec<(Shape, usize)>,
    /// The well-known names that rules name as senders, and how many.
    senders: HashMap<Box<str>, usize>,
}

/// What a rule says something about, a bit each.
type Shape = u8;

const KIND: Shape = 1;
const SENDER: Shape = 2;
const INTERFACE: Shape = 4;
const MEMBER: Shape = 8;
const PATH: Shape = 16;
const PATH_NAMESPACE: Shape = 32;
const ARG0: Shape = 64;
const ARG0_NAMESPACE: Shape = 128;

/// The texts that are hashed for a shape.
#[derive(Debug, Clone, Copy, Default)]
struct Key<'a> {
    kind: Option<Kind>,
    sender: Option<&'a str>,
    interface: Option<&'a str>,
    member: Option<&'a str>,
    path: Option<&'a str>,
    arg0: Option<&'a str>,
}

impl Rule {
    fn shape_and_key(&self) -> (Shape, Key<'_>) {
        let (path_bit, path) = match &self.path {
            Some(Place::Path(path)) => (PATH, Some(&**path)),
            Some(Place::Namespace(path)) => (PATH_NAMESPACE, Some(&**path)),
            None => (0, None),
        };
        let (arg0_bit, arg0) = match self.args.first() {
            Some((0, ArgTest::Is(text))) => (ARG0, Some(&**text)),
            Some((0, ArgTest::Namespace(text))) => (ARG0_NAMESPACE, Some(&**text)),
            _ => (0, None),
        };
        let key = Key {
            kind: self.kind,
            sender: self.sender.as_deref(),
            interface: self.interface.as_deref(),
            member: self.member.as_deref(),
            path,
            arg0,
        };
        let bit = |is_set: bool, bit: Shape| if is_set { bit } else { 0 };
        let shape = bit(key.kind.is_some(), KIND)
            | bit(key.sender.is_some(), SENDER)
            | bit(key.interface.is_some(), INTERFACE)
            | bit(key.member.is_some(), MEMBER)
            | path_bit
            | arg0_bit;
        (shape, key)
    }
}

impl Index {
    /// Whether nothing at all is left, as it should be when no rule is.
    #[cfg(test)]
    pub(super) fn has_nothing(&self) -> bool {
        self.rules.is_empty()
            && self.filed.is_empty()
            && self.shapes.is_empty()
            && self.senders.is_empty()
    }

    /// How many rules a connection has.
    pub(crate) fn len(&self, connection: ConnectionId) -> usize {
        self.rules
            .get(&connection)
            .map_or(0, |rules| rules.values().sum())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn add(&mut self, connection: ConnectionId, rule: Rule) {
        let rule = Arc::new(rule);
        match self
            .rules
            .entry(connection)
            .or_default()
            .entry(rule.clone())
        {
            Entry::Occupied(mut occupied) => *occupied.get_mut() += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(1);
                self.file(connection, rule);
            }
        }
    }

    /// Takes a rule away once; whether it was there.
    pub(crate) fn remove(&mut self, connection: ConnectionId, rule: Rule) -> bool {
        let Some(rules) = self.rules.get_mut(&connection) else {
            return false;
        };
        let Entry::Occupied(mut occupied) = rules.entry(Arc::new(rule)) else {
            return false;
        };
        *occupied.get_mut() -= 1;
        if *occupied.get() == 0 {
            let (rule, _) = occupied.remove_entry();
            if rules.is_empty() {
                self.rules.remove(&connection);
            }
            self.unfile(connection, &rule);
        }
        true
    }

    /// Takes all rules of a connection away.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        for rule in self
            .rules
            .remove(&connection)
            .unwrap_or_default()
            .into_keys()
        {
            self.unfile(connection, &rule);
        }
    }

    /// Who has a rule that matches, each once, in the order in which they came to the bus.
    pub(crate) fn find(
        &self,
        subject: &mut Subject<'_>,
        owners: &impl Owners,
        is_monitor: bool,
    ) -> SmallVec<[ConnectionId; 8]> {
        let mut found = SmallVec::new();
        for &(shape, _) in &self.shapes {
            self.find_shape(shape, subject, owners, is_monitor, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn find_shape(
        &self,
        shape: Shape,
        subject: &mut Subject<'_>,
        owners: &impl Owners,
        is_monitor: bool,
        found: &mut SmallVec<[ConnectionId; 8]>,
    ) {
        let message = subject.message;
        let has = |bit: Shape| shape & bit != 0;
        let mut key = Key {
            kind: has(KIND).then(|| message.kind()),
            interface: has(INTERFACE).then(|| message.interface()).flatten(),
            member: has(MEMBER).then(|| message.member()).flatten(),
            ..Key::default()
        };
        if (has(INTERFACE) && key.interface.is_none()) || (has(MEMBER) && key.member.is_none()) {
            return;
        }
        let paths = texts(message.path(), has(PATH), has(PATH_NAMESPACE), '/');
        let arg0 = match has(ARG0) || has(ARG0_NAMESPACE) {
            true => match subject.args.get(0) {
                Some(Arg::String(text)) => Some(text),
                _ => None,
            },
            false => None,
        };
        let arg0s = texts(arg0, has(ARG0), has(ARG0_NAMESPACE), '.');
        let senders = self.senders(has(SENDER), (subject.sender, subject.sender_name), owners);
        for sender in &senders {
            key.sender = *sender;
            for path in &paths {
                key.path = *path;
                for arg0 in &arg0s {
                    key.arg0 = *arg0;
                    let Some(filed) = self.filed.get(&self.hash(shape, &key)) else {
                        continue;
                    };
                    for (connection, rule) in filed {
                        if found.last() != Some(connection)
                            && rule.matches(subject, owners, is_monitor)
                        {
                            found.push(*connection);
                        }
                    }
                }
            }
        }
    }

    /// The names of the sender that rules may name.
    fn senders<'a>(
        &'a self,
        is_asked: bool,
        (sender, unique_name): (Option<ConnectionId>, &'a str),
        owners: &'a impl Owners,
    ) -> SmallVec<[Option<&'a str>; 4]> {
        let mut names = SmallVec::new();
        if !is_asked {
            names.push(None);
            return names;
        }
        names.push(Some(unique_name));
        let Some(sender) = sender else {
            return names;
        };
        match owners.names_len(sender) <= self.senders.len() {
            true => {
                let owned = owners
                    .names(sender)
                    .filter(|name| self.senders.contains_key(*name));
                names.extend(owned.map(Some));
            }
            false => {
                let named = self.senders.keys().map(|name| &**name);
                names.extend(named.filter(|name| owners.owns(sender, name)).map(Some));
            }
        }
        names
    }

    fn hash(&self, shape: Shape, key: &Key<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        shape.hash(&mut hasher);
        key.kind.map(Kind::code).hash(&mut hasher);
        [key.sender, key.interface, key.member, key.path, key.arg0].hash(&mut hasher);
        hasher.finish()
    }

    fn file(&mut self, connection: ConnectionId, rule: Arc<Rule>) {
        let (shape, key) = rule.shape_and_key();
        let hash = self.hash(shape, &key);
        match self.shapes.iter_mut().find(|(one, _)| *one == shape) {
            Some((_, count)) => *count += 1,
            None => self.shapes.push((shape, 1)),
        }
        if let Some(sender) = well_known(&rule) {
            *self.senders.entry(sender.into()).or_default() += 1;
        }
        self.filed.entry(hash).or_default().push((connection, rule));
    }

    fn unfile(&mut self, connection: ConnectionId, rule: &Rule) {
        let (shape, key) = rule.shape_and_key();
        let hash = self.hash(shape, &key);
        if let Some((_, count)) = self.shapes.iter_mut().find(|(one, _)| *one == shape) {
            *count -= 1;
        }
        self.shapes.retain(|(_, count)| *count > 0);
        if let Some(sender) = well_known(rule)
            && let Some(count) = self.senders.get_mut(sender)
        {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(sender);
            }
        }
        let Entry::Occupied(mut filed) = self.filed.entry(hash) else {
            return;
        };
        let place = filed
            .get()
            .iter()
            .position(|(one, that)| *one == connection && **that == *rule);
        if let Some(place) = place {
            filed.get_mut().swap_remove(place);
        }
        if filed.get().is_empty() {
            filed.remove();
        }
    }
}

fn well_known(rule: &Rule) -> Option<&str> {
    rule.sender
        .as_deref()
        .filter(|sender| !sender.starts_with(':'))
}

/// The texts that a rule may have said: nothing, the text, or its beginnings up to a separator.
fn texts(
    text: Option<&str>,
    is_exact: bool,
    is_namespace: bool,
    separator: char,
) -> SmallVec<[Option<&str>; 8]> {
    let mut texts = SmallVec::new();
    match text {
        _ if !is_exact && !is_namespace => texts.push(None),
        None => {}
        // No rule has a longer one.
        Some(text) if is_exact && text.len() <= TEXT_LEN_MAX => texts.push(Some(text)),
        Some(_) if is_exact => {}
        Some(text) => {
            let ends = text.match_indices(separator).map(|(at, _)| at);
            let ends = ends.take_while(|at| *at <= TEXT_LEN_MAX);
            texts.extend(ends.filter(|at| *at > 0).map(|at| Some(&text[..at])));
            if text.len() <= TEXT_LEN_MAX && text != "/" {
                texts.push(Some(text));
            }
            if separator == '/' {
                texts.push(Some("/"));
            }
        }
    }
    texts
}

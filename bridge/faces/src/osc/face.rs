//! The face between OSC and the mesh, without sockets and clocks.
//!
//! Model: a [`Face`] is told which packets come and what happens on the mesh. It says what is to be set
//! ([`Face::next_set`]), what each destination is to be sent ([`Face::packets`]) and, as [`Output`]s, what else is to be
//! told. A [`Source`] is where a packet came from; a destination is where values go to, by its number.
//! Invariants: FACE-1. A destination that is also a source is not told what it said, see `outbox`. FACE-2. A message that
//! is refused changes nothing, is counted, and is answered where the source can be answered.
//! Limits: those of `space`, `sets`, `outbox`, `schedule` and `matches`; [`LISTENS_MAX`], [`MATCHES_MAX`], [`ANSWERS_MAX`].

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use super::{
    destination::{Destination, Source, Told, Wants},
    map::is_address,
    matches::Patterns,
    outbox::Outbox,
    packet::{self, Arg, Group, Message},
    pattern::is_pattern,
    schedule::{Schedule, Verdict},
    space::{Entry, News, Space},
};
use crate::{
    counts::Counts,
    mesh::{CapPath, CheckError, MeshEvent, PeerId, SetFailure, Value},
    sets::{Due, Sets},
};

/// What one packet may do, or one bundle whose time has come.
#[derive(Debug)]
struct Budget {
    matches: usize,
    answers: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            matches: MATCHES_MAX,
            answers: ANSWERS_MAX,
        }
    }
}

/// The time, for what happens here and for time tags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    /// A time tag.
    pub(crate) clock: u64,
}

/// A value that is to be set.
#[derive(Debug, PartialEq)]
pub(crate) struct Set {
    pub(crate) peer: PeerId,
    pub(crate) path: CapPath,
    /// The address, and the value with where it came from.
    pub(crate) due: Due<(Source, Value)>,
}

/// What is to be told beside values.
#[derive(Debug, PartialEq)]
pub(crate) enum Output {
    /// A packet for who sent something that was refused.
    Answer(Destination, Vec<u8>),
    Added(Arc<str>),
    Removed(Arc<str>),
    Described(Arc<str>),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Face {
    pub(crate) space: Space,
    destinations: BTreeMap<Destination, Told>,
    sets: Sets<(Source, Value)>,
    schedule: Schedule<Source>,
    pub(crate) counts: Counts,
    outputs: VecDeque<Output>,
    patterns: Patterns,
    /// For how many addresses connections listen, of all together.
    listens: usize,
    /// What one packet may still do.
    budget: Budget,
}

impl Face {
    pub(crate) fn new(chosen: Vec<String>) -> Self {
        Self {
            space: Space::new(chosen),
            ..Self::default()
        }
    }

    /// A destination is here, and is told all that there is for it.
    pub(crate) fn add(
        &mut self,
        now: Now,
        id: Destination,
        wants: Wants,
        address: Option<SocketAddr>,
    ) {
        let mut told = Told {
            outbox: Outbox::default(),
            wants,
            address,
        };
        for (address, entry) in self.space.entries() {
            if told.wants(address)
                && entry.is_state()
                && let Some(args) = entry.args()
            {
                told.outbox.state(now.instant, address, args);
            }
        }
        self.destinations.insert(id, told);
    }

    pub(crate) fn remove(&mut self, id: Destination) {
        let removed = self.destinations.remove(&id);
        if let Some(Wants::Listed(listed)) = removed.map(|told| told.wants) {
            self.listens -= listed.len();
        }
    }

    /// Whether a destination listens for an address, for one that says for which it does.
    pub(crate) fn listen(&mut self, id: Destination, address: &str, listens: bool) {
        let Some(Told {
            wants: Wants::Listed(listed),
            outbox,
            ..
        }) = self.destinations.get_mut(&id)
        else {
            return;
        };
        if !listens {
            self.listens -= usize::from(listed.remove(address));
            outbox.forget(address);
        } else if !is_address(address) {
            self.counts
                .refuse("a connection listens for what is no address");
        } else if self.listens == LISTENS_MAX {
            self.counts
                .refuse("connections listen for too many addresses");
        } else {
            self.listens += usize::from(listed.insert(address.into()));
        }
    }

    /// A packet came.
    pub(crate) fn packet(&mut self, now: Now, source: Source, octets: &[u8]) {
        self.budget = Budget::default();
        let groups = match packet::decode(octets) {
            Ok(groups) => groups,
            Err(error) => return self.refuse(source, "", &error),
        };
        for group in groups {
            self.counts.received += group.messages.len() as u64;
            match self.schedule.put(now.clock, group, source) {
                Verdict::Now(group) => self.apply(now, source, group),
                Verdict::Later => {}
                Verdict::Refused => self.refuse(
                    source,
                    "",
                    &"the time tag is too far ahead, or too much waits",
                ),
            }
        }
    }

    fn apply(&mut self, now: Now, source: Source, group: Group) {
        for message in group.messages {
            self.message(now, source, message);
        }
    }

    fn message(&mut self, now: Now, source: Source, message: Message) {
        let Message { address, args } = message;
        if !is_pattern(&address) {
            match self.space.known(&address) {
                Some(address) => self.set(now, source, &address, &args),
                None => self.refuse(source, &address, &"there is no such address"),
            }
            return;
        }
        let Some(matched) = self.patterns.matched(now.instant, &self.space, &address) else {
            return self.refuse(
                source,
                &address,
                &"not a pattern, or too many different ones",
            );
        };
        let Some(left) = self.budget.matches.checked_sub(matched.len()) else {
            self.budget.matches = 0;
            return self.refuse(source, &address, &"the packet matches too many addresses");
        };
        self.budget.matches = left;
        let writable: Vec<Arc<str>> = matched
            .iter()
            .filter(|address| {
                (self.space.at(address)).is_some_and(|entry| entry.capability.info.access.write)
            })
            .cloned()
            .collect();
        if writable.is_empty() {
            self.refuse(source, &address, &"no address that can be set matches");
        }
        for address in writable {
            self.set(now, source, &address, &args);
        }
    }

    fn set(&mut self, now: Now, source: Source, address: &Arc<str>, args: &[Arg]) {
        let Some(entry) = self.space.at(address) else {
            return;
        };
        let checked = match entry.kind.value(args) {
            Ok(value) => entry
                .capability
                .check_set(&value)
                .map_err(|error| explained(&error)),
            Err(error) if entry.capability.info.access.write => Err(error.to_string()),
            Err(_) => Err(explained(&CheckError::NotWritable)),
        };
        let is_state = entry.is_state();
        // What is sent back is compared with what the value is in our words.
        let said = match &checked {
            Ok(value) => entry.kind.args(value),
            Err(_) => args.to_vec(),
        };
        for (id, told) in &mut self.destinations {
            if told.is(*id, source) {
                told.outbox.touched(now.instant, address, said.clone());
            }
        }
        if checked.is_err() {
            self.put_back(now, source, address);
        }
        match checked {
            Ok(value) if is_state => self.sets.state(now.instant, address, (source, value)),
            Ok(value) => self.sets.event(address, (source, value)),
            Err(reason) => self.refuse(source, address, &reason),
        }
    }

    /// The next value that is to be set now.
    pub(crate) fn next_set(&mut self, now: Now) -> Option<Set> {
        loop {
            let due = self.sets.take(now.instant)?;
            if let Some(entry) = self.space.at(&due.address) {
                self.counts.taken += 1;
                return Some(Set {
                    peer: entry.peer,
                    path: entry.path.clone(),
                    due,
                });
            }
        }
    }

    /// What became of a value that was to be set.
    pub(crate) fn not_set(&mut self, now: Now, set: Set, failure: &SetFailure) {
        self.budget = Budget::default();
        self.counts.taken -= 1;
        let (address, source) = (Arc::clone(&set.due.address), set.due.value.0);
        match failure {
            SetFailure::Busy if self.space.at(&address).is_some_and(Entry::is_state) => {
                self.sets.again(now.instant, set.due);
            }
            SetFailure::Busy => self.counts.dropped += 1,
            SetFailure::Gone => self.refuse(source, &address, &"the node is gone"),
            SetFailure::Refused(reason) => {
                self.put_back(now, source, &address);
                self.refuse(source, &address, reason);
            }
        }
    }

    /// A control that shows what was refused is put back to the value that the state has.
    fn put_back(&mut self, now: Now, source: Source, address: &Arc<str>) {
        let entry = self.space.at(address).filter(|entry| entry.is_state());
        let Some(present) = entry.and_then(Entry::args) else {
            return;
        };
        for (id, told) in &mut self.destinations {
            if told.is(*id, source) && told.wants(address) {
                told.outbox.state(now.instant, address, present.clone());
            }
        }
    }

    /// Something happened on the mesh.
    pub(crate) fn mesh(&mut self, now: Now, event: MeshEvent) {
        match event {
            MeshEvent::Entered { peer, name } => self.space.entered(peer, name),
            MeshEvent::Left { peer } => {
                let news = self.space.left(peer);
                let node = node_of(&news);
                self.tell(now, news, false);
                self.outputs.extend(node.map(Output::Removed));
            }
            MeshEvent::Tree { peer, tree } => {
                let news = self.space.tree(peer, &tree);
                let node = node_of(&news);
                self.tell(now, news, false);
                self.outputs.extend(node.map(Output::Added));
            }
            MeshEvent::Changed { peer, changes } => {
                let news = self.space.changed(peer, changes);
                self.tell(now, news, true);
            }
            MeshEvent::Emitted { peer, path, value } => {
                self.emitted(now, peer, &path, value, false)
            }
            MeshEvent::Set { peer, path, value } => self.emitted(now, peer, &path, value, true),
            MeshEvent::Received { .. } => {}
        }
    }

    fn emitted(&mut self, now: Now, peer: PeerId, path: &CapPath, value: Value, is_answer: bool) {
        let Some(News::Value(address)) = self.space.value(peer, path, value) else {
            return;
        };
        let Some(entry) = self.space.at(&address) else {
            return;
        };
        let (is_state, args) = (entry.is_state(), entry.args().unwrap_or_default());
        let wanting = self
            .destinations
            .values_mut()
            .filter(|told| told.wants(&address));
        for told in wanting {
            if is_state {
                told.outbox.state(now.instant, &address, args.clone());
            } else {
                told.outbox
                    .event(now.instant, &address, args.clone(), is_answer);
            }
        }
    }

    /// Tells what is new, of addresses one by one where `each` is wanted.
    fn tell(&mut self, now: Now, news: Vec<News>, each: bool) {
        for one in news {
            match one {
                News::Value(address) => self.tell_state(now, &address),
                News::Added(address) => {
                    self.patterns.forget();
                    self.tell_state(now, &address);
                    self.outputs.extend(each.then_some(Output::Added(address)));
                }
                News::Described(address) => {
                    self.tell_state(now, &address);
                    self.outputs
                        .extend(each.then_some(Output::Described(address)));
                }
                News::Removed(address) => {
                    self.patterns.forget();
                    self.sets.forget(&address);
                    for told in self.destinations.values_mut() {
                        told.outbox.forget(&address);
                    }
                    self.outputs
                        .extend(each.then_some(Output::Removed(address)));
                }
            }
        }
    }

    fn tell_state(&mut self, now: Now, address: &Arc<str>) {
        let Some(entry) = self.space.at(address).filter(|entry| entry.is_state()) else {
            return;
        };
        let Some(args) = entry.args() else { return };
        let wanting = self
            .destinations
            .values_mut()
            .filter(|told| told.wants(address));
        for told in wanting {
            told.outbox.state(now.instant, address, args.clone());
        }
    }

    /// What a destination is to be sent now, in packets of at most `len_max` octets.
    pub(crate) fn packets(&mut self, now: Now, id: Destination, len_max: usize) -> Vec<Vec<u8>> {
        let Some(told) = self.destinations.get_mut(&id) else {
            return Vec::new();
        };
        let messages = told.outbox.take(now.instant);
        self.counts.dropped += told.outbox.take_dropped();
        self.counts.sent += messages.len() as u64;
        packet::packets(&messages, len_max)
    }

    /// When a destination is to be sent something next.
    pub(crate) fn destination_timeout(&self, now: Now, id: Destination) -> Option<Instant> {
        self.destinations.get(&id)?.outbox.poll_timeout(now.instant)
    }

    /// When a value is to be set next.
    pub(crate) fn set_timeout(&self, now: Now) -> Option<Instant> {
        self.sets.poll_timeout(now.instant)
    }

    /// When the time of a message comes next.
    pub(crate) fn schedule_timeout(&self, now: Now) -> Option<Instant> {
        Some(now.instant + self.schedule.next(now.clock)?)
    }

    /// Messages whose time has come take effect.
    pub(crate) fn timeout(&mut self, now: Now) {
        while let Some((group, source)) = self.schedule.take(now.clock) {
            self.budget = Budget::default();
            self.apply(now, source, group);
        }
        self.counts.replaced = self.sets.replaced;
        self.counts.dropped += std::mem::take(&mut self.sets.dropped);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn refuse(&mut self, source: Source, address: &str, reason: &dyn std::fmt::Display) {
        let who: &dyn std::fmt::Display = match &source {
            Source::Datagram(from) => from,
            Source::Connection(_) => &"a connection",
        };
        self.counts
            .refuse(&format!("{address} from {who}: {reason}"));
        if let Source::Connection(to) = source
            && let Some(left) = self.budget.answers.checked_sub(1)
        {
            self.budget.answers = left;
            let args = [address, &reason.to_string()].map(|text| Arg::Text(text.to_owned()));
            let message = Message {
                address: ERROR_ADDRESS.to_owned(),
                args: args.to_vec(),
            };
            let mut packet = Vec::new();
            packet::encode(&message, &mut packet);
            self.outputs.push_back(Output::Answer(to, packet));
        }
    }
}

/// The address of the node that the news are of.
fn node_of(news: &[News]) -> Option<Arc<str>> {
    let (News::Added(address)
    | News::Removed(address)
    | News::Described(address)
    | News::Value(address)) = news.first()?;
    let name = address.get(1..)?.split('/').next()?;
    Some(format!("/{name}").into())
}

fn explained(error: &CheckError) -> String {
    match error {
        CheckError::NotWritable => "it cannot be set".to_owned(),
        other => other.to_string(),
    }
}

/// Where the reason is sent why a message was refused.
const ERROR_ADDRESS: &str = "/error";
/// Addresses for which connections listen, all together.
pub(crate) const LISTENS_MAX: usize = 65_536;
/// Addresses that the patterns of one packet match; what exceeds that is refused.
pub(crate) const MATCHES_MAX: usize = 65_536;
/// Answers to one packet; further refusals are counted alone.
pub(crate) const ANSWERS_MAX: usize = 16;

#[cfg(test)]
mod tests;

//! A program that speaks OSC as a node, without sockets and clocks.
//!
//! Model: each address that the program sends or takes is a capability, by the [`Map`]; one that is not in it is learned
//! as an emitter when it is sent first. What the program sends is emitted, and what is set or arrives over a wire is
//! sent to it.
//! Invariants: OSCPROGRAM-1. The program is not told what it sent, see `outbox`. OSCPROGRAM-2. What is told last of an
//! address is the value that came last.
//! Layout: `addresses` has what is known, `learning` and `description` make things known.
//! Limits: those of `addresses`, `sets`, `outbox` and `schedule`.

mod addresses;
mod description;
mod learning;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use self::addresses::{Addresses, NoPlace, Origin};
pub(crate) use self::description::Description;
use super::{
    face::Now,
    map::{Direction, Entry, Map},
    outbox::Outbox,
    packet::{self, Arg, Message, Packing},
    schedule::{Schedule, Verdict},
};
use crate::{
    counts::Counts,
    mesh::{CapPath, Capability, Value, Withdrawal},
    sets::{Due, Sets},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Program {
    learns: bool,
    addresses: Addresses,
    outbox: Outbox,
    sets: Sets<Value>,
    schedule: Schedule<()>,
    /// When the program began to take what it is sent, if that is known.
    here_at: Option<Instant>,
    /// The addresses of its last description that no capability is.
    left_out: BTreeSet<String>,
    pub(crate) counts: Counts,
    /// Something was learned since this was looked at.
    pub(crate) has_learned: bool,
}

impl Program {
    /// A program with a map, and with what was learned before.
    pub(crate) fn new(map: Map, learned: Map) -> Self {
        let mut program = Self {
            learns: map.learn,
            ..Self::default()
        };
        for entry in map.capability {
            program.know_or_refuse(entry, Origin::Map);
        }
        let kept = learned.capability.into_iter().filter(|_| program.learns);
        for entry in kept.collect::<Vec<_>>() {
            program.know_or_refuse(entry, Origin::Learned);
        }
        program
    }

    /// What was learned, for the next time.
    pub(crate) fn learned(&self) -> Map {
        self.addresses.learned()
    }

    fn know_or_refuse(&mut self, entry: Entry, origin: Origin) {
        let address = entry.address.clone();
        if let Err(error) = self.know(entry, None, origin) {
            self.counts.refuse(&format!("{address}: {error}"));
        }
    }

    /// An address is there, and is this from now on: what waits of its former type is forgotten.
    fn know(&mut self, entry: Entry, value: Option<Value>, origin: Origin) -> Result<(), NoPlace> {
        self.outbox.forget(&entry.address);
        self.sets.forget(&entry.address);
        self.addresses.know(entry, value, origin)
    }

    /// The program sent a packet.
    pub(crate) fn packet(&mut self, now: Now, octets: &[u8]) {
        let groups = match packet::decode(octets) {
            Ok(groups) => groups,
            Err(error) => return self.counts.refuse(&error.to_string()),
        };
        for group in groups {
            self.counts.received += group.messages.len() as u64;
            match self.schedule.put(now.clock, group, ()) {
                Verdict::Now(group) => self.apply(now, group.messages),
                Verdict::Later => {}
                Verdict::Refused => self
                    .counts
                    .refuse("a time tag is too far ahead, or too much waits"),
            }
        }
    }

    /// Messages whose time has come take effect.
    pub(crate) fn timeout(&mut self, now: Now) {
        while let Some((group, ())) = self.schedule.take(now.clock) {
            self.apply(now, group.messages);
        }
        self.counts.replaced = self.sets.replaced;
    }

    fn apply(&mut self, now: Now, messages: Vec<Message>) {
        for Message { address, args } in messages {
            if let Err(reason) = self.message(now, &address, &args) {
                self.counts.refuse(&format!("{address}: {reason}"));
            }
        }
    }

    fn message(&mut self, now: Now, address: &str, args: &[Arg]) -> Result<(), String> {
        let Some((address, known)) = self.addresses.at(address) else {
            return self.learn(now, address, args);
        };
        let value = known.kind.value(args);
        // It says what it was given, perhaps with other tags.
        let args_of = |value: &Value| known.kind.args(value);
        let said = value.as_ref().ok().map(args_of);
        if said.is_some() && said == known.given.as_ref().map(|(given, _)| args_of(given)) {
            return Ok(());
        }
        if known.entry.direction == Direction::In {
            return Err("it is one that the program takes, by the map".to_owned());
        }
        let address = Arc::clone(address);
        match value {
            Ok(value) => {
                let value = known.capability.check(&value);
                let value = value.map_err(|error| error.to_string())?;
                self.outbox
                    .touched(now.instant, &address, known.kind.args(&value));
                self.sent(now, &address, value);
                Ok(())
            }
            // It sends something else now than it did when it was learned.
            Err(_) if known.origin == Origin::Learned => self.learn(now, &address, args),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The program has a value that it was not given.
    fn sent(&mut self, now: Now, address: &Arc<str>, value: Value) {
        if let Some(known) = self.addresses.at_mut(address) {
            known.given = None;
            known.capability.value = Some(value.clone());
        }
        self.sets.state(now.instant, address, value);
    }

    /// What is to be withdrawn next, before anything is published.
    pub(crate) fn next_withdrawal(&mut self) -> Option<Withdrawal> {
        self.addresses.next_withdrawal()
    }

    /// A value for a capability of this node.
    pub(crate) fn received(&mut self, now: Now, path: &CapPath, value: &Value) {
        let Some((address, known)) = self.addresses.by_path(path) else {
            return;
        };
        known.given = Some((value.clone(), now.instant));
        known.capability.value = Some(value.clone());
        let args = known.kind.args(value);
        self.outbox.state(now.instant, &address, args);
        self.counts.taken += 1;
    }

    /// The next capability that is to be published, before any value is told.
    pub(crate) fn next_publication(&mut self) -> Option<(CapPath, Capability)> {
        self.addresses.next_publication()
    }

    /// The next value that is to be emitted now.
    pub(crate) fn next_value(&mut self, now: Now) -> Option<(CapPath, Value)> {
        loop {
            let Due { address, value, .. } = self.sets.take(now.instant)?;
            if let Some((_, known)) = self.addresses.at(&address) {
                return Some((known.path.clone(), value));
            }
        }
    }

    /// What the program is to be sent now, in at most so many packets; what is more waits.
    pub(crate) fn packets(&mut self, now: Now, len_max: usize, packets_max: usize) -> Vec<Vec<u8>> {
        let mut packing = Packing::new(len_max, packets_max);
        let taken = self
            .outbox
            .take_while(now.instant, |message| packing.put(message));
        self.counts.sent += taken;
        packing.finish()
    }

    /// When there is something to do next, and when for the node. `takes`: the program takes something now.
    pub(crate) fn poll_timeout(&self, now: Now, takes: bool) -> (Option<Instant>, Option<Instant>) {
        let scheduled = self.schedule.next(now.clock).map(|wait| now.instant + wait);
        let out = self.outbox.poll_timeout(now.instant).filter(|_| takes);
        let publication = self.addresses.has_news().then_some(now.instant);
        let to_node = publication.or_else(|| self.sets.poll_timeout(now.instant));
        (scheduled.into_iter().chain(out).min(), to_node)
    }
}

#[cfg(test)]
mod tests;

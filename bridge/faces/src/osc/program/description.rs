//! What a program describes of itself, in its OSCQuery server.
//!
//! Invariants: DESCRIPTION-1. A value that the program was given is not taken for one of its own, nor is what it had
//! before.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{face::Now, outbox::HOLD, remote_tree::Method},
    Program,
    addresses::Origin,
};
use crate::mesh::Value;

/// A description, as it was read.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) methods: Vec<Method>,
    /// The addresses of those that no capability can be.
    pub(crate) left_out: BTreeSet<String>,
    /// Whether the program sends each value that changes; else the description says it.
    pub(crate) says_changes: bool,
    /// When it was requested.
    pub(crate) asked: Instant,
}

impl Program {
    /// The program is here, and takes what it is sent from now on.
    pub(crate) fn here(&mut self, now: Now) {
        self.here_at = Some(now.instant);
    }

    /// The program described all that it has.
    pub(crate) fn described(&mut self, now: Now, description: Description) {
        let Description {
            methods,
            mut left_out,
            says_changes,
            asked,
        } = description;
        let here: HashSet<&str> = methods.iter().map(|it| &*it.entry.address).collect();
        let gone = self.addresses.described();
        let gone = gone.filter(|address| !here.contains(&***address));
        let gone: Vec<Arc<str>> = gone.map(Arc::clone).collect();
        for address in &gone {
            self.outbox.forget(address);
            self.sets.forget(address);
        }
        self.addresses.remove(&gone);
        for Method { entry, value } in methods {
            match self.addresses.at(&entry.address) {
                Some((_, known)) if known.origin != Origin::Described => {}
                Some((_, known)) if known.entry == entry => {
                    if let Some(value) = value.filter(|_| !says_changes) {
                        self.read(now, &entry.address, value, asked);
                    }
                }
                _ => {
                    let address = entry.address.clone();
                    if self.know(entry, value, Origin::Described).is_err() {
                        left_out.insert(address);
                    }
                }
            }
        }
        let new = left_out.difference(&self.left_out).count();
        if new > 0 {
            let reason = format!(
                "{new} addresses were left out: no capability has their type, or there are too many"
            );
            self.counts.refuse_all(new as u64, &reason);
        }
        self.left_out = left_out;
    }

    /// A description has this value.
    fn read(&mut self, now: Now, address: &str, value: Value, asked: Instant) {
        let here_at = self.here_at;
        let Some((address, known)) = self.addresses.at(address) else {
            return;
        };
        let args = known.kind.args(&value);
        let is_args = |other: &Value| known.kind.args(other) == args;
        // DESCRIPTION-1.
        if let Some((given, at)) = &known.given {
            let sent_at = here_at.map_or(*at, |here_at| here_at.max(*at));
            if is_args(given) || asked < sent_at + SETTLE {
                return;
            }
        }
        let has_it = known.capability.value.as_ref().is_some_and(is_args);
        if has_it || known.capability.check(&value).is_err() {
            return;
        }
        let address = Arc::clone(address);
        self.outbox.touched(now.instant, &address, args);
        self.sent(now, &address, value);
    }
}

/// After this a program has taken what it was sent, also what waited because the program had sent something itself.
const SETTLE: Duration = HOLD.saturating_mul(2);

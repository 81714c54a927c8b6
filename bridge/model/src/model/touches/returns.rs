//! What is expected to come back on one wire.
//!
//! Model: [`Returns`] has the values that our capability told and that are under way through nodes that tell no
//! causes, and what such a node was taken for a touch of.
//! Limits: [`RETURNS_MAX`] values of each kind, for [`RETURN_MAX`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{NodeId, json};

/// What is expected to come back on a wire.
#[derive(Debug)]
pub(super) struct Returns {
    pub(super) peer: NodeId,
    pub(super) emitter: String,
    pub(super) expected: VecDeque<Expected>,
    /// The last time that something was told or came.
    pub(super) moved: Option<Instant>,
    /// What was taken from it for a touch and told on, lately.
    pub(super) taken: VecDeque<(Value, Instant)>,
    /// What was taken because it was shown, lately.
    adopted: VecDeque<(Value, Instant)>,
    /// The longest that something took to come back.
    slowest: Duration,
    pub(super) is_settling: bool,
}

/// A value that is expected to come back.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) value: Value,
    at: Instant,
    /// It came from this very wire: it comes back only if the last node has another value by then.
    is_from_there: bool,
}

impl Returns {
    pub(super) fn new(peer: NodeId, emitter: String) -> Self {
        Self {
            peer,
            emitter,
            expected: VecDeque::new(),
            moved: None,
            taken: VecDeque::new(),
            adopted: VecDeque::new(),
            slowest: Duration::ZERO,
            is_settling: false,
        }
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        let soon = (self.slowest * 2).clamp(RETURN_MIN, RETURN_MAX);
        self.expected.retain(|one| {
            let max = if one.is_from_there { soon } else { RETURN_MAX };
            now.duration_since(one.at) <= max
        });
    }

    pub(super) fn push(&mut self, value: Value, at: Instant, is_from_there: bool) {
        if self.expected.len() >= RETURNS_MAX {
            self.expected.pop_front();
        }
        self.expected.push_back(Expected {
            value,
            at,
            is_from_there,
        });
    }

    /// Whether a value is taken because it is shown: two nodes that take those of each other would never end.
    pub(super) fn may_adopt(&mut self, value: &Value, now: Instant) -> bool {
        self.adopted
            .retain(|(_, at)| now.duration_since(*at) <= ADOPTED_MAX);
        let adopted = self.adopted.iter();
        let times = adopted.filter(|(one, _)| json::equal(one, value)).count();
        let may = times < ROUNDS_MAX && self.adopted.len() < RETURNS_MAX;
        if may {
            self.adopted.push_back((value.clone(), now));
        }
        may
    }

    /// Whether a value comes again and again: two that go round in a circle, each taken for a touch.
    pub(super) fn comes_round(&mut self, value: &Value, now: Instant) -> bool {
        self.taken
            .retain(|(_, at)| now.duration_since(*at) <= RETURN_MAX);
        let taken = self.taken.iter();
        taken.filter(|(one, _)| json::equal(one, value)).count() >= ROUNDS_MAX
    }

    /// How long it is quiet when nothing comes back any more.
    pub(super) fn settle(&self) -> Duration {
        (self.slowest * 3 / 2).clamp(SETTLE, RETURN_MAX)
    }

    /// Whether a value is what is expected; what was told before it is not expected any more.
    pub(super) fn take(&mut self, value: &Value, now: Instant) -> bool {
        self.forget_old(now);
        let mut expected = self.expected.iter();
        let Some(at) = expected.position(|one| json::equal(&one.value, value)) else {
            return false;
        };
        if let Some(last) = self.expected.drain(..=at).next_back() {
            self.slowest = self.slowest.max(now.duration_since(last.at));
        }
        true
    }

    /// A value was taken for a touch, and told on.
    pub(super) fn took(&mut self, value: Value, at: Instant) {
        if self.taken.len() >= RETURNS_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back((value, at));
    }

    /// It has been quiet: nothing is under way.
    pub(super) fn rest(&mut self) {
        self.is_settling = false;
        self.expected.clear();
        self.taken.clear();
    }
}

/// How long a circle is quiet before it is looked at.
const SETTLE: Duration = Duration::from_millis(500);
/// How long something is expected to come back: at least, when it may be that it does not, and at most.
const RETURN_MIN: Duration = Duration::from_secs(1);
const RETURN_MAX: Duration = Duration::from_secs(5);
/// How long it is remembered that a value was taken because it was shown.
const ADOPTED_MAX: Duration = Duration::from_secs(30);
/// How often a value comes back before it is no longer told on.
const ROUNDS_MAX: usize = 3;
/// Values that are expected on one wire: those of a second, as fast as programs set them.
const RETURNS_MAX: usize = 1024;

//! The sources of a universe, and what they say together.
//!
//! Model: each source has its slots, its priority and its sequence. Those of the highest priority count, and of several
//! the highest level of each slot. A source that says nothing for [`LOSS`] is gone.
//! Invariants: RECEIVER-1. A packet that is older than one that was taken is not taken. RECEIVER-2. What waits for a
//! synchronization takes effect with it, or when none comes.
//! Limits: [`SOURCES_MAX`] sources; further ones are not heard until one is gone.
//! Spec: E1.31-2018 §6.7, §6.9, §11.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::sacn::SLOTS_MAX;

/// All slots of a universe.
pub(crate) type Slots = [u8; SLOTS_MAX];

/// Who sends a universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Sacn([u8; 16]),
    ArtNet(IpAddr),
}

/// One packet of a source.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) identity: Identity,
    /// `None`: the source does not number them.
    pub(crate) sequence: Option<u8>,
    pub(crate) priority: u8,
    /// The address of the synchronization that makes it take effect; 0: at once.
    pub(crate) sync: u16,
    pub(crate) slots: &'a [u8],
}

/// The sources of a universe.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    identity: Identity,
    sequence: Option<u8>,
    priority: u8,
    slots: Slots,
    /// What waits for a synchronization at this address.
    waiting: Option<(u16, Slots)>,
    last: Instant,
    /// When a synchronization came last.
    synced: Option<Instant>,
}

impl Receiver {
    /// Takes a packet; whether it was taken.
    pub(crate) fn frame(&mut self, now: Instant, frame: &Frame<'_>) -> bool {
        let known = self
            .sources
            .iter()
            .position(|one| one.identity == frame.identity);
        let place = match known {
            Some(place) => place,
            None if self.sources.len() == SOURCES_MAX => return false,
            None => {
                self.sources.push(Source {
                    identity: frame.identity,
                    sequence: None,
                    priority: frame.priority,
                    slots: [0; SLOTS_MAX],
                    waiting: None,
                    last: now,
                    synced: None,
                });
                self.sources.len() - 1
            }
        };
        let source = &mut self.sources[place];
        if let (Some(last), Some(new)) = (source.sequence, frame.sequence)
            && is_old(last, new)
        {
            return false;
        }
        source.sequence = frame.sequence;
        source.priority = frame.priority;
        source.last = now;
        let mut slots = [0; SLOTS_MAX];
        for (slot, level) in slots.iter_mut().zip(frame.slots) {
            *slot = *level;
        }
        // Without synchronizations they take effect as they come.
        let is_synced = source.synced.is_some_and(|synced| now - synced < LOSS);
        if frame.sync != 0 && (is_synced || source.synced.is_none()) {
            source.waiting = Some((frame.sync, slots));
            source.synced.get_or_insert(now);
        } else {
            source.waiting = None;
            source.slots = slots;
        }
        true
    }

    /// A synchronization came.
    pub(crate) fn sync(&mut self, now: Instant, address: u16) {
        for source in &mut self.sources {
            if let Some((waited, slots)) = source.waiting
                && waited == address
            {
                source.slots = slots;
                source.waiting = None;
                source.synced = Some(now);
            }
        }
    }

    /// A source says that it ends.
    pub(crate) fn ended(&mut self, identity: Identity) {
        self.sources.retain(|source| source.identity != identity);
    }

    /// Sources that are silent are gone.
    pub(crate) fn timeout(&mut self, now: Instant) {
        self.sources.retain(|source| now - source.last < LOSS);
    }

    /// When a source is silent for too long next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sources.iter().map(|source| source.last + LOSS).min()
    }

    /// What the sources say together; `None`: there is none.
    pub(crate) fn slots(&self) -> Option<Slots> {
        let highest = self.sources.iter().map(|source| source.priority).max()?;
        let mut merged = [0; SLOTS_MAX];
        for source in self
            .sources
            .iter()
            .filter(|source| source.priority == highest)
        {
            for (slot, level) in merged.iter_mut().zip(source.slots) {
                *slot = level.max(*slot);
            }
        }
        Some(merged)
    }
}

/// E1.31 §6.7.2: up to twenty before the last one.
fn is_old(last: u8, new: u8) -> bool {
    let ahead = i8::from_be_bytes([new.wrapping_sub(last)]);
    ahead <= 0 && ahead > -20
}

/// After so long a source is gone.
pub(crate) const LOSS: Duration = Duration::from_millis(2500);
/// Sources of one universe.
pub(crate) const SOURCES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: u8, sequence: u8, priority: u8, slots: &[u8]) -> Frame<'_> {
        Frame {
            identity: Identity::Sacn([source; 16]),
            sequence: Some(sequence),
            priority,
            sync: 0,
            slots,
        }
    }

    fn first(receiver: &Receiver) -> Option<[u8; 2]> {
        receiver.slots().map(|slots| [slots[0], slots[1]])
    }

    #[test]
    fn the_highest_priority_counts_and_of_equals_the_highest_level() {
        let (mut receiver, now) = (Receiver::default(), Instant::now());
        receiver.frame(now, &frame(1, 0, 100, &[10, 200]));
        receiver.frame(now, &frame(2, 0, 100, &[20, 100]));
        assert_eq!(first(&receiver), Some([20, 200]));
        receiver.frame(now, &frame(3, 0, 101, &[1, 2]));
        assert_eq!(first(&receiver), Some([1, 2]));
        receiver.ended(Identity::Sacn([3; 16]));
        assert_eq!(first(&receiver), Some([20, 200]));
        receiver.timeout(now + LOSS);
        assert_eq!(first(&receiver), None);
    }

    #[test]
    fn packets_out_of_order_are_not_taken() {
        let (mut receiver, now) = (Receiver::default(), Instant::now());
        assert!(receiver.frame(now, &frame(1, 250, 100, &[1, 0])));
        assert!(!receiver.frame(now, &frame(1, 249, 100, &[2, 0])));
        assert!(!receiver.frame(now, &frame(1, 250, 100, &[2, 0])));
        assert!(
            receiver.frame(now, &frame(1, 3, 100, &[3, 0])),
            "around the end"
        );
        assert!(
            receiver.frame(now, &frame(1, 200, 100, &[4, 0])),
            "it began anew"
        );
        assert_eq!(first(&receiver), Some([4, 0]));
    }

    #[test]
    fn sources_have_a_bound() {
        let (mut receiver, now) = (Receiver::default(), Instant::now());
        for source in 0..u8::try_from(SOURCES_MAX).unwrap() {
            assert!(receiver.frame(now, &frame(source, 0, 100, &[1])));
        }
        assert!(!receiver.frame(now, &frame(99, 0, 200, &[9])));
        receiver.timeout(now + LOSS);
        assert!(receiver.frame(now + LOSS, &frame(99, 0, 200, &[9])));
    }

    #[test]
    fn what_waits_for_a_synchronization_takes_effect_with_it_or_when_none_comes() {
        let (mut receiver, start) = (Receiver::default(), Instant::now());
        let synced = |sequence, slots| Frame {
            sync: 7,
            ..frame(1, sequence, 100, slots)
        };
        receiver.frame(start, &synced(0, &[5, 5]));
        assert_eq!(first(&receiver), Some([0, 0]));
        receiver.sync(start, 8);
        assert_eq!(first(&receiver), Some([0, 0]), "of another address");
        receiver.sync(start, 7);
        assert_eq!(first(&receiver), Some([5, 5]));
        receiver.frame(start + LOSS / 2, &synced(1, &[6, 6]));
        assert_eq!(first(&receiver), Some([5, 5]));
        receiver.frame(start + LOSS, &synced(2, &[7, 7]));
        assert_eq!(
            first(&receiver),
            Some([7, 7]),
            "nobody synchronizes any more"
        );
    }
}

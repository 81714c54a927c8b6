//! Groups of messages that wait for their time.
//!
//! Model: a group with a time tag in the future waits here, and comes out whole when the clock has reached it; of one
//! time, the first that came comes out first.
//! Limits: [`MESSAGES_MAX`] messages wait, no longer than [`AHEAD_MAX`]; a further group, or one for later than that, is
//! refused: a clock that is wrong by minutes is more common than a plan that long.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::packet::{AT_ONCE, Group};

/// The groups that wait, each with what the caller knows of it.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    waiting: BinaryHeap<Reverse<Waiting<T>>>,
    messages: usize,
    number: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    time: u64,
    number: u64,
    group: Group,
    origin: T,
}

/// What becomes of a group.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Its time has come.
    Now(Group),
    /// It waits.
    Later,
    /// It is refused.
    Refused,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            waiting: BinaryHeap::new(),
            messages: 0,
            number: 0,
        }
    }
}

impl<T> Schedule<T> {
    /// Takes a group at `clock`, a time tag.
    pub(crate) fn put(&mut self, clock: u64, group: Group, origin: T) -> Verdict {
        if group.time == AT_ONCE || group.time <= clock {
            return Verdict::Now(group);
        }
        let messages = self.messages + group.messages.len();
        if wait(clock, group.time) > AHEAD_MAX || messages > MESSAGES_MAX {
            return Verdict::Refused;
        }
        self.messages = messages;
        self.number += 1;
        self.waiting.push(Reverse(Waiting {
            time: group.time,
            number: self.number,
            group,
            origin,
        }));
        Verdict::Later
    }

    /// The next group whose time has come.
    pub(crate) fn take(&mut self, clock: u64) -> Option<(Group, T)> {
        if self.waiting.peek()?.0.time > clock {
            return None;
        }
        let Reverse(waiting) = self.waiting.pop()?;
        self.messages -= waiting.group.messages.len();
        Some((waiting.group, waiting.origin))
    }

    /// How long the next group waits.
    pub(crate) fn next(&self, clock: u64) -> Option<Duration> {
        Some(wait(clock, self.waiting.peek()?.0.time))
    }
}

/// From one time tag to another.
fn wait(from: u64, to: u64) -> Duration {
    let ahead = u128::from(to.saturating_sub(from));
    let nanos = (ahead * 1_000_000_000) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The time tag of a time since 1970.
pub(crate) fn time_tag(since_1970: Duration) -> u64 {
    let seconds = since_1970.as_secs() + SECONDS_TO_1970;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

/// From 1900 on.
const SECONDS_TO_1970: u64 = 2_208_988_800;
/// Messages that wait for their time.
pub(crate) const MESSAGES_MAX: usize = 16_384;
/// How far ahead a time may be.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osc::packet::Message;

    fn group(time: u64, count: usize) -> Group {
        let message = Message {
            address: "/a".into(),
            args: Vec::new(),
        };
        Group {
            time,
            messages: vec![message; count],
        }
    }

    #[test]
    fn groups_come_out_at_their_time_in_order() {
        let (mut schedule, now) = (Schedule::default(), 100_u64 << 32);
        assert!(matches!(
            schedule.put(now, group(AT_ONCE, 1), 0),
            Verdict::Now(_)
        ));
        assert!(matches!(
            schedule.put(now, group(now - 1, 1), 0),
            Verdict::Now(_)
        ));
        for (seconds, origin) in [(2, 1), (1, 2), (2, 3)] {
            let time = now + (seconds << 32);
            assert_eq!(schedule.put(now, group(time, 1), origin), Verdict::Later);
        }
        assert_eq!(schedule.next(now), Some(Duration::from_secs(1)));
        assert!(schedule.take(now).is_none());
        let mut order = Vec::new();
        while let Some((_, origin)) = schedule.take(now + (2 << 32)) {
            order.push(origin);
        }
        assert_eq!(order, [2, 1, 3]);
        assert_eq!(schedule.next(now), None);
    }

    #[test]
    fn what_waits_has_a_bound_in_number_and_in_time() {
        let (mut schedule, now) = (Schedule::default(), 100_u64 << 32);
        assert_eq!(
            schedule.put(now, group(now + (61 << 32), 1), ()),
            Verdict::Refused
        );
        assert_eq!(schedule.put(now, group(u64::MAX, 1), ()), Verdict::Refused);
        assert_eq!(
            schedule.put(now, group(now + 5, MESSAGES_MAX), ()),
            Verdict::Later
        );
        assert_eq!(schedule.put(now, group(now + 5, 1), ()), Verdict::Refused);
        schedule.take(now + 5);
        assert_eq!(schedule.put(now, group(now + 5, 1), ()), Verdict::Later);
    }

    #[test]
    fn a_time_tag_counts_from_1900() {
        assert_eq!(
            time_tag(Duration::from_millis(500)),
            2_208_988_800 << 32 | 1 << 31
        );
    }
}

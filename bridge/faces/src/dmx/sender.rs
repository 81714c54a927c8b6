//! When a universe is sent: what is new at once, but no more often than a line of DMX bears, and what is old now and then.
//!
//! Model: after a change the slots are sent three times more at the pace of [`REPEAT`], then every [`KEEP`].
//! Invariants: SENDER-1. No two packets are closer than [`PACE`]. SENDER-2. The last packet has the newest slots.
//! Spec: E1.31-2018 §6.6; Art-Net 4, "Refresh Rate".

use std::time::{Duration, Instant};

/// The pace of one universe.
#[derive(Debug)]
pub(crate) struct Sender {
    last: Option<Instant>,
    /// Repetitions since the last change.
    repeated: u8,
    is_new: bool,
}

impl Sender {
    /// It sends at once.
    pub(crate) fn new() -> Self {
        Self {
            last: None,
            repeated: 0,
            is_new: true,
        }
    }

    /// The slots are other ones.
    pub(crate) fn changed(&mut self) {
        self.is_new = true;
    }

    /// When the next packet is due.
    pub(crate) fn due(&self, now: Instant) -> Instant {
        let wait = match (self.is_new, self.repeated) {
            (true, _) => PACE,
            (false, 0..REPETITIONS) => REPEAT,
            _ => KEEP,
        };
        self.last.map_or(now, |last| last + wait)
    }

    /// Whether a packet is to be sent now, which is then taken for sent.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.due(now) > now {
            return false;
        }
        self.repeated = if self.is_new {
            0
        } else {
            (self.repeated + 1).min(REPETITIONS)
        };
        self.is_new = false;
        self.last = Some(now);
        true
    }
}

/// 44 packets a second: what 512 slots take on a line.
const PACE: Duration = Duration::from_micros(22_728);
/// Between the repetitions after a change.
const REPEAT: Duration = Duration::from_millis(100);
/// While nothing changes.
const KEEP: Duration = Duration::from_millis(900);
/// Packets with the same slots before it is calm.
const REPETITIONS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_changes_is_sent_at_44_hertz_and_ends_with_the_newest() {
        let (mut sender, start) = (Sender::new(), Instant::now());
        let mut sent = 0;
        for ms in 0..1000 {
            sender.changed();
            sent += u32::from(sender.take(start + Duration::from_millis(ms)));
        }
        assert!((40..=44).contains(&sent), "{sent}");
        let now = start + Duration::from_millis(999);
        let due = sender.due(now);
        assert!(due <= now + PACE && sender.take(due));
    }

    #[test]
    fn what_does_not_change_is_repeated_and_kept() {
        let (mut sender, start) = (Sender::new(), Instant::now());
        assert!(sender.take(start));
        let mut now = start;
        for wait in [REPEAT, REPEAT, REPEAT, KEEP, KEEP] {
            assert_eq!(sender.due(now), now + wait);
            now += wait;
            assert!(!sender.take(now - Duration::from_millis(1)));
            assert!(sender.take(now));
        }
        sender.changed();
        assert_eq!(sender.due(now), now + PACE);
    }
}

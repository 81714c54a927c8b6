//! How often somebody may knock at the mailbox of a secure mesh.
//!
//! Model: a handshake costs a fraction of a millisecond of cryptography before anybody has proved anything.
//! So each connection takes a *turn* before a word of it is read: of those of its address, and of those of all
//! addresses together. Turns come back with time.
//! Invariants: D1. in any time so many handshakes are computed: [`ALL`], and of one address [`EACH`]. D2. who
//! knocks too often takes no turn from others: an address without turns costs nothing but accepting.
//! Limits: [`ADDRESSES_MAX`] addresses are told apart; others share what all have. An address that has all its
//! turns again is forgotten. Of one without turns the connection is closed, and that is told once; where all
//! together have none, connections wait in the kernel's queue.
//! Not here: connections that are half open ([`Limits::handshakes_max`](crate::Limits::handshakes_max)).
//! Spec: docs/reference/protocol.md §8.10

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How many turns there are: at once, and each second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    each_second: u32,
}

/// Of one address: as many as a machine with many nodes needs when all of them start again.
const EACH: Rate = Rate {
    burst: TURNS_OF_ADDRESS_MAX,
    each_second: TURNS_OF_ADDRESS_EACH_SECOND,
};
/// Of all addresses: a twentieth of one core's time, and a thousand nodes are met within four seconds.
const ALL: Rate = Rate {
    burst: TURNS_MAX,
    each_second: TURNS_EACH_SECOND,
};
const TURNS_OF_ADDRESS_MAX: u32 = 64;
const TURNS_OF_ADDRESS_EACH_SECOND: u32 = 16;
const TURNS_MAX: u32 = 512;
const TURNS_EACH_SECOND: u32 = 256;
const ADDRESSES_MAX: usize = 1024;

/// Who may come in to shake hands.
#[derive(Debug)]
pub(crate) struct Door {
    all: Turns,
    addresses: HashMap<IpAddr, Visitor>,
}

#[derive(Debug)]
struct Visitor {
    turns: Turns,
    is_told: bool,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may shake hands.
    Come,
    /// Nobody may for so long.
    Wait(Duration),
    /// Its address knocks too often; whether that is news.
    TooOften { is_new: bool },
}

/// Turns that come back with time.
#[derive(Debug, Clone, Copy)]
struct Turns {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Turns {
    fn new(now: Instant, rate: Rate) -> Self {
        let left = f64::from(rate.burst);
        Self {
            rate,
            left,
            at: now,
        }
    }

    fn pass(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let back = passed * f64::from(self.rate.each_second);
        self.left = (self.left + back).min(f64::from(self.rate.burst));
        self.at = self.at.max(now);
    }

    fn is_whole(&self) -> bool {
        self.left >= f64::from(self.rate.burst)
    }

    /// How long until there is one.
    fn missing(&self) -> Option<Duration> {
        let missing = (1.0 - self.left) / f64::from(self.rate.each_second);
        (self.left < 1.0).then(|| Duration::from_secs_f64(missing.max(0.0)))
    }
}

impl Door {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            all: Turns::new(now, ALL),
            addresses: HashMap::new(),
        }
    }

    /// Somebody has connected.
    pub(crate) fn knock(&mut self, now: Instant, address: IpAddr) -> Verdict {
        // protocol.md §8.10
        self.all.pass(now);
        if !self.addresses.contains_key(&address) {
            self.make_room(now);
        }
        if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&address) {
            let visitor = self.addresses.entry(address).or_insert_with(|| Visitor {
                turns: Turns::new(now, EACH),
                is_told: false,
            });
            visitor.turns.pass(now);
            if visitor.turns.missing().is_some() {
                let is_new = !std::mem::replace(&mut visitor.is_told, true);
                return Verdict::TooOften { is_new };
            }
            if let Some(missing) = self.all.missing() {
                return Verdict::Wait(missing);
            }
            visitor.turns.left -= 1.0;
        } else if let Some(missing) = self.all.missing() {
            return Verdict::Wait(missing);
        }
        self.all.left -= 1.0;
        Verdict::Come
    }

    /// Forgets, where there is no room for another, those who have all their turns again.
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        self.addresses.retain(|_, visitor| {
            visitor.turns.pass(now);
            !visitor.turns.is_whole()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0A00_0000 + number).to_be_bytes())
    }

    /// How many of so many knocks of an address at one moment come in.
    fn come(door: &mut Door, now: Instant, number: u32, knocks: usize) -> usize {
        let knocks = (0..knocks).map(|_| door.knock(now, address(number)));
        knocks.filter(|verdict| *verdict == Verdict::Come).count()
    }

    // protocol.md §8.10
    #[test]
    fn who_knocks_a_thousand_times_is_heard_so_often_and_others_as_ever() {
        let now = Instant::now();
        let mut door = Door::new(now);
        assert_eq!(come(&mut door, now, 1, 1000), 64);
        assert_eq!(come(&mut door, now, 2, 1), 1);
        let later = now + Duration::from_secs(1);
        assert_eq!(come(&mut door, later, 1, 1000), 16);
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(come(&mut door, much_later, 1, 1000), 64);
    }

    #[test]
    fn that_somebody_knocks_too_often_is_told_once() {
        let now = Instant::now();
        let mut door = Door::new(now);
        come(&mut door, now, 1, 64);
        let too_often = |is_new| Verdict::TooOften { is_new };
        assert_eq!(door.knock(now, address(1)), too_often(true));
        assert_eq!(door.knock(now, address(1)), too_often(false));
    }

    // protocol.md §8.10
    #[test]
    fn a_thousand_addresses_together_are_heard_so_often_and_the_next_waits_for_its_turn() {
        let now = Instant::now();
        let mut door = Door::new(now);
        let heard: usize = (0..1000)
            .map(|number| come(&mut door, now, number, 1))
            .sum();
        assert_eq!(heard, 512);
        let Verdict::Wait(wait) = door.knock(now, address(2000)) else {
            panic!("there is a turn");
        };
        assert!(wait <= Duration::from_millis(4), "{wait:?}");
        assert_eq!(door.knock(now + wait, address(2000)), Verdict::Come);
    }

    #[test]
    fn so_many_addresses_are_told_apart_and_who_was_quiet_is_forgotten() {
        let now = Instant::now();
        let mut door = Door::new(now);
        for number in 0..5000 {
            let later = now + Duration::from_micros(number.into());
            door.knock(later, address(number));
            assert!(door.addresses.len() <= ADDRESSES_MAX);
        }
        assert!(door.addresses.len() >= 512, "{}", door.addresses.len());
        let later = now + Duration::from_secs(60);
        door.make_room(later);
        assert_eq!(door.knock(later, address(9000)), Verdict::Come);
        assert!(door.addresses.len() < ADDRESSES_MAX);
    }
}

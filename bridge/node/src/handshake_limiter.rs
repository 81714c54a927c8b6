//! How often an address may begin a handshake on a secure mesh.
//!
//! Model: a CURVE handshake costs a fraction of a millisecond of cryptography before the peer has proved anything. So
//! each connection takes a token before its first octet is read: one from the bucket of its address, and one from the
//! bucket of all addresses. Tokens come back at a fixed rate.
//! Invariants: LIMITER-1. However many connections come, the handshakes computed in any period are bounded: by [`ALL`]
//! for all addresses together, and by [`EACH`] for one address. LIMITER-2. An address that connects too often takes no
//! token of others: when its own bucket is empty, a connection costs no more than accepting it.
//! Limits: [`ADDRESSES_MAX`] addresses have a bucket of their own; further ones have only that of all. An address whose
//! bucket is full again is forgotten when there is no room for another. When the bucket of an address is empty, its
//! connection is closed, and that is logged once; when that of all is empty, connections wait in the kernel's queue.
//! Not here: how many handshakes go on at the same time (`handshakes.rs`).
//! Spec: docs/reference/protocol.md §8.10

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The size of a bucket, and the tokens that come back each second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    each_second: u32,
}

/// Of one address: as many as a machine with many nodes needs when all of them start again.
const EACH: Rate = Rate {
    burst: ADDRESS_BURST_MAX,
    each_second: ADDRESS_EACH_SECOND,
};
/// Of all addresses: a twentieth of one core's time, and a thousand nodes are met within four seconds.
const ALL: Rate = Rate {
    burst: BURST_MAX,
    each_second: EACH_SECOND,
};
const ADDRESS_BURST_MAX: u32 = 64;
const ADDRESS_EACH_SECOND: u32 = 16;
const BURST_MAX: u32 = 512;
const EACH_SECOND: u32 = 256;
const ADDRESSES_MAX: usize = 1024;

/// The buckets of all addresses. See the [module](self).
#[derive(Debug)]
pub(crate) struct HandshakeLimiter {
    all: TokenBucket,
    addresses: HashMap<IpAddr, Address>,
}

/// What is known of one address.
#[derive(Debug)]
struct Address {
    bucket: TokenBucket,
    is_logged: bool,
}

/// What to do with a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may shake hands.
    Accept,
    /// No connection may shake hands for this long; ask again then.
    Wait(Duration),
    /// Its address connects too often: close it. `is_first` if that is to be logged.
    Close { is_first: bool },
}

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct TokenBucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full one.
    fn new(now: Instant, rate: Rate) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled_at: now,
        }
    }

    /// Adds the tokens that came back since the last time.
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let back = passed * f64::from(self.rate.each_second);
        self.tokens = (self.tokens + back).min(f64::from(self.rate.burst));
        self.filled_at = self.filled_at.max(now);
    }

    fn is_full(&self) -> bool {
        self.tokens >= f64::from(self.rate.burst)
    }

    /// The time until there is a token; `None` if there is one.
    fn until_token(&self) -> Option<Duration> {
        let missing = (1.0 - self.tokens) / f64::from(self.rate.each_second);
        (self.tokens < 1.0).then(|| Duration::from_secs_f64(missing.max(0.0)))
    }
}

impl HandshakeLimiter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            all: TokenBucket::new(now, ALL),
            addresses: HashMap::new(),
        }
    }

    /// Decides about one connection from an address, and takes the tokens if it is accepted.
    pub(crate) fn decide(&mut self, now: Instant, address: IpAddr) -> Decision {
        // protocol.md §8.10
        self.all.refill(now);
        if !self.addresses.contains_key(&address) {
            self.make_room(now);
        }
        if self.addresses.len() < ADDRESSES_MAX || self.addresses.contains_key(&address) {
            let known = self.addresses.entry(address).or_insert_with(|| Address {
                bucket: TokenBucket::new(now, EACH),
                is_logged: false,
            });
            known.bucket.refill(now);
            if known.bucket.until_token().is_some() {
                let is_first = !std::mem::replace(&mut known.is_logged, true);
                return Decision::Close { is_first };
            }
            if let Some(wait) = self.all.until_token() {
                return Decision::Wait(wait);
            }
            known.bucket.tokens -= 1.0;
        } else if let Some(wait) = self.all.until_token() {
            return Decision::Wait(wait);
        }
        self.all.tokens -= 1.0;
        Decision::Accept
    }

    /// When there is no room for another address, forgets those whose buckets are full again.
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < ADDRESSES_MAX {
            return;
        }
        self.addresses.retain(|_, known| {
            known.bucket.refill(now);
            !known.bucket.is_full()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0A00_0000 + number).to_be_bytes())
    }

    /// How many of so many connections of an address at one moment are accepted.
    fn accepted(limiter: &mut HandshakeLimiter, now: Instant, number: u32, count: usize) -> usize {
        let decisions = (0..count).map(|_| limiter.decide(now, address(number)));
        decisions
            .filter(|decision| *decision == Decision::Accept)
            .count()
    }

    // protocol.md §8.10
    #[test]
    fn an_address_that_connects_a_thousand_times_is_bounded_and_others_are_served() {
        let now = Instant::now();
        let mut limiter = HandshakeLimiter::new(now);
        assert_eq!(accepted(&mut limiter, now, 1, 1000), 64);
        assert_eq!(accepted(&mut limiter, now, 2, 1), 1);
        let later = now + Duration::from_secs(1);
        assert_eq!(accepted(&mut limiter, later, 1, 1000), 16);
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(accepted(&mut limiter, much_later, 1, 1000), 64);
    }

    #[test]
    fn an_address_that_connects_too_often_is_logged_once() {
        let now = Instant::now();
        let mut limiter = HandshakeLimiter::new(now);
        accepted(&mut limiter, now, 1, 64);
        let close = |is_first| Decision::Close { is_first };
        assert_eq!(limiter.decide(now, address(1)), close(true));
        assert_eq!(limiter.decide(now, address(1)), close(false));
    }

    // protocol.md §8.10
    #[test]
    fn a_thousand_addresses_together_are_bounded_and_the_next_waits() {
        let now = Instant::now();
        let mut limiter = HandshakeLimiter::new(now);
        let all: usize = (0..1000)
            .map(|number| accepted(&mut limiter, now, number, 1))
            .sum();
        assert_eq!(all, 512);
        let Decision::Wait(wait) = limiter.decide(now, address(2000)) else {
            panic!("there is a token");
        };
        assert!(wait <= Duration::from_millis(4), "{wait:?}");
        assert_eq!(limiter.decide(now + wait, address(2000)), Decision::Accept);
    }

    #[test]
    fn so_many_addresses_have_a_bucket_and_one_whose_bucket_is_full_is_forgotten() {
        let now = Instant::now();
        let mut limiter = HandshakeLimiter::new(now);
        for number in 0..5000 {
            let later = now + Duration::from_micros(number.into());
            limiter.decide(later, address(number));
            assert!(limiter.addresses.len() <= ADDRESSES_MAX);
        }
        assert!(
            limiter.addresses.len() >= 512,
            "{}",
            limiter.addresses.len()
        );
        let later = now + Duration::from_secs(60);
        limiter.make_room(later);
        assert_eq!(limiter.decide(later, address(9000)), Decision::Accept);
        assert!(limiter.addresses.len() < ADDRESSES_MAX);
    }
}

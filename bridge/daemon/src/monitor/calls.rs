//! Calls in progress, to measure how long each takes.
//!
//! Model: a call is kept by its peer, its direction and its number until its reply passes; so are
//! subscriptions to services, since signals name the service by the number of the subscription.
//! Limits: [`OPEN_MAX`] of each; the oldest is forgotten for a new one.

use std::collections::{HashMap, VecDeque};

use zocp_node::{PeerId, plumbing::Direction};

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) peer: PeerId,
    /// Whether the peer calls us.
    pub(super) is_theirs: bool,
    pub(super) kind: Kind,
    pub(super) number: u64,
}

/// The kind of a call: each kind has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// ZOCP's `CALL` and `REP`.
    Zocp,
    /// A D-Bus call.
    Packet,
    /// The subscription of a bridge to the signals of a service.
    Subscription,
}

/// A call that has no reply yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) service: Option<String>,
    pub(super) member: String,
}

/// Calls in progress. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: HashMap<Key, Call>,
    /// In the order in which they came; also those that have a reply.
    order: VecDeque<Key>,
}

impl Key {
    /// The key of a call in this direction.
    pub(super) fn of_call(peer: PeerId, way: Direction, kind: Kind, number: u64) -> Self {
        Self {
            peer,
            is_theirs: way == Direction::In,
            kind,
            number,
        }
    }

    /// The key of the call whose reply goes in this direction.
    pub(super) fn of_answer(peer: PeerId, way: Direction, kind: Kind, number: u64) -> Self {
        Self {
            is_theirs: way == Direction::Out,
            ..Self::of_call(peer, way, kind, number)
        }
    }
}

impl Calls {
    pub(super) fn begin(&mut self, key: Key, call: Call) {
        if self.order.len() >= OPEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.order.push_back(key);
        self.open.insert(key, call);
    }

    /// Takes a call out, since its reply passed.
    pub(super) fn end(&mut self, key: &Key) -> Option<Call> {
        self.open.remove(key)
    }

    /// The call of this number, which goes on.
    pub(super) fn look(&self, key: &Key) -> Option<&Call> {
        self.open.get(key)
    }

    /// Forgets the calls of a peer that has left.
    pub(super) fn left(&mut self, peer: PeerId) {
        self.open.retain(|key, _| key.peer != peer);
        self.order.retain(|key| key.peer != peer);
    }
}

const OPEN_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: u64) -> Call {
        Call {
            at,
            service: None,
            member: "blink".to_owned(),
        }
    }

    #[test]
    fn an_answer_goes_the_other_way_than_its_call() {
        let (mut calls, peer) = (Calls::default(), PeerId::new([1; 16]));
        calls.begin(Key::of_call(peer, Direction::Out, Kind::Packet, 7), call(1));
        calls.begin(Key::of_call(peer, Direction::In, Kind::Packet, 7), call(2));
        calls.begin(Key::of_call(peer, Direction::Out, Kind::Zocp, 7), call(3));
        let mut end = |way, kind| calls.end(&Key::of_answer(peer, way, kind, 7));
        assert_eq!(
            end(Direction::In, Kind::Packet).map(|call| call.at),
            Some(1)
        );
        assert_eq!(end(Direction::In, Kind::Packet), None);
        assert_eq!(
            end(Direction::Out, Kind::Packet).map(|call| call.at),
            Some(2)
        );
        assert_eq!(end(Direction::In, Kind::Zocp).map(|call| call.at), Some(3));
    }

    #[test]
    fn the_oldest_call_is_forgotten_for_a_new_one() {
        let (mut calls, peer) = (Calls::default(), PeerId::new([1; 16]));
        let key = |number| Key::of_call(peer, Direction::Out, Kind::Zocp, number);
        for number in 0..=OPEN_MAX as u64 {
            calls.begin(key(number), call(number));
        }
        assert_eq!(calls.look(&key(0)), None);
        assert_eq!(calls.look(&key(1)), Some(&call(1)));
        calls.left(peer);
        assert!(calls.open.is_empty() && calls.order.is_empty());
    }
}

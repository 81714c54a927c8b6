//! The numbers that show a lost message, and where each kind of peer wraps them.
//!
//! Model: every message of a connection has a 16-bit number; HELLO has 1. zyre
//! and we go on from 65535 to 0, pyre from 65534 to 0.
//! Invariants: SEQUENCE-1. No message goes to a peer of unknown kind under a number that
//! one of the kinds would take for a gap: the connection is renewed before.
//! Spec: 36/ZRE "Protocol Grammar" (`sequence`); docs/reference/protocol.md §3.4.

/// The number of a HELLO, and so of a connection's first message.
pub(crate) const FIRST: u16 = 1;

/// Where a receiver of ours expects 0 to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// After 65535: a bridge of this project.
    Full,
    /// Not known; may be pyre, which has no 65535, or zyre, which has.
    Unknown,
}

/// The last number that every kind of peer understands.
const COMMON_LAST: u16 = 65534;

/// Numbers for what we send on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outbound {
    last: u16,
}

impl Outbound {
    /// Of a connection on which HELLO is yet to be sent.
    pub(crate) const fn new() -> Self {
        Self { last: FIRST - 1 }
    }

    /// The number of the next message.
    pub(crate) fn advance(&mut self) -> u16 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    /// Whether no more than one number is left before the kinds of peers differ.
    pub(crate) fn is_last_but_one(self, wrap: Wrap) -> bool {
        wrap == Wrap::Unknown && self.last >= COMMON_LAST - 1
    }
}

/// Numbers of what a peer sends on one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound {
    last: u16,
}

impl Inbound {
    /// Of a connection whose HELLO has just been read.
    pub(crate) const fn after_hello() -> Self {
        Self { last: FIRST }
    }

    /// Takes a number if it follows the last one; `false` is a gap.
    pub(crate) fn accept(&mut self, number: u16) -> bool {
        let follows =
            number == self.last.wrapping_add(1) || (self.last == COMMON_LAST && number == 0);
        if follows {
            self.last = number;
        }
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zyres_wrap_from_65535_to_0_is_no_gap() {
        let mut inbound = Inbound { last: 65533 };
        assert!([65534, 65535, 0, 1].into_iter().all(|n| inbound.accept(n)));
    }

    #[test]
    fn pyres_wrap_from_65534_to_0_is_no_gap() {
        let mut inbound = Inbound { last: 65533 };
        assert!([65534, 0, 1, 2].into_iter().all(|n| inbound.accept(n)));
    }

    #[test]
    fn a_missing_or_repeated_number_is_a_gap() {
        let mut inbound = Inbound::after_hello();
        assert!(!inbound.accept(1));
        assert!(!inbound.accept(3));
        assert!(inbound.accept(2));
        assert!(!inbound.accept(0));
    }

    #[test]
    fn the_first_number_is_1_and_ours_pass_65535() {
        let mut outbound = Outbound::new();
        assert_eq!(outbound.advance(), 1);
        outbound.last = 65534;
        assert_eq!([outbound.advance(), outbound.advance()], [65535, 0]);
    }

    #[test]
    fn towards_an_unknown_kind_the_end_is_seen_before_it_is_reached() {
        let mut outbound = Outbound { last: 65532 };
        assert!(!outbound.is_last_but_one(Wrap::Unknown));
        outbound.advance();
        assert!(outbound.is_last_but_one(Wrap::Unknown));
        assert!(!outbound.is_last_but_one(Wrap::Full));
    }
}

//! What is told apart in the counters of the mesh.
//!
//! Invariants: I1. Names stay, since programs ask for them. I2. A verb is found in the first octets of a
//! message, without reading the rest.
//! Spec: 36/ZRE "Protocol Grammar"; docs/reference/protocol.md §5.

use bytes::Bytes;
use zocp_zre::{ExitReason, LinkError, RejectReason};

use crate::kinds;

kinds! {
    /// What a message says.
    pub enum Verb {
        /// A greeting.
        Hello = "HELLO",
        /// Into a group.
        Join = "JOIN",
        /// Out of a group.
        Leave = "LEAVE",
        /// Asks for a sign of life.
        Ping = "PING",
        /// A sign of life.
        PingOk = "PING-OK",
        /// To one peer, and not ZOCP.
        Whisper = "WHISPER",
        /// To a group, and not ZOCP.
        Shout = "SHOUT",
        /// ZOCP: asks for the tree.
        Get = "GET",
        /// ZOCP: sets values.
        Set = "SET",
        /// ZOCP: calls a method.
        Call = "CALL",
        /// ZOCP: follows an emitter.
        Sub = "SUB",
        /// ZOCP: follows it no longer.
        Unsub = "UNSUB",
        /// ZOCP: answers a call.
        Rep = "REP",
        /// ZOCP: tells a tree, or a change of it.
        Mod = "MOD",
        /// ZOCP: an emission.
        Sig = "SIG",
        /// ZOCP: says what holds after a SET.
        Ack = "ACK",
        /// None of these.
        Other = "OTHER",
    }
}

impl Verb {
    /// Of a message with this first frame and this content.
    #[must_use]
    pub fn of(header: &[u8], content: &[Bytes]) -> Self {
        // 36/ZRE: `AA A1`, the id of the command, the version.
        match header {
            [0xAA, 0xA1, 1, ..] => Self::Hello,
            [0xAA, 0xA1, 2, ..] => zocp(content).unwrap_or(Self::Whisper),
            [0xAA, 0xA1, 3, ..] => zocp(content).unwrap_or(Self::Shout),
            [0xAA, 0xA1, 4, ..] => Self::Join,
            [0xAA, 0xA1, 5, ..] => Self::Leave,
            [0xAA, 0xA1, 6, ..] => Self::Ping,
            [0xAA, 0xA1, 7, ..] => Self::PingOk,
            _ => Self::Other,
        }
    }
}

/// The verb of a ZOCP message: the first key of a JSON object that is the only frame.
fn zocp(content: &[Bytes]) -> Option<Verb> {
    let [octets] = content else { return None };
    let object = octets.trim_ascii_start().strip_prefix(b"{")?;
    let key = object.trim_ascii_start().strip_prefix(b"\"")?;
    let end = key.iter().take(VERB_LEN_MAX).position(|o| *o == b'"')?;
    match &key[..end] {
        b"GET" => Some(Verb::Get),
        b"SET" => Some(Verb::Set),
        b"CALL" => Some(Verb::Call),
        b"SUB" => Some(Verb::Sub),
        b"UNSUB" => Some(Verb::Unsub),
        b"REP" => Some(Verb::Rep),
        b"MOD" => Some(Verb::Mod),
        b"SIG" => Some(Verb::Sig),
        b"ACK" => Some(Verb::Ack),
        _ => None,
    }
}

kinds! {
    /// What was not let in, or not understood.
    pub enum Rejection {
        /// A connection that did not say in time, or at all, whose it is.
        Handshake = "handshake",
        /// A connection with somebody whose ZMTP is older than 3.
        Version = "version",
        /// A connection that was no node's: no identity of one, or our own.
        Identity = "identity",
        /// A connection on a network that does not carry the mesh.
        Network = "network",
        /// A connection above the number that is allowed.
        Links = "links",
        /// A key that is not trusted, or none.
        Untrusted = "untrusted",
        /// A node above the number that is allowed.
        Peers = "peers",
        /// A node whose greeting was none, or not understood.
        Greeting = "greeting",
        /// A node that names an endpoint or an identity that is another's, or ours.
        Impostor = "impostor",
        /// A connection of an address that connects too often, on a secure mesh.
        Rate = "rate",
        /// A ZOCP message, or a part of one, that was not understood or is beyond a limit.
        Message = "message",
        /// A beacon for which there was no room.
        Beacon = "beacon",
        /// Anything else.
        Other = "other",
    }
}

impl From<LinkError> for Rejection {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::BadIdentity | LinkError::Own => Self::Identity,
            LinkError::TooMany | LinkError::TooManyThere => Self::Links,
            LinkError::Untrusted => Self::Untrusted,
            _ => Self::Other,
        }
    }
}

impl From<RejectReason> for Rejection {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::Full | RejectReason::AddressFull => Self::Peers,
            RejectReason::NotGreeted | RejectReason::Malformed(_) | RejectReason::BadEndpoint => {
                Self::Greeting
            }
            RejectReason::EndpointTaken
            | RejectReason::OwnEndpoint
            | RejectReason::IdentityTaken => Self::Impostor,
            _ => Self::Other,
        }
    }
}

kinds! {
    /// How a peer left.
    pub enum Departure {
        /// It said goodbye.
        Goodbye = "goodbye",
        /// It was silent for too long.
        Expired = "expired",
        /// Its connection closed.
        Closed = "closed",
        /// A message of its was missing, or it began anew.
        Renewed = "renewed",
        /// It sent what is no message, or too much.
        Malformed = "malformed",
        /// It could not be reached.
        Unreachable = "unreachable",
        /// It did not take what was sent to it.
        TooSlow = "too slow",
        /// Its key is trusted no longer.
        Distrusted = "distrusted",
        /// Anything else.
        Other = "other",
    }
}

impl From<ExitReason> for Departure {
    fn from(reason: ExitReason) -> Self {
        match reason {
            ExitReason::Goodbye => Self::Goodbye,
            ExitReason::Expired => Self::Expired,
            ExitReason::LinkClosed => Self::Closed,
            ExitReason::SequenceGap | ExitReason::Replaced => Self::Renewed,
            ExitReason::Malformed(_) | ExitReason::NoContent | ExitReason::OverLimit => {
                Self::Malformed
            }
            ExitReason::Unreachable => Self::Unreachable,
            ExitReason::TooSlow => Self::TooSlow,
            ExitReason::Distrusted => Self::Distrusted,
            _ => Self::Other,
        }
    }
}

kinds! {
    /// A datagram on the beacon port.
    pub enum BeaconKind {
        /// Ours, on all networks.
        Sent = "sent",
        /// Ours, heard back: nothing on this machine keeps them out.
        Own = "own",
        /// Somebody else's.
        Heard = "heard",
    }
}

/// The longest verb with its quotation mark: the rest of a key is not looked at.
const VERB_LEN_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Kind;

    fn whisper(content: &'static str) -> Verb {
        Verb::of(
            &[0xAA, 0xA1, 2, 2, 0, 1],
            &[Bytes::from_static(content.as_bytes())],
        )
    }

    #[test]
    fn a_message_is_what_it_says_first() {
        assert_eq!(whisper("{\"GET\": null}"), Verb::Get);
        assert_eq!(
            whisper(" {\n\"UNSUB\": [], \"SIG\": [\"a\", 1]}"),
            Verb::Unsub
        );
        assert_eq!(whisper("{\"GETX\": null}"), Verb::Whisper);
        assert_eq!(whisper("{\"SIG"), Verb::Whisper);
        assert_eq!(whisper("[\"SIG\"]"), Verb::Whisper);
        assert_eq!(whisper(""), Verb::Whisper);
        assert_eq!(Verb::of(&[0xAA, 0xA1, 6, 2, 0, 1], &[]), Verb::Ping);
        assert_eq!(
            Verb::of(&[0xAA, 0xA1, 3, 2, 0, 1], &[Bytes::from_static(b"hi")]),
            Verb::Shout
        );
        assert_eq!(Verb::of(b"\xAA", &[]), Verb::Other);
    }

    #[test]
    fn every_kind_stands_at_its_place_under_a_name_of_its_own() {
        fn check<K: Kind + PartialEq>() {
            let names: std::collections::BTreeSet<&str> =
                K::ALL.iter().map(|kind| kind.name()).collect();
            assert_eq!(names.len(), K::ALL.len());
            for (place, kind) in K::ALL.iter().enumerate() {
                assert_eq!(kind.index(), place, "{kind:?}");
            }
        }
        check::<Verb>();
        check::<Rejection>();
        check::<Departure>();
        check::<BeaconKind>();
    }
}

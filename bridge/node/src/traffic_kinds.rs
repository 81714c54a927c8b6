//! The kinds of traffic that are counted.
//!
//! Invariants: KIND-1. Names never change, since programs ask for them. KIND-2. A verb is found in the first octets of a
//! message, without reading the rest.
//! Spec: 36/ZRE "Protocol Grammar"; docs/reference/protocol.md §5.

use bytes::Bytes;
use zocp_zre::{ExitReason, LinkError, RejectReason};

use crate::kinds;

kinds! {
    /// What a message is for: a command of 36/ZRE, or a verb of ZOCP.
    pub enum Verb {
        /// Introduces a node.
        Hello = "HELLO",
        /// The sender joins a group.
        Join = "JOIN",
        /// The sender leaves a group.
        Leave = "LEAVE",
        /// Asks for a sign of life.
        Ping = "PING",
        /// Answers PING.
        PingOk = "PING-OK",
        /// A message to one peer that is not ZOCP.
        Whisper = "WHISPER",
        /// A message to a group that is not ZOCP.
        Shout = "SHOUT",
        /// ZOCP: asks for a tree.
        Get = "GET",
        /// ZOCP: sets values.
        Set = "SET",
        /// ZOCP: calls a method.
        Call = "CALL",
        /// ZOCP: subscribes to an emitter.
        Sub = "SUB",
        /// ZOCP: ends a subscription.
        Unsub = "UNSUB",
        /// ZOCP: replies to a call.
        Rep = "REP",
        /// ZOCP: a tree, or a change of one.
        Mod = "MOD",
        /// ZOCP: an emission.
        Sig = "SIG",
        /// ZOCP: the value that holds after a SET.
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
    /// Why a connection, a peer or a message was rejected.
    pub enum Rejection {
        /// A connection whose handshake failed or took too long.
        Handshake = "handshake",
        /// A connection of a program whose ZMTP is older than 3.
        Version = "version",
        /// A connection without the identity of a node, or with that of this node.
        Identity = "identity",
        /// A connection on a network that does not carry the mesh.
        Network = "network",
        /// A connection beyond the allowed number.
        Links = "links",
        /// A key that is not trusted, or none.
        Untrusted = "untrusted",
        /// A peer beyond the allowed number.
        Peers = "peers",
        /// A peer whose first message was no HELLO, or a malformed one.
        Greeting = "greeting",
        /// A peer that claims the endpoint or the identity of another peer or of this node.
        Impostor = "impostor",
        /// A connection of an address that connects too often, on a secure mesh.
        Rate = "rate",
        /// A ZOCP message, or a part of one, that is malformed or exceeds a limit.
        Message = "message",
        /// A beacon beyond the allowed rate.
        Beacon = "beacon",
        /// Anything else.
        Other = "other",
    }
}

impl Rejection {
    /// The kind of a connection that the ZRE core refused.
    pub(crate) fn of_link(error: LinkError) -> Self {
        match error {
            LinkError::BadIdentity | LinkError::Own => Self::Identity,
            LinkError::TooMany | LinkError::TooManyThere => Self::Links,
            LinkError::Untrusted => Self::Untrusted,
            _ => Self::Other,
        }
    }

    /// The kind of a node that the ZRE core refused.
    pub(crate) fn of_node(reason: RejectReason) -> Self {
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
        /// One of its messages was missing, or it started again.
        Renewed = "renewed",
        /// It sent a malformed message, or exceeded a limit.
        Malformed = "malformed",
        /// It could not be reached.
        Unreachable = "unreachable",
        /// It did not read what was sent to it.
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
        /// Sent by this node.
        Sent = "sent",
        /// Sent by this node and received by it, since sockets on one machine share the port.
        Own = "own",
        /// Received from another node.
        Received = "heard",
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

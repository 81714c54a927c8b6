//! The outputs of the core: what its caller has to do, and what happened.
//!
//! Model: an [`Output`] is either something to do on the network or an [`Event`].
//! Order matters: outputs are carried out in the order in which they come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::beacon::BeaconOctets;
use crate::command::DecodeError;
use crate::trust::{NodeKey, Stranger};
use crate::{Endpoint, GroupName, PeerId};

/// A connection that a peer opened to our ROUTER, numbered by the caller from 0 on and
/// never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl LinkId {
    /// The messages that come on a connection which this node opened. The core makes these ids; no caller sees one.
    pub(crate) const fn of_dial(dial: DialId) -> Self {
        Self(Self::OF_DIAL | dial.0)
    }

    /// The connection which this node opened, if the messages come on one.
    pub(crate) const fn dial(self) -> Option<DialId> {
        match self.0 & Self::OF_DIAL {
            0 => None,
            _ => Some(DialId(self.0 & !Self::OF_DIAL)),
        }
    }

    /// Beyond what a caller can count.
    const OF_DIAL: u64 = 1 << 63;
}

/// A connection that the core asked for, from our DEALER to a peer's ROUTER,
/// numbered by the core and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(pub u64);

/// The content frames of a WHISPER or SHOUT; one of them needs no allocation.
pub type Content = SmallVec<[Bytes; 1]>;

/// The first frame of a message; all but HELLO and long groups need no allocation.
pub type Header = SmallVec<[u8; 24]>;

/// The headers of a HELLO, shared and unchanging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers(Arc<[(String, String)]>);

impl Headers {
    /// The value of the first header with this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Keys and values, in the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl From<Vec<(String, String)>> for Headers {
    fn from(headers: Vec<(String, String)>) -> Self {
        Self(headers.into())
    }
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send this datagram to the beacon port of every interface.
    Beacon(BeaconOctets),
    /// Open a connection, with [`PeerId::routing_id`] of ours as its identity, and
    /// report [`Zre::dial_ready`](crate::Zre::dial_ready) or
    /// [`Zre::dial_closed`](crate::Zre::dial_closed).
    Dial {
        /// The connection's number from now on.
        dial: DialId,
        /// The endpoint to connect to.
        endpoint: Endpoint,
        /// The key that the peer has to prove: always on a secure mesh, and never on another.
        key: Option<NodeKey>,
    },
    /// Send on a connection that the peer opened, from now on: report [`Zre::dial_ready`](crate::Zre::dial_ready) when
    /// messages can be written there. The connection is closed by one [`Self::HangUpDial`] or [`Self::HangUpLink`], and
    /// its end is reported once, by [`Zre::link_closed`](crate::Zre::link_closed).
    DialOver {
        /// The number of the direction to the peer from now on.
        dial: DialId,
        /// The peer's connection.
        link: LinkId,
    },
    /// Send a message: the header is its first frame.
    Send {
        /// The connection.
        dial: DialId,
        /// The first frame.
        header: Header,
        /// The frames after it; none for most commands.
        content: Content,
    },
    /// Write what was sent on the connection before, then close it. No report is
    /// due; one that crosses this is ignored.
    HangUpDial(DialId),
    /// Close a peer's connection, without reading on. No report is due; one that
    /// crosses this is ignored.
    HangUpLink(LinkId),
    /// Something happened.
    Event(Event),
}

/// What happened on the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer entered: its HELLO was received. Messages can be sent to it from now on.
    Entered {
        /// The peer.
        peer: PeerId,
        /// Its name for people.
        name: Arc<str>,
        /// Its mailbox, as far as it is known.
        endpoint: Endpoint,
        /// Its headers.
        headers: Headers,
        /// The groups that it is in; later ones are reported by [`Self::Joined`].
        groups: Vec<GroupName>,
    },
    /// A peer exited.
    Exited {
        /// The peer.
        peer: PeerId,
        /// Its name for people.
        name: Arc<str>,
        /// Why.
        reason: ExitReason,
    },
    /// A peer joined a group.
    Joined {
        /// The peer.
        peer: PeerId,
        /// The group.
        group: GroupName,
    },
    /// A peer left a group.
    Left {
        /// The peer.
        peer: PeerId,
        /// The group.
        group: GroupName,
    },
    /// A peer sent a message to this node alone.
    Whispered {
        /// The sender.
        peer: PeerId,
        /// At least one frame.
        content: Content,
    },
    /// A peer sent a message to a group, which this node may have left in the meantime.
    Shouted {
        /// The sender.
        peer: PeerId,
        /// The group.
        group: GroupName,
        /// At least one frame.
        content: Content,
    },
    /// A peer is silent and has not answered a PING.
    Evasive {
        /// The peer.
        peer: PeerId,
    },
    /// An evasive peer has given a sign of life.
    Returned {
        /// The peer.
        peer: PeerId,
    },
    /// A peer opened a connection to this node, but none of its endpoints can be dialed: it is behind a firewall or an
    /// address translation, or names an address that is not its own. Its messages are received, but none can be sent to
    /// it. It is dialed again and again; once that succeeds, it exits and enters.
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// The endpoints that were dialed.
        endpoints: Vec<Endpoint>,
    },
    /// A peer that is present is sent to on the connection that it opened, from now on.
    Shared {
        /// The peer.
        peer: PeerId,
    },
    /// A peer answered [`Zre::ping`](crate::Zre::ping).
    PingAnswered {
        /// The peer.
        peer: PeerId,
        /// The time from the PING to its answer.
        rtt: Duration,
    },
    /// The connection to a peer was renewed (see the crate's page). The peer saw this node leave and enter, so everything
    /// that it kept about this node, above all subscriptions, has to be sent again. No message is lost.
    Renewed {
        /// The peer.
        peer: PeerId,
    },
    /// Sending to a peer failed with [`SendError::Busy`] before, and is possible again.
    Unblocked {
        /// The peer.
        peer: PeerId,
    },
    /// A key that is not trusted was announced or proved. Reported once for each key that is remembered
    /// ([`Zre::strangers`](crate::Zre::strangers)).
    StrangerHeard(Stranger),
    /// A key is trusted from now on, since its node entered and [`FirstUse::Trust`](crate::FirstUse) says so.
    KeyLearned {
        /// The peer.
        peer: PeerId,
        /// The key.
        key: NodeKey,
        /// The name of its node.
        name: Arc<str>,
    },
    /// A node was refused on first use, since a trusted key has its name. It is a stranger until its key is trusted.
    /// Reported once for as long as it is remembered.
    NameRefused {
        /// Its remote address.
        remote: SocketAddr,
        /// The name.
        name: Arc<str>,
        /// Its key.
        key: NodeKey,
        /// The trusted key that has the name.
        holder: NodeKey,
    },
    /// A node was refused. Reported once in a while for the same address and reason.
    PeerRejected {
        /// Its remote address.
        remote: SocketAddr,
        /// Why.
        why: RejectReason,
    },
}

/// Why a peer exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It said goodbye.
    Goodbye,
    /// It was silent for too long.
    Expired,
    /// One of the two connections with it was closed.
    LinkClosed,
    /// One of its messages is missing: its sequence numbers have a gap.
    SequenceGap,
    /// It sent another HELLO, and enters again at once; or another node took its endpoint.
    Replaced,
    /// It sent a malformed command.
    Malformed(DecodeError),
    /// It sent a WHISPER or SHOUT without content.
    NoContent,
    /// It is in too many groups or sent too many frames.
    OverLimit,
    /// It sent a HELLO, its connection ended, and its mailbox cannot be reached.
    Unreachable,
    /// Its key is trusted no longer.
    Distrusted,
    /// A user wants the connection with it no longer.
    Unlinked,
    /// It does not read what is sent to it, so the caller gave it up.
    TooSlow,
    /// This node left.
    Shutdown,
}

/// Why a node was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// [`Limits::peers_max`](crate::Limits::peers_max) are known.
    Full,
    /// [`Limits::peers_per_address_max`](crate::Limits::peers_per_address_max) are known at its address.
    AddressFull,
    /// Its first message is no HELLO with number 1.
    NotGreeted,
    /// Its first message is malformed.
    Malformed(DecodeError),
    /// Its endpoint is malformed.
    BadEndpoint,
    /// It claims the endpoint of a peer that is present.
    EndpointTaken,
    /// It claims the endpoint of this node.
    OwnEndpoint,
    /// It claims the identity of a peer that is present with another key.
    IdentityTaken,
}

/// Why a connection is refused. The caller closes it; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer is no ZRE node: its identity is not 1 and a UUID.
    #[error("the identity of the connection is not that of a ZRE node")]
    BadIdentity,
    /// This node dialed itself.
    #[error("the connection comes from this node itself")]
    Own,
    /// [`Limits::links_max`](crate::Limits::links_max) are open.
    #[error("too many connections are open")]
    TooMany,
    /// [`Limits::links_per_address_max`](crate::Limits::links_per_address_max) are open from its address.
    #[error("too many connections from this address are open")]
    TooManyThere,
    /// It has proved no trusted key; or it has proved one, and this mesh is not secure.
    #[error("its key is not trusted")]
    Untrusted,
    /// After [`Zre::shutdown`](crate::Zre::shutdown).
    #[error("this node has left the mesh")]
    ShutDown,
}

/// Why a message is not sent. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer is not present (any more).
    #[error("the node is not on the mesh")]
    NoSuchPeer,
    /// The caller's fault: the message has no content frame. Old peers end when they receive such a message.
    #[error("a message needs at least one content frame")]
    Empty,
    /// The caller's fault: more frames than
    /// [`Limits::content_frames_max`](crate::Limits::content_frames_max).
    #[error("too many content frames")]
    TooManyFrames,
    /// As much waits for the peer as is allowed; [`Event::Unblocked`] follows when
    /// it can be tried again.
    #[error("too much is waiting for a node already")]
    Busy,
    /// The peer is present, but none of its endpoints can be dialed ([`Event::Unreachable`]).
    #[error("the node cannot be reached: nobody answers at its endpoint")]
    Unreachable,
    /// The caller's fault: the name is no valid name of a group.
    #[error(transparent)]
    BadGroup(#[from] crate::NameError),
}

/// Why an endpoint is refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller's fault: the text is no endpoint.
    #[error(transparent)]
    BadEndpoint(#[from] crate::EndpointError),
    /// The caller's fault: it is the endpoint of this node.
    #[error("the endpoint is this node's own")]
    OwnEndpoint,
    /// [`Limits::manual_max`](crate::Limits::manual_max) are there.
    #[error("too many endpoints are to be met already")]
    TooMany,
    /// The caller's fault: on a secure mesh nobody is met whose key is not known and trusted.
    #[error("on a secure mesh an endpoint needs the key of who is there, one that is trusted")]
    KeyUntrusted,
    /// The caller's fault: this mesh is not secure.
    #[error("an endpoint with a key, on a mesh without keys")]
    KeyUnused,
}

/// How a connection that we dialed ended, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialEnd {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No route, no such name, no socket.
    Unreachable,
    /// The other side speaks no ZMTP that we do.
    Protocol,
    /// It was open and is no more.
    Closed,
}

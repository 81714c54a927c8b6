//! What the core asks of its caller, and what it tells.
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

/// A connection that a peer opened to our ROUTER, numbered by the caller and
/// never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

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
        /// Where to.
        endpoint: Endpoint,
        /// Who is to be there, and prove it; on a secure mesh only, and there always.
        key: Option<NodeKey>,
    },
    /// Send a message: the header is its first frame.
    Send {
        /// On which connection.
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
    /// A node is here: its HELLO arrived. It can be sent to from now on.
    Entered {
        /// Who.
        peer: PeerId,
        /// Its name for people.
        name: Arc<str>,
        /// Where its mailbox is, as far as we know.
        endpoint: Endpoint,
        /// What it told besides.
        headers: Headers,
        /// The groups that it is in; later ones are told by [`Self::Joined`].
        groups: Vec<GroupName>,
    },
    /// A node that was here is gone.
    Exited {
        /// Who.
        peer: PeerId,
        /// Its name for people.
        name: Arc<str>,
        /// Why.
        reason: ExitReason,
    },
    /// A node joined a group.
    Joined {
        /// Who.
        peer: PeerId,
        /// Which group.
        group: GroupName,
    },
    /// A node left a group.
    Left {
        /// Who.
        peer: PeerId,
        /// Which group.
        group: GroupName,
    },
    /// A message to us alone.
    Whispered {
        /// From whom.
        peer: PeerId,
        /// At least one frame.
        content: Content,
    },
    /// A message to a group, which we may have left in the meantime.
    Shouted {
        /// From whom.
        peer: PeerId,
        /// To which group.
        group: GroupName,
        /// At least one frame.
        content: Content,
    },
    /// A node is silent and has not answered a PING.
    Evasive {
        /// Who.
        peer: PeerId,
    },
    /// A node that was evasive has been heard again.
    Returned {
        /// Who.
        peer: PeerId,
    },
    /// A node opened a connection to us, and none of its endpoints can be dialed: it is behind a firewall or an
    /// address translation, or names an address that is not its own. What it says arrives, and nothing can be said
    /// to it. It is dialed on; once that succeeds, it exits and enters.
    Unreachable {
        /// Who.
        peer: PeerId,
        /// Where it was tried.
        endpoints: Vec<Endpoint>,
    },
    /// A node answered [`Zre::ping`](crate::Zre::ping).
    PingAnswered {
        /// Who.
        peer: PeerId,
        /// From the question to the answer.
        rtt: Duration,
    },
    /// We had to greet a node afresh (see the crate's page): it saw us leave and
    /// enter, so what it kept about us, subscriptions above all, must be told again.
    /// Nothing that was sent is lost.
    Renewed {
        /// Who.
        peer: PeerId,
    },
    /// Sending to a node was refused with [`SendError::Busy`], and would not be now.
    Unblocked {
        /// Who.
        peer: PeerId,
    },
    /// A key that is not trusted was heard or proved itself. Told once for each that is remembered
    /// ([`Zre::strangers`](crate::Zre::strangers)).
    StrangerHeard(Stranger),
    /// A key is trusted from now on, since its node entered and [`FirstUse::Trust`](crate::FirstUse) says so.
    KeyLearned {
        /// Whose.
        peer: PeerId,
        /// The key.
        key: NodeKey,
        /// What the node calls itself.
        name: Arc<str>,
    },
    /// A node was not let in on first use, since it came under the name of one that is trusted: it is a
    /// stranger until somebody trusts it. Told once as long as it is remembered.
    NameRefused {
        /// From where.
        remote: SocketAddr,
        /// The name.
        name: Arc<str>,
        /// The key that it has.
        key: NodeKey,
        /// The key that had the name first.
        holder: NodeKey,
    },
    /// A node was not let in. Told once for the same address and reason in a while.
    PeerRejected {
        /// From where.
        remote: SocketAddr,
        /// Why.
        why: RejectReason,
    },
}

/// Why a node is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It said so.
    Goodbye,
    /// It was silent for too long.
    Expired,
    /// One of the two connections with it closed.
    LinkClosed,
    /// A message of its is missing.
    SequenceGap,
    /// It said HELLO again, and enters at once; or another took its endpoint.
    Replaced,
    /// It sent what is no command.
    Malformed(DecodeError),
    /// It sent a WHISPER or SHOUT without content.
    NoContent,
    /// It is in too many groups or sent too many frames.
    OverLimit,
    /// It greeted us, its connection ended, and we cannot reach its mailbox.
    Unreachable,
    /// Its key is trusted no longer.
    Distrusted,
    /// It does not take what is sent to it: the caller gave it up.
    TooSlow,
    /// We left.
    Shutdown,
}

/// Why a node was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// [`Limits::peers_max`](crate::Limits::peers_max) are known.
    Full,
    /// [`Limits::peers_per_address_max`](crate::Limits::peers_per_address_max) are known at its address.
    AddressFull,
    /// Its first message is no HELLO with number 1.
    NotGreeted,
    /// Its first message is no command.
    Malformed(DecodeError),
    /// Its endpoint cannot be understood.
    BadEndpoint,
    /// It names the endpoint of a node that is here.
    EndpointTaken,
    /// It names our endpoint.
    OwnEndpoint,
    /// It says to be a node that is here with another key.
    IdentityTaken,
}

/// A connection is not taken. The caller closes it; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer is no ZRE node: its identity is not 1 and a UUID.
    #[error("the identity of the connection is not that of a ZRE node")]
    BadIdentity,
    /// We dialed ourselves.
    #[error("the connection comes from this node itself")]
    Own,
    /// [`Limits::links_max`](crate::Limits::links_max) are open.
    #[error("too many connections are open")]
    TooMany,
    /// [`Limits::links_per_address_max`](crate::Limits::links_per_address_max) are open from its address.
    #[error("too many connections from this address are open")]
    TooManyThere,
    /// It has proved no key that is trusted; or it has one, and this is no secure mesh.
    #[error("its key is not trusted")]
    Untrusted,
    /// After [`Zre::shutdown`](crate::Zre::shutdown).
    #[error("this node has left the mesh")]
    ShutDown,
}

/// A message is not sent. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The caller's view is old: that node is not here.
    #[error("the node is not on the mesh")]
    NoSuchPeer,
    /// The caller's fault: an old peer dies of a message without content.
    #[error("a message needs at least one content frame")]
    Empty,
    /// The caller's fault: more frames than
    /// [`Limits::content_frames_max`](crate::Limits::content_frames_max).
    #[error("too many content frames")]
    TooManyFrames,
    /// As much waits for a peer as is allowed; [`Event::Unblocked`] tells when to
    /// try again.
    #[error("too much is waiting for a node already")]
    Busy,
    /// The node is here, but none of its endpoints can be dialed ([`Event::Unreachable`]).
    #[error("the node cannot be reached: nobody answers at its endpoint")]
    Unreachable,
    /// The caller's fault: peers cannot be told this group.
    #[error(transparent)]
    BadGroup(#[from] crate::NameError),
}

/// An endpoint is not taken. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The caller's fault: it is none.
    #[error(transparent)]
    BadEndpoint(#[from] crate::EndpointError),
    /// The caller's fault: it is ours.
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

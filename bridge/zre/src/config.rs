//! The configuration of a node: its identity, its timeouts, and every bound of this crate.
//!
//! Spec: 36/ZRE; the defaults of the times are zyre's.

use std::time::Duration;

use crate::command::HelloLimits;
use crate::{GroupName, PeerId, Security};

/// The configuration of a node. It does not change while the node lives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The identity of this node; drawn at random by the caller at each start.
    pub id: PeerId,
    /// The name of this node for people; peers get at most 255 octets of it.
    pub name: String,
    /// The headers of HELLO, as name and value; peers get at most 255 octets of a name.
    pub headers: Vec<(String, String)>,
    /// The groups that this node is in from the start.
    pub groups: Vec<GroupName>,
    /// The TCP port of the mailbox, the same on every address.
    pub mailbox_port: u16,
    /// Whether this node sends beacons.
    pub beacon: bool,
    /// Whether its connections may be shared with peers that can do so too: then its caller carries out
    /// [`Output::DialOver`](crate::Output::DialOver) and calls [`Zre::dial_message`](crate::Zre::dial_message).
    pub shares: bool,
    /// A secret random number: it keeps peers from choosing identities that collide in hash tables, and spreads
    /// repeated attempts.
    pub seed: u64,
    /// Makes the mesh a secure one, of nodes that prove their keys.
    pub security: Option<Security>,
    /// Whether nodes without a key are peers too: then the mesh is an open one with open beacons, and keys are for
    /// connections to and from other meshes alone. Means nothing without `security`.
    pub open: bool,
    /// The timeouts.
    pub times: Times,
    /// The bounds.
    pub limits: Limits,
}

impl Config {
    /// A node with everything else at its default.
    #[must_use]
    pub fn new(id: PeerId, name: &str, mailbox_port: u16, seed: u64) -> Self {
        Self {
            id,
            name: name.to_owned(),
            headers: Vec::new(),
            groups: Vec::new(),
            mailbox_port,
            beacon: true,
            shares: false,
            seed,
            security: None,
            open: false,
            times: Times::default(),
            limits: Limits::default(),
        }
    }
}

/// Every duration of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Between two beacons of ours.
    pub beacon_interval: Duration,
    /// Silence of a peer after which it is asked with a PING, or up to half of that earlier, so that not all are asked
    /// at once. A beacon ends it only of a peer whose connection cannot be asked.
    pub silence_ping: Duration,
    /// Between two PINGs to a silent peer; one that leaves the first unanswered
    /// that long, and is silent for [`Self::silence_ping`], is evasive.
    pub ping_interval: Duration,
    /// Silence after which a peer is gone, or forgotten if it never was here. As long a peer may take to read
    /// a connection that is to be renewed to its end.
    pub silence_max: Duration,
    /// The same for a peer with which one connection is shared, if it is shorter: such a connection goes through
    /// routers that may forget it, and no beacon tells that the peer is there.
    pub shared_silence_max: Duration,
    /// For a connection to become ready; then the attempt has failed.
    pub dial_timeout: Duration,
    /// Where somebody answers, a connection is ready within this time; after it another endpoint is tried if the peer
    /// is heard at one.
    pub dial_settle: Duration,
    /// For a HELLO: on a connection that a peer opened, and after ours.
    pub hello_timeout: Duration,
    /// For the PING-OK that confirms a repeated connection.
    pub confirm_timeout: Duration,
    /// From the end of a connection to the next attempt. A peer's ROUTER silently
    /// ignores a second connection of ours while it knows the first.
    pub redial_min: Duration,
    /// Most between two attempts that fail; they double from
    /// [`Self::redial_min`].
    pub redial_max: Duration,
    /// For the answer to a PING after a goodbye that a peer whose connection lives may not have said.
    pub goodbye_timeout: Duration,
    /// A HELLO within this time of ours is taken for the answer to it, so that two
    /// nodes never greet each other in circles.
    pub hello_settle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            beacon_interval: Duration::from_secs(1),
            silence_ping: Duration::from_secs(5),
            ping_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(30),
            shared_silence_max: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(5),
            dial_settle: Duration::from_secs(1),
            hello_timeout: Duration::from_secs(3),
            confirm_timeout: Duration::from_secs(3),
            redial_min: Duration::from_millis(50),
            redial_max: Duration::from_secs(5),
            goodbye_timeout: Duration::from_secs(1),
            hello_settle: Duration::from_secs(2),
        }
    }
}

/// Every bound of the crate, and what happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nodes known at once, here or only heard. Beacons of further ones are ignored; one that greets takes the
    /// place of one that was only heard, and if there is none, its HELLO is refused with [`RejectReason::Full`](crate::RejectReason::Full).
    pub peers_max: usize,
    /// Of those, at one address; further ones are treated alike, as
    /// [`RejectReason::AddressFull`](crate::RejectReason::AddressFull).
    pub peers_per_address_max: usize,
    /// Connections from peers at once; further ones are refused.
    pub links_max: usize,
    /// Connections from one address at once; further ones are refused.
    pub links_per_address_max: usize,
    /// Endpoints to be met without beacons; further ones are refused.
    pub manual_max: usize,
    /// Bounds of a HELLO, and of a peer's groups later on.
    pub hello: HelloLimits,
    /// Content frames of a message. Ours beyond it is refused; a peer that sends
    /// more is dropped.
    pub content_frames_max: usize,
    /// Messages that wait for a peer's connection; then sending is
    /// [`SendError::Busy`](crate::SendError::Busy).
    pub held_messages_max: usize,
    /// Octets of content that wait for a peer's connection; a message is taken
    /// while fewer wait, then sending is [`SendError::Busy`](crate::SendError::Busy).
    pub held_bytes_max: usize,
    /// PINGs to one peer that wait for their answer; then a ping is
    /// [`SendError::Busy`](crate::SendError::Busy).
    pub pings_max: usize,
    /// Attempts in a row to reach a peer that has greeted us, until it is given up
    /// as [`ExitReason::Unreachable`](crate::ExitReason::Unreachable), or kept as
    /// [`Event::Unreachable`](crate::Event::Unreachable) while its connection to us is open; then two attempts for each
    /// of its endpoints, and one, are enough.
    pub attempts_max: u32,
    /// Connections that are being made at once because of what one address said, by beacons and HELLOs; further ones
    /// wait for their turn. One to an endpoint where nobody answers takes [`Times::dial_timeout`].
    pub dials_per_address_max: usize,
    /// Further addresses remembered of one peer; later ones are ignored.
    pub alternatives_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers_max: 4096,
            peers_per_address_max: 1024,
            links_max: 8192,
            links_per_address_max: 2048,
            manual_max: 256,
            hello: HelloLimits::default(),
            content_frames_max: 64,
            held_messages_max: 256 * 1024,
            held_bytes_max: 32 * 1024 * 1024,
            pings_max: 64,
            attempts_max: 8,
            dials_per_address_max: 32,
            alternatives_max: 4,
        }
    }
}

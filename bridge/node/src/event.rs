//! What a node reports to its program.
//!
//! Not here: the queue through which events come (`events.rs`).

use std::sync::Arc;

use zocp_model::{CapPath, Cause, Change, Tree, Value};
use zocp_zmtp::PublicKey;
use zocp_zre::{Content, ExitReason, PeerId};

use crate::call::Call;
use crate::channel::ChannelRequest;
use crate::interfaces::Network;
use crate::peer::PeerInfo;
use crate::security::Stranger;

/// What a node reports to its program, in the order in which it happened.
///
/// Peers and messages come from 36/ZRE, trees and values from ZOCP (docs/reference/protocol.md §4 to §7).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer entered the mesh. Every other event of a peer comes after this one and before its `Exited`.
    Entered(PeerInfo),
    /// A peer left the mesh.
    Exited {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: ExitReason,
    },
    /// A peer joined a group.
    Joined {
        /// The peer.
        peer: PeerId,
        /// The group.
        group: String,
    },
    /// A peer left a group.
    Left {
        /// The peer.
        peer: PeerId,
        /// The group.
        group: String,
    },
    /// A peer is silent and was asked for a sign of life.
    Evasive {
        /// The peer.
        peer: PeerId,
    },
    /// A peer that is present is sent to on the connection that it opened, from now on ([`PeerInfo::shared`]).
    Shared {
        /// The peer.
        peer: PeerId,
    },
    /// A peer opened a connection to this node, and none of its own endpoints can be dialed: it can be received from,
    /// but not sent to. When it can be reached it exits and enters again.
    Unreachable {
        /// The peer.
        peer: PeerId,
    },
    /// An evasive peer gave a sign of life.
    Returned {
        /// The peer.
        peer: PeerId,
    },
    /// A peer sent a message to this node alone, and it is not ZOCP.
    Whispered {
        /// The sender.
        peer: PeerId,
        /// One frame at least.
        content: Content,
    },
    /// A bridge of another venue sent a message to a node that this one passes on to it with its services, and it is not
    /// ZOCP.
    WhisperedTo {
        /// The sender.
        peer: PeerId,
        /// The node.
        node: PeerId,
        /// One frame at least.
        content: Content,
    },
    /// A peer sent a message to a group that this node is in, and it is not ZOCP.
    Shouted {
        /// The sender.
        peer: PeerId,
        /// The group.
        group: String,
        /// One frame at least.
        content: Content,
    },
    /// A peer sent its whole tree for the first time since it entered.
    TreeKnown {
        /// The owner of the tree.
        peer: PeerId,
        /// The tree. Later `Changed` events are changes of this one.
        tree: Box<Tree>,
    },
    /// A known tree of a peer changed.
    Changed {
        /// The owner of the tree.
        peer: PeerId,
        /// What changed, in order.
        changes: Vec<Change>,
    },
    /// An emitter of a peer emitted: once for each emission, also of an equal value.
    Emitted {
        /// The owner of the emitter.
        peer: PeerId,
        /// The emitter.
        path: CapPath,
        /// The value.
        value: Value,
        /// The touch that the emission comes from, if the peer says which.
        cause: Option<Cause>,
    },
    /// This node set a capability of a peer that emits. The peer emits the value to all its subscribers except this
    /// node, so this event takes the place of `Emitted`.
    Set {
        /// The owner of the capability.
        peer: PeerId,
        /// The capability.
        path: CapPath,
        /// The value.
        value: Value,
        /// How many wires the value came through; 0 for a value that a program set.
        hops: u8,
        /// The touch that the value comes from, if it is known.
        cause: Option<Cause>,
    },
    /// This node's own tree changed.
    LocalChanged {
        /// What changed, in order.
        changes: Vec<Change>,
    },
    /// An emitter of this node emitted, or was set by a peer: once for each emission, also of an equal value.
    LocalEmitted {
        /// The emitter.
        path: CapPath,
        /// The value.
        value: Value,
        /// The touch that the emission comes from.
        cause: Option<Cause>,
    },
    /// A peer set a value of this node. Its access, type and range allow the new value.
    LocalSet {
        /// The peer that set it.
        peer: PeerId,
        /// The capability.
        path: CapPath,
        /// The new value.
        value: Value,
    },
    /// An emission of a peer reached a sensor of this node.
    LocalSensed {
        /// The owner of the emitter.
        peer: PeerId,
        /// The emitter's name.
        emitter: Arc<str>,
        /// The sensor; `None` when the subscription names none.
        sensor: Option<CapPath>,
        /// The value.
        value: Value,
        /// The touch that the emission comes from, if it is known.
        cause: Option<Cause>,
    },
    /// A peer subscribed to emitters of this node.
    Subscribed {
        /// The subscriber.
        peer: PeerId,
        /// The emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor; `None` when it named none.
        sensor: Option<String>,
    },
    /// A peer ended a subscription to emitters of this node.
    Unsubscribed {
        /// The subscriber.
        peer: PeerId,
        /// The emitter; `None` for all.
        emitter: Option<CapPath>,
        /// The peer's sensor; `None` when it named none.
        sensor: Option<String>,
    },
    /// A peer calls a method of this node; answer it with [`Node::reply`](crate::Node::reply).
    Called(Call),
    /// A peer asks for a channel; answer it with [`Node::accept_channel`](crate::Node::accept_channel) or
    /// [`Node::refuse_channel`](crate::Node::refuse_channel).
    ChannelRequested(ChannelRequest),
    /// A node announced itself with a key that is not trusted. Reported once for as long as the key is remembered.
    Stranger(Stranger),
    /// A key is trusted from now on, since it was the first under its node's name. A program that stores trusted keys
    /// stores this one too.
    KeyLearned {
        /// The peer that proved the key.
        peer: PeerId,
        /// The key.
        key: PublicKey,
        /// The peer's name.
        name: String,
    },
    /// The networks that carry the mesh from now on.
    Networks(Vec<Network>),
    /// All events before [`Node::mark`](crate::Node::mark) was called with this number have been reported.
    #[doc(hidden)]
    Marked(u64),
}

//! A node of a ZOCP mesh, for programs that use tokio.
//!
//! A mesh is a set of nodes on a local network that find each other without configuration
//! ([36/ZRE](https://rfc.zeromq.org/spec/36/)). Each ZOCP node has a tree of *capabilities*: values that others read,
//! set and follow, and methods that they call. Nodes of this crate work together with those of pyZOCP, and with every
//! node of zyre and pyre.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use zocp_node::{Access, Capability, Config, Event, Node};
//!
//! let (node, mut events) = Node::start(Config::new("lamp")).await?;
//! let brightness = Capability::new(Access::READ | Access::WRITE, 0.5).with_range(0.0, 1.0);
//! node.publish("brightness", brightness).await?;
//! while let Some(event) = events.next().await {
//!     if let Event::LocalSet { path, value, .. } = event {
//!         println!("{path} is now {value}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Always read the [`Events`]:** a node whose events nobody takes stops reading from its peers, so that nothing is
//! lost. Then it also takes no more values and emissions of its own program.
//!
//! # What a program does with a node
//!
//! | to | use |
//! | --- | --- |
//! | offer a value | [`Node::publish`], [`Node::set_local`], [`Event::LocalSet`] |
//! | emit, so that subscribers get every value | [`Access::EMIT`], [`Node::emit`] |
//! | receive emissions of others | [`Access::SENSE`], [`Node::subscribe`], [`Event::LocalSensed`] |
//! | offer a method | [`Node::publish_method`], [`Event::Called`], [`Node::reply`] |
//! | read, set and call other nodes | [`Event::TreeKnown`], [`Event::Changed`], [`Node::set`], [`Node::call`] |
//! | send much, as a stream | [`Node::request_channel`], [`Event::ChannelRequested`], [`Node::carry`] |
//! | send messages that are not ZOCP | [`Node::whisper`], [`Node::shout`], [`Event::Whispered`], [`Event::Shouted`] |
//! | encrypt, and choose who takes part | [`Security`], [`Node::trust`], [`Event::Stranger`] |
//!
//! Capabilities, methods and objects have names. An operation takes a name as text, with dots between nested objects
//! (`"cam.pan.angle"`), or as a [`CapPath`]. The examples `values`, `methods` and `signals` of this crate are complete
//! programs.
//!
//! # Model
//!
//! A [`Node`] is a handle; clones are handles of the same node. One task, the actor, owns all state and does all
//! waiting. What happens is reported as [`Event`]s through one bounded queue. Every queue and every peer has a bound,
//! see [`Limits`].
//!
//! # Layout
//!
//! Three crates without I/O make the decisions: `zocp-zmtp` (octets to messages), `zocp-zre` (peers and groups) and
//! `zocp-model` (capabilities). This crate gives them sockets and time. `startup` makes the parts. `actor` owns the
//! state: `actor::mesh` routes the outputs of the ZRE core, `actor::dials` writes messages, `actor::keys` handles the
//! keys of a secure mesh, `actor::model` routes the outputs of the model, `actor::counters` counts. `acceptor` and
//! `connection` read TCP, `beacon` sends and receives UDP, `interfaces` chooses networks. `handshakes`,
//! `handshake_limiter`, `quota` and `credit` bound what peers may cost. `tickets` and `channel` are pipes beside the
//! messages, `handover` passes descriptors between nodes of one machine. `venue` names the peers of other sites. `traffic` counts, `trace` shows messages to one
//! observer. `config`, `node`, `event` and `error` are what programs see.
//!
//! Not here: D-Bus.

mod acceptor;
mod actor;
mod backlog;
mod beacon;
mod call;
mod channel;
mod clock;
mod command;
mod config;
mod connection;
mod counts;
mod credit;
mod error;
mod event;
mod events;
mod gossip;
mod handover;
mod handshake_limiter;
mod handshakes;
mod interfaces;
mod log_throttle;
mod node;
mod passing;
mod peer;
mod permit;
#[doc(hidden)]
pub mod plumbing;
mod ports;
mod quota;
mod security;
mod shared;
mod startup;
mod target;
mod tickets;
mod trace;
mod traffic;
mod traffic_kinds;
mod venue;
mod wanted_links;

pub use call::{Call, CallResult};
pub use channel::{
    Carried, Channel, ChannelError, ChannelRequest, DescriptorKind, HEADER_CHANNEL, LocalEnd,
    LocalKind, PIECE_MAX, Received,
};
pub use config::{BeaconMode, Config, Ipv6, Limits};
pub use counts::{Counts, Kind, Tally};
pub use error::{Invalid, NodeError, RemoteError};
pub use event::Event;
pub use events::Events;
pub use handover::{HEADER_LOCAL, Handover, LocalName};
pub use interfaces::Network;
pub use node::{Node, OfferedChannel, Redeemed};
pub use passing::PassRule;
pub use peer::PeerInfo;
pub use ports::{Ports, PortsError};
pub use security::{Security, SecurityScope, Stranger};
pub use startup::StartError;
pub use target::{End, IntoCapPath, IntoObjectPath};
pub use tickets::{TICKET_TIME_MAX, Ticket};
pub use traffic::{PeerTraffic, Traffic};
pub use traffic_kinds::{BeaconKind, Departure, Rejection, Verb};
pub use venue::{VENUE_LEN_MAX, VenueError, check_venue};
pub use wanted_links::LinkState;

pub use bytes::Bytes;
pub use zocp_model::{
    self as model, Access, Argument, CapPath, Capability, Cause, Change, Method, ObjectPath, Tree,
    Value, json,
};
pub use zocp_zmtp::{KeyError, KeyPair, Limits as ZmtpLimits, PublicKey, Z85Error};
pub use zocp_zre::{
    ConnectError, Content, DecodeError, EndpointError, ExitReason, FirstUse, HelloLimits,
    Limits as ZreLimits, NameError, PeerId, PeerIdError, SendError, SharedWay,
};

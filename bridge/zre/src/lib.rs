//! ZRE version 2 (36/ZRE) as zyre and pyre really speak it: which nodes are on the mesh, in
//! which groups, and the messages between them. No sockets, no clock, no tasks.
//!
//! **The one rule: after each call that changes a [`Zre`], drain
//! [`Zre::poll_output`] until `None` and carry the outputs out in their order; and
//! call [`Zre::handle_timeout`] when [`Zre::poll_timeout`] says so.**
//!
//! ```
//! use std::time::{Duration, Instant};
//! use zocp_zre::{Config, Output, PeerId, Zre};
//!
//! # fn clock() -> Instant { #[allow(clippy::disallowed_methods)] Instant::now() }
//! let config = Config::new(PeerId::new([7; 16]), "lamp", 49152, 1);
//! let mut zre = Zre::new(clock(), config);
//! let Some(Output::Beacon(datagram)) = zre.poll_output() else {
//!     panic!("the first beacon goes out at once");
//! };
//! assert_eq!(&datagram[..4], b"ZRE\x01");
//! ```
//!
//! # Model
//!
//! A node has a mailbox, a ROUTER socket. Messages from A to B go through the connection that
//! A opened: it is a *dial* for A and a *link* for B. The caller opens dials,
//! accepts links and moves frames; this crate decides. Peers are met by beacon, by
//! their HELLO, or by an endpoint that a user gave.
//!
//! # What it does that the peers do not
//!
//! - A closed connection is a lost peer, at once. It is dialed and greeted afresh.
//! - Numbers of messages wrap differently in the two kinds of old peers. Before the
//!   difference shows, a peer of unknown kind is greeted afresh: everything sent is
//!   read to its end, the connection closed and opened again, and what is sent in the
//!   meantime waits ([`Event::Renewed`]). Peers with the header [`HEADER_BRIDGE`] are
//!   ours and need none of this. zyre could be told by its PINGs, but only by
//!   guessing from times, so it is not tried.
//! - A connection that follows another is confirmed by a PING before messages are
//!   entrusted to it, since a ROUTER silently ignores the second of two connections
//!   with one identity.
//! - A peer of ours that cannot be dialed is answered on the connection that it opened: the connection is *shared*, see
//!   `zre/shared.rs`.
//!
//! # Security
//!
//! With [`Config::security`] the mesh is a secure one: beacons announce keys, the caller's connections prove
//! them, and a node without a trusted key is not met. See `trust`.
//!
//! # Limits
//!
//! All in [`Limits`], with what happens at them. pyre dies after 255 joins and leaves
//! *of its own*; ours, counted modulo 256, do it no harm.

mod beacon;
mod command;
mod config;
mod endpoint;
pub mod gossip;
mod hash;
mod mailbox;
mod name;
mod output;
mod peer;
mod peer_id;
mod peers;
mod round_trip;
mod sequence;
mod sharing;
mod slots;
mod timers;
mod trust;
mod zre;

pub use beacon::{Beacon, BeaconOctets};
pub use command::{Command, DecodeError, Hello, HelloLimits, decode};
pub use config::{Config, Limits, Times};
pub use endpoint::{Endpoint, EndpointError};
pub use hash::{IdHash, IdHasher};
pub use name::{GroupName, NAME_LEN_MAX, NameError};
pub use output::{
    ConnectError, Content, DialEnd, DialId, Event, ExitReason, Header, Headers, LinkError, LinkId,
    Output, RejectReason, SendError,
};
pub use peer::SharedWay;
pub use peer_id::{PeerId, PeerIdError};
pub use trust::{FirstUse, NodeKey, Security, Stranger};
pub use zre::{PeerView, Zre};

/// The HELLO header of this project's bridges, whose numbers go to 65535.
pub const HEADER_BRIDGE: &str = "X-ZOCP-DBUS";

/// The HELLO header of a node that also reads messages on the connections that it opened.
pub const HEADER_LINK: &str = "X-ZOCP-LINK";

//! A node of a ZOCP mesh, on tokio: the house around the pure cores `zocp-zmtp` (octets and frames),
//! `zocp-zre` (who is here) and `zocp-model` (what they can do).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use zocp_node::{Capability, Config, Event, Node};
//!
//! let (node, mut events) = Node::start(Config::new("lamp")).await?;
//! node.publish("brightness", Capability::new("rw", 0.5).with_range(0.0, 1.0)).await?;
//! while let Some(event) = events.next().await {
//!     if let Event::LocalSet { path, value, .. } = event {
//!         println!("{path} is now {value}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Read [`Events`], always:** a node whose events nobody takes stops reading from its peers, so that
//! nothing is lost, and then takes no values, calls or messages any more.
//!
//! Model: a [`Node`] is a handle; one actor task owns all state and does all waiting. What happens is
//! told as [`Event`]s on one bounded queue.
//! Not here: D-Bus.
//!
//! # Layout
//!
//! `start` makes the parts, `house` is the actor with `house::mesh` for the ZRE core, `house::dials` for
//! what is sent, `house::trusting` for keys and `house::zocp` for the model, `connection` reads and writes
//! TCP, `security` makes connections with keys, `beacon` is the UDP side, `interfaces` chooses networks,
//! `gate` bounds what waits for a peer, `counts` and `traffic` count, `tap` is for those who listen, `config`, `node`, `event` and `error` are what users see.

mod accept;
mod backlog;
mod beacon;
mod config;
mod connection;
mod counts;
mod door;
mod error;
mod event;
mod gate;
mod house;
mod interfaces;
mod node;
mod ports;
mod room;
mod security;
mod share;
mod start;
mod tap;
mod traffic;

pub use config::{BeaconMode, Config, Limits};
pub use counts::{Counts, Kind, Tally};
pub use error::{Invalid, NodeError, RemoteError};
pub use event::{Content, Event, Events, PeerInfo};
pub use interfaces::Network;
pub use node::{CallResult, End, IntoCapPath, Node};
pub use ports::{Ports, PortsError};
pub use room::{Begun, Room, Setting};
pub use security::{Security, Stranger};
pub use start::StartError;
pub use tap::{Note, Passed, Sink, Tap, Way};
pub use traffic::{BeaconKind, Parting, PeerTraffic, Traffic, Turned, Verb};
pub use zocp_model::{self as model, CapPath, Capability, Cause, ObjectPath, Value};
pub use zocp_zmtp::{KeyError, KeyPair, PublicKey, Z85Error};
pub use zocp_zre::{ExitReason, FirstUse, PeerId, PeerIdError};

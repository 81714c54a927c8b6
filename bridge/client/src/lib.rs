//! What a bridge shows, as a client follows it over D-Bus.
//!
//! Model: a [`Model`] is plain data: peers, the objects and values of nodes, wires, what was counted. [`follow`] asks
//! the bridge for all of it once and keeps it up to date from signals. [`Actions`] sets, calls and wires.
//! Invariants: nothing of the mesh or of the daemon is known here, only the interfaces on the bus.
//!
//! # Layout
//!
//! - [`model`]: the state, with a version for each thing in it; [`tree`]: the objects of a node
//! - [`feed`]: signals and answers become changes of the model
//! - [`actions`]: what a user does
//! - [`value`]: D-Bus values as JSON and text, and back; [`text`]: text of peers that is safe to print
//! - [`mod@method`]: the methods of an object, from its introspection data

pub mod actions;
pub mod feed;
pub mod method;
pub mod model;
pub mod text;
pub mod tree;
pub mod value;

pub use actions::{Actions, Refused};
pub use feed::{Followed, follow};
pub use model::{Changes, Key, Model};

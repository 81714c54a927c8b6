//! What ZOCP nodes can do: trees of capabilities, messages, subscriptions and calls, as a
//! pure core without I/O.
//!
//! Nodes of the Z25 Orchestrator Control Protocol (ZOCP) each have a tree of
//! *capabilities*, values with a description, and exchange them in small JSON
//! messages: trees and their changes (`GET`, `MOD`), new values (`SET`, `SIG`), subscriptions
//! (`SUB`, `UNSUB`), and as an extension calls with replies (`CALL`, `REP`).
//!
//! # Layout
//!
//! - [`Model`]: one node and all it knows; takes messages and time, gives [`Output`]s.
//! - [`Tree`], [`Object`], [`Capability`], [`Method`]: what a node has; [`Change`]: how
//!   it changed.
//! - [`TypeHint`], [`Shape`], [`CheckError`]: types of values and their limits.
//! - [`Cause`], [`History`]: which touch an emission comes from.
//! - [`CapPath`], [`ObjectPath`], [`NodeId`]: names.
//!
//! **After each call of a [`Model`] that changes it, drain [`Model::poll_output`]
//! until it gives `None`.**
//!
//! Invariants of absence: no sockets, no clock, no tasks; nothing of ZRE or ZMTP, whose
//! peers and frames the caller brings together with this crate; nothing of D-Bus but the
//! names of errors that the wire carries.
//!
//! Tolerant in, strict out: what pyZOCP and its relatives send is understood, quirks
//! included, and nothing that would raise in them is sent.

mod access;
mod capability;
mod cause;
mod dialect;
mod event;
mod hint;
mod id;
mod json;
mod limits;
mod message;
mod method;
mod model;
mod object;
pub mod passing;
mod path;
pub mod stream;
mod tree;

pub use serde_json::{Map, Value, json};

pub use access::{Access, AccessError};
pub use capability::{Capability, CheckError, Info, Subscriber};
pub use cause::{Cause, History, Meaning, Origin, OriginError, Touch};
pub use event::{CallFailure, CallId, Event, Ignored, Output, RequestId};
pub use hint::{Shape, TypeHint};
pub use id::{NodeId, NodeIdError};
pub use json::{Flaws, JsonError, float, number};
pub use limits::Limits;
pub use message::MessageError;
pub use method::{Argument, Method};
pub use model::{
    CallError, Follow, Model, PeerKind, PublishError, ReplyError, SetError, SubscribeError,
};
pub use object::{DBUS_OBJECT, Object};
pub use path::{CapPath, ObjectPath, PathError};
pub use tree::{Change, Tree, TreeError};

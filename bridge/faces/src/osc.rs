//! OSC: the mesh as an address space.
//!
//! # Layout
//!
//! Pure: `packet` (octets), `stream` (packets in TCP), `pattern` and `matches`, `types`, `space` (addresses), `outbox` and `destination` (what
//! waits, for whom), `schedule` (time tags), `face` (all together), `description` (OSCQuery),
//! `program` and `map` (a program as a node), `remote_tree` (its OSCQuery). With sockets: `options`, `run`,
//! `publish`, `remote_query`, `connection`, `listener`, `http`, `announcement` (Avahi).
//! Spec: OSC 1.0 and 1.1, docs/reference/osc.md

mod announcement;
mod connection;
mod description;
mod destination;
mod face;
mod http;
mod listener;
mod map;
mod matches;
mod options;
pub(crate) mod outbox;
mod outlet;
pub mod packet;
pub mod pattern;
mod program;
mod publish;
mod remote_query;
mod remote_tree;
mod run;
mod schedule;
mod seldom;
mod senders;
mod space;
pub mod stream;
mod types;

pub use options::{OscOptions, Ready, Target, TargetError, Transport};
pub use publish::{ProgramOptions, Remote, publish};
pub use remote_query::{QueryUrl, QueryUrlError};
pub use run::run;

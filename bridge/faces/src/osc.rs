//! OSC: the mesh as an address space.
//!
//! # Layout
//!
//! Pure: `packet` (octets), `stream` (packets in TCP), `pattern`, `types`, `space` (addresses), `outbox` and `sets` (what
//! waits each way), `schedule` (time tags), `face` (all together). With sockets: `options`, `run`, `connection`.
//! Spec: OSC 1.0 and 1.1, docs/reference/osc.md

mod connection;
mod face;
mod options;
mod outbox;
pub mod packet;
pub mod pattern;
mod run;
mod schedule;
mod sets;
mod space;
pub mod stream;
mod types;

pub use options::{OscOptions, Ready, Target, TargetError, Transport};
pub use run::run;

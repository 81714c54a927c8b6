//! DMX over networks: a universe of sACN or Art-Net as named capabilities.
//!
//! # Layout
//!
//! Pure: `sacn` and `artnet` (octets), `patch` (slots and values), `sender` (when to send), `receiver` (which sources count), `replies` (which
//! polls are answered).
//! With sockets: `options`, `run`, `incoming`, `outgoing`.
//! Spec: E1.31-2018, Art-Net 4, docs/reference/dmx.md

pub mod artnet;
mod incoming;
mod options;
mod outgoing;
mod patch;
mod receiver;
mod replies;
mod run;
pub mod sacn;
mod sender;

pub use options::{DmxOptions, DmxReady, Protocol};
pub use run::run;

//! A D-Bus message bus.
//!
//! Model: [`Bus`] is the bus without any I/O: it is told that a connection came, what it said and that it went, and
//! says which octets go to whom. [`Server`] is the small part around it that has sockets, time and tasks; a program
//! that is the bus itself has connections of its own without a socket, [`Handle::attach`].
//!
//! A message goes through as it is: the header is copied once with the name of the sender, the body is not looked at,
//! except for the arguments that match rules ask for.
//!
//! Invariants: BUS-1. a call gets exactly one answer, unless it says that it wants none: what was called answers, or
//! the bus does. BUS-2. only who was called may answer. BUS-3. messages from one connection to another arrive in order,
//! and all that the bus tells is in one order for everybody. BUS-4. a connection that does not read holds up nobody.
//!
//! Limits: [`Limits`]; what happens at each is said there.
//!
//! Not here: starting services, policies, other transports than UNIX sockets. What differs from `dbus-daemon`:
//! `docs/reference/bus.md`.
//!
//! # Layout
//!
//! Pure: `message` (octets), `auth` (the conversation before), `names`, `rules`, `core` (routing, and the bus as a
//! service of itself). With I/O: `server`.
//!
//! Spec: D-Bus specification 0.43

mod auth;
mod connection_id;
mod core;
mod limits;
mod message;
mod names;
mod rules;
mod server;

pub use self::connection_id::ConnectionId;
pub use self::{
    auth::Admitted,
    core::{Backlog, Bus, CloseReason, Config, Credentials, Output},
    limits::Limits,
    message::{Descriptors, Fixed, Frame, Incoming, Invalid, Kind, Message, Order, RawMessage},
    server::{AttachError, Attached, Handle, Server, ServerConfig},
};

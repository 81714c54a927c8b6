//! ZMTP 3: the octets of one TCP connection to messages and back, without I/O.
//!
//! **The rule: after each call that takes `&mut Connection`, poll events until `None` and write what
//! [`Connection::output`] holds.** After an error write nothing more and close.
//!
//! Model: a [`Connection`] is one end of one TCP connection, as a DEALER (it opened the connection)
//! or as a ROUTER (it accepted it). Octets go in with [`Connection::handle_input`], split anywhere;
//! [`Event`]s come out: once [`Event::Ready`], then any number of [`Event::Message`]. What is to be
//! written gathers in one contiguous output: greeting, handshake and PONG by themselves, messages by
//! [`Connection::send`].
//!
//! In the clear a connection is made by [`Connection::dealer`] and [`Connection::router`]; with CURVE, by
//! [`Connection::curve_dealer`] and [`Connection::curve_router`]: then each end proves that it has its key,
//! the router's owner decides about the dealer's at [`Event::PeerKey`], and all traffic is sealed. An end of
//! one kind and an end of the other refuse each other.
//!
//! Invariants:
//! - ZMTP-1. Nothing but greeting and handshake is put out before the peer's READY has been taken in: libzmq
//!   hangs up on greeting, READY and a message in one segment.
//! - ZMTP-2. However the input is split, the same events, output and error come of it.
//! - ZMTP-3. A length is compared with its limit when it has been read, before memory is reserved for it,
//!   and memory grows with what arrived, never with what was announced.
//! - ZMTP-4. After an error no more input is taken. Events of before it can still be polled.
//!
//! Limits: [`Limits`]. All are per connection; how many connections there are is the caller's affair.
//!
//! Not here: time. Nothing here reads a clock, so the time that a handshake may take
//! ([`Connection::is_ready`] tells when it is over), the time without any traffic and the sending of
//! PING are the caller's. A new connection should be closed after a few seconds without READY, since
//! until then a peer costs memory and has said nothing.
//! Not here: sockets, reconnecting, routing by identity, ZRE. Not here: randomness, which is an argument
//! ([`Entropy`], [`KeyPair::draw`]).
//!
//! # Layout
//!
//! `greeting` and `frame` are the two layers of octets, `decoder` makes messages and commands of
//! frames, `command` reads and writes commands, `handshake` drives those of a mechanism until the other end
//! is known (`metadata`: what each tells of itself; `curve`: the keys and boxes of CURVE), `connection` puts
//! them together.
//!
//! # Example
//!
//! ```
//! use zocp_zmtp::{Connection, Event, Limits};
//!
//! let mut dealer = Connection::dealer(b"lamp", Limits::default());
//! let mut router = Connection::router(Limits::default());
//! while !(dealer.is_ready() && router.is_ready()) {
//!     carry(&mut dealer, &mut router)?;
//!     carry(&mut router, &mut dealer)?;
//! }
//! assert!(matches!(router.poll_event(), Some(Event::Ready { identity, .. }) if identity == "lamp"));
//!
//! dealer.send(&[b"head", b"body"])?;
//! carry(&mut dealer, &mut router)?;
//! let Some(Event::Message(message)) = router.poll_event() else { panic!() };
//! assert_eq!(message.frame(1), Some(&b"body"[..]));
//!
//! /// What the two sockets would do.
//! fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), zocp_zmtp::Error> {
//!     to.handle_input(from.output())?;
//!     from.consume_output(from.output_len());
//!     Ok(())
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Spec: 23/ZMTP (3.0), and of 37/ZMTP (3.1) the heartbeat; 25/ZMTP-CURVE, 26/CURVEZMQ, 32/Z85.

mod capacity;
mod command;
mod connection;
mod curve;
mod decoder;
mod error;
mod frame;
mod greeting;
mod handshake;
mod keys;
mod limits;
mod mechanism;
mod message;
mod metadata;
mod output;
mod socket_kind;

pub use connection::{Connection, Event};
pub use curve::Entropy;
pub use error::{
    Error, Forged, LimitExceeded, Malformed, Misbehaved, NoncesSpent, SendError, Unsupported,
};
pub use keys::{KeyError, KeyPair, PublicKey, Z85Error};
pub use limits::Limits;
pub use mechanism::Mechanism;
pub use message::Message;
pub use socket_kind::SocketKind;

#[cfg(test)]
mod tests;

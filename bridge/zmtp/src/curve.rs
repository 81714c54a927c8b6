//! The CURVE mechanism: each end proves that it has its key, and all messages are encrypted.
//!
//! Model: four commands, then MESSAGEs. Capitals are long-term keys, `'` marks those of one connection,
//! `C` is the client (here always the DEALER) and `S` the server (the ROUTER):
//!
//! ```text
//! client                                                             server
//!   HELLO     C', proof that C' is for S                       ------>
//!          <------  WELCOME   S', and s' in a cookie that only the server opens
//!   INITIATE  the cookie, C, proof that C' is C's, metadata    ------>
//!                                          the owner decides about C: accept or refuse
//!          <------  READY     metadata
//! ```
//!
//! The client knows S before; the server learns C and gives it to its owner before it admits. [`client`]
//! and [`server`] are the two handshakes, each state holding only what it may know; both end in a
//! [`session`], which seals and opens frames. `keys`, [`nonce`] and [`boxes`] are the parts.
//!
//! Invariants:
//! - CURVE-1. No key of a connection is used with one nonce twice: short nonces count up and are never reused
//!   (`nonce`), long ones are random and drawn once for a connection.
//! - CURVE-2. Nothing is read out of a box before its tag was checked, and nothing outside of boxes is acted on
//!   but lengths, nonces and the peer's own transient key, which the first box proves.
//! - CURVE-3. A short nonce that is not above the one before ends the connection: nothing is replayed,
//!   reordered or left out within it.
//! - CURVE-4. Long-term and connection keys are zeroed when they are dropped, and are in no `Debug` output.
//! - CURVE-5. Low-order keys, which would make the shared secret known to everybody, and other forms of a key
//!   are refused wherever a key comes in.
//!
//! Not here: who is trusted. The owner of the connection decides, see
//! [`Event::PeerKey`](crate::Event::PeerKey).
//!
//! Spec: 25/ZMTP-CURVE, 26/CURVEZMQ; docs/reference/protocol.md §8.

mod boxes;
mod client;
mod entropy;
mod nonce;
mod server;
mod session;

pub(crate) use client::{Client, Hailed, Initiated};
pub use entropy::Entropy;
pub(crate) use server::{Introduced, Server, Welcomed};
pub(crate) use session::{SEALED_LEN_MIN, Session};

/// Splits a field of `N` octets off the front; `None` if there is less.
fn split<'a, const N: usize>(octets: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (field, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(field)
}

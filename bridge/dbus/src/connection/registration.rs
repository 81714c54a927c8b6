//! A descriptor whose readiness the runtime follows.
//!
//! Model: tokio's own sockets are followed in both directions, and a bus that takes a message then wakes
//! its sender each time; only a descriptor of one's own can be followed in one. tokio marks that as unsafe,
//! because a descriptor that is closed while it is followed would be followed as another.
//! Invariants: REGISTRATION-1. what is followed is an [`OwnedFd`]: open, always the same, and closed by who follows it.
#![expect(unsafe_code, reason = "see the module's description")]

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Follows a descriptor in one direction.
pub(super) fn followed(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: REGISTRATION-1.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    registered.map_err(io::Error::from)
}

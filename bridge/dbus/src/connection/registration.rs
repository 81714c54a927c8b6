//! Registration of a file descriptor with the runtime, for one direction.
//!
//! Model: the sockets of tokio are registered for both directions, so a bus that reads a message would wake its sender
//! each time. Only [`AsyncFd`] can be registered for one direction. tokio marks that function as unsafe, because a
//! descriptor that is closed while it is registered could be reused for another file.
//! Invariants: REGISTRATION-1. The registered descriptor is an [`OwnedFd`]: it is open, never changes, and is closed only
//! by the registration.
#![expect(unsafe_code, reason = "see the module's description")]

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor for one direction.
pub(super) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: REGISTRATION-1.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    registered.map_err(io::Error::from)
}

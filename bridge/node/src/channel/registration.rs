//! Registration of a descriptor with the runtime.
//!
//! Model: a descriptor that somebody else has too must stay blocking for that one, so none of the sockets of tokio can
//! have it; only [`AsyncFd`] can. tokio marks that function as unsafe, because a descriptor that is closed while it is
//! registered could be reused for another file.
//! Invariants: CHANNELREGISTRATION-1. The registered descriptor is an [`OwnedFd`]: it is open, never changes, and is
//! closed only by the registration.
#![expect(unsafe_code, reason = "see the module's description")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor.
pub(super) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: CHANNELREGISTRATION-1.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    registered.map_err(io::Error::from)
}

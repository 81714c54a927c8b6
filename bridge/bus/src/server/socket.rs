//! The system calls: octets and descriptors, without waiting.
//!
//! Model: the kernel tells of octets that came, and of room only while somebody waits for it: a client that takes a
//! message would else wake the bus each time for nothing. tokio marks it as unsafe to follow a descriptor of one's own,
//! because one that is closed while it is followed would be followed as another.
//! Invariants: SOCKET-1. what is followed is owned by who follows it: open, and always the same.
#![expect(unsafe_code, reason = "see the module's description")]

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{core::Credentials, message::Descriptors};

/// A descriptor that tells when octets came.
pub(super) fn follow(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: SOCKET-1: it stays open as long as one share of it is there.
    let followed = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    followed.map_err(io::Error::from)
}

/// Waits until there is room. Cancel safe.
pub(super) async fn writable(fd: &OwnedFd) -> io::Result<()> {
    // A registration of its own, so that the other tells nothing of this.
    let own = rustix::io::dup(fd)?;
    // SAFETY: SOCKET-1.
    let followed = unsafe { AsyncFd::register_with_interest(own, Interest::WRITABLE) };
    followed
        .map_err(io::Error::from)?
        .writable()
        .await?
        .retain_ready();
    Ok(())
}

/// What a read brought.
#[derive(Debug)]
pub(super) struct Received {
    /// 0 at the end.
    pub(super) len: usize,
    pub(super) has_descriptors: bool,
}

/// Reads what is there; `None` where nothing is.
pub(super) fn receive(
    fd: impl AsFd,
    octets: &mut [u8],
    descriptors: &mut impl Extend<OwnedFd>,
) -> io::Result<Option<Received>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let octets = &mut [IoSliceMut::new(octets)];
        match recvmsg(&fd, octets, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut has_descriptors = false;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            has_descriptors = true;
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "descriptors were lost, which happens when too many files are open",
        ));
    }
    Ok(Some(Received {
        len: received.bytes,
        has_descriptors,
    }))
}

/// Writes what the socket takes; `None` where it takes nothing at the moment.
pub(super) fn send(
    fd: impl AsFd,
    octets: &[IoSlice<'_>],
    descriptors: Option<&Descriptors>,
) -> io::Result<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let borrowed: Vec<BorrowedFd<'_>>;
    let mut control = match descriptors {
        None => SendAncillaryBuffer::default(),
        Some(descriptors) => {
            borrowed = descriptors.iter().map(AsFd::as_fd).collect();
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                return Err(io::Error::other("more descriptors than the kernel takes"));
            }
            control
        }
    };
    loop {
        match sendmsg(&fd, octets, &mut control, SendFlags::NOSIGNAL) {
            Ok(len) => return Ok(Some(len)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends a connection for both ends. What was not read is lost.
pub(super) fn hang_up(fd: impl AsFd) {
    if let Err(error) = shutdown(fd, Shutdown::Both) {
        tracing::debug!(%error, "a connection cannot be shut down");
    }
}

/// Who is at the other end, by the kernel's word.
pub(super) fn credentials(fd: impl AsFd) -> io::Result<Credentials> {
    let peer = rustix::net::sockopt::socket_peercred(fd)?;
    Ok(Credentials {
        user: Some(peer.uid.as_raw()),
        process: u32::try_from(peer.pid.as_raw_nonzero().get()).ok(),
        ..Credentials::default()
    })
}

/// The kernel's limit for one message.
const DESCRIPTORS_MAX: usize = 253;

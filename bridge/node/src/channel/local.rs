//! Descriptors of this machine that a channel is carried to and from.
//!
//! Model: a [`LocalEnd`] is a pipe, or a connected socket of octets or of packets.
//! Invariants: LOCALEND-1. `O_NONBLOCK` of a description that somebody else has too is never changed: sockets are read
//! and written with `MSG_DONTWAIT`, and pipes are opened anew; those of another user, which cannot be, are read and
//! written by `splice` (`through.rs`).
//! Not here: reading and writing (`registered.rs`).
//! Spec: unix(7), pipe(7), RFC 4571

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
/// One end of something of this machine.
#[derive(Debug)]
pub struct LocalEnd {
    pub(super) fd: OwnedFd,
    pub(super) kind: LocalKind,
    /// See [`LocalEnd::shared`].
    pub(super) is_shared: bool,
    /// Whether the description is that of others: it may not be told not to wait.
    pub(super) is_foreign: bool,
}

/// How a descriptor is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// The reading end of a pipe.
    PipeReader,
    /// The writing end of a pipe.
    PipeWriter,
    /// A connected socket of octets.
    Stream,
    /// A connected socket that keeps the limits of packets.
    Packets,
    /// A connected socket of octets in which each packet has its length in two octets before it, RFC 4571.
    Rtp,
}

impl LocalEnd {
    /// A connected socket, by its type.
    ///
    /// # Errors
    /// It is no socket, or one of another type.
    pub fn socket(fd: OwnedFd) -> io::Result<Self> {
        let kind = match sockopt::socket_type(&fd)? {
            SocketType::STREAM => LocalKind::Stream,
            SocketType::DGRAM | SocketType::SEQPACKET => LocalKind::Packets,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self::new(fd, kind))
    }

    /// A connected socket for packets: in a stream of octets each has its length before it, as in RFC 4571.
    ///
    /// # Errors
    /// It is no socket, or one of another type.
    pub fn packets(fd: OwnedFd) -> io::Result<Self> {
        let mut local = Self::socket(fd)?;
        if local.kind == LocalKind::Stream {
            local.kind = LocalKind::Rtp;
        }
        Ok(local)
    }

    /// Marks the descriptor as one that others keep using: it is not shut down when the incoming direction ends.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    const fn new(fd: OwnedFd, kind: LocalKind) -> Self {
        Self {
            fd,
            kind,
            is_shared: false,
            is_foreign: false,
        }
    }

    /// An end of a pipe that others have too: `kind` says which end.
    ///
    /// # Errors
    /// It cannot be opened anew for another reason than that it belongs to another user, or no descriptors are left.
    pub fn pipe(fd: &OwnedFd, kind: LocalKind) -> io::Result<Self> {
        let access = match kind {
            LocalKind::PipeReader => OFlags::RDONLY,
            _ => OFlags::WRONLY,
        };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
            Err(Errno::ACCESS | Errno::PERM) => Ok(Self::foreign_pipe(fd.try_clone()?, kind)),
            opened => Ok(Self::new(opened?, kind)),
        }
    }

    /// The same, as it is, also where it could be opened anew.
    #[must_use]
    pub fn foreign_pipe(fd: OwnedFd, kind: LocalKind) -> Self {
        Self {
            is_foreign: true,
            ..Self::new(fd, kind)
        }
    }

    /// A new pair of sockets: the one that is carried, and the one to hand over. With packets, their limits are kept.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn pair(packets: bool) -> io::Result<(Self, OwnedFd)> {
        let (kind, socket_type) = match packets {
            true => (LocalKind::Packets, SocketType::SEQPACKET),
            false => (LocalKind::Stream, SocketType::STREAM),
        };
        let flags = SocketFlags::CLOEXEC;
        let (fd, other) = socketpair(AddressFamily::UNIX, socket_type, flags, None)?;
        Ok((Self::new(fd, kind), other))
    }

    /// A new pipe: the end that is carried, of this kind, and the other one to hand over.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new_pipe(kind: LocalKind) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (fd, other) = match kind {
            LocalKind::PipeReader => (reader, writer),
            _ => (writer, reader),
        };
        // The two ends have a description each.
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok((Self::new(fd, kind), other))
    }

    /// How it is read and written.
    #[must_use]
    pub const fn kind(&self) -> LocalKind {
        self.kind
    }
}

impl LocalKind {
    pub(super) const fn is_pipe(self) -> bool {
        matches!(self, Self::PipeReader | Self::PipeWriter)
    }
}

//! Descriptors of this machine, read and written without waiting.
//!
//! Model: a [`LocalEnd`] is what a channel is carried to and from: a pipe, or a connected socket of octets or of packets.
//! Invariants: LOCALEND-1. `O_NONBLOCK` of a description that somebody else has too is never changed: sockets are read
//! and written with `MSG_DONTWAIT`, and pipes are opened anew. LOCALEND-2. A descriptor that comes inside a socket is
//! closed at once, and the carrying ends.
//! Limits: [`PIECE_MAX`] octets in one piece or packet; a longer packet ends the carrying.
//! Spec: unix(7), pipe(7), RFC 4571

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    Shutdown, SocketFlags, SocketType, recvmsg, send, shutdown, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::pipe::PIECE_MAX;
use super::registration::register;

/// One end of something of this machine.
#[derive(Debug)]
pub struct LocalEnd {
    fd: OwnedFd,
    kind: LocalKind,
    /// Others go on using what is behind it.
    is_shared: bool,
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

    /// The same, which others go on using: the end of what comes does not shut it down.
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
        }
    }

    /// An end of a pipe that others have too: `kind` says which end.
    ///
    /// # Errors
    /// It cannot be opened anew, as when it belongs to another user.
    pub fn pipe(fd: &OwnedFd, kind: LocalKind) -> io::Result<Self> {
        let access = match kind {
            LocalKind::PipeReader => OFlags::RDONLY,
            _ => OFlags::WRONLY,
        };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
        Ok(Self::new(fd, kind))
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

    pub(super) fn register(self) -> io::Result<Registered> {
        let interest = match self.kind {
            LocalKind::PipeReader => Interest::READABLE,
            LocalKind::PipeWriter => Interest::WRITABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        Ok(Registered {
            kind: self.kind,
            is_shared: self.is_shared,
            fd: register(self.fd, interest)?,
        })
    }
}

/// A local end that a runtime watches.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) kind: LocalKind,
    is_shared: bool,
    fd: AsyncFd<OwnedFd>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Octets(usize),
    End,
}

impl Registered {
    pub(super) fn reads(&self) -> bool {
        self.kind != LocalKind::PipeWriter
    }

    pub(super) fn writes(&self) -> bool {
        self.kind != LocalKind::PipeReader
    }

    /// Waits until a read brings something, which `use_it` takes. Cancel-safe.
    pub(super) async fn read<T>(
        &self,
        mut use_it: impl FnMut(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let mut guard = self.fd.readable().await?;
            match use_it(self.fd.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads once.
    pub(super) fn read_now(&self, fd: &OwnedFd, octets: &mut [u8]) -> io::Result<Read> {
        match self.kind {
            LocalKind::PipeReader | LocalKind::PipeWriter => {
                let len = rustix::io::read(fd, octets)?;
                Ok(if len == 0 {
                    Read::End
                } else {
                    Read::Octets(len)
                })
            }
            LocalKind::Stream | LocalKind::Rtp => match receive(fd, octets)? {
                0 => Ok(Read::End),
                len => Ok(Read::Octets(len)),
            },
            LocalKind::Packets => match receive(fd, octets)? {
                0 if is_hung_up(fd)? => Ok(Read::End),
                len => Ok(Read::Octets(len)),
            },
        }
    }

    /// Writes all of a piece, or a whole packet. Not cancel-safe: a part may be written.
    pub(super) async fn write(&self, octets: &[u8]) -> io::Result<()> {
        if self.kind == LocalKind::Packets {
            return self.write_once(octets).await.map(drop);
        }
        if self.kind == LocalKind::Rtp {
            let len = u16::try_from(octets.len()).map_err(|_| too_long())?;
            let framed = [&len.to_be_bytes()[..], octets].concat();
            return self.write_all(&framed).await;
        }
        self.write_all(octets).await
    }

    async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let len = self.write_once(octets).await?;
            octets = &octets[len..];
        }
        Ok(())
    }

    async fn write_once(&self, octets: &[u8]) -> io::Result<usize> {
        let write = || match self.kind {
            LocalKind::PipeReader | LocalKind::PipeWriter => {
                rustix::io::write(self.fd.get_ref(), octets)
            }
            _ => send(
                self.fd.get_ref(),
                octets,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ),
        };
        match write() {
            Ok(len) => return Ok(len),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            let mut guard = self.fd.writable().await?;
            match write() {
                Err(rustix::io::Errno::WOULDBLOCK) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Waits until nobody reads what is written any more. Not to be awaited while a write waits. Cancel-safe.
    pub(super) async fn write_closed(&self) -> io::Result<()> {
        if !self.writes() {
            return std::future::pending().await;
        }
        loop {
            let mut guard = self.fd.ready(Interest::WRITABLE).await?;
            if guard.ready().is_write_closed() {
                return Ok(());
            }
            // The next change wakes this again.
            guard.clear_ready();
        }
    }

    /// Ends the writing: whoever reads sees the end.
    pub(super) fn end_write(&self) {
        let is_pipe = matches!(self.kind, LocalKind::PipeReader | LocalKind::PipeWriter);
        if !is_pipe && !self.is_shared {
            // An error means that it is closed already.
            let _ = shutdown(self.fd.get_ref(), Shutdown::Write);
        }
    }
}

/// Receives without waiting; refuses descriptors.
fn receive(fd: &OwnedFd, octets: &mut [u8]) -> io::Result<usize> {
    let max = octets.len();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
    let flags = match sockopt::socket_type(fd)? {
        // MSG_TRUNC discards what a stream socket has.
        SocketType::STREAM => flags - RecvFlags::TRUNC,
        _ => flags,
    };
    let received = recvmsg(fd, &mut [IoSliceMut::new(octets)], &mut control, flags)?;
    let mut rights = control
        .drain()
        .filter(|message| matches!(message, RecvAncillaryMessage::ScmRights(_)));
    if rights.next().is_some() || received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(INSIDE));
    }
    if received.bytes > max {
        return Err(too_long());
    }
    Ok(received.bytes)
}

/// Whether the other end of a socket has ended its writing.
fn is_hung_up(fd: &OwnedFd) -> io::Result<bool> {
    if sockopt::socket_type(fd)? == SocketType::DGRAM {
        return Ok(false);
    }
    let mut polled = [PollFd::new(fd, PollFlags::RDHUP)];
    poll(
        &mut polled,
        Some(&rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )?;
    let ended = PollFlags::RDHUP | PollFlags::HUP;
    Ok(polled[0].revents().intersects(ended))
}

fn too_long() -> io::Error {
    io::Error::other(format!("a packet of more than {PIECE_MAX} octets"))
}

/// Why a relay ends into which a descriptor was sent. docs/reference/protocol.md §9.8
pub(super) const INSIDE: &str = "a descriptor was sent inside of a relayed socket";

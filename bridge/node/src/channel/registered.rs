//! A local end that a runtime watches: it is read and written without waiting.
//!
//! Invariants: REGISTERED-1. A descriptor that comes inside a socket is closed at once, and the carrying ends.
//! REGISTERED-2. That an earlier datagram was refused ends no stream of datagrams.
//! Limits: [`PIECE_MAX`] octets in one piece or packet; a longer packet ends the carrying.
//! Spec: unix(7), udp(7), RFC 4571

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    Shutdown, SocketType, recvmsg, send, shutdown, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::local::{LocalEnd, LocalKind};
use super::pipe::PIECE_MAX;
use super::registration::register;
use super::through::Through;

/// A local end that a runtime watches.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) kind: LocalKind,
    is_shared: bool,
    /// Whether it is a socket of `AF_UNIX`, inside of which descriptors may come.
    is_unix: bool,
    /// Whether it is a socket of datagrams, which has no end.
    is_datagram: bool,
    /// For a pipe that cannot be opened anew.
    through: Option<Through>,
    fd: AsyncFd<OwnedFd>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Octets(usize),
    End,
}

impl Registered {
    /// Has the present runtime watch a local end.
    pub(super) fn new(local: LocalEnd) -> io::Result<Self> {
        let LocalEnd {
            fd,
            kind,
            is_shared,
            is_foreign,
        } = local;
        let interest = match kind {
            LocalKind::PipeReader => Interest::READABLE,
            LocalKind::PipeWriter => Interest::WRITABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        let (is_unix, is_datagram) = match kind.is_pipe() {
            true => (false, false),
            false => (
                sockopt::socket_domain(&fd)? == AddressFamily::UNIX,
                sockopt::socket_type(&fd)? == SocketType::DGRAM,
            ),
        };
        Ok(Self {
            kind,
            is_shared,
            is_unix,
            is_datagram,
            through: is_foreign.then(Through::new).transpose()?,
            fd: register(fd, interest)?,
        })
    }

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
                // REGISTERED-2. Reading the error has cleared it.
                Err(error)
                    if self.is_lossy() && error.kind() == io::ErrorKind::ConnectionRefused => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads once.
    pub(super) fn read_now(&self, fd: &OwnedFd, octets: &mut [u8]) -> io::Result<Read> {
        match self.kind {
            LocalKind::PipeReader | LocalKind::PipeWriter => {
                let len = match &self.through {
                    Some(through) => through.read(fd, octets)?,
                    None => rustix::io::read(fd, octets)?,
                };
                Ok(if len == 0 {
                    Read::End
                } else {
                    Read::Octets(len)
                })
            }
            LocalKind::Stream | LocalKind::Rtp => match self.receive(fd, octets)? {
                0 => Ok(Read::End),
                len => Ok(Read::Octets(len)),
            },
            LocalKind::Packets => match self.receive(fd, octets)? {
                0 if self.is_at_end(fd)? => Ok(Read::End),
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
        let is_full = |outcome: &io::Result<usize>| {
            let error = outcome.as_ref().err();
            error.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let outcome = self.write_now(octets);
        if !is_full(&outcome) {
            return outcome;
        }
        loop {
            let mut guard = self.fd.writable().await?;
            let outcome = self.write_now(octets);
            if !is_full(&outcome) {
                return outcome;
            }
            guard.clear_ready();
        }
    }

    fn write_now(&self, octets: &[u8]) -> io::Result<usize> {
        let fd = self.fd.get_ref();
        let mut refusals = 0;
        loop {
            if let Some(through) = &self.through {
                return through.write(fd, octets);
            }
            let outcome = match self.kind.is_pipe() {
                true => rustix::io::write(fd, octets),
                false => send(fd, octets, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            };
            match outcome {
                Err(Errno::INTR) => {}
                // REGISTERED-2. The error is of an earlier datagram; this one was not sent.
                Err(Errno::CONNREFUSED) if self.is_lossy() && refusals < REFUSALS_MAX => {
                    refusals += 1;
                }
                // Nobody is there: it is lost, as it would be on the way.
                Err(Errno::CONNREFUSED) if self.is_lossy() => return Ok(octets.len()),
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Whether datagrams may be lost, and come again when somebody is there.
    const fn is_lossy(&self) -> bool {
        self.is_datagram && !self.is_unix
    }

    /// Waits until nobody reads what is written any more. Not to be awaited while a write waits. Cancel-safe.
    pub(super) async fn write_closed(&self) -> io::Result<()> {
        // The error of an earlier datagram would look like the end.
        if !self.writes() || self.is_lossy() {
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
        if !self.kind.is_pipe() && !self.is_shared {
            // An error means that it is closed already.
            let _ = shutdown(self.fd.get_ref(), Shutdown::Write);
        }
    }

    /// Receives without waiting; refuses descriptors.
    fn receive(&self, fd: &OwnedFd, octets: &mut [u8]) -> io::Result<usize> {
        let max = octets.len();
        let mut space = [MaybeUninit::uninit(); CONTROL_LEN];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let flags = match self.kind {
            // So that the length of one that is cut is known. It would discard what a stream has.
            LocalKind::Packets => flags | RecvFlags::TRUNC,
            _ => flags,
        };
        let received = recvmsg(fd, &mut [IoSliceMut::new(octets)], &mut control, flags)?;
        // Credentials and times may come as well, as whoever made the socket chose.
        let mut rights = control
            .drain()
            .filter(|message| matches!(message, RecvAncillaryMessage::ScmRights(_)));
        let is_cut = self.is_unix && received.flags.contains(ReturnFlags::CTRUNC);
        if rights.next().is_some() || is_cut {
            return Err(io::Error::other(INSIDE));
        }
        if received.bytes > max {
            return Err(too_long());
        }
        Ok(received.bytes)
    }

    /// Whether an empty read means that the other end of a socket has ended its writing, and is no empty packet. Empty
    /// packets behind which nothing else comes before the end cannot be told from it.
    fn is_at_end(&self, fd: &OwnedFd) -> io::Result<bool> {
        if self.is_datagram {
            return Ok(false);
        }
        let mut polled = [PollFd::new(fd, PollFlags::RDHUP)];
        let at_once = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut polled, Some(&at_once))?;
        let ended = PollFlags::RDHUP | PollFlags::HUP;
        Ok(polled[0].revents().intersects(ended) && ioctl_fionread(fd)? == 0)
    }
}

fn too_long() -> io::Error {
    io::Error::other(format!("a packet of more than {PIECE_MAX} octets"))
}

/// How often one datagram meets the error of an earlier one.
const REFUSALS_MAX: u32 = 2;

/// Space for what comes beside the octets: a descriptor, credentials, times, a label of a security module.
const CONTROL_LEN: usize = 1024;

/// Why a relay ends into which a descriptor was sent. docs/reference/protocol.md §9.8
pub(super) const INSIDE: &str = "a descriptor was sent inside of a relayed socket";

//! Octets of a pipe that cannot be opened anew, since another user has made it: they pass through a pipe of our own.
//!
//! Model: `O_NONBLOCK` belongs to the description, which others have too (LOCALEND-1). `splice` from one pipe to another
//! does not wait where it is told so, whatever the flags of the descriptions are.
//! Spec: splice(2), pipe(7)

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

/// A pipe of our own between us and one that others have.
#[derive(Debug)]
pub(super) struct Through {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Octets in it that are to be written: the first of those that are given next.
    held: AtomicUsize,
}

impl Through {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self {
            reader,
            writer,
            held: AtomicUsize::new(0),
        })
    }

    /// Reads from the reading end of a pipe without waiting.
    pub(super) fn read(&self, fd: impl AsFd, octets: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.reader, &mut *octets) {
            Err(rustix::io::Errno::AGAIN) => {}
            outcome => return Ok(outcome?),
        }
        match splice(fd, None, &self.writer, None, octets.len(), FLAGS)? {
            0 => Ok(0),
            _ => Ok(rustix::io::read(&self.reader, octets)?),
        }
    }

    /// Writes to the writing end of a pipe without waiting; how many octets. The rest is to be given again, before
    /// anything else.
    pub(super) fn write(&self, fd: impl AsFd, octets: &[u8]) -> io::Result<usize> {
        let mut held = self.held.load(Ordering::Relaxed);
        if held == 0 {
            held = rustix::io::write(&self.writer, octets)?;
        }
        let written = splice(&self.reader, None, fd, None, held, FLAGS);
        let left = held - written.unwrap_or(0);
        self.held.store(left, Ordering::Relaxed);
        Ok(written?)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK;

//! Descriptors of messages between bridges.
//!
//! Model: a message that brings descriptors travels with a note of each, behind it in its packet: what it is, and a
//! ticket.
//! The sending bridge carries each descriptor to the channel that is opened with its ticket. The receiving bridge makes a
//! pipe or a pair of sockets for each note at once, gives one end with the message to its bus, in the message's turn, and
//! carries the other; what is written before the channel is open waits in the kernel. A file is copied first. Between
//! two bridges of one machine the descriptor passes itself, and nothing is carried or copied.
//! Layout: `notes` writes and reads the notes, `files` copies files, `waiting` keeps messages until their files are
//! there.
//! Invariants: RELAYDESCRIPTOR-1. A message arrives with as many descriptors as its header declares, or not at all.
//! RELAYDESCRIPTOR-2. What a program passes goes on as it is: it is neither shut down nor made non-blocking before its
//! channel ends.
//! Limits: [`DESCRIPTORS_MAX`] of one message; those of channels, and of files.
//! Not here: who may send which (`zocp_policy`).
//! Spec: docs/reference/protocol.md §9.8

mod files;
mod notes;
mod waiting;

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use zbus::Message;
use zocp_dbus::errors::Refusal;
use zocp_node::{Channel, DescriptorKind, LocalEnd, LocalKind, Node, NodeError, Redeemed};
use zocp_policy::Descriptors;

use self::{
    files::FileLimits,
    notes::{Note, NoteKind},
};
pub(crate) use self::{
    notes::{Notes, split},
    waiting::{Admitted, Named, Packet, WaitingPackets},
};
use crate::{
    named::{Form, NamedFiles, files_in},
    remote::Remote,
    transport::has_descriptors,
};

/// What makes notes of the descriptors of a message to a peer. A trait, so that the states need no mesh.
pub(crate) trait Departures: fmt::Debug + Send + Sync {
    /// Takes the descriptors of a message over; the octets that go behind it in its packet.
    ///
    /// # Errors
    /// `NoFileDescriptors` for a kind that is not allowed or cannot travel; `Busy`.
    fn depart(
        &self,
        peer: &Remote,
        message: &Message,
        allowed: Descriptors,
    ) -> Result<Vec<u8>, Refusal>;

    /// The peer may ask for the files that a message to it names.
    fn announce(&self, _: &Remote, _: &Message) {}
}

/// Carries descriptors over channels of this node.
#[derive(Debug, Clone)]
pub(crate) struct Porter {
    pub(crate) node: Node,
    tasks: TaskTracker,
    files: FileLimits,
    /// The files that messages name.
    pub(crate) named: NamedFiles,
}

impl Porter {
    pub(crate) fn new(node: Node, tasks: TaskTracker) -> Self {
        Self {
            node,
            tasks,
            files: FileLimits::default(),
            named: NamedFiles::default(),
        }
    }
}

/// A packet with the notes of the descriptors of its message; it is unchanged if there are none.
///
/// # Errors
/// As [`Departures::depart`].
pub(crate) fn with_notes(
    packet: Bytes,
    message: &Message,
    departures: &dyn Departures,
    (peer, allowed): (&Remote, Descriptors),
) -> Result<Bytes, Refusal> {
    if !has_descriptors(message) {
        return Ok(packet);
    }
    let notes = departures.depart(peer, message, allowed)?;
    Ok([&packet[..], &notes].concat().into())
}

/// Whether all descriptors of a message are of kinds that are allowed.
///
/// # Errors
/// `NoFileDescriptors`, with the kind of the first that is not.
pub(crate) fn check(message: &Message, allowed: Descriptors) -> Result<(), Refusal> {
    for fd in message.data().fds() {
        kind(fd, allowed)?;
    }
    Ok(())
}

fn kind(fd: &impl AsFd, allowed: Descriptors) -> Result<DescriptorKind, Refusal> {
    let kind =
        DescriptorKind::of(&fd.as_fd()).map_err(|error| Refusal::Failed(error.to_string()))?;
    let is_allowed = match kind {
        DescriptorKind::PipeReader | DescriptorKind::PipeWriter => allowed.pipe,
        DescriptorKind::StreamSocket | DescriptorKind::PacketSocket => allowed.socket,
        DescriptorKind::File => allowed.file,
        DescriptorKind::Other(_) => false,
    };
    match is_allowed {
        true => Ok(kind),
        false => Err(Refusal::NoFileDescriptors(kind.name().to_owned())),
    }
}

/// A descriptor of a program, as it is sent.
enum Sent {
    Carried(LocalEnd),
    File(OwnedFd),
}

impl Sent {
    /// # Errors
    /// It cannot be opened anew, or no descriptors are left.
    fn new(fd: &impl AsFd, kind: &DescriptorKind) -> io::Result<(NoteKind, Self)> {
        let copy = fd.as_fd().try_clone_to_owned()?;
        let carried = |local: io::Result<LocalEnd>| local.map(Self::Carried);
        Ok(match kind {
            DescriptorKind::PipeReader => {
                let local = LocalEnd::pipe(&copy, LocalKind::PipeReader);
                (NoteKind::PipeReader, carried(local)?)
            }
            DescriptorKind::PipeWriter => {
                let local = LocalEnd::pipe(&copy, LocalKind::PipeWriter);
                (NoteKind::PipeWriter, carried(local)?)
            }
            DescriptorKind::StreamSocket => (NoteKind::Stream, carried(LocalEnd::socket(copy))?),
            DescriptorKind::PacketSocket => (NoteKind::Packets, carried(LocalEnd::socket(copy))?),
            DescriptorKind::File => (NoteKind::File(files::position(&copy)), Self::File(copy)),
            DescriptorKind::Other(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

impl Departures for Porter {
    fn depart(
        &self,
        peer: &Remote,
        message: &Message,
        allowed: Descriptors,
    ) -> Result<Vec<u8>, Refusal> {
        if !peer.channels {
            let text = format!(
                "a file descriptor for {}, which knows no channels,",
                peer.name
            );
            return Err(Refusal::NoFileDescriptors(text));
        }
        let fds = message.data().fds();
        if fds.len() > DESCRIPTORS_MAX {
            let text = format!("more than {DESCRIPTORS_MAX} file descriptors");
            return Err(Refusal::NoFileDescriptors(text));
        }
        // All kinds are looked at before a channel is offered for any.
        let kinds = fds.iter().map(|fd| kind(fd, allowed));
        let kinds = kinds.collect::<Result<Vec<_>, Refusal>>()?;
        let notes = fds.iter().zip(&kinds);
        let notes = notes.map(|(fd, kind)| self.offer(peer, fd, kind));
        Ok(notes::write(&notes.collect::<Result<Vec<_>, Refusal>>()?))
    }

    fn announce(&self, peer: &Remote, message: &Message) {
        if let Some(form) = Form::of(message).filter(|_| peer.channels) {
            let files = files_in(form, message);
            if !files.is_empty() {
                self.named.announce(peer.id, files);
            }
        }
    }
}

/// What a peer sent with a message: the descriptors for it, of which files are still being filled.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) files: Vec<JoinHandle<Result<(), Refusal>>>,
}

impl Porter {
    /// The descriptors of a message that a peer sent with these notes.
    ///
    /// # Errors
    /// The table of descriptors is full.
    pub(crate) fn arrive(&self, peer: &Remote, notes: &Notes) -> io::Result<Arrived> {
        self.made(peer, notes, notes.0.iter().map(|_| None).collect())
    }

    /// The same of a bridge of this machine: those that it passes are the descriptors themselves.
    ///
    /// # Errors
    /// The table of descriptors is full; what was passed did not come.
    pub(crate) async fn take(&self, peer: &Remote, notes: &Notes) -> io::Result<Arrived> {
        let taken = self.taken(peer, &notes.0).await?;
        self.made(peer, notes, taken)
    }

    /// Makes those that were not passed.
    fn made(
        &self,
        peer: &Remote,
        notes: &Notes,
        taken: Vec<Option<OwnedFd>>,
    ) -> io::Result<Arrived> {
        let all = notes.0.iter().zip(taken);
        let all = all.map(|(note, taken)| match taken {
            Some(fd) => Ok((note, (Made::Taken, fd))),
            None => made(note.kind).map(|made| (note, made)),
        });
        let all: Vec<_> = all.collect::<io::Result<_>>()?;
        let mut arrived = Arrived::default();
        for (note, (received, fd)) in all {
            arrived.fds.push(fd);
            let (porter, peer, ticket) = (self.clone(), peer.id, note.ticket);
            match received {
                Made::Taken => {}
                Made::Carried(local) => {
                    self.tasks.spawn(async move {
                        let channel = porter.node.open_channel(peer, ticket).await;
                        porter.carry(channel, local).await;
                    });
                }
                Made::File(file, position) => {
                    let filled = self.tasks.spawn(async move {
                        let not_copied =
                            |why: String| Refusal::Failed(format!("a file was not copied: {why}"));
                        let channel = porter.node.open_channel(peer, ticket).await;
                        let channel = channel.map_err(|error| not_copied(error.to_string()))?;
                        let filled = files::fill(channel, (file, position), &porter.files).await;
                        filled.map_err(|error| not_copied(error.to_string()))
                    });
                    arrived.files.push(filled);
                }
            }
        }
        Ok(arrived)
    }

    async fn carry(&self, channel: Result<Channel, NodeError>, local: LocalEnd) {
        match channel.map(|channel| self.node.carry(channel, local)) {
            Ok(Ok(carried)) => {
                carried.await;
            }
            Ok(Err(error)) => tracing::error!(%error, "a descriptor cannot be carried"),
            Err(error) => tracing::info!(%error, "a descriptor was not taken over"),
        }
    }

    /// Offers a descriptor to a peer.
    fn offer(&self, peer: &Remote, fd: &impl AsFd, kind: &DescriptorKind) -> Result<Note, Refusal> {
        let failed = |error: io::Error| Refusal::Failed(error.to_string());
        let (kind, sent) = Sent::new(fd, kind).map_err(failed)?;
        let offered = match peer.is_here {
            true => self
                .node
                .try_offer_descriptor(peer.id, peer.key, NOTE_TIME_MAX),
            false => self
                .node
                .try_offer_channel(peer.id, peer.key, NOTE_TIME_MAX),
        };
        let offered = offered.map_err(|error| refused(&error, peer))?;
        let ticket = offered.ticket();
        let itself = peer.is_here.then(|| fd.as_fd().try_clone_to_owned());
        let itself = itself.transpose().map_err(failed)?;
        let porter = self.clone();
        self.tasks.spawn(async move {
            match (offered.redeemed().await, sent, itself) {
                (Ok(Redeemed::Handover(handover)), _, Some(itself)) => {
                    if let Err(error) = handover.give(itself).await {
                        tracing::info!(%error, "a descriptor was not passed");
                    }
                }
                (Ok(Redeemed::Channel(channel)), sent, _) => porter.send(*channel, sent).await,
                (Ok(Redeemed::Handover(_)), _, None) => {}
                (Err(error), ..) => tracing::info!(%error, "a descriptor was not taken over"),
            }
        });
        Ok(Note { kind, ticket })
    }

    async fn send(&self, channel: Channel, sent: Sent) {
        match sent {
            Sent::Carried(local) => self.carry(Ok(channel), local).await,
            Sent::File(file) => {
                if let Err(error) = files::send(channel, file, &self.files).await {
                    tracing::info!(%error, "a file was not sent");
                }
            }
        }
    }

    /// Those of the descriptors that a bridge of this machine passes.
    ///
    /// # Errors
    /// One was not passed, or is of another kind than its note says.
    async fn taken(&self, peer: &Remote, notes: &[Note]) -> io::Result<Vec<Option<OwnedFd>>> {
        let taking = notes.iter().map(async |note| {
            let taken = self.node.take_descriptor(peer.id, note.ticket).await?;
            match taken {
                Some(fd) if !note.kind.is(&DescriptorKind::of(&fd)?) => {
                    Err(io::Error::other("it is of another kind than was said"))
                }
                taken => Ok(taken),
            }
        });
        join_all(taking).await.into_iter().collect()
    }
}

/// What this bridge keeps of a descriptor for a program.
enum Made {
    /// Nothing: it is the descriptor itself.
    Taken,
    Carried(LocalEnd),
    /// A file to be filled, and the position that it is to have.
    File(OwnedFd, u64),
}

fn made(kind: NoteKind) -> io::Result<(Made, OwnedFd)> {
    let (local, fd) = match kind {
        NoteKind::PipeReader => LocalEnd::new_pipe(LocalKind::PipeWriter)?,
        NoteKind::PipeWriter => LocalEnd::new_pipe(LocalKind::PipeReader)?,
        NoteKind::Stream => LocalEnd::pair(false)?,
        NoteKind::Packets => LocalEnd::pair(true)?,
        NoteKind::File(position) => {
            let file = files::empty()?;
            return Ok((Made::File(file.try_clone()?, position), file));
        }
    };
    Ok((Made::Carried(local), fd))
}

fn refused(error: &NodeError, peer: &Remote) -> Refusal {
    match error {
        NodeError::Busy => Refusal::Busy(format!("{} has too many channels", peer.name)),
        _ => Refusal::NodeGone(peer.name.clone()),
    }
}

/// Descriptors of one message, as a bus allows them.
const DESCRIPTORS_MAX: usize = 16;
/// How long a ticket of a note can be redeemed: its message may wait in the queues of both bridges, behind others.
const NOTE_TIME_MAX: Duration = Duration::from_secs(60);

/// For simulations, in which there are no channels.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub(crate) struct NoDepartures;

#[cfg(any(test, feature = "testing"))]
impl Departures for NoDepartures {
    fn depart(&self, _: &Remote, _: &Message, _: Descriptors) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::NoFileDescriptors("a file descriptor".to_owned()))
    }
}

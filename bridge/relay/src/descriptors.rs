//! Descriptors of messages between bridges.
//!
//! Model: a message that brings descriptors travels with a note of each, behind it in its packet: what it is, and a ticket.
//! The sending bridge carries each descriptor to the channel that is opened with its ticket. The receiving bridge makes a
//! pipe or a pair of sockets for each note at once, gives one end with the message to its bus, in the message's turn, and
//! carries the other; what is written before the channel is open waits in the kernel.
//! Invariants: RELAYDESCRIPTOR-1. A message arrives with as many descriptors as its header declares, or not at all.
//! RELAYDESCRIPTOR-2. What a program passes goes on as it is: it is neither shut down nor made non-blocking before its
//! channel ends.
//! Limits: [`DESCRIPTORS_MAX`] of one message; those of channels.
//! Not here: who may send which (`zocp_policy`).
//! Spec: docs/reference/protocol.md §9.8

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
};

use bytes::Bytes;
use tokio_util::task::TaskTracker;
use zbus::Message;
use zocp_dbus::errors::Refusal;
use zocp_node::{
    Channel, DescriptorKind, LocalEnd, LocalKind, Node, NodeError, Ticket, Value, model::json,
};
use zocp_policy::Descriptors;

use crate::{remote::Remote, transport::has_descriptors};

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
}

/// Carries descriptors over channels of this node.
#[derive(Debug, Clone)]
pub(crate) struct Porter {
    pub(crate) node: Node,
    pub(crate) tasks: TaskTracker,
}

/// What the sender says of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    kind: NoteKind,
    ticket: Ticket,
}

/// What the receiver's program is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoteKind {
    PipeReader,
    PipeWriter,
    Stream,
    Packets,
}

impl NoteKind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::PipeReader, "pipe-reader"),
        (Self::PipeWriter, "pipe-writer"),
        (Self::Stream, "stream"),
        (Self::Packets, "packets"),
    ];
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

fn kind(fd: &impl AsFd, allowed: Descriptors) -> Result<NoteKind, Refusal> {
    let kind =
        DescriptorKind::of(&fd.as_fd()).map_err(|error| Refusal::Failed(error.to_string()))?;
    let note = match kind {
        DescriptorKind::PipeReader if allowed.pipe => NoteKind::PipeReader,
        DescriptorKind::PipeWriter if allowed.pipe => NoteKind::PipeWriter,
        DescriptorKind::StreamSocket if allowed.socket => NoteKind::Stream,
        DescriptorKind::PacketSocket if allowed.socket => NoteKind::Packets,
        kind => return Err(Refusal::NoFileDescriptors(kind.name().to_owned())),
    };
    Ok(note)
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
        check(message, allowed)?;
        let notes = fds.iter().map(|fd| {
            let kind = kind(fd, allowed)?;
            let failed = |error: std::io::Error| Refusal::Failed(error.to_string());
            let copy = fd.as_fd().try_clone_to_owned().map_err(failed)?;
            let local = match kind {
                NoteKind::PipeReader => LocalEnd::pipe(&copy, LocalKind::PipeReader),
                NoteKind::PipeWriter => LocalEnd::pipe(&copy, LocalKind::PipeWriter),
                NoteKind::Stream | NoteKind::Packets => LocalEnd::socket(copy),
            };
            let local = local.map_err(failed)?;
            let offered = self.node.try_offer_channel(peer.id, peer.key);
            let offered = offered.map_err(|error| refused(&error, peer))?;
            let ticket = offered.ticket();
            let porter = self.clone();
            self.tasks
                .spawn(async move { porter.carry(offered.opened().await, local).await });
            Ok(Note { kind, ticket })
        });
        Ok(written(&notes.collect::<Result<Vec<_>, Refusal>>()?))
    }
}

impl Porter {
    /// The descriptors of a message that a peer sent with these notes.
    ///
    /// # Errors
    /// The table of descriptors is full.
    pub(crate) fn arrive(&self, peer: &Remote, notes: &[Note]) -> std::io::Result<Vec<OwnedFd>> {
        let made: Result<Vec<_>, _> = notes.iter().map(|note| made(note.kind)).collect();
        let (locals, fds): (Vec<LocalEnd>, Vec<OwnedFd>) = made?.into_iter().unzip();
        for (note, local) in notes.iter().zip(locals) {
            let (porter, peer, ticket) = (self.clone(), peer.id, note.ticket);
            self.tasks.spawn(async move {
                let channel = porter.node.open_channel(peer, ticket).await;
                porter.carry(channel, local).await;
            });
        }
        Ok(fds)
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
}

fn made(kind: NoteKind) -> std::io::Result<(LocalEnd, OwnedFd)> {
    match kind {
        NoteKind::PipeReader => LocalEnd::new_pipe(LocalKind::PipeWriter),
        NoteKind::PipeWriter => LocalEnd::new_pipe(LocalKind::PipeReader),
        NoteKind::Stream => LocalEnd::pair(false),
        NoteKind::Packets => LocalEnd::pair(true),
    }
}

fn refused(error: &NodeError, peer: &Remote) -> Refusal {
    match error {
        NodeError::Busy => Refusal::Busy(format!("{} has too many channels", peer.name)),
        _ => Refusal::NodeGone(peer.name.clone()),
    }
}

fn written(notes: &[Note]) -> Vec<u8> {
    let name = |kind| NoteKind::ALL.iter().find(|it| it.0 == kind).map(|it| it.1);
    let notes = notes
        .iter()
        .map(|note| json!({"kind": name(note.kind), "ticket": note.ticket.to_string()}));
    Value::Array(notes.collect()).to_string().into_bytes()
}

/// Splits a packet into its message and the notes behind it; `None` if what is behind it are none.
pub(crate) fn split(packet: &[u8]) -> Option<(&[u8], Vec<Note>)> {
    let Some(len) = message_len(packet).filter(|len| *len < packet.len()) else {
        return Some((packet, Vec::new()));
    };
    let (message, behind) = packet.split_at(len);
    if behind.len() > NOTES_LEN_MAX {
        return None;
    }
    let notes: Value = std::str::from_utf8(behind).ok()?.parse().ok()?;
    let notes = notes.as_array().filter(|it| it.len() <= DESCRIPTORS_MAX)?;
    let notes = notes.iter().map(|note| {
        let text = |name| note.get(name).and_then(Value::as_str);
        let name = text("kind")?;
        let kind = NoteKind::ALL.iter().find(|it| it.1 == name)?.0;
        let ticket = Ticket::parse(text("ticket")?)?;
        Some(Note { kind, ticket })
    });
    Some((message, notes.collect::<Option<_>>()?))
}

/// The length of the message that a packet begins with, if its header says one.
fn message_len(packet: &[u8]) -> Option<usize> {
    let head = packet.first_chunk::<16>()?;
    let number = |at: usize| {
        let octets = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        match head[0] {
            b'B' => u32::from_be_bytes(octets),
            _ => u32::from_le_bytes(octets),
        }
    };
    let len = 16 + u64::from(number(12)).next_multiple_of(8) + u64::from(number(4));
    usize::try_from(len).ok()
}

/// Descriptors of one message, as a bus allows them.
const DESCRIPTORS_MAX: usize = 16;
/// Octets of all notes of a message.
const NOTES_LEN_MAX: usize = 2 << 10;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(notes: &str) -> Vec<u8> {
        let message = Message::signal("/a", "org.a.B", "C")
            .build(&"body")
            .unwrap();
        [message.data().bytes(), notes.as_bytes()].concat()
    }

    #[test]
    fn notes_are_behind_the_message_and_are_read_as_they_were_written() {
        let note = |kind| Note {
            kind,
            ticket: Ticket::new([kind as u8; 16]),
        };
        let notes = NoteKind::ALL.map(|(kind, _)| note(kind)).to_vec();
        let text = String::from_utf8(written(&notes)).unwrap();
        let packet = packet(&text);
        let (message, read) = split(&packet).unwrap();
        assert_eq!((message.len(), read), (packet.len() - text.len(), notes));
    }

    #[test]
    fn what_is_behind_a_message_and_no_notes_is_refused() {
        assert_eq!(split(&packet("")).unwrap().1, []);
        let many = format!("[{}]", ["{}"; DESCRIPTORS_MAX + 1].join(","));
        let long = format!("[{}]", " ".repeat(NOTES_LEN_MAX));
        for text in [
            "x",
            "{}",
            "[7]",
            r#"[{"kind": "file", "ticket": "00"}]"#,
            &many,
            &long,
        ] {
            assert!(split(&packet(text)).is_none(), "{text}");
        }
        assert_eq!(split(b"l").unwrap().0, b"l");
    }
}

//! Notes: what a packet says of the descriptors of its message, behind it.
//!
//! Limits: [`NOTES_LEN_MAX`] octets, [`DESCRIPTORS_MAX`] descriptors.
//! Spec: docs/reference/protocol.md §9.8

use std::{io, os::fd::OwnedFd};

use zbus::message::Type;
use zocp_dbus::message::received::message_len;
use zocp_node::{DescriptorKind, Ticket, Value, model::json};

use super::DESCRIPTORS_MAX;

/// What the sender says of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) kind: NoteKind,
    pub(super) ticket: Ticket,
}

/// What the receiver's program is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoteKind {
    PipeReader,
    PipeWriter,
    Stream,
    Packets,
    /// A copy of a file, at this position.
    File(u64),
}

impl NoteKind {
    /// Whether a descriptor of this kind is what was said.
    pub(super) const fn is(&self, kind: &DescriptorKind) -> bool {
        matches!(
            (self, kind),
            (Self::PipeReader, DescriptorKind::PipeReader)
                | (Self::PipeWriter, DescriptorKind::PipeWriter)
                | (Self::Stream, DescriptorKind::StreamSocket)
                | (Self::Packets, DescriptorKind::PacketSocket)
                | (Self::File(_), DescriptorKind::File)
        )
    }
}

impl Note {
    fn write(&self) -> Value {
        let ticket = self.ticket.to_string();
        match self.kind {
            NoteKind::PipeReader => json!({"kind": "pipe-reader", "ticket": ticket}),
            NoteKind::PipeWriter => json!({"kind": "pipe-writer", "ticket": ticket}),
            NoteKind::Stream => json!({"kind": "stream", "ticket": ticket}),
            NoteKind::Packets => json!({"kind": "packets", "ticket": ticket}),
            NoteKind::File(at) => json!({"kind": "file", "ticket": ticket, "position": at}),
        }
    }

    fn read(note: &Value) -> Option<Self> {
        let text = |name| note.get(name).and_then(Value::as_str);
        let position = note.get("position").and_then(Value::as_u64);
        let kind = match text("kind")? {
            "pipe-reader" => NoteKind::PipeReader,
            "pipe-writer" => NoteKind::PipeWriter,
            "stream" => NoteKind::Stream,
            "packets" => NoteKind::Packets,
            "file" => NoteKind::File(position.unwrap_or(0)),
            _ => return None,
        };
        let ticket = Ticket::parse(text("ticket")?)?;
        Some(Self { kind, ticket })
    }
}

/// The octets of notes.
pub(super) fn write(notes: &[Note]) -> Vec<u8> {
    let notes = notes.iter().map(Note::write).collect();
    Value::Array(notes).to_string().into_bytes()
}

/// Splits a packet into its message and the notes behind it; `None` if what is behind it are none, or if it is a signal,
/// which brings no descriptors.
pub(crate) fn split(packet: &[u8]) -> Option<(&[u8], Notes)> {
    let Some(len) = message_len(packet)
        .ok()
        .flatten()
        .filter(|len| *len < packet.len())
    else {
        return Some((packet, Notes::default()));
    };
    let (message, behind) = packet.split_at(len);
    if behind.len() > NOTES_LEN_MAX || message.get(1) == Some(&(Type::Signal as u8)) {
        return None;
    }
    let notes: Value = std::str::from_utf8(behind).ok()?.parse().ok()?;
    let notes = notes.as_array().filter(|it| it.len() <= DESCRIPTORS_MAX)?;
    let notes = notes.iter().map(Note::read).collect::<Option<_>>()?;
    Some((message, Notes(notes)))
}

/// The notes of one message.
#[derive(Debug, Default)]
pub(crate) struct Notes(pub(super) Vec<Note>);

impl Notes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As many descriptors, of nothing.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn stand_ins(&self) -> io::Result<Vec<OwnedFd>> {
        let nothing = super::files::empty()?;
        self.0.iter().map(|_| nothing.try_clone()).collect()
    }
}

/// Octets of all notes of a message.
const NOTES_LEN_MAX: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use zbus::Message;

    use super::*;

    fn packet(message: &Message, notes: &str) -> Vec<u8> {
        [message.data().bytes(), notes.as_bytes()].concat()
    }

    fn call() -> Message {
        let call = Message::method_call("/a", "C").interface("org.a.B");
        call.build(&"body").unwrap()
    }

    #[test]
    fn notes_are_behind_the_message_and_are_read_as_they_were_written() {
        let kinds = [
            NoteKind::PipeReader,
            NoteKind::PipeWriter,
            NoteKind::Stream,
            NoteKind::Packets,
            NoteKind::File(0),
            NoteKind::File(u64::MAX),
        ];
        let notes = kinds.map(|kind| Note {
            kind,
            ticket: Ticket::new([7; 16]),
        });
        let text = String::from_utf8(write(&notes)).unwrap();
        let packet = packet(&call(), &text);
        let (message, read) = split(&packet).unwrap();
        assert_eq!(message.len(), packet.len() - text.len());
        assert_eq!(read.0, notes);
    }

    #[test]
    fn what_is_behind_a_message_and_no_notes_is_refused() {
        assert_eq!(split(&packet(&call(), "")).unwrap().1.0, []);
        let many = format!("[{}]", ["{}"; DESCRIPTORS_MAX + 1].join(","));
        let long = format!("[{}]", " ".repeat(NOTES_LEN_MAX));
        for text in [
            "x",
            "{}",
            "[7]",
            r#"[{"kind": "folder", "ticket": "00"}]"#,
            &many,
            &long,
        ] {
            assert!(split(&packet(&call(), text)).is_none(), "{text}");
        }
        let signal = Message::signal("/a", "org.a.B", "C").build(&()).unwrap();
        assert!(split(&packet(&signal, "[]")).is_none());
        assert_eq!(split(b"l").unwrap().0, b"l");
    }
}

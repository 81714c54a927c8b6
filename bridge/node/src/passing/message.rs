//! What passes between two linked nodes about nodes of their venues.
//!
//! Model: a whisper whose first frame is [`TAG`]; then a frame with the kind, one octet, and the node, 16; then what the
//! kind needs: an introduction and a tree, a message of ZOCP, or the frames of another whisper.
//! Limits: [`INTRODUCTION_LEN_MAX`]; the messages have those of the model.
//! Spec: docs/reference/protocol.md §10.2.

use bytes::Bytes;
use zocp_model::{Value, json};
use zocp_zre::{Content, PeerId};

/// The header of a HELLO that says that its node can be told of nodes of other venues.
pub(crate) const HEADER_NODES: &str = "X-ZOCP-NODES";

/// One message about a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Passed {
    /// A node of the sender's venue is there, with this tree; it begins anew if it was.
    Enter(Introduction, Bytes),
    /// It is there no more, or is not passed on any more.
    Leave,
    /// A message of ZOCP, from the node or to it.
    Message(Bytes),
    /// Asks to be told of the node anew.
    Ask,
    /// A whisper that is not ZOCP, from the node or to it.
    Whisper(Content),
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// Its name within its venue.
    pub(crate) name: String,
}

/// Reads a whisper; `None` if it is not about a node.
pub(crate) fn read(content: &Content) -> Option<Result<(PeerId, Passed), Malformed>> {
    let (tag, frames) = content.split_first()?;
    (**tag == *TAG).then(|| parts(frames).ok_or(Malformed))
}

fn parts(frames: &[Bytes]) -> Option<(PeerId, Passed)> {
    let (head, rest) = frames.split_first()?;
    let (kind, node) = head.split_first()?;
    let node = PeerId::new(node.try_into().ok()?);
    let passed = match (*kind, rest) {
        (ENTER, [introduction, tree]) => {
            Passed::Enter(Introduction::read(introduction)?, tree.clone())
        }
        (LEAVE, []) => Passed::Leave,
        (MESSAGE, [message]) => Passed::Message(message.clone()),
        (ASK, []) => Passed::Ask,
        (WHISPER, [_, ..]) => Passed::Whisper(rest.iter().cloned().collect()),
        _ => return None,
    };
    Some((node, passed))
}

/// Writes a whisper.
pub(crate) fn write(node: PeerId, passed: Passed) -> Content {
    let head = |kind: u8| {
        let octets: Vec<u8> = [kind].into_iter().chain(*node.as_bytes()).collect();
        Bytes::from(octets)
    };
    let tag = Bytes::from_static(TAG);
    match passed {
        Passed::Enter(introduction, tree) => {
            let introduction = Bytes::from(introduction.write());
            Content::from_iter([tag, head(ENTER), introduction, tree])
        }
        Passed::Leave => Content::from_iter([tag, head(LEAVE)]),
        Passed::Message(message) => Content::from_iter([tag, head(MESSAGE), message]),
        Passed::Ask => Content::from_iter([tag, head(ASK)]),
        Passed::Whisper(content) => {
            let head = [tag, head(WHISPER)].into_iter();
            head.chain(content.iter().cloned()).collect()
        }
    }
}

/// A whisper that is not ZOCP, from a node or to it, as it goes between two linked peers of which one passes the node on.
#[must_use]
pub fn passed_whisper(node: PeerId, content: Content) -> Content {
    write(node, Passed::Whisper(content))
}

impl Introduction {
    fn read(octets: &[u8]) -> Option<Self> {
        if octets.len() > INTRODUCTION_LEN_MAX {
            return None;
        }
        let message: Value = std::str::from_utf8(octets).ok()?.parse().ok()?;
        let name = message.get("name")?.as_str()?;
        // protocol.md §3.11
        (name.len() <= NAME_LEN_MAX).then(|| Self {
            name: name.to_owned(),
        })
    }

    fn write(&self) -> Vec<u8> {
        json!({"name": self.name}).to_string().into_bytes()
    }
}

/// A message about a node that has not the form of one. The sender's fault; it is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message about a node of another venue is malformed")]
pub(crate) struct Malformed;

const TAG: &[u8] = b"NODES1";
const ENTER: u8 = 1;
const LEAVE: u8 = 2;
const MESSAGE: u8 = 3;
const ASK: u8 = 4;
const WHISPER: u8 = 5;

/// Octets of an introduction.
pub(crate) const INTRODUCTION_LEN_MAX: usize = 4096;
/// Octets of a name.
const NAME_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let node = PeerId::new([7; 16]);
        let introduction = Introduction {
            name: "fader \"1\"".to_owned(),
        };
        for passed in [
            Passed::Enter(introduction, Bytes::from_static(b"{}")),
            Passed::Leave,
            Passed::Message(Bytes::from_static(b"{\"SIG\": [\"a\", 1]}")),
            Passed::Ask,
            Passed::Whisper(Content::from_iter([
                Bytes::from_static(b"DBUS1"),
                Bytes::from_static(b"l"),
            ])),
        ] {
            let content = write(node, passed.clone());
            assert_eq!(read(&content), Some(Ok((node, passed))));
        }
    }

    #[test]
    fn what_is_malformed_is_refused_and_other_whispers_are_left_alone() {
        let frames = |frames: &[&[u8]]| {
            let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame));
            read(&frames.collect())
        };
        assert_eq!(frames(&[b"DBUS1", b"x"]), None);
        assert_eq!(frames(&[]), None);
        let head = |kind: u8| [&[kind][..], &[7; 16]].concat();
        let long = format!("{{\"name\": \"{}\"}}", "x".repeat(256));
        let longest = format!("{{\"name\": \"x\", \"y\": \"{}\"}}", "x".repeat(4096));
        for odd in [
            &[TAG][..],
            &[TAG, b""],
            &[TAG, b"\x02short"],
            &[TAG, &head(0)],
            &[TAG, &head(9)],
            &[TAG, &head(LEAVE), b"more"],
            &[TAG, &head(MESSAGE)],
            &[TAG, &head(WHISPER)],
            &[TAG, &head(ENTER), b"{}", b"{}"],
            &[TAG, &head(ENTER), b"no JSON", b"{}"],
            &[TAG, &head(ENTER), long.as_bytes(), b"{}"],
            &[TAG, &head(ENTER), longest.as_bytes(), b"{}"],
        ] {
            assert_eq!(frames(odd), Some(Err(Malformed)), "{odd:?}");
        }
    }
}

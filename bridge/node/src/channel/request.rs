//! Asking a peer for a channel, on the wire.
//!
//! Model: a whisper of two frames, [`TAG`] and a JSON object. Who wants a channel *opens* it: it gives a ticket and says
//! what the channel is for. The other end redeems the ticket, which is the answer, or *refuses*.
//! Limits: [`REQUEST_LEN_MAX`]; a longer one is ignored and logged.
//! Spec: docs/reference/protocol.md §9.6

use bytes::Bytes;
use zocp_model::{Value, json};
use zocp_zre::PeerId;

use crate::error::RemoteError;
use crate::tickets::Ticket;

/// A request for a channel, or its refusal.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Wants a channel.
    Open {
        /// The sender's number for it.
        id: u64,
        /// What opens the channel.
        ticket: Ticket,
        /// What the channel is for.
        purpose: Value,
    },
    /// Has a ticket, and cannot dial who gave it: that one is to open the channel instead, with a ticket of the sender.
    Turn {
        /// The ticket that the receiver gave.
        ticket: Ticket,
        /// The sender's.
        by: Ticket,
    },
    /// Refuses one.
    Refused {
        /// The number of who wants it.
        id: u64,
        /// Why.
        error: RemoteError,
    },
}

/// A peer wants a channel of this node. Answer it with [`Node::accept_channel`](crate::Node::accept_channel) or
/// [`Node::refuse_channel`](crate::Node::refuse_channel), within [`TICKET_TIME_MAX`](crate::TICKET_TIME_MAX).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChannelRequest {
    /// The peer.
    pub peer: PeerId,
    /// What it is for, as the peer says.
    pub purpose: Value,
    pub(crate) id: u64,
    pub(crate) ticket: Ticket,
}

impl Request {
    /// Reads the second frame; `None` if it is none.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        if octets.len() > REQUEST_LEN_MAX {
            return None;
        }
        let message: Value = std::str::from_utf8(octets).ok()?.parse().ok()?;
        if let Some(open) = message.get("open") {
            return Some(Self::Open {
                id: open.get("id")?.as_u64()?,
                ticket: Ticket::parse(open.get("ticket")?.as_str()?)?,
                purpose: open.get("for").cloned().unwrap_or_default(),
            });
        }
        let ticket = |of: &Value, name| Ticket::parse(of.get(name)?.as_str()?);
        if let Some(turn) = message.get("turn") {
            return Some(Self::Turn {
                ticket: ticket(turn, "ticket")?,
                by: ticket(turn, "by")?,
            });
        }
        let refused = message.get("refused")?;
        let text = |name| refused.get(name).and_then(Value::as_str);
        Some(Self::Refused {
            id: refused.get("id")?.as_u64()?,
            error: RemoteError::new(text("error")?, text("message").unwrap_or_default()),
        })
    }

    /// The whole content of the whisper.
    #[must_use]
    pub fn write(&self) -> Vec<Bytes> {
        let message = match self {
            Self::Open {
                id,
                ticket,
                purpose,
            } => json!({"open": {"id": id, "ticket": ticket.to_string(), "for": purpose}}),
            Self::Turn { ticket, by } => {
                json!({"turn": {"ticket": ticket.to_string(), "by": by.to_string()}})
            }
            Self::Refused { id, error } => {
                json!({"refused": {"id": id, "error": error.name, "message": error.message}})
            }
        };
        vec![Bytes::from_static(TAG), Bytes::from(message.to_string())]
    }
}

/// The second frame of a whisper that is a request, or a refusal.
pub(crate) fn request_in(content: &[Bytes]) -> Option<&Bytes> {
    match content {
        [tag, request] if **tag == *TAG => Some(request),
        _ => None,
    }
}

/// The first frame.
const TAG: &[u8] = b"CHANNEL1";
/// Octets of a request.
const REQUEST_LEN_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let open = Request::Open {
            id: 7,
            ticket: Ticket::new([9; 16]),
            purpose: json!({"stream": "cam"}),
        };
        let refused = Request::Refused {
            id: 7,
            error: RemoteError::new("org.z25.Zocp1.Error.Busy", "somebody has it"),
        };
        let turn = Request::Turn {
            ticket: Ticket::new([9; 16]),
            by: Ticket::new([8; 16]),
        };
        for request in [open, turn, refused] {
            let content = request.write();
            let octets = request_in(&content).unwrap();
            assert_eq!(Request::read(octets), Some(request));
        }
    }

    #[test]
    fn what_is_none_is_not_read() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"open": {}}"#,
            r#"{"open": {"id": -1, "ticket": "00"}}"#,
        ] {
            assert_eq!(Request::read(text.as_bytes()), None, "{text}");
        }
        let long = format!(
            r#"{{"refused": {{"id": 1, "error": "{}"}}}}"#,
            "x".repeat(REQUEST_LEN_MAX)
        );
        assert_eq!(Request::read(long.as_bytes()), None);
        assert_eq!(
            request_in(&[Bytes::from_static(b"DBUS1"), Bytes::new()]),
            None
        );
    }
}

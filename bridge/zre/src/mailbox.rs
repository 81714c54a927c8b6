//! The sending side to one peer: the connection that this node dials, and the messages that wait for it.
//!
//! ```text
//!           time to try            READY, first ever: HELLO
//!  Closed ──────────────▶ Dialing ──────────────────────────▶ Open ◀─┐
//!    ▲ ▲                    │  └──────────────▶ Confirming ──────────┤ PING-OK
//!    │ └─── failed ─────────┘   READY, again:       │                │
//!    │                          HELLO, PING         │ no answer      │
//!    ├──────────────────────────────────────────────┘                │
//!    └────────────── PING-OK ── Draining ◀── one number left ────────┘
//! ```
//!
//! Model: a ROUTER ignores, without a word, a second connection with an identity
//! that it still knows. So a connection that follows another one is confirmed by a
//! PING before anything is entrusted to it; and one that must be given up, because
//! the numbers run out, is first read to its end, which a PING-OK shows.
//! Invariants: MAILBOX-1. Messages are sent in `Open` only, apart from HELLO and the PINGs
//! above; in every other phase they are held, in order. MAILBOX-2. Nothing is sent under a
//! number that the peer's kind may not have (see `sequence`).
//! Limits: `Limits::{held_messages_max, held_bytes_max, pings_max}`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{Limits, Times};
use crate::output::{Content, DialId, LinkId};
use crate::round_trip::RoundTrip;
use crate::sequence::Outbound;
use crate::{GroupName, SendError};

/// The sending side to one peer.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) phase: Phase,
    /// The connection that the peer opened, if this one is shared and goes over it.
    pub(crate) over: Option<LinkId>,
    /// The remote address of the connection, once it is ready.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) outbound: Outbound,
    /// PINGs without an answer yet, oldest first; answers come in order.
    pub(crate) pings: VecDeque<Ping>,
    /// PINGs of the peer that could not be answered yet.
    pub(crate) pings_owed: u8,
    held: VecDeque<Message>,
    held_bytes: usize,
    /// Whether sending failed with `Busy`, so that `Unblocked` is due.
    starved: bool,
    /// Attempts that failed in a row.
    pub(crate) failures: u32,
    /// Those of them that did not lead to a connection.
    pub(crate) undialed: u32,
    /// When HELLO was sent last.
    pub(crate) hello_at: Option<Instant>,
    /// When the connection was begun.
    pub(crate) dialed_at: Option<Instant>,
    pub(crate) round_trip: RoundTrip,
}

/// The phase of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is no connection.
    Closed {
        /// No attempt is made before this time.
        quiet_until: Instant,
        /// The next attempt, unless there is a reason to try earlier.
        retry_at: Instant,
    },
    /// The caller is opening the connection.
    Dialing { dial: DialId, until: Instant },
    /// HELLO and PING were sent, and the PING-OK is awaited.
    Confirming { dial: DialId, until: Instant },
    /// Messages are sent.
    Open { dial: DialId },
    /// The last PING was sent, and its PING-OK is awaited.
    Draining { dial: DialId, until: Instant },
}

/// A PING without an answer yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ping {
    pub(crate) sent: Instant,
    pub(crate) asker: Asker,
}

/// Why a PING was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Caller,
    Protocol,
}

/// A message that can wait for a connection.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Whisper(Content),
    Shout(GroupName, Content),
    Join(GroupName, u8),
    Leave(GroupName, u8),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Whisper(content) | Self::Shout(_, content) => {
                content.iter().map(bytes::Bytes::len).sum()
            }
            Self::Join(..) | Self::Leave(..) => 0,
        }
    }
}

impl Mailbox {
    /// A mailbox that is to be dialed at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Closed {
                quiet_until: now,
                retry_at: now,
            },
            over: None,
            remote: None,
            outbound: Outbound::new(),
            pings: VecDeque::new(),
            pings_owed: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            starved: false,
            failures: 0,
            undialed: 0,
            hello_at: None,
            dialed_at: None,
            round_trip: RoundTrip::default(),
        }
    }

    /// The connection, if there is one.
    pub(crate) const fn dial(&self) -> Option<DialId> {
        match self.phase {
            Phase::Closed { .. } => None,
            Phase::Dialing { dial, .. }
            | Phase::Confirming { dial, .. }
            | Phase::Open { dial }
            | Phase::Draining { dial, .. } => Some(dial),
        }
    }

    /// Whether there is no connection, nor one that is likely to be: the attempt is older than `dial_settle`.
    pub(crate) fn is_closed(&self, now: Instant, times: &Times) -> bool {
        match self.phase {
            Phase::Closed { .. } => true,
            _ if self.over.is_some() => false,
            Phase::Dialing { until, .. } => now + times.dial_timeout >= until + times.dial_settle,
            Phase::Confirming { .. } | Phase::Open { .. } | Phase::Draining { .. } => false,
        }
    }

    /// An attempt has failed; if it was to connect, that is counted.
    pub(crate) fn not_dialed(&mut self) {
        if matches!(self.phase, Phase::Dialing { .. }) {
            self.undialed = self.undialed.saturating_add(1);
        }
    }

    /// Whether HELLO was sent on the present connection.
    pub(crate) const fn is_greeted(&self) -> bool {
        matches!(
            self.phase,
            Phase::Confirming { .. } | Phase::Open { .. } | Phase::Draining { .. }
        )
    }

    /// Forgets the connection, not what waits for the next one; but for joins and
    /// leaves, since the next HELLO tells all groups.
    pub(crate) fn close(&mut self, quiet_until: Instant, retry_at: Instant) {
        self.phase = Phase::Closed {
            quiet_until,
            retry_at: retry_at.max(quiet_until),
        };
        self.over = None;
        self.remote = None;
        self.outbound = Outbound::new();
        self.pings.clear();
        self.held
            .retain(|message| !matches!(message, Message::Join(..) | Message::Leave(..)));
    }

    /// Allows an attempt now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Phase::Closed {
            quiet_until,
            retry_at,
        } = &mut self.phase
        {
            *retry_at = (*retry_at).min(now.max(*quiet_until));
        }
    }

    /// Whether one more message may wait.
    pub(crate) fn check_room(&mut self, limits: &Limits) -> Result<(), SendError> {
        let full =
            self.held.len() >= limits.held_messages_max || self.held_bytes >= limits.held_bytes_max;
        if full {
            self.starved = true;
            return Err(SendError::Busy);
        }
        Ok(())
    }

    /// Keeps a message for later, after [`Self::check_room`].
    pub(crate) fn hold(&mut self, message: Message) {
        self.held_bytes += message.len();
        self.held.push_back(message);
    }

    /// The oldest message that waits.
    pub(crate) fn next_held(&mut self) -> Option<Message> {
        let message = self.held.pop_front()?;
        self.held_bytes -= message.len();
        Some(message)
    }

    /// Whether anything waits.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops the messages that wait, since their peer is gone. Joins and leaves stay as long as
    /// the connection: they follow the HELLO that was sent on it.
    pub(crate) fn clear_held(&mut self) {
        self.held
            .retain(|message| matches!(message, Message::Join(..) | Message::Leave(..)));
        self.held.shrink_to(0);
        self.held_bytes = 0;
        self.starved = false;
    }

    /// Whether to report that messages may wait again; once.
    pub(crate) fn take_unblocked(&mut self) -> bool {
        if self.held.is_empty() {
            self.held.shrink_to(0);
            return std::mem::take(&mut self.starved);
        }
        false
    }
}

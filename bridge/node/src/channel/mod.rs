//! Channels: pipes beside the messages between two nodes.
//!
//! Model: a channel is a further connection to the mailbox of a peer, opened with a ticket (`tickets.rs`) that the peer
//! gave in a message. It has its own flow control, that of TCP, and its own end in each direction, so what is much or
//! slow does not delay messages. [`Channels`] has what all channels of a node share. `request` asks a peer for a
//! channel, `pipe` is one, `slots` counts them, `kind` and `local` are descriptors of this machine, `registered` reads
//! and writes those, and `carry` connects the two.
//! Invariants: CHANNELS-1. A channel is carried by a thread of its own for all channels, so that bulk does not hold up
//! what the program's threads do. CHANNELS-2. When a peer leaves, its channels, its tickets and the requests to it end.
//! Limits: those of `slots`, `tickets`, `pipe` and `request`.
//! Not here: what a channel is for.
//! Spec: docs/reference/protocol.md §9

mod carry;
mod kind;
mod local;
mod pipe;
mod registered;
mod registration;
mod request;
mod slots;
mod through;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use bytes::Bytes;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use zocp_zre::PeerId;

pub use self::carry::Carried;
pub use self::kind::DescriptorKind;
pub use self::local::{LocalEnd, LocalKind};
pub use self::pipe::{Channel, ChannelError, PIECE_MAX, Received};
pub(crate) use self::request::request_in;
pub use self::request::{ChannelRequest, Request};
pub(crate) use self::slots::{ChannelSlot, ChannelSlots};
use crate::error::RemoteError;
use crate::tickets::{Ticket, TicketTable};

/// The header of a HELLO that says that its node knows channels. protocol.md §9.1
pub const HEADER_CHANNEL: &str = "X-ZOCP-CHANNEL";

/// What all channels of a node share.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) slots: ChannelSlots,
    pub(crate) tickets: TicketTable,
    /// Locked because handles ask for channels, and the actor has the peers' refusals.
    asked: Mutex<Pendings>,
    /// Locked because the thread that carries channels is started by whichever task needs it first.
    carrier: Mutex<Option<Handle>>,
    stop: CancellationToken,
}

/// The requests of this node that are neither granted nor refused.
#[derive(Debug, Default)]
struct Pendings {
    last: u64,
    pending: HashMap<u64, (PeerId, oneshot::Sender<RemoteError>)>,
}

/// What a peer asks.
#[derive(Debug)]
pub(crate) enum Asked {
    /// For a channel.
    Channel(ChannelRequest),
    /// To open the channel itself for which it has this ticket, with a ticket of its own.
    Turn {
        /// Of this node.
        ticket: Ticket,
        /// Of the peer.
        by: Ticket,
    },
}

/// A request that is pending. Dropping it forgets the request.
#[derive(Debug)]
pub(crate) struct Pending {
    channels: Arc<Channels>,
    pub(crate) id: u64,
    /// Fails when the peer leaves.
    pub(crate) refused: oneshot::Receiver<RemoteError>,
}

impl Channels {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            slots: ChannelSlots::default(),
            tickets: TicketTable::default(),
            asked: Mutex::default(),
            carrier: Mutex::default(),
            stop,
        }
    }

    /// A peer entered.
    pub(crate) fn enter(&self, peer: PeerId) {
        self.slots.open(peer);
    }

    /// A peer left.
    pub(crate) fn leave(&self, peer: PeerId) {
        self.slots.close(peer);
        self.tickets.forget(peer);
        self.asked().pending.retain(|_, (of, _)| *of != peer);
    }

    /// A peer asks for a channel, or refuses one.
    pub(crate) fn received(&self, peer: PeerId, request: &Bytes) -> Option<Asked> {
        match Request::read(request) {
            Some(Request::Open {
                id,
                ticket,
                purpose,
            }) => Some(Asked::Channel(ChannelRequest {
                peer,
                purpose,
                id,
                ticket,
            })),
            Some(Request::Turn { ticket, by }) => Some(Asked::Turn { ticket, by }),
            Some(Request::Refused { id, error }) => {
                let mut asked = self.asked();
                let is_its = asked.pending.get(&id).is_some_and(|(of, _)| *of == peer);
                if is_its && let Some((_, refused)) = asked.pending.remove(&id) {
                    // Whoever asked may be gone.
                    let _ = refused.send(error);
                }
                None
            }
            None => {
                debug!(peer = %peer.short(), len = request.len(), "a request for a channel cannot be read");
                None
            }
        }
    }

    /// Begins a request to a peer.
    pub(crate) fn ask(self: &Arc<Self>, peer: PeerId) -> Pending {
        let (refuse, refused) = oneshot::channel();
        let mut asked = self.asked();
        asked.last += 1;
        let id = asked.last;
        asked.pending.insert(id, (peer, refuse));
        Pending {
            channels: Arc::clone(self),
            id,
            refused,
        }
    }

    /// Carries a channel; dropping the receiver does not stop it.
    pub(crate) fn carry(
        &self,
        channel: Channel,
        local: LocalEnd,
    ) -> io::Result<oneshot::Receiver<Carried>> {
        let carrier = self.carrier()?;
        let (done, carried) = oneshot::channel();
        carrier.spawn(async move {
            let outcome = match channel.moved() {
                Ok(channel) => carry::carry(channel, local).await,
                Err(error) => Carried::Failed(error),
            };
            debug!(why = outcome.why(), "a channel is over");
            // Nobody may wait for it.
            let _ = done.send(outcome);
        });
        Ok(carried)
    }

    /// The runtime that carries channels: its thread starts with the first one, and ends with the node.
    fn carrier(&self) -> io::Result<Handle> {
        let mut carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(carrier) = &*carrier {
            return Ok(carrier.clone());
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = self.stop.clone();
        let run = move || runtime.block_on(stop.cancelled());
        thread::Builder::new().name("channels".into()).spawn(run)?;
        *carrier = Some(handle.clone());
        Ok(handle)
    }

    fn asked(&self) -> MutexGuard<'_, Pendings> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.channels.asked().pending.remove(&self.id);
    }
}

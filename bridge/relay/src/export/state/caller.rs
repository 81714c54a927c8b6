//! A remote caller on this bus: what waits on its connection.
//!
//! Model: a caller has a connection from its first call to its leaving its bus, as long as something that it called is
//! imported there. Calls go out in the order in which they came; replies and directed signals are *held* until all that the
//! service emitted before is handled, which comes on the connection that watches the bus.
//! Limits: `caller_calls_max` calls wait for replies, of each no more than its number and its service.
//! Spec: docs/reference/protocol.md §7.7

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use bytes::Bytes;
use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

use super::{CallerId, Output};
use crate::{
    barrier::{Barrier, Ordered},
    deadlines::Deadlines,
    requests::{Half, Request},
    serials::Serials,
    transport::Stream,
};
use zocp_dbus::errors::Refusal;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) peer: PeerId,
    /// Its unique name on its own bus.
    pub(super) name: Arc<str>,
    /// Calls that wait for replies, by serial on this bus.
    pub(super) pending: BTreeMap<NonZeroU32, Pending>,
    pub(super) deadlines: Deadlines<NonZeroU32>,
    /// The services that were called and are still imported there.
    pub(super) called: HashSet<Arc<str>>,
    /// What services asked of the caller: the numbers of the requests.
    pub(super) calls_back: BTreeSet<NonZeroU32>,
    pub(super) call_back_deadlines: Deadlines<NonZeroU32>,
    held: Ordered<Held>,
    serials: Serials,
}

/// A call that waits for its reply.
#[derive(Debug)]
pub(super) struct Pending {
    /// Its number between the bridges.
    pub(super) id: NonZeroU32,
    pub(super) service: Arc<str>,
}

/// A packet for the caller.
#[derive(Debug)]
struct Held {
    service: Arc<str>,
    packet: Bytes,
}

/// A call of a service here that waits for the reply of a remote caller.
#[derive(Debug)]
pub(super) struct CallBack {
    pub(super) caller: CallerId,
    pub(super) call: Message,
}

impl Request for CallBack {
    const HALF: Half = Half::Export;

    fn program(&self) -> Option<&Arc<str>> {
        None
    }
}

impl Caller {
    pub(super) fn new(peer: PeerId, name: Arc<str>) -> Self {
        Self {
            peer,
            name,
            pending: BTreeMap::new(),
            deadlines: Deadlines::default(),
            called: HashSet::new(),
            calls_back: BTreeSet::new(),
            call_back_deadlines: Deadlines::default(),
            held: Ordered::default(),
            serials: Serials::default(),
        }
    }

    /// A serial for a call on its connection.
    pub(super) fn next_serial(&mut self) -> NonZeroU32 {
        self.serials.next()
    }

    /// When something of it is given up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let next = [self.deadlines.next(), self.call_back_deadlines.next()];
        next.into_iter().flatten().min()
    }

    /// The stream of what a service says to this caller alone.
    pub(super) fn stream(&self, service: &Arc<str>) -> Stream {
        Stream::Replies(service.clone(), self.name.clone())
    }

    /// Replies to a call with an error.
    pub(super) fn refuse(&self, pending: &Pending, error: Refusal) -> Output {
        Output::RefusePeer {
            peer: self.peer,
            stream: self.stream(&pending.service),
            id: pending.id,
            error,
        }
    }

    /// Has a packet go out behind what a service emitted before.
    pub(super) fn hold(&mut self, service: Arc<str>, packet: Bytes) {
        self.held.push(Held { service, packet });
    }

    /// Lets go what is behind all that was emitted before it.
    pub(super) fn release(&mut self, barrier: &dyn Barrier, output: &mut VecDeque<Output>) {
        let taken = self.held.take(barrier).into_iter();
        output.extend(taken.map(|held| self.passed(held)));
    }

    /// Lets go of all: the connection is gone, so nothing comes any more that would have to be waited for.
    pub(super) fn release_all(&mut self, output: &mut VecDeque<Output>) {
        let taken = self.held.take_where(|_| true).into_iter();
        output.extend(taken.map(|held| self.passed(held)));
    }

    fn passed(&self, held: Held) -> Output {
        Output::Send {
            peer: self.peer,
            stream: self.stream(&held.service),
            packet: held.packet,
            behind: Some(Stream::Service(held.service)),
        }
    }
}

//! Where values go to, and where messages come from.
//!
//! Model: a [`Told`] is a destination: what it wants, and what waits for it. A [`Source`] may be a destination, too.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use super::{outbox::Outbox, space::is_below};

/// A destination of values.
pub(crate) type Destination = u64;

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Datagram(SocketAddr),
    /// A connection, which is a destination, too.
    Connection(Destination),
}

/// What a destination wants to be told.
#[derive(Debug)]
pub(crate) enum Wants {
    /// All addresses that are one of these or below one.
    Below(Vec<String>),
    /// Those for which it listens.
    Listed(HashSet<Arc<str>>),
}

/// What is known of a destination.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) outbox: Outbox,
    pub(crate) wants: Wants,
    /// Where its datagrams go to.
    pub(crate) address: Option<SocketAddr>,
}

impl Told {
    pub(crate) fn wants(&self, address: &Arc<str>) -> bool {
        match &self.wants {
            Wants::Below(containers) => {
                containers.is_empty() || containers.iter().any(|one| is_below(address, one))
            }
            Wants::Listed(listed) => listed.contains(address),
        }
    }

    /// Whether a packet from `source` came from this destination. A program may send from another port than it
    /// listens at; but on the loopback an address is that of many programs.
    pub(crate) fn is(&self, id: Destination, source: Source) -> bool {
        match (source, self.address) {
            (Source::Connection(from), _) => from == id,
            (Source::Datagram(from), Some(to)) => {
                from.ip() == to.ip() && (from.port() == to.port() || !to.ip().is_loopback())
            }
            (Source::Datagram(_), None) => false,
        }
    }
}

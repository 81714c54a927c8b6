//! The links of an engine, and how each is.
//!
//! Model: one entry for each bridge that the engine may speak with, by its id. Those that dial, accept and follow the way
//! tell of it; whoever shows links asks, and is woken when something is different ([`Links::changes`]).
//! Limits: as many as were added; `zocp-daemon` bounds them.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::{EndpointAddr, endpoint::Connection};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::identity::Id;

/// How the octets of a link travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From one machine to the other, through the routers.
    Direct,
    /// By the relay at this address.
    Relay(String),
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => out.write_str("directly"),
            Self::Relay(url) => write!(out, "by the relay {url}"),
        }
    }
}

/// How a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// The way that is in use; `None` while there is no connection, or its way is not known yet.
    pub way: Option<Way>,
    /// For how long there has been a connection, or none.
    pub since: Duration,
    /// Whether there is a connection.
    pub is_open: bool,
    /// Why there is none; empty if nothing is known of that.
    pub why: String,
    /// Where this end dials it; `None` if the other end dials.
    pub port: Option<SocketAddr>,
}

/// One link.
pub(crate) struct Link {
    pub(crate) address: EndpointAddr,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) port: Option<SocketAddr>,
    /// Cancelled when the link is removed.
    pub(crate) stop: CancellationToken,
    connection: Option<Connection>,
    way: Option<Way>,
    why: String,
    since: Instant,
}

impl Link {
    pub(crate) fn new(address: EndpointAddr, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self {
            address,
            certificates,
            port: None,
            stop: CancellationToken::new(),
            connection: None,
            way: None,
            why: String::new(),
            since: Instant::now(),
        }
    }
}

/// See the [module](self). Locked for plain data alone.
#[derive(Default)]
pub(crate) struct Links {
    /// Locked because the tasks of links change their entries while the bridge lists them.
    links: Mutex<HashMap<Id, Link>>,
    changes: watch::Sender<u64>,
}

impl Links {
    pub(crate) fn locked(&self) -> MutexGuard<'_, HashMap<Id, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is seen to have changed when a link is different.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn has(&self, id: Id) -> bool {
        self.locked().contains_key(&id)
    }

    pub(crate) fn address(&self, id: Id) -> Option<EndpointAddr> {
        self.locked().get(&id).map(|link| link.address.clone())
    }

    pub(crate) fn state(&self, id: Id) -> Option<LinkState> {
        let links = self.locked();
        let link = links.get(&id)?;
        Some(LinkState {
            way: link.way.clone(),
            since: link.since.elapsed(),
            is_open: link.connection.is_some(),
            why: link.why.clone(),
            port: link.port,
        })
    }

    /// The open connection.
    pub(crate) fn open(&self, id: Id) -> Option<Connection> {
        let links = self.locked();
        let connection = links.get(&id)?.connection.clone();
        connection.filter(|it| it.close_reason().is_none())
    }

    /// There is a new connection; returns the former one.
    pub(crate) fn opened(&self, id: Id, connection: Connection) -> Option<Connection> {
        let mut links = self.locked();
        let link = links.get_mut(&id)?;
        link.way = None;
        link.why.clear();
        link.since = Instant::now();
        let former = link.connection.replace(connection);
        drop(links);
        self.changed();
        former
    }

    /// A connection goes this way now. Returns whether that is another one.
    pub(crate) fn goes(&self, id: Id, connection: &Connection, way: &Way) -> bool {
        let mut links = self.locked();
        let is_new = links.get_mut(&id).is_some_and(|link| {
            let is_new = link.is_carried_by(connection) && link.way.as_ref() != Some(way);
            if is_new {
                link.way = Some(way.clone());
            }
            is_new
        });
        drop(links);
        if is_new {
            self.changed();
        }
        is_new
    }

    /// A connection has ended, unless a newer one replaces it.
    pub(crate) fn closed(&self, id: Id, connection: &Connection, why: &str) {
        let mut links = self.locked();
        let link = links.get_mut(&id);
        if let Some(link) = link.filter(|link| link.is_carried_by(connection)) {
            link.connection = None;
            link.way = None;
            link.since = Instant::now();
            why.clone_into(&mut link.why);
        }
        drop(links);
        self.changed();
    }

    /// No connection could be opened.
    pub(crate) fn failed(&self, id: Id, why: &str) {
        if let Some(link) = self.locked().get_mut(&id) {
            why.clone_into(&mut link.why);
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Link {
    fn is_carried_by(&self, connection: &Connection) -> bool {
        let own = self.connection.as_ref();
        own.is_some_and(|own| own.stable_id() == connection.stable_id())
    }

    /// The connection, to be closed when the link is removed.
    pub(crate) fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }
}

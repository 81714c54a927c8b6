//! Takes connections of TCP, and finds out what is spoken in them.
//!
//! Limits: [`CONNECTIONS_MAX`] connections of a face, further ones are closed at once.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{connection::Connections, http};
use crate::allow::Allow;

/// What is spoken where connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Osc,
    Http,
    /// The first octet tells which.
    Both,
}

/// What takes connections at one place.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) connections: Connections,
    pub(crate) allow: Allow,
    pub(crate) speaks: Speaks,
    /// As many as there may be connections, of all places together.
    pub(crate) places: Arc<Semaphore>,
}

impl Listener {
    /// Takes connections, as long as the face is there.
    pub(crate) async fn accept(self, listener: TcpListener) {
        while !self.connections.inputs.is_closed() {
            match listener.accept().await {
                Ok((stream, from)) => self.admit(stream, from),
                Err(error) => {
                    if self.connections.refusals.is_due(Instant::now()) {
                        tracing::warn!(%error, "a connection was not accepted");
                    }
                    // No descriptors are left: others must end first.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, from: SocketAddr) {
        if !self.allow.permits(from.ip()) {
            tracing::info!(%from, "a connection was refused: see --allow");
            return;
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(self.clone().carry(stream, place));
            }
            Err(_) if self.connections.refusals.is_due(Instant::now()) => {
                tracing::warn!(%from, max = CONNECTIONS_MAX, "a connection was refused: there are too many");
            }
            Err(_) => {}
        }
    }

    async fn carry(self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let is_http = match self.speaks {
            Speaks::Osc => false,
            Speaks::Http => true,
            Speaks::Both => {
                let mut first = [0];
                let looked = tokio::time::timeout(FIRST_TIMEOUT, stream.peek(&mut first)).await;
                // A packet begins with a length, an END or its address; a request with its method.
                matches!(looked, Ok(Ok(1))) && first[0].is_ascii_uppercase()
            }
        };
        if is_http {
            http::serve(self.connections, stream, Arc::new(place)).await;
        } else {
            self.connections.serve(stream, None).await;
            drop(place);
        }
    }
}

/// Connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// After no connection could be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For the first octet of a connection.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

//! The end of a link that dials: what connects to its port goes to the other end.

use std::{io, sync::PoisonError};

use iroh::{Endpoint, EndpointAddr, endpoint::Connection};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::{
    connections::{ALPN, Connections},
    identity::Id,
    pipe, way,
};

pub(crate) struct Dialer {
    pub(crate) id: Id,
    pub(crate) address: EndpointAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: Connections,
    pub(crate) tasks: TaskTracker,
}

impl Dialer {
    /// Joins each connection to the port with a stream of its own; without an end. Where the other bridge cannot be
    /// reached, the connection is closed: whoever dialed tries again, with pauses.
    pub(crate) async fn run(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((local, _)) => {
                    if let Err(error) = self.join(local).await {
                        debug!(id = %self.id, "a bridge of another venue cannot be reached by iroh: {error}");
                    }
                }
                // Out of descriptors, for instance: others need some time to give theirs back.
                Err(error) => {
                    debug!("a connection for iroh was not accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn join(&self, local: TcpStream) -> io::Result<()> {
        let connection = self.connection().await?;
        // Waits while as many are open as may be.
        let streams = connection.open_bi().await.map_err(io::Error::other)?;
        self.tasks.spawn(async move {
            if let Err(error) = pipe::copy(local, connection, streams).await {
                debug!("a stream of iroh ended: {error}");
            }
        });
        Ok(())
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> io::Result<Connection> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let connected = self.endpoint.connect(self.address.clone(), ALPN).await;
        let connection = connected.map_err(|error| io::Error::other(error.to_string()))?;
        info!(id = %self.id, "connected to a bridge of another venue by iroh");
        self.tasks.spawn(way::tell(self.id, connection.clone()));
        let mut all = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(self.id, connection.clone());
        Ok(connection)
    }

    fn open(&self) -> Option<Connection> {
        let all = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(&self.id)
            .filter(|it| it.close_reason().is_none())
            .cloned()
    }
}

pub(crate) const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

//! The end of a link that dials: what connects to its port goes to the other end.

use std::{io, sync::Arc};

use iroh::endpoint::Connection;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, info};

use crate::{identity::Id, pipe, running::Running, way};

pub(crate) struct Dialer {
    pub(crate) id: Id,
    pub(crate) running: Arc<Running>,
}

impl Dialer {
    /// Joins each connection to the port with a stream of its own; without an end. Where the other bridge cannot be
    /// reached, the connection is closed: whoever dialed tries again, with pauses.
    pub(crate) async fn run(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((local, _)) => {
                    if let Err(error) = self.join(local).await {
                        self.running.links.failed(self.id, &error.to_string());
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
        self.running.tasks.spawn(async move {
            if let Err(error) = pipe::copy(local, connection, streams).await {
                debug!("a stream of iroh ended: {error}");
            }
        });
        Ok(())
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> io::Result<Connection> {
        let (id, running) = (self.id, &self.running);
        if let Some(open) = running.links.open(id) {
            return Ok(open);
        }
        let (Some(endpoint), Some(address)) = (running.endpoint(), running.links.address(id))
        else {
            return Err(io::Error::other("the link was removed"));
        };
        let connected = endpoint.connect(address, ALPN).await;
        let connection = connected.map_err(|error| io::Error::other(error.to_string()))?;
        info!(%id, "connected to a bridge of another venue by iroh");
        running.links.opened(id, connection.clone());
        let (links, followed) = (Arc::clone(running), connection.clone());
        running.tasks.spawn(async move {
            way::follow(id, followed, &links.links).await;
        });
        Ok(connection)
    }
}

/// The protocol that two engines agree on.
pub(crate) const ALPN: &[u8] = b"zocp-link/1";
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

//! The end of a link that is dialed: each stream goes to the mailbox of the bridge.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use iroh::{
    Endpoint,
    endpoint::{Connection, Incoming},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tracing::{debug, info};

use crate::{identity::Id, pipe, running::Running, way};

#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) endpoint: Endpoint,
    pub(crate) mailbox: u16,
    pub(crate) running: Arc<Running>,
}

impl Acceptor {
    /// Serves what comes, until the endpoint is closed.
    pub(crate) async fn run(self) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let acceptor = self.clone();
            self.running.tasks.spawn(async move {
                let admitted = acceptor.admit(incoming).await;
                drop(permit);
                match admitted {
                    Ok((id, connection)) => acceptor.serve(id, connection).await,
                    Err(error) => debug!("a connection by iroh was not accepted: {error}"),
                }
            });
        }
    }

    /// Who it is, and whether a link names it.
    async fn admit(&self, incoming: Incoming) -> io::Result<(Id, Connection)> {
        let accepting = incoming.accept().map_err(io::Error::other)?;
        let connection = timeout(HANDSHAKE, accepting)
            .await?
            .map_err(io::Error::other)?;
        let id = Id::from(connection.remote_id());
        if !self.running.links.has(id) {
            connection.close(NOT_LINKED.into(), b"not linked");
            return Err(io::Error::other(format!("no link names the id {id}")));
        }
        info!(%id, "a bridge of another venue connected by iroh");
        // The bridge there has started again, and nobody has noticed yet that the former connection is dead.
        if let Some(former) = self.running.links.opened(id, connection.clone()) {
            former.close(REPLACED.into(), b"replaced");
        }
        let (running, followed) = (Arc::clone(&self.running), connection.clone());
        self.running.tasks.spawn(async move {
            way::follow(id, followed, &running.links).await;
        });
        Ok((id, connection))
    }

    /// Joins each stream with a connection to the mailbox, until the connection ends.
    async fn serve(&self, id: Id, connection: Connection) {
        while let Ok(streams) = connection.accept_bi().await {
            let (mailbox, connection) = (self.mailbox, connection.clone());
            self.running.tasks.spawn(async move {
                let piped = match connect(id, mailbox).await {
                    Ok(local) => pipe::copy(local, connection, streams).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = piped {
                    debug!(%id, "a stream of iroh ended: {error}");
                }
            });
        }
    }
}

/// Connects to the mailbox from the address that stands for the bridge at the other end.
async fn connect(id: Id, mailbox: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::V4(SocketAddrV4::new(source(id), 0)))?;
    socket.connect((Ipv4Addr::LOCALHOST, mailbox).into()).await
}

/// An address of the loopback network that stands for a bridge at the other end: limits by address then hold for each
/// bridge by itself.
pub(crate) fn source(id: Id) -> Ipv4Addr {
    let [first, second, third, ..] = *id.endpoint().as_bytes();
    Ipv4Addr::new(127, 64 | (first & 63), second, third)
}

/// Connections whose handshake is under way.
pub(crate) const HANDSHAKES_MAX: usize = 16;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The code for a bridge that no link names.
const NOT_LINKED: u32 = 1;
/// The code for a connection that a newer one of the same bridge replaces.
const REPLACED: u32 = 2;

//! The engine of one bridge: its endpoint of iroh, and what it dials and accepts.
//!
//! Model: there is an endpoint while there are links. Links come and go while the engine runs. The certificates of relays
//! belong to the endpoint: a link that brings another one has it opened anew, and the other links interrupted.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use iroh::EndpointAddr;
use rustls_pki_types::CertificateDer;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

use crate::{
    accept::{self, Acceptor},
    dial::Dialer,
    identity::Id,
    links::{Link, LinkState},
    open,
    options::{LinkOptions, Options, StartError},
    running::Running,
};

/// The engine of one bridge. Clones are one; dropping the last ends its connections.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    _guard: Arc<DropGuard>,
}

struct Shared {
    secret: Zeroizing<[u8; 32]>,
    running: Arc<Running>,
    /// The port of the mailbox; 0 before it is there.
    mailbox: AtomicU16,
    stop: CancellationToken,
    /// The certificates of the endpoint. Held by who changes something.
    /// Locked because an endpoint is closed and opened anew in several steps, and no other change may come in between.
    /// Held across awaits.
    roots: tokio::sync::Mutex<Vec<CertificateDer<'static>>>,
}

impl Engine {
    /// Opens the sockets, if there are links. Of two bridges the one with the lesser id dials; the other one waits for it.
    ///
    /// # Errors
    /// The options are wrong, or there are no sockets.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            secret: options.secret.clone(),
            running: Arc::default(),
            mailbox: AtomicU16::new(0),
            stop: stop.clone(),
            roots: tokio::sync::Mutex::default(),
        });
        let engine = Self {
            shared,
            _guard: Arc::new(stop.drop_guard()),
        };
        let mut roots = engine.shared.roots.lock().await;
        for link in &options.links {
            engine.shared.insert(link).await?;
        }
        if !options.links.is_empty() {
            engine.shared.open(&mut roots).await?;
        }
        drop(roots);
        Ok(engine)
    }

    /// Takes a link more. Returns where to dial it on this machine; `None` if the other end dials.
    ///
    /// # Errors
    /// The options are wrong, or there are no sockets; then there is no such link.
    pub async fn add(&self, link: &LinkOptions) -> Result<Option<SocketAddr>, StartError> {
        let shared = &self.shared;
        let mut roots = shared.roots.lock().await;
        shared.insert(link).await?;
        let certificates = open::certificates(link)?;
        let endpoint = shared.running.endpoint();
        let opened = match endpoint.filter(|_| certificates.iter().all(|it| roots.contains(it))) {
            Some(endpoint) => {
                for url in open::address(link)?.relay_urls() {
                    endpoint.insert_relay(url.clone(), open::relay(url)).await;
                }
                Ok(())
            }
            None => shared.open(&mut roots).await,
        };
        if let Err(error) = opened {
            shared.take(link.id);
            return Err(error);
        }
        Ok(self.port(link.id))
    }

    /// Ends a link; `false` if there is none.
    pub async fn remove(&self, id: Id) -> bool {
        let shared = &self.shared;
        let _roots = shared.roots.lock().await;
        let Some(link) = shared.take(id) else {
            return false;
        };
        let Some(endpoint) = shared.running.endpoint() else {
            return true;
        };
        let others: Vec<EndpointAddr> = shared.addresses();
        if others.is_empty() {
            shared.running.set_endpoint(None);
            endpoint.close().await;
            return true;
        }
        for url in link.address.relay_urls() {
            let is_used = others.iter().any(|it| it.relay_urls().any(|it| it == url));
            if !is_used {
                endpoint.remove_relay(url).await;
            }
        }
        true
    }

    /// How a link is; `None` if there is none.
    #[must_use]
    pub fn state(&self, id: Id) -> Option<LinkState> {
        self.shared.running.links.state(id)
    }

    /// Is seen to have changed when the way of a link is another one, or its connection comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.running.links.changes()
    }

    /// The bridge that is reached at a local endpoint, or that comes from it.
    #[must_use]
    pub fn behind(&self, local: SocketAddr) -> Option<Id> {
        let links = self.shared.running.links.locked();
        let mut links = links.iter();
        let found = links.find(|(id, link)| match link.port {
            Some(port) => port == local,
            None => local.ip() == accept::source(**id),
        });
        found.map(|(id, _)| *id)
    }

    /// Where to dial the bridge with this id on this machine; `None` if the other end dials.
    #[must_use]
    pub fn port(&self, id: Id) -> Option<SocketAddr> {
        self.shared.running.links.state(id)?.port
    }

    /// From now on what other bridges open arrives at the mailbox on this TCP port of the loopback interface.
    pub fn serve(&self, mailbox: u16) {
        self.shared.mailbox.store(mailbox, Ordering::Release);
        self.shared.accept();
    }

    #[cfg(test)]
    pub(crate) fn udp_port(&self) -> u16 {
        let endpoint = self.shared.running.endpoint().expect("a link");
        let mut sockets = endpoint.bound_sockets().into_iter();
        sockets.find(SocketAddr::is_ipv4).map_or(0, |it| it.port())
    }

    /// Ends all connections and tells the other ends.
    pub async fn close(self) {
        self.shared.stop.cancel();
        if let Some(endpoint) = self.shared.running.set_endpoint(None) {
            endpoint.close().await;
        }
        self.shared.running.tasks.close();
        self.shared.running.tasks.wait().await;
    }
}

impl Shared {
    /// Where all links are found.
    fn addresses(&self) -> Vec<EndpointAddr> {
        let links = self.running.links.locked();
        links.values().map(|link| link.address.clone()).collect()
    }

    /// A link more, with its port if this end dials.
    async fn insert(self: &Arc<Self>, options: &LinkOptions) -> Result<(), StartError> {
        let (id, own) = (options.id, Id::of_secret(&self.secret));
        if id == own {
            return Err(StartError::Own(own));
        }
        if self.running.links.has(id) {
            return Err(StartError::Known(id));
        }
        let mut link = Link::new(open::address(options)?, open::certificates(options)?);
        if own < id {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            link.port = Some(listener.local_addr()?);
            let dialer = Dialer {
                id,
                running: Arc::clone(&self.running),
            };
            let stop = link.stop.clone();
            self.spawn(async move {
                let _ = stop.run_until_cancelled_owned(dialer.run(listener)).await;
            });
        }
        self.running.links.locked().insert(id, link);
        Ok(())
    }

    fn take(&self, id: Id) -> Option<Link> {
        let mut link = self.running.links.locked().remove(&id)?;
        link.stop.cancel();
        if let Some(connection) = link.take_connection() {
            connection.close(REMOVED.into(), b"removed");
        }
        Some(link)
    }

    /// Opens an endpoint for all links, in the place of the one that is open.
    async fn open(
        self: &Arc<Self>,
        roots: &mut Vec<CertificateDer<'static>>,
    ) -> Result<(), StartError> {
        let certificates: Vec<_> = {
            let links = self.running.links.locked();
            links
                .values()
                .flat_map(|it| it.certificates.clone())
                .collect()
        };
        let opened = open::endpoint(&self.secret, &self.addresses(), certificates.clone()).await?;
        *roots = certificates;
        // The relay knows one endpoint with an id: the newer one.
        if let Some(former) = self.running.set_endpoint(Some(opened)) {
            former.close().await;
        }
        self.accept();
        Ok(())
    }

    /// Accepts what comes to the endpoint that is open, if there is a mailbox for it.
    fn accept(self: &Arc<Self>) {
        let mailbox = self.mailbox.load(Ordering::Acquire);
        if let Some(endpoint) = self.running.endpoint().filter(|_| mailbox != 0) {
            let acceptor = Acceptor {
                endpoint,
                mailbox,
                running: Arc::clone(&self.running),
            };
            self.spawn(acceptor.run());
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.running.tasks.spawn(async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        });
    }
}

/// Whether a link can be had with these options.
///
/// # Errors
/// A relay or a certificate is none.
pub fn check(link: &LinkOptions) -> Result<(), StartError> {
    open::address(link)?;
    open::certificates(link).map(|_| ())
}

/// The code of a connection whose link was removed.
const REMOVED: u32 = 3;

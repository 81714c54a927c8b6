//! The engine of one bridge: its endpoint of iroh, and what it dials and accepts.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use iroh::{
    Endpoint, EndpointAddr, RelayConfig, RelayMap, RelayMode, RelayUrl,
    dns::DnsResolver,
    endpoint::{IdleTimeout, QuicTransportConfig, VarInt, presets},
    tls::CaTlsConfig,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

use crate::{
    accept,
    connections::{ALPN, Connections},
    dial::Dialer,
    identity::{Id, secret_key},
};

/// What an engine is started with.
pub struct Options {
    /// The secret key of CURVE of this bridge.
    pub secret: Zeroizing<[u8; 32]>,
    /// The bridges of other venues.
    pub links: Vec<LinkOptions>,
}

/// One bridge of another venue.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Its id.
    pub id: Id,
    /// The relays where both meet: `https://HOST[:PORT]`, or `http://` for a relay without a certificate, at which no
    /// direct path is found.
    pub relays: Vec<String>,
    /// Certificates, in PEM, of these relays or of authorities that vouch for them, beside the authorities of the web.
    pub certificate: Option<Vec<u8>>,
}

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The text is no address of a relay. The user's fault.
    #[error("\"{0}\" is no relay: write https://HOST or https://HOST:PORT")]
    Relay(String),
    /// A link has no relay. The user's fault.
    #[error("a link by iroh needs a relay where both ends meet: say relay = [\"https://HOST\"]")]
    NoRelay,
    /// A link leads to this bridge itself. The user's fault.
    #[error("{0} is the id of this bridge itself")]
    Own(Id),
    /// A file of certificates is malformed or empty. The user's fault.
    #[error("the certificate of the relay is none in PEM: {0}")]
    Certificate(String),
    /// No socket could be opened.
    #[error("a socket for links by iroh could not be opened: {0}")]
    Socket(#[from] io::Error),
    /// iroh does not start.
    #[error("iroh: {0}")]
    Iroh(String),
}

/// The engine of one bridge. Dropping it ends its connections.
pub struct Engine {
    endpoint: Endpoint,
    connections: Connections,
    /// Where the bridge dials each link that this end dials.
    ports: HashMap<Id, SocketAddr>,
    links: Arc<[Id]>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    /// Opens the sockets. Of two bridges the one with the lesser id dials; the other one waits for it.
    ///
    /// # Errors
    /// The options are wrong, or there are no sockets.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let own = Id::of_secret(&options.secret);
        let links = addresses(own, &options.links)?;
        let endpoint = open(options, &links).await?;
        let mut engine = Self {
            endpoint,
            connections: Connections::default(),
            ports: HashMap::new(),
            links: links.iter().map(|(id, _)| *id).collect(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        for (id, address) in links {
            if own < id {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                engine.ports.insert(id, listener.local_addr()?);
                let dialer = Dialer {
                    id,
                    address,
                    endpoint: engine.endpoint.clone(),
                    connections: Arc::clone(&engine.connections),
                    tasks: engine.tasks.clone(),
                };
                engine.spawn(dialer.run(listener));
            }
        }
        Ok(engine)
    }

    /// Where to dial the bridge with this id on this machine; `None` if the other end dials.
    #[must_use]
    pub fn port(&self, id: Id) -> Option<SocketAddr> {
        self.ports.get(&id).copied()
    }

    /// From now on what other bridges open arrives at the mailbox on this TCP port of the loopback interface.
    pub fn serve(&self, mailbox: u16) {
        let acceptor = accept::Acceptor {
            endpoint: self.endpoint.clone(),
            links: Arc::clone(&self.links),
            connections: Arc::clone(&self.connections),
            mailbox,
            tasks: self.tasks.clone(),
        };
        self.spawn(acceptor.run());
    }

    #[cfg(test)]
    pub(crate) fn udp_port(&self) -> u16 {
        let mut sockets = self.endpoint.bound_sockets().into_iter();
        sockets.find(SocketAddr::is_ipv4).map_or(0, |it| it.port())
    }

    /// Ends all connections and tells the other ends.
    pub async fn close(self) {
        self.stop.cancel();
        self.endpoint.close().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Whether a link can be had with these options.
///
/// # Errors
/// A relay or a certificate is none.
pub fn check(link: &LinkOptions) -> Result<(), StartError> {
    address(link)?;
    certificates(link).map(|_| ())
}

/// Where each link is found.
fn addresses(own: Id, links: &[LinkOptions]) -> Result<Vec<(Id, EndpointAddr)>, StartError> {
    let found = links.iter().map(|link| match link.id == own {
        true => Err(StartError::Own(own)),
        false => Ok((link.id, address(link)?)),
    });
    found.collect()
}

fn address(link: &LinkOptions) -> Result<EndpointAddr, StartError> {
    if link.relays.is_empty() {
        return Err(StartError::NoRelay);
    }
    let address = EndpointAddr::new(link.id.endpoint());
    link.relays.iter().try_fold(address, |address, relay| {
        Ok(address.with_relay_url(relay_url(relay)?))
    })
}

fn certificates(link: &LinkOptions) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let Some(pem) = &link.certificate else {
        return Ok(Vec::new());
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| StartError::Certificate(error.to_string()))?;
    match read.is_empty() {
        true => Err(StartError::Certificate(
            "there is no CERTIFICATE in it".to_owned(),
        )),
        false => Ok(read),
    }
}

fn relay_url(text: &str) -> Result<RelayUrl, StartError> {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let url = text.parse().ok().filter(|_| is_web);
    url.ok_or_else(|| StartError::Relay(text.to_owned()))
}

/// An endpoint that speaks with nobody but the relays and bridges of the configuration: no directory of ids, no relays
/// of others, no servers of names but the system's, no proxy, no requests to routers to open ports.
async fn open(options: &Options, links: &[(Id, EndpointAddr)]) -> Result<Endpoint, StartError> {
    let relays = RelayMap::empty();
    for url in links.iter().flat_map(|(_, address)| address.relay_urls()) {
        let quic = (url.scheme() == "https").then(Default::default);
        relays.insert(url.clone(), Arc::new(RelayConfig::new(url.clone(), quic)));
    }
    let resolver = DnsResolver::builder()
        .with_system_defaults()
        .disable_fallback()
        .build();
    let mut roots = Vec::new();
    for link in &options.links {
        roots.extend(certificates(link)?);
    }
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(secret_key(&options.secret))
        .alpns(vec![ALPN.to_vec()])
        .clear_address_lookup()
        .relay_mode(RelayMode::Custom(relays))
        .dns_resolver(resolver)
        .ca_tls_config(CaTlsConfig::default().with_extra_roots(roots))
        .transport_config(transport()?)
        .bind()
        .await;
    endpoint.map_err(|error| StartError::Iroh(error.to_string()))
}

fn transport() -> Result<QuicTransportConfig, StartError> {
    let idle = IdleTimeout::try_from(IDLE).map_err(|error| StartError::Iroh(error.to_string()))?;
    Ok(QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(KEEP_ALIVE)
        .default_path_max_idle_timeout(IDLE)
        .default_path_keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .build())
}

/// A connection that is silent for this long has ended: so a process that was killed is noticed.
const IDLE: Duration = Duration::from_millis(2800);
/// Every so often something is sent where nothing else is; five may be lost.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Streams of one connection at once, opened by one end: connections of ZMTP, of which each channel has one.
pub(crate) const STREAMS_MAX: u32 = 80;

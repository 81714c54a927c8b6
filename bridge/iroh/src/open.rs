//! What an endpoint of iroh is opened with.

use std::{sync::Arc, time::Duration};

use iroh::{
    Endpoint, EndpointAddr, RelayConfig, RelayMap, RelayMode, RelayUrl,
    dns::DnsResolver,
    endpoint::{IdleTimeout, QuicTransportConfig, VarInt, presets},
    tls::CaTlsConfig,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::{
    dial::ALPN,
    identity::secret_key,
    options::{LinkOptions, StartError},
};

/// Where a link is found.
pub(crate) fn address(link: &LinkOptions) -> Result<EndpointAddr, StartError> {
    if link.relays.is_empty() {
        return Err(StartError::NoRelay);
    }
    let address = EndpointAddr::new(link.id.endpoint());
    link.relays.iter().try_fold(address, |address, relay| {
        Ok(address.with_relay_url(relay_url(relay)?))
    })
}

pub(crate) fn certificates(link: &LinkOptions) -> Result<Vec<CertificateDer<'static>>, StartError> {
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

pub(crate) fn relay(url: &RelayUrl) -> Arc<RelayConfig> {
    let quic = (url.scheme() == "https").then(Default::default);
    Arc::new(RelayConfig::new(url.clone(), quic))
}

/// An endpoint that speaks with nobody but the relays and bridges of the links: no directory of ids, no relays of others,
/// no servers of names but the system's, no proxy, no requests to routers to open ports.
pub(crate) async fn endpoint(
    secret: &[u8; 32],
    links: &[EndpointAddr],
    roots: Vec<CertificateDer<'static>>,
) -> Result<Endpoint, StartError> {
    let relays = RelayMap::empty();
    for url in links.iter().flat_map(EndpointAddr::relay_urls) {
        relays.insert(url.clone(), relay(url));
    }
    let resolver = DnsResolver::builder()
        .with_system_defaults()
        .disable_fallback()
        .build();
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(secret_key(secret))
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

//! A relay server of iroh, as one would run it at a venue: HTTPS on port 443 and the discovery of addresses by QUIC on
//! port 7842, with a certificate that it makes for its address and writes to a file.
//!
//!     zocp-test-relay ADDRESS CERTIFICATE
//!
//! Prints `ready` when it serves, and serves until it is killed.

use std::{
    error::Error,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use iroh_relay::server::{CertConfig, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig};
use tokio_rustls::rustls::{
    self,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file] = arguments.as_slice() else {
        return Err("usage: zocp-test-relay ADDRESS CERTIFICATE".into());
    };
    let ip: IpAddr = address.parse()?;
    let tls = certify(address, file)?;
    let mut relay = RelayConfig::new(SocketAddr::new(ip, 80));
    let cert = CertConfig::Manual {
        server_config: tls.clone(),
    };
    relay.tls = Some(TlsConfig::new(SocketAddr::new(ip, 443), cert));
    let mut quic = QuicConfig::new(SocketAddr::new(ip, 7842));
    quic.server_config = Some(tls);
    let mut config = ServerConfig::default();
    config.relay = Some(relay);
    config.quic = Some(quic);
    let _server = Server::spawn(config).await?;
    println!("ready");
    std::io::stdout().flush()?;
    std::future::pending().await
}

fn certify(address: &str, file: &str) -> Result<rustls::ServerConfig, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(vec![address.to_owned()])?;
    std::fs::write(file, made.cert.pem())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))?;
    Ok(config)
}

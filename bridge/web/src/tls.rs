//! The certificate: one that the user has, or one that is made here and kept.
//!
//! Model: nobody vouches for a certificate that is made here, so a browser warns; its *fingerprint* is printed, and
//! whoever compares it with what the browser shows knows that nobody is between. It is made once and kept, so that a
//! browser that was told to trust it goes on to.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// What encrypts connections, and the fingerprint of its certificate.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) fingerprint: String,
}

/// Where the certificate is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The user's: certificate chain and key, in PEM.
    Given(PathBuf, PathBuf),
    /// Made here for these names, and kept in this file.
    Made(PathBuf, Vec<String>),
}

impl Place {
    pub(crate) fn open(&self) -> io::Result<Tls> {
        let (certificates, key) = match self {
            Self::Given(certificates, key) => (read(certificates)?, read(key)?),
            Self::Made(file, names) => {
                if !file.exists() {
                    make(file, names)?;
                }
                let both = read(file)?;
                (both.clone(), both)
            }
        };
        let file = match self {
            Self::Given(file, _) | Self::Made(file, _) => file.display(),
        };
        let wrong = |error: &dyn std::fmt::Display| io::Error::other(format!("{file}: {error}"));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
        let chain = chain.map_err(|error| wrong(&error))?;
        let Some(first) = chain.first() else {
            return Err(wrong(&"there is no certificate in it"));
        };
        let fingerprint = fingerprint(first);
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(&error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&error))?;
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint,
        })
    }
}

/// Makes a key and a certificate, in a file that nobody else reads.
fn make(file: &Path, names: &[String]) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let mut new = new.map_err(|error| at(file, &error))?;
    new.write_all(made.signing_key.serialize_pem().as_bytes())?;
    new.write_all(made.cert.pem().as_bytes())?;
    new.sync_all()
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|error| at(file, &error))
}

fn at(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// As browsers show it: SHA-256, pairs of hex digits.
fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest(&SHA256, certificate);
    let pairs: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_is_the_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("zocp/web.pem");
        let place = Place::Made(file.clone(), vec!["localhost".to_owned()]);
        let first = place.open().unwrap().fingerprint;
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(place.open().unwrap().fingerprint, first);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let given = Place::Given(file.clone(), directory.path().join("nothing"));
        assert!(
            given
                .open()
                .is_err_and(|error| error.to_string().contains("nothing"))
        );
    }
}

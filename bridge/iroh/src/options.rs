//! What an engine is started with, and why it does not start.

use zeroize::Zeroizing;

use crate::identity::Id;

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

/// Why an engine does not start, or does not take a link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The text is no address of a relay. The user's fault.
    #[error("\"{0}\" is no relay: write https://HOST or https://HOST:PORT")]
    Relay(String),
    /// A link has no relay. The user's fault.
    #[error(
        "a link by iroh needs a relay where both ends meet: say relay = [\"https://HOST\"], or --relay https://HOST"
    )]
    NoRelay,
    /// A link leads to this bridge itself. The user's fault.
    #[error("{0} is the id of this bridge itself")]
    Own(Id),
    /// There is a link to this bridge already. The user's fault.
    #[error("there is a link to {0} already")]
    Known(Id),
    /// A file of certificates is malformed or empty. The user's fault.
    #[error("the certificate of the relay is none in PEM: {0}")]
    Certificate(String),
    /// No socket could be opened.
    #[error("a socket for links by iroh could not be opened: {0}")]
    Socket(#[from] std::io::Error),
    /// iroh does not start.
    #[error("iroh: {0}")]
    Iroh(String),
}

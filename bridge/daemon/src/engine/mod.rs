//! Links to bridges that cannot be dialed, by the engine of `zocp-iroh`.
//!
//! Model: the engine has a port on the loopback interface for each link that this end dials; to the node it is a link like
//! any other. What the other end opens arrives at the mailbox. A build without the feature `iroh` has no engine and
//! refuses such links when the configuration is read.
//! Spec: docs/reference/configuration.md, "`[[link]]`"

#[cfg(feature = "iroh")]
use std::net::Ipv4Addr;

use zocp_node::PublicKey;
#[cfg(feature = "iroh")]
use zocp_node::SecurityScope;

/// A link to a bridge that cannot be dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IrohLink {
    /// The id of the bridge at the other end: 64 hexadecimal digits.
    pub id: String,
    /// Its key.
    pub key: PublicKey,
    /// Where both ends meet.
    pub relays: Vec<String>,
    /// The certificates of these relays, in PEM, where the configuration has them.
    pub certificate: Option<Vec<u8>>,
}

/// Why there are no links by iroh.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(String);

/// Whether a link can be had.
///
/// # Errors
/// The id or a relay is none, or the program was built without the feature `iroh`.
#[cfg(feature = "iroh")]
pub(crate) fn check(link: &IrohLink) -> Result<(), EngineError> {
    let checked = zocp_iroh::check(&options(link)?);
    checked.map_err(|error| EngineError(error.to_string()))
}

/// The same.
#[cfg(not(feature = "iroh"))]
pub(crate) fn check(_link: &IrohLink) -> Result<(), EngineError> {
    let reason =
        "this program was built without the feature `iroh`: cargo install zocp --features iroh";
    Err(EngineError(reason.to_owned()))
}

#[cfg(feature = "iroh")]
fn options(link: &IrohLink) -> Result<zocp_iroh::LinkOptions, EngineError> {
    let id = link.id.parse();
    Ok(zocp_iroh::LinkOptions {
        id: id.map_err(|error: zocp_iroh::IdError| EngineError(error.to_string()))?,
        relays: link.relays.clone(),
        certificate: link.certificate.clone(),
    })
}

/// The engine, if the configuration has links for it.
pub(crate) struct Engine {
    #[cfg(feature = "iroh")]
    inner: Option<zocp_iroh::Engine>,
}

#[cfg(feature = "iroh")]
impl Engine {
    /// Opens the ports and adds them to the links of the node.
    pub(crate) async fn start(
        links: &[IrohLink],
        node: &mut zocp_node::Config,
    ) -> Result<Self, EngineError> {
        let Some(security) = node.security.as_mut().filter(|_| !links.is_empty()) else {
            return Ok(Self { inner: None });
        };
        let options = zocp_iroh::Options {
            secret: security.keys.secret_octets(),
            links: links.iter().map(options).collect::<Result<_, _>>()?,
        };
        let engine = Box::pin(zocp_iroh::Engine::start(&options))
            .await
            .map_err(|error| EngineError(error.to_string()))?;
        if let SecurityScope::Links { listen } = &mut security.scope {
            // What comes by the engine must not arrive at the mailbox of the open mesh.
            let listen = listen.get_or_insert((Ipv4Addr::LOCALHOST, 0).into());
            if !listen.ip().is_unspecified() && !listen.ip().is_loopback() {
                let reason =
                    format!("venue.listen = \"{listen}\": with links by iroh, listen on 0.0.0.0");
                return Err(EngineError(reason));
            }
        }
        for (link, options) in links.iter().zip(&options.links) {
            if let Some(port) = engine.port(options.id) {
                node.links.push(format!("tcp://{port}|{}", link.key));
            }
        }
        Ok(Self {
            inner: Some(engine),
        })
    }

    /// What the other ends open arrives at the mailbox on this port.
    pub(crate) fn serve(&self, mailbox: u16) {
        if let Some(engine) = &self.inner {
            engine.serve(mailbox);
        }
    }

    /// Ends all links by it.
    pub(crate) async fn close(self) {
        if let Some(engine) = self.inner {
            Box::pin(engine.close()).await;
        }
    }
}

#[cfg(not(feature = "iroh"))]
impl Engine {
    /// There is nothing to start: links for it were refused.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn start(
        _links: &[IrohLink],
        _node: &mut zocp_node::Config,
    ) -> Result<Self, EngineError> {
        Ok(Self {})
    }

    /// There is nothing.
    pub(crate) fn serve(&self, _mailbox: u16) {}

    /// There is nothing.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn close(self) {}
}

//! The engine of a build with the feature `iroh`.

use std::{fmt, net::Ipv4Addr};

use tokio::sync::watch;
use zocp_node::SecurityScope;

use super::{Carrier, EngineError, IrohLink, IrohState, Way, loopback, reaches};

/// Whether a link can be had.
///
/// # Errors
/// The id or a relay is none.
pub(crate) fn check(link: &IrohLink) -> Result<(), EngineError> {
    let checked = zocp_iroh::check(&options(link)?);
    checked.map_err(|error| EngineError(error.to_string()))
}

fn options(link: &IrohLink) -> Result<zocp_iroh::LinkOptions, EngineError> {
    Ok(zocp_iroh::LinkOptions {
        id: id(link)?,
        relays: link.relays.clone(),
        certificate: link.certificate.clone(),
    })
}

fn id(link: &IrohLink) -> Result<zocp_iroh::Id, EngineError> {
    let id = link.id.parse();
    id.map_err(|error: zocp_iroh::IdError| EngineError(error.to_string()))
}

/// The engine. Clones are one.
#[derive(Clone)]
pub(crate) struct Engine {
    inner: Option<zocp_iroh::Engine>,
    /// Where comes what the other ends open.
    scope: SecurityScope,
    changes: Option<watch::Receiver<u64>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Without links, and to which none can be added.
    pub(crate) fn none() -> Self {
        Self {
            inner: None,
            scope: SecurityScope::default(),
            changes: None,
        }
    }

    /// Opens the ports and adds them to the links of the node. Nothing is open outside as long as there are no links.
    pub(crate) async fn start(
        links: &[IrohLink],
        node: &mut zocp_node::Config,
    ) -> Result<Self, EngineError> {
        let Some(security) = node.security.as_mut() else {
            return Ok(Self::none());
        };
        if !links.is_empty() {
            reaches(&security.scope)?;
        }
        if let SecurityScope::Links { listen } = &mut security.scope {
            // What comes by the engine must not arrive at the mailbox of the open mesh.
            listen.get_or_insert((Ipv4Addr::LOCALHOST, 0).into());
        }
        let scope = security.scope;
        let options = zocp_iroh::Options {
            secret: security.keys.secret_octets(),
            links: links.iter().map(options).collect::<Result<_, _>>()?,
        };
        let engine = Box::pin(zocp_iroh::Engine::start(&options))
            .await
            .map_err(|error| EngineError(error.to_string()))?;
        let changes = engine.changes();
        let engine = Self {
            inner: Some(engine),
            scope,
            changes: Some(changes),
        };
        let dialed = links.iter().filter_map(|link| engine.state(link)?.dialed);
        node.links.extend(dialed);
        Ok(engine)
    }

    /// What the other ends open arrives at the mailbox on this port.
    pub(crate) fn serve(&self, mailbox: u16) {
        if let Some(engine) = &self.inner {
            engine.serve(mailbox);
        }
    }

    /// Takes a link more; returns what the node is to dial, if this end dials.
    pub(crate) async fn add(&self, link: &IrohLink) -> Result<Option<String>, EngineError> {
        let Some(engine) = &self.inner else {
            return Err(EngineError("links by iroh need a key".to_owned()));
        };
        reaches(&self.scope)?;
        let options = options(link)?;
        let added = Box::pin(engine.add(&options)).await;
        let port = added.map_err(|error| EngineError(error.to_string()))?;
        Ok(port.map(|port| format!("tcp://{port}|{}", link.key)))
    }

    /// Ends a link.
    pub(crate) async fn remove(&self, link: &IrohLink) {
        if let (Some(engine), Ok(id)) = (&self.inner, id(link)) {
            Box::pin(engine.remove(id)).await;
        }
    }

    /// How a link is; `None` if the engine does not have it.
    pub(crate) fn state(&self, link: &IrohLink) -> Option<IrohState> {
        let state = self.inner.as_ref()?.state(id(link).ok()?)?;
        Some(IrohState {
            way: state.way.map(way),
            since: state.since,
            is_open: state.is_open,
            why: state.why,
            dialed: state.port.map(|port| format!("tcp://{port}|{}", link.key)),
        })
    }

    /// What users see of the peer at an endpoint, if it is behind the engine.
    pub(crate) fn carrier(&self, endpoint: &str) -> Option<Carrier> {
        let engine = self.inner.as_ref()?;
        let id = engine.behind(loopback(endpoint)?)?;
        Some(Carrier {
            endpoint: format!("iroh:{id}"),
            way: engine.state(id)?.way.map(way),
        })
    }

    /// Waits until the way of a link is another one. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let is_open = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !is_open {
            std::future::pending::<()>().await;
        }
    }

    /// Ends all links by it.
    pub(crate) async fn close(self) {
        if let Some(engine) = self.inner {
            Box::pin(engine.close()).await;
        }
    }
}

fn way(way: zocp_iroh::Way) -> Way {
    match way {
        zocp_iroh::Way::Direct => Way::Direct,
        zocp_iroh::Way::Relay(url) => Way::Relay(url),
    }
}

//! What the bridge does, with nothing left open.
//!
//! Model: [`Settings`] come from a checked configuration; [`Reload`] is the part of them that a running bridge follows.

use std::net::SocketAddr;

use zocp_dbus::bus::BusChoice;
use zocp_node::{FirstUse, PassRule, PublicKey, SecurityScope};
use zocp_relay::services::ServiceSettings;
use zocp_srv::SrvName;
use zocp_state::StateDir;
use zocp_wires as wires;

use super::{ConfigError, invalid};
use crate::local;

/// What the bridge does; nothing is open any more.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which bus.
    pub bus: BusChoice,
    /// The node that the bridge is on the mesh.
    pub node: zocp_node::Config,
    /// Names by which DNS tells of further peers.
    pub srv: Vec<SrvName>,
    /// Links to bridges that cannot be dialed.
    pub iroh: Vec<crate::engine::IrohLink>,
    /// D-Bus over the mesh: what can be changed while the bridge runs.
    pub services: ServiceSettings,
    /// How much programs may publish.
    pub local: local::Limits,
    /// How many wires there may be.
    pub wires: wires::Limits,
    /// Where state is kept.
    pub state: StateDir,
    /// Where Prometheus finds the counters.
    pub prometheus: Option<SocketAddr>,
}

/// What is followed while the bridge runs.
#[derive(Debug, Clone)]
pub struct Reload {
    /// D-Bus over the mesh.
    pub services: ServiceSettings,
    /// Who is trusted on a secure mesh.
    pub trusted: Vec<PublicKey>,
    /// Who else is.
    pub first_use: FirstUse,
    /// Which nodes of the own venue others see.
    pub pass: Vec<PassRule>,
}

impl Settings {
    /// The bridge's own key on a secure mesh.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        let security = self.node.security.as_ref();
        security.map(|security| security.keys.public())
    }

    /// Whether the key is for links to other venues alone, and the mesh an open one.
    #[must_use]
    pub fn has_key_for_links(&self) -> bool {
        let security = self.node.security.as_ref();
        security.is_some_and(|it| it.scope != SecurityScope::Mesh)
    }

    /// What of this a bridge follows that runs with a key, or with none.
    ///
    /// # Errors
    /// The key is another one: a bridge has one as long as it runs.
    pub fn reload(self, running: Option<PublicKey>) -> Result<Reload, ConfigError> {
        if self.key() != running {
            let reason =
                "it is not the key that the bridge runs with: restart the bridge to change it";
            return Err(invalid("mesh.key", &reason));
        }
        let (trusted, first_use) = self
            .node
            .security
            .map_or_else(Default::default, |it| (it.trusted, it.first_use));
        Ok(Reload {
            services: self.services,
            trusted,
            first_use,
            pass: self.node.pass,
        })
    }
}

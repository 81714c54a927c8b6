//! The links before there is a node: what the configuration says, and what was kept.

use tracing::{error, warn};
use zocp_state::{StateDir, Store};

use super::{
    document::{SavedIroh, SavedLinks},
    short,
};
use crate::{config::CheckedLink, engine::IrohLink, trust::LoadedTrust};

/// The links before there is a node.
#[derive(Debug)]
pub struct LoadedLinks {
    pub(super) configured: Vec<CheckedLink>,
    pub(super) by_command: Vec<CheckedLink>,
    /// What cannot be had now, and is kept for a start that can have it, with the reason.
    pub(super) unusable: Vec<(SavedIroh, String)>,
    pub(super) store: Store<SavedLinks>,
    pub(super) has_venue: bool,
    /// Those for the engine.
    iroh: Vec<IrohLink>,
}

impl LoadedLinks {
    /// Adds what was kept to what the configuration says.
    pub fn new(
        state: &StateDir,
        node: &mut zocp_node::Config,
        iroh: Vec<IrohLink>,
        trust: Option<&mut LoadedTrust>,
    ) -> Self {
        let (kept, store) = state.open::<SavedLinks>();
        // The configuration was checked.
        let dialed = node.links.iter();
        let dialed = dialed.filter_map(|to| CheckedLink::new(to.clone(), Vec::new(), None).ok());
        let by_iroh = iroh.iter().map(|link| CheckedLink {
            to: link.to(),
            key: link.key,
            iroh: Some(link.clone()),
        });
        let mut loaded = Self {
            configured: dialed.chain(by_iroh).collect(),
            by_command: Vec::new(),
            unusable: Vec::new(),
            store,
            has_venue: node.venue.is_some(),
            iroh,
        };
        for to in kept.links {
            match CheckedLink::new(to.clone(), Vec::new(), None) {
                Ok(link) => loaded.keep(link),
                Err(error) => error!(link = short(&to), %error, "a link that was kept is none"),
            }
        }
        for kept in kept.iroh {
            let certificate = kept.certificate.clone().map(String::into_bytes);
            match CheckedLink::new(kept.to.clone(), kept.relays.clone(), certificate) {
                Ok(link) => loaded.keep(link),
                Err(error) => {
                    warn!(link = short(&kept.to), %error, "a link that was kept cannot be had");
                    loaded.unusable.push((kept, error.to_string()));
                }
            }
        }
        loaded.use_kept(node, trust);
        loaded
    }

    fn keep(&mut self, link: CheckedLink) {
        if !self.configured.iter().any(|it| it.to == link.to) {
            self.by_command.push(link);
        }
    }

    /// Has the node dial what was kept.
    fn use_kept(&mut self, node: &mut zocp_node::Config, mut trust: Option<&mut LoadedTrust>) {
        for link in &self.by_command {
            let to = short(&link.to);
            match trust.as_mut() {
                Some(trust) if self.has_venue => {
                    if !trust.link(link.key) {
                        warn!(link = to, "not dialed: its key was distrusted by hand");
                    } else if let Some(iroh) = &link.iroh {
                        self.iroh.push(iroh.clone());
                        // A link that the node dials is trusted by that; of these it may be the other end that dials.
                        let security = node.security.as_mut();
                        if let Some(security) =
                            security.filter(|it| !it.trusted.contains(&link.key))
                        {
                            security.trusted.push(link.key);
                        }
                    } else {
                        node.links.push(link.to.clone());
                    }
                }
                _ => warn!(
                    link = to,
                    "not dialed: a link that was added by command needs `mesh.key` and `[venue]` in the configuration"
                ),
            }
        }
    }

    /// What the engine starts with.
    pub(crate) fn iroh(&self) -> &[IrohLink] {
        &self.iroh
    }
}

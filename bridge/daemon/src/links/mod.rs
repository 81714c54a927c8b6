//! The links to bridges of other venues, while the bridge runs: `org.z25.Zocp1.Links`.
//!
//! Model: links come from the configuration and from commands; those of commands are kept in a document. The node dials
//! them and knows how each is, those by iroh together with the engine; [`LoadedLinks`] is the list before there is a node,
//! [`Links`] the handle after that.
//! Invariants: LINKS-1. changes come one after the other, and a call that changes something is answered when that is
//! kept. LINKS-2. a link of the configuration is changed there alone. LINKS-3. the key of a link is trusted as long as
//! the link is there, and afterwards only if something else says so.
//! Limits: `LINKS_MAX` of both kinds together.
//! Not here: dialing (`zocp_node`, `crate::engine`), keys (`crate::trust`), the configuration (`crate::config`).
//! Spec: docs/reference/dbus.md, "Links"; docs/reference/protocol.md §2.11.

mod document;
mod loaded;
mod requests;
#[cfg(test)]
mod tests;
mod told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_dbus::{errors::Refusal, server::Answer};
use zocp_node::{Node, NodeError};
use zocp_state::Persister;

pub use self::loaded::LoadedLinks;
pub(crate) use self::told::{relay_of, way_name};
use self::{
    document::{SavedIroh, SavedLinks},
    told::{Known, Told, is_behind, told, unusable},
};
use crate::{
    config::{CheckedLink, LINKS_MAX},
    engine::{Engine, EngineError, IrohLink},
    trust::Trust,
};

/// The links. Clones are one.
#[derive(Debug, Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    trust: Trust,
    engine: Engine,
    configured: Vec<CheckedLink>,
    /// Locked because properties are read by the connection of the bridge while commands change the list.
    by_command: Arc<Mutex<ByCommand>>,
    keeper: Persister,
    has_venue: bool,
    /// Held by who changes something (LINKS-1).
    /// Locked because a change is a step in the node and one on the disk, and no other change may come in between
    /// (LINKS-1). Held across awaits.
    turn: tokio::sync::Mutex<()>,
}

/// The links that were added by command.
#[derive(Debug, Default)]
struct ByCommand {
    links: Vec<CheckedLink>,
    /// Those that this start cannot have, with the reason.
    unusable: Vec<(SavedIroh, String)>,
}

impl ByCommand {
    fn saved(&self) -> SavedLinks {
        let dialed = self.links.iter().filter(|link| link.iroh.is_none());
        let by_iroh = self.links.iter().filter_map(|link| link.iroh.as_ref());
        let unusable = self.unusable.iter().map(|(saved, _)| saved.clone());
        SavedLinks {
            links: dialed.map(|link| link.to.clone()).collect(),
            iroh: by_iroh.map(saved).chain(unusable).collect(),
        }
    }
}

fn saved(link: &IrohLink) -> SavedIroh {
    let certificate = link.certificate.as_deref();
    SavedIroh {
        to: link.to(),
        relays: link.relays.clone(),
        // It is PEM, which is ASCII.
        certificate: certificate.map(|it| String::from_utf8_lossy(it).into_owned()),
    }
}

impl Links {
    /// Begins to keep what changes; `stop` is cancelled when it is to be written a last time.
    #[must_use]
    pub(crate) fn start(
        tasks: &TaskTracker,
        (node, trust, engine): (Node, Trust, Engine),
        loaded: LoadedLinks,
        stop: CancellationToken,
    ) -> Self {
        let by_command = Arc::new(Mutex::new(ByCommand {
            links: loaded.by_command,
            unusable: loaded.unusable,
        }));
        let kept = Arc::clone(&by_command);
        let keeper = loaded
            .store
            .persist(tasks, stop, move || locked(&kept).saved());
        let shared = Shared {
            node,
            trust,
            engine,
            configured: loaded.configured,
            by_command,
            keeper,
            has_venue: loaded.has_venue,
            turn: tokio::sync::Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    async fn add(&self, to: &str, relays: Vec<String>, certificate: Option<Vec<u8>>) -> Answer {
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        self.needs()?;
        let link = CheckedLink::new(to.to_owned(), relays, certificate)
            .map_err(|error| Refusal::InvalidArgs(error.to_string()))?;
        if shared.configured.iter().any(|it| it.to == link.to) {
            let text = format!("the configuration has the link to {} already", short(to));
            return Err(Refusal::InvalidArgs(text));
        }
        let known = locked(&shared.by_command).links.clone();
        let known = known.into_iter().find(|it| it.to == link.to);
        if known.as_ref() != Some(&link) {
            if let Some(former) = known {
                // With other relays: it begins anew.
                self.end(&former).await?;
            }
            let count = shared.configured.len() + locked(&shared.by_command).links.len();
            if count >= LINKS_MAX {
                let text = format!("there are {LINKS_MAX} links already");
                return Err(Refusal::LimitsExceeded(text));
            }
            self.begin(&link).await?;
            tracing::info!(link = short(to), "a link was added");
            let mut by_command = locked(&shared.by_command);
            by_command.unusable.retain(|(saved, _)| saved.to != link.to);
            by_command.links.push(link);
        }
        self.kept().await
    }

    /// Has the node take a link, and then the key trusted: what the node refuses is not kept.
    async fn begin(&self, link: &CheckedLink) -> Result<(), Refusal> {
        let shared = &self.shared;
        let dialed = match &link.iroh {
            None => Some(link.to.clone()),
            Some(iroh) => shared.engine.add(iroh).await.map_err(impossible)?,
        };
        let taken = match dialed {
            Some(to) => shared.node.link(&to).await,
            None => shared.node.trust(link.key).await.map(|_| ()),
        };
        if let Err(error) = taken {
            if let Some(iroh) = &link.iroh {
                shared.engine.remove(iroh).await;
            }
            return Err(refused(error));
        }
        shared.trust.link(link.key).await
    }

    async fn end(&self, link: &CheckedLink) -> Result<(), Refusal> {
        let shared = &self.shared;
        let dialed = match &link.iroh {
            None => Some(link.to.clone()),
            Some(iroh) => shared.engine.state(iroh).and_then(|it| it.dialed),
        };
        if let Some(to) = dialed {
            shared.node.unlink(&to).await.map_err(refused)?;
        }
        if let Some(iroh) = &link.iroh {
            shared.engine.remove(iroh).await;
        }
        locked(&shared.by_command)
            .links
            .retain(|it| it.to != link.to);
        if !self.all().any(|it| it.key == link.key) {
            shared.trust.unlink(link.key).await?;
        }
        Ok(())
    }

    async fn remove(&self, text: &str) -> Answer {
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        let is_it = |to: &str| to == text || short(to) == text;
        let unusable = locked(&shared.by_command)
            .unusable
            .extract_if(.., |(saved, _)| is_it(&saved.to))
            .count();
        if unusable == 0 {
            let link = self.meant(text)?;
            self.end(&link).await?;
        }
        tracing::info!(link = short(text), "a link was removed");
        self.kept().await
    }

    /// How each is.
    async fn list(&self) -> Answer {
        let shared = &self.shared;
        let states = shared.node.links().await.map_err(refused)?;
        let peers = match self.all().any(|link| link.iroh.is_some()) {
            true => shared.node.peers().await.map_err(refused)?,
            false => Vec::new(),
        };
        let told = self.all().map(|link| {
            let iroh = link.iroh.as_ref();
            let iroh = iroh.and_then(|iroh| shared.engine.state(iroh));
            let dialed = match &link.iroh {
                None => Some(&link.to),
                Some(_) => iroh.as_ref().and_then(|iroh| iroh.dialed.as_ref()),
            };
            let known = Known {
                node: states.iter().find(|state| Some(&state.to) == dialed),
                peer: peers.iter().find(|peer| {
                    let carrier = shared.engine.carrier(&peer.endpoint);
                    is_behind(&link, peer, carrier.as_ref())
                }),
                iroh,
            };
            let source = match shared.configured.contains(&link) {
                true => "configuration",
                false => "hand",
            };
            told(&link, source, &known)
        });
        let mut told: Vec<Told> = told.collect();
        let by_command = locked(&shared.by_command);
        let kept = by_command.unusable.iter();
        told.extend(kept.map(|(saved, why)| unusable(&saved.to, why)));
        Ok(vec![Variant::new(told)])
    }

    fn all(&self) -> impl Iterator<Item = CheckedLink> {
        let by_command = locked(&self.shared.by_command).links.clone();
        self.shared.configured.clone().into_iter().chain(by_command)
    }

    /// The link of a command that a text means: the whole, or its endpoint without the key.
    fn meant(&self, text: &str) -> Result<CheckedLink, Refusal> {
        let is_it = |link: &CheckedLink| link.to == text || short(&link.to) == text;
        let by_command: Vec<CheckedLink> = {
            let by_command = locked(&self.shared.by_command);
            let links = by_command.links.iter().filter(|link| is_it(link));
            links.cloned().collect()
        };
        match &by_command[..] {
            [link] => Ok(link.clone()),
            [] if self.shared.configured.iter().any(is_it) => Err(Refusal::InvalidArgs(format!(
                "the link to {} is in the configuration: take its [[link]] out there and restart the bridge",
                short(text)
            ))),
            [] => Err(Refusal::InvalidArgs(format!(
                "there is no link to {}; `zocp link` lists those that there are",
                short(text)
            ))),
            _ => Err(Refusal::InvalidArgs(format!(
                "several links are to {}: write the key behind it, {}|KEY",
                short(text),
                short(text)
            ))),
        }
    }

    /// Whether there can be links.
    fn needs(&self) -> Result<(), Refusal> {
        if self.shared.node.key().is_none() {
            let text = "a link needs a secure mesh: make a key with `zocp key new FILE`, say `mesh.key` in the \
                        configuration, and restart the bridge";
            return Err(Refusal::NotSupported(text.to_owned()));
        }
        if !self.shared.has_venue {
            let text = "a link needs a name for this end: say `[venue]` `name = \"…\"` in the configuration, and restart \
                        the bridge";
            return Err(Refusal::NotSupported(text.to_owned()));
        }
        Ok(())
    }

    async fn kept(&self) -> Answer {
        let keeper = &self.shared.keeper;
        keeper.save().await.map_err(|error| {
            let text = format!(
                "the change is in effect, but could not be saved for the next start: {error}"
            );
            Refusal::Failed(text)
        })?;
        Ok(vec![Variant::new(keeper.is_persistent())])
    }
}

/// Without the key, which is long.
fn short(to: &str) -> &str {
    to.split_once('|').map_or(to, |(endpoint, _)| endpoint)
}

/// It was checked: what is left is that this bridge cannot have it.
fn impossible(error: EngineError) -> Refusal {
    Refusal::InvalidArgs(error.to_string())
}

fn refused(error: NodeError) -> Refusal {
    match error {
        NodeError::Invalid(error) => Refusal::InvalidArgs(error.to_string()),
        error => Refusal::Failed(error.to_string()),
    }
}

/// It is plain data, whole between the steps of each method: a panic meanwhile does no harm.
fn locked(of: &Mutex<ByCommand>) -> MutexGuard<'_, ByCommand> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

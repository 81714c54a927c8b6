//! The links to bridges of other venues, while the bridge runs: `org.z25.Zocp1.Links`.
//!
//! Model: links come from the configuration and from commands; those of commands are kept in a document. The node dials
//! them and knows how each is; [`LoadedLinks`] is the list before there is a node, [`Links`] the handle after that.
//! Invariants: LINKS-1. changes come one after the other, and a call that changes something is answered when that is
//! kept. LINKS-2. a link of the configuration is changed there alone. LINKS-3. the key of a link is trusted as long as
//! the link is there, and afterwards only if something else says so.
//! Limits: `LINKS_MAX` of both kinds together.
//! Not here: dialing (`zocp_node`), keys (`crate::trust`), the configuration (`crate::config`).
//! Spec: docs/reference/dbus.md, "Links"; docs/reference/protocol.md §2.11.

mod document;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_dbus::{errors::Refusal, server::Answer};
use zocp_node::{LinkState, Node, NodeError};
use zocp_state::{Persister, StateDir, Store};

use self::document::SavedLinks;
use crate::{
    config::{LINKS_MAX, checked_link},
    trust::{LoadedTrust, Trust},
};

/// The links before there is a node.
#[derive(Debug)]
pub struct LoadedLinks {
    configured: Vec<String>,
    by_command: Vec<String>,
    store: Store<SavedLinks>,
    has_venue: bool,
}

impl LoadedLinks {
    /// Adds what was kept to what the configuration says.
    pub fn new(
        state: &StateDir,
        node: &mut zocp_node::Config,
        mut trust: Option<&mut LoadedTrust>,
    ) -> Self {
        let (kept, store) = state.open::<SavedLinks>();
        let configured = node.links.clone();
        let has_venue = node.venue.is_some();
        let mut by_command = kept.links;
        by_command.retain(|to| !configured.contains(to));
        for to in &by_command {
            let link = short(to);
            let key = match checked_link(to) {
                Ok(key) => key,
                Err(error) => {
                    tracing::error!(link, %error, "a link that was kept is none");
                    continue;
                }
            };
            match trust.as_mut() {
                Some(trust) if has_venue => {
                    if trust.link(key) {
                        node.links.push(to.clone());
                    } else {
                        tracing::warn!(link, "not dialed: its key was distrusted by hand");
                    }
                }
                _ => tracing::warn!(
                    link,
                    "not dialed: a link that was added by command needs `mesh.key` and `[venue]` in the configuration"
                ),
            }
        }
        Self {
            configured,
            by_command,
            store,
            has_venue,
        }
    }
}

/// The links. Clones are one.
#[derive(Debug, Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    trust: Trust,
    configured: Vec<String>,
    by_command: Arc<Mutex<Vec<String>>>,
    keeper: Persister,
    has_venue: bool,
    /// Held by who changes something (LINKS-1).
    turn: tokio::sync::Mutex<()>,
}

impl Links {
    /// Begins to keep what changes; `stop` is cancelled when it is to be written a last time.
    #[must_use]
    pub fn start(
        tasks: &TaskTracker,
        (node, trust): (Node, Trust),
        loaded: LoadedLinks,
        stop: CancellationToken,
    ) -> Self {
        let by_command = Arc::new(Mutex::new(loaded.by_command));
        let kept = Arc::clone(&by_command);
        let keeper = loaded.store.persist(tasks, stop, move || SavedLinks {
            links: locked(&kept).clone(),
        });
        let shared = Shared {
            node,
            trust,
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

    async fn add(&self, to: &str) -> Answer {
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        self.needs()?;
        let key = checked_link(to).map_err(|error| Refusal::InvalidArgs(error.to_string()))?;
        if shared.configured.iter().any(|it| it == to) {
            let text = format!("the configuration has the link to {} already", short(to));
            return Err(Refusal::InvalidArgs(text));
        }
        if !locked(&shared.by_command).iter().any(|it| it == to) {
            let count = shared.configured.len() + locked(&shared.by_command).len();
            if count >= LINKS_MAX {
                let text = format!("there are {LINKS_MAX} links already");
                return Err(Refusal::LimitsExceeded(text));
            }
            // The node takes it first: what it refuses is not kept.
            shared.node.link(to).await.map_err(refused)?;
            shared.trust.link(key).await?;
            locked(&shared.by_command).push(to.to_owned());
            tracing::info!(link = short(to), "a link was added");
        }
        self.kept().await
    }

    async fn remove(&self, text: &str) -> Answer {
        let shared = &self.shared;
        let _turn = shared.turn.lock().await;
        let to = self.meant(text)?;
        shared.node.unlink(&to).await.map_err(refused)?;
        locked(&shared.by_command).retain(|it| *it != to);
        // Never an error: it was checked when it was added.
        if let Ok(key) = checked_link(&to)
            && !self
                .all()
                .any(|it| checked_link(&it).is_ok_and(|it| it == key))
        {
            shared.trust.unlink(key).await?;
        }
        tracing::info!(link = short(&to), "a link was removed");
        self.kept().await
    }

    /// How each is.
    async fn list(&self) -> Answer {
        let states = self.shared.node.links().await.map_err(refused)?;
        let told = self.all().map(|to| {
            let state = states.iter().find(|state| state.to == to);
            let source = match self.shared.configured.contains(&to) {
                true => "configuration",
                false => "hand",
            };
            told(to, source, state)
        });
        let told: Vec<BTreeMap<&str, Variant<'static>>> = told.collect();
        Ok(vec![Variant::new(told)])
    }

    fn all(&self) -> impl Iterator<Item = String> {
        let by_command = locked(&self.shared.by_command).clone();
        self.shared.configured.clone().into_iter().chain(by_command)
    }

    /// The link of a command that a text means: the whole, or its endpoint without the key.
    fn meant(&self, text: &str) -> Result<String, Refusal> {
        let is_it = |to: &String| to == text || short(to) == text;
        let by_command: Vec<String> = {
            let links = locked(&self.shared.by_command);
            links.iter().filter(|to| is_it(to)).cloned().collect()
        };
        match &by_command[..] {
            [to] => Ok(to.clone()),
            [] if self.shared.configured.iter().any(is_it) => Err(Refusal::InvalidArgs(format!(
                "the link to {} is in the configuration: take its [[link]] out there and restart the bridge",
                short(text)
            ))),
            [] => Err(Refusal::InvalidArgs(format!(
                "there is no link to {}; `zocp link` lists those that there are",
                short(text)
            ))),
            _ => Err(Refusal::InvalidArgs(format!(
                "several links are to {}: write the key behind it, tcp://HOST:PORT|KEY",
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

/// A link as it is told.
fn told(
    to: String,
    source: &'static str,
    state: Option<&LinkState>,
) -> BTreeMap<&'static str, Variant<'static>> {
    let mut told = BTreeMap::from([("Source", Variant::new(source))]);
    let peer = state.and_then(|state| state.peer);
    told.insert(
        "State",
        Variant::new(if peer.is_some() { "up" } else { "down" }),
    );
    if let Some(peer) = peer {
        told.insert("Peer", Variant::new(peer.to_string()));
    }
    match state {
        Some(state) => {
            told.insert("Since", Variant::new(state.since.as_secs_f64()));
            if peer.is_none() {
                told.insert("Why", Variant::new(state.why.clone()));
            }
            if let Some(next) = state.next {
                told.insert("Next", Variant::new(next.as_secs_f64()));
            }
        }
        None => {
            let why = "it is not dialed: the log says why since the bridge started";
            told.insert("Why", Variant::new(why));
        }
    }
    told.insert("To", Variant::new(to));
    told
}

/// Without the key, which is long.
fn short(to: &str) -> &str {
    to.split_once('|').map_or(to, |(endpoint, _)| endpoint)
}

fn refused(error: NodeError) -> Refusal {
    match error {
        NodeError::Invalid(error) => Refusal::InvalidArgs(error.to_string()),
        error => Refusal::Failed(error.to_string()),
    }
}

/// It is plain data, whole between the steps of each method: a panic meanwhile does no harm.
fn locked(of: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

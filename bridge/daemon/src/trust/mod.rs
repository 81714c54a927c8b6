//! Who is trusted on a secure mesh, while the bridge runs: `org.z25.Zocp1.Trust`.
//!
//! Model: the `TrustStore` says which keys are trusted and by whose word; the node knows the same keys and
//! enforces; the document keeps what is not in the configuration. [`LoadedTrust`] is the store before there is a
//! node, [`Trust`] the handle after that.
//! Invariants: TRUST-1. changes come one after the other, each in the node before it is shown on the bus, so nobody
//! is shown as distrusted who is still let in. TRUST-2. a call that changes something is answered when
//! that is kept. TRUST-3. a text names a key, else a whole fingerprint, else a node: a node cannot choose a name that is
//! taken for the key of another.
//! Limits: `BY_HAND_MAX`, else those of the node.
//! Not here: cryptography (`zocp_zmtp`), who is let in (`zocp_zre`), the configuration (`crate::config`).
//! Spec: docs/reference/dbus.md, "Trust"; docs/reference/protocol.md §8.

mod document;
mod links;
mod requests;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_interfaces::{BRIDGE_PATH, TRUST_INTERFACE};
use zocp_node::{Event, FirstUse, Node, NodeError, PublicKey, Security, Stranger};

use self::{
    document::SavedKeys,
    store::{BY_HAND_MAX, Full, TrustStore},
};
use zocp_dbus::{
    errors::Refusal,
    interface::{Interface, SlotError},
    server::{Answer, ObjectTable},
};
use zocp_state::{Persister, StateDir, Store};

/// The trusted keys before there is a node.
#[derive(Debug)]
pub struct LoadedTrust {
    trusted: TrustStore,
    store: Store<SavedKeys>,
    first_use: FirstUse,
}

impl LoadedTrust {
    /// Adds to what the configuration says of a secure mesh what was kept. `None` where it is none.
    pub fn new(state: &StateDir, security: Option<&mut Security>) -> Option<Self> {
        let security = security?;
        let (kept, store) = state.open::<SavedKeys>();
        let trusted = TrustStore::new(kept.read(), &security.trusted);
        for key in trusted.overruled() {
            let fingerprint = key.fingerprint();
            tracing::warn!(fingerprint, %key, "distrusted by hand, though mesh.trusted names it");
        }
        let kept = trusted.kept();
        security.trusted = trusted.trusted().map(|it| it.key).collect();
        let is_learned = |key: &PublicKey| trusted.is_learned(*key);
        security.trusted.retain(|key| !is_learned(key));
        security.learned = kept.learned;
        security.learned.retain(|(key, _)| is_learned(key));
        security.barred = kept.distrusted;
        Some(Self {
            trusted,
            store,
            first_use: security.first_use,
        })
    }
}

/// Who is trusted. Clones are one.
#[derive(Debug, Clone)]
pub struct Trust {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    secure: Option<Secure>,
    table: OnceLock<ObjectTable>,
}

/// What there is on a secure mesh only.
#[derive(Debug)]
struct Secure {
    /// Locked because properties are read by the connection of the bridge while commands and the node change the list.
    trusted: Arc<Mutex<TrustStore>>,
    keeper: Persister,
    /// Locked because properties are read by the connection of the bridge while a reload changes it.
    first_use: Mutex<FirstUse>,
    /// Held by who changes something (TRUST-1).
    /// Locked because a change is a step in the node, one on the bus and one on the disk, and no other change may come
    /// in between (TRUST-1). Held across awaits.
    turn: tokio::sync::Mutex<()>,
}

impl Trust {
    /// Begins to keep what changes; `stop` is cancelled when it is to be written a last time.
    #[must_use]
    pub fn start(
        tasks: &TaskTracker,
        node: Node,
        opened: Option<LoadedTrust>,
        stop: CancellationToken,
    ) -> Self {
        let secure = opened.map(|opened| {
            let trusted = Arc::new(Mutex::new(opened.trusted));
            let kept = Arc::clone(&trusted);
            let keeper = opened
                .store
                .persist(tasks, stop, move || locked(&kept).kept().into());
            Secure {
                trusted,
                keeper,
                first_use: Mutex::new(opened.first_use),
                turn: tokio::sync::Mutex::default(),
            }
        });
        let shared = Shared {
            node,
            secure,
            table: OnceLock::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The interface with what is so now.
    pub(crate) fn describe(&self, declared: Interface) -> Result<Interface, SlotError> {
        let key = self.shared.node.key();
        let mut described = declared
            .with("Key", key.map_or_else(String::new, |key| key.to_string()))?
            .with(
                "Fingerprint",
                key.map_or_else(String::new, |key| key.fingerprint()),
            )?;
        for (property, value) in self.properties() {
            described = described.with(property, value)?;
        }
        Ok(described)
    }

    /// From now on changes are shown in this table.
    pub(crate) fn show_on(&self, table: &ObjectTable) {
        self.shared.table.set(table.clone()).ok();
        self.show();
    }

    /// Trusts the key that the text names: a key, the fingerprint or UUID of an untrusted peer, or a node that is present.
    async fn trust(&self, text: &str) -> Answer {
        let secure = self.secure()?;
        let _turn = secure.turn.lock().await;
        let key = self.meant(text, Whom::Strangers).await?;
        locked(&secure.trusted).trust(key).map_err(full)?;
        self.shared.node.trust(key).await.map_err(failed)?;
        self.changed(secure, key).await
    }

    /// Distrusts the key that the text names: a key, the fingerprint of a known one, or a node that is present.
    async fn distrust(&self, text: &str) -> Answer {
        let secure = self.secure()?;
        let _turn = secure.turn.lock().await;
        let key = self.meant(text, Whom::Known).await?;
        locked(&secure.trusted).distrust(key).map_err(full)?;
        self.shared.node.distrust(key).await.map_err(failed)?;
        self.changed(secure, key).await
    }

    /// The untrusted peers that tried to connect lately.
    async fn strangers(&self) -> Answer {
        let strangers = self.shared.node.strangers().await.map_err(failed)?;
        let told: Vec<BTreeMap<&str, Variant<'static>>> = strangers.iter().map(told).collect();
        Ok(vec![Variant::new(told)])
    }

    /// The configuration is another one.
    ///
    /// # Errors
    /// The node ended.
    pub async fn reload(
        &self,
        trusted: &[PublicKey],
        first_use: FirstUse,
    ) -> Result<(), NodeError> {
        let Some(secure) = &self.shared.secure else {
            return Ok(());
        };
        let _turn = secure.turn.lock().await;
        let node = &self.shared.node;
        let turned = locked(&secure.trusted).configure(trusted);
        for key in turned.distrusted {
            node.distrust(key).await?;
        }
        for key in turned.trusted {
            node.trust(key).await?;
        }
        node.set_first_use(first_use).await?;
        *locked(&secure.first_use) = first_use;
        secure.keeper.changed();
        self.show();
        Ok(())
    }

    /// Follows an event of the mesh.
    pub(crate) async fn handle(&self, event: &Event) {
        let Some(secure) = &self.shared.secure else {
            return;
        };
        match event {
            Event::Entered(info) => {
                let Some(key) = info.key else { return };
                if locked(&secure.trusted).named(key, &info.name) {
                    secure.keeper.changed();
                    self.show();
                }
            }
            Event::KeyLearned { key, name, .. } => {
                locked(&secure.trusted).learned(*key, name);
                secure.keeper.changed();
                self.show();
            }
            Event::Stranger(stranger) => self.stranger_heard(stranger).await,
            _ => {}
        }
    }

    async fn stranger_heard(&self, stranger: &Stranger) {
        let Some(table) = self.shared.table.get() else {
            return;
        };
        table.room().await;
        let arguments = [
            stranger.key.to_string(),
            stranger.key.fingerprint(),
            stranger.id.to_string(),
            stranger.address.to_string(),
        ];
        let arguments = arguments.into_iter().map(Variant::new).collect();
        let emitted = table
            .with(|objects| objects.emit(BRIDGE_PATH, TRUST_INTERFACE, "StrangerHeard", arguments));
        if let Err(error) = emitted {
            tracing::error!(%error, "cannot tell of a stranger");
        }
    }

    /// Shows what changed, and answers when it is kept (TRUST-2).
    async fn changed(&self, secure: &Secure, key: PublicKey) -> Answer {
        self.show();
        secure.keeper.save().await.map_err(|error| {
            let text = format!(
                "the change is in effect, but could not be saved for the next start: {error}"
            );
            Refusal::Failed(text)
        })?;
        let key = Variant::new(key.to_string());
        Ok(vec![key, Variant::new(secure.keeper.is_persistent())])
    }

    fn show(&self) {
        let Some(table) = self.shared.table.get() else {
            return;
        };
        for (property, value) in self.properties() {
            let shown =
                table.with(|objects| objects.set(BRIDGE_PATH, TRUST_INTERFACE, property, value));
            if let Err(error) = shown {
                tracing::error!(%error, property, "cannot show who is trusted");
            }
        }
    }

    /// Those that change.
    fn properties(&self) -> [(&'static str, Variant<'static>); 3] {
        let mut trusted: Vec<BTreeMap<&str, Variant<'static>>> = Vec::new();
        let mut distrusted: Vec<String> = Vec::new();
        let mut first_use = FirstUse::Refuse;
        if let Some(secure) = &self.shared.secure {
            let store = locked(&secure.trusted);
            trusted.extend(store.trusted().map(|it| {
                BTreeMap::from([
                    ("Key", Variant::new(it.key.to_string())),
                    ("Fingerprint", Variant::new(it.key.fingerprint())),
                    ("Source", Variant::new(it.source.text())),
                    ("Name", Variant::new(it.name.unwrap_or_default().to_owned())),
                ])
            }));
            distrusted.extend(store.distrusted().map(|key| key.to_string()));
            first_use = *locked(&secure.first_use);
        }
        [
            ("Trusted", Variant::new(trusted)),
            ("Distrusted", Variant::new(distrusted)),
            ("FirstUse", Variant::new(first_use == FirstUse::Trust)),
        ]
    }

    /// The one key that a text names (TRUST-3).
    async fn meant(&self, text: &str, whom: Whom) -> Result<PublicKey, Refusal> {
        if let Ok(key) = text.parse() {
            return Ok(key);
        }
        let node = &self.shared.node;
        let (peers, strangers) = (
            node.peers().await.map_err(failed)?,
            node.strangers().await.map_err(failed)?,
        );
        let mut known: BTreeSet<PublicKey> = peers.iter().filter_map(|peer| peer.key).collect();
        match whom {
            Whom::Strangers => known.extend(strangers.iter().map(|it| it.key)),
            Whom::Known => {
                let secure = self.secure()?;
                known.extend(locked(&secure.trusted).trusted().map(|it| it.key));
            }
        }
        let plain = |text: &str| text.replace('-', "").to_lowercase();
        let wanted = plain(text);
        known.retain(|key| plain(&key.fingerprint()) == wanted);
        if known.is_empty() {
            let is_it = |name: &str, id: String| name == text || id == wanted;
            let here = peers.iter().filter(|it| is_it(&it.name, it.id.to_string()));
            known.extend(here.filter_map(|peer| peer.key));
            let is_stranger =
                |it: &&Stranger| whom == Whom::Strangers && it.id.to_string() == wanted;
            known.extend(strangers.iter().filter(is_stranger).map(|it| it.key));
        }
        match (known.pop_first(), known.pop_first()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Refusal::InvalidArgs(format!(
                "several keys are there for \"{text}\": say which by its fingerprint"
            ))),
            _ => Err(Refusal::InvalidArgs(format!(
                "\"{text}\" is no key, and no fingerprint or node that is known here"
            ))),
        }
    }

    fn secure(&self) -> Result<&Secure, Refusal> {
        self.shared.secure.as_ref().ok_or_else(|| {
            let text = "the mesh is not a secure one: the configuration names no `key`";
            Refusal::NotSupported(text.to_owned())
        })
    }
}

/// Among whom a fingerprint is looked up, besides nodes that are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Those that asked in vain.
    Strangers,
    /// Those that are trusted.
    Known,
}

/// A stranger as it is told.
fn told(stranger: &Stranger) -> BTreeMap<&'static str, Variant<'static>> {
    BTreeMap::from([
        ("Key", Variant::new(stranger.key.to_string())),
        ("Fingerprint", Variant::new(stranger.key.fingerprint())),
        ("Uuid", Variant::new(stranger.id.to_string())),
        ("Address", Variant::new(stranger.address.to_string())),
        ("Times", Variant::new(stranger.times)),
        ("Silent", Variant::new(stranger.silent.as_secs_f64())),
    ])
}

fn full(Full: Full) -> Refusal {
    Refusal::LimitsExceeded(format!("{BY_HAND_MAX} keys are there that somebody judged"))
}

fn failed(error: NodeError) -> Refusal {
    Refusal::Failed(error.to_string())
}

/// It is plain data, whole between the steps of each method: a panic meanwhile does no harm.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

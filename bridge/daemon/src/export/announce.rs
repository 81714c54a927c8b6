//! What the node's tree says of exported services.
//!
//! Model: what is wanted is a table; one task makes the tree like it. Changes that come faster than it
//! works are made in one.
//! Spec: docs/reference/protocol.md §7.2

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zocp_node::{Node, NodeError, ObjectPath, Value};

use super::locked;

/// The object of the tree that all services are in, and its type.
pub(crate) const SERVICES: &str = "services";
/// The type of a service's object.
pub(crate) const SERVICE_TYPE: &str = "dbus-service";
/// The entry with the UUID of the bridge on whose bus the service is.
pub(crate) const ORIGIN: &str = "origin";
/// The entry that is another one each time the service has another owner.
pub(crate) const REVISION: &str = "revision";

/// Puts services into the tree.
#[derive(Debug)]
pub(super) struct Announcer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<BTreeMap<Arc<str>, u64>>,
    changed: Notify,
}

impl Announcer {
    /// Announces until `stop`, or until the node ends.
    pub(super) fn start(node: Node, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let announcer = Self {
            shared: Arc::default(),
        };
        let shared = announcer.shared.clone();
        tasks.spawn(async move {
            let mut told = BTreeMap::new();
            let announce = async {
                loop {
                    shared.changed.notified().await;
                    let wanted = locked(&shared.wanted).clone();
                    if follow(&node, &mut told, &wanted).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = announce => {}
            }
        });
        announcer
    }

    pub(super) fn announce(&self, service: Arc<str>, revision: u64) {
        locked(&self.shared.wanted).insert(service, revision);
        self.shared.changed.notify_one();
    }

    pub(super) fn withdraw(&self, service: &str) {
        locked(&self.shared.wanted).remove(service);
        self.shared.changed.notify_one();
    }
}

/// Makes the tree like what is wanted.
async fn follow(
    node: &Node,
    told: &mut BTreeMap<Arc<str>, u64>,
    wanted: &BTreeMap<Arc<str>, u64>,
) -> Result<(), NodeError> {
    let names: BTreeSet<Arc<str>> = told.keys().chain(wanted.keys()).cloned().collect();
    for name in names {
        let outcome = match (told.get(&name), wanted.get(&name)) {
            (Some(old), Some(new)) if old == new => continue,
            (_, Some(revision)) => describe(node, &name, *revision).await,
            (_, None) => node.remove_object(path(&name)).await,
        };
        match outcome {
            Ok(()) => {}
            Err(NodeError::Closed) => return Err(NodeError::Closed),
            Err(error) => tracing::warn!(service = &*name, %error, "cannot announce a service"),
        }
    }
    *told = wanted.clone();
    Ok(())
}

async fn describe(node: &Node, service: &str, revision: u64) -> Result<(), NodeError> {
    let services = ObjectPath::root().child(SERVICES);
    let kind = |kind: &str| ("type".to_owned(), Value::from(kind));
    node.describe(services, vec![kind(SERVICES)]).await?;
    let entries = vec![
        (ORIGIN.to_owned(), Value::from(node.id().to_string())),
        (REVISION.to_owned(), Value::from(revision)),
        kind(SERVICE_TYPE),
    ];
    node.describe(path(service), entries).await
}

fn path(service: &str) -> ObjectPath {
    ObjectPath::root().child(SERVICES).child(service)
}

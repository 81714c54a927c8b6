//! The nodes of a view on its bus.
//!
//! Model: a view has mirrors as the bridge has them on its own bus, of those nodes alone that it shows.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zocp_dbus::{introspection::XmlError, server::BusContext};
use zocp_mapping::directory::Relabelled;
use zocp_node::{Event, Node, PeerId};
use zocp_relay::services::ViewScope;

use super::Shared;
use crate::mirror::Mirrors;

/// See the [module](self).
pub(super) struct ViewMirrors {
    scope: ViewScope,
    mirrors: Mirrors<Node>,
    shown: Arc<Shown>,
}

/// Which nodes are to be on the bus, and which of them are.
#[derive(Debug, Default)]
pub(super) struct Shown {
    wanted: watch::Sender<Nodes>,
}

#[derive(Debug, Default)]
struct Nodes {
    wanted: HashSet<PeerId>,
    named: HashSet<PeerId>,
}

impl Shown {
    /// Waits until each node that is present is on the bus. Cancel safe.
    pub(super) async fn settled(&self) {
        let mut nodes = self.wanted.subscribe();
        let is_settled = |nodes: &Nodes| nodes.wanted.is_subset(&nodes.named);
        // The sender is here.
        nodes.wait_for(is_settled).await.ok();
    }
}

impl ViewMirrors {
    pub(super) fn new(
        shared: &Shared,
        site: BusContext,
        scope: ViewScope,
        shown: Arc<Shown>,
    ) -> Result<Self, XmlError> {
        let (tasks, directory) = (shared.tasks.clone(), shared.directory.clone());
        Ok(Self {
            scope,
            mirrors: Mirrors::new(tasks, site, shared.node.clone(), directory)?,
            shown,
        })
    }

    /// Shows the nodes that are present, and follows what happens from then on.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        number: u32,
        mut mirrors: Self,
        stop: CancellationToken,
    ) {
        let mut all = shared.mirrors.lock().await;
        for info in shared.node.peers().await.unwrap_or_default() {
            let peer = info.id;
            mirrors.handle(&Event::Entered(info)).await;
            if mirrors.is_shown(peer)
                && let Ok(Some(tree)) = shared.node.tree(peer).await
            {
                let tree = Box::new(tree);
                mirrors.handle(&Event::TreeKnown { peer, tree }).await;
            }
        }
        all.insert(number, mirrors);
        drop(all);
        let following = shared.clone();
        shared.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = following.follow_names(number) => {}
            }
        });
    }

    /// Follows an event of the mesh.
    pub(super) async fn handle(&mut self, event: &Event) {
        match event {
            Event::Entered(info) if info.zocp => {
                if self.scope.rank(&info.name, &info.id.to_string()).is_none() {
                    return;
                }
                self.shown.wanted.send_modify(|nodes| {
                    nodes.wanted.insert(info.id);
                });
            }
            Event::Exited { peer, .. } => self.shown.wanted.send_modify(|nodes| {
                nodes.wanted.remove(peer);
                nodes.named.remove(peer);
            }),
            Event::Entered(_) => return,
            _ => {}
        }
        self.mirrors.handle(event).await;
    }

    pub(super) fn relabelled(&mut self, relabelled: &Relabelled) {
        self.mirrors.relabelled(relabelled);
    }

    /// Takes them from the bus; each token is cancelled when that is done.
    pub(super) fn close(self) -> Vec<CancellationToken> {
        self.mirrors.close()
    }

    fn is_shown(&self, peer: PeerId) -> bool {
        self.shown.wanted.borrow().wanted.contains(&peer)
    }
}

impl Shared {
    /// Follows which nodes of a view have their names, until the view ends.
    async fn follow_names(&self, number: u32) {
        loop {
            let named = match self.mirrors.lock().await.get(&number) {
                Some(mirrors) => mirrors.mirrors.named(),
                None => return,
            };
            let named = named.await;
            let all = self.mirrors.lock().await;
            let Some(mirrors) = all.get(&number) else {
                return;
            };
            mirrors.mirrors.settled(named.peer);
            mirrors.shown.wanted.send_modify(|nodes| {
                match named.bus_name {
                    Some(_) => nodes.named.insert(named.peer),
                    None => nodes.named.remove(&named.peer),
                };
            });
        }
    }
}

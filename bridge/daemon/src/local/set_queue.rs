//! The queue of sets for the node, which keeps their order.
//!
//! Model: a set goes to the node at once while the node takes commands. Otherwise it waits in a queue, and so do all
//! later ones. One task empties the queue.
//! Invariants: SETQUEUE-1. nothing overtakes: the queue is looked at, and handed over or queued, in one step.
//! Limits: each set is a call that waits, of which `served::PENDING_MAX` may.

use std::{collections::VecDeque, sync::Mutex};

use tokio::sync::{Notify, oneshot};
use zocp_node::{
    CapPath, Node, NodeError, Value,
    plumbing::{PendingOperation, Permit, Setting},
};

use super::locked;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct SetQueue {
    /// Locked because connection tasks append sets, and one task takes them out.
    waiting: Mutex<VecDeque<(Set, oneshot::Sender<PendingOperation>)>>,
    queued: Notify,
}

/// A value to be set.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) path: CapPath,
    pub(super) value: Value,
    pub(super) setting: Setting,
    /// Told among the node's events when it is done.
    pub(super) mark: u64,
}

impl SetQueue {
    /// Puts a set on its way; its outcome can be awaited.
    pub(super) fn put(
        &self,
        node: &Node,
        set: Set,
    ) -> impl Future<Output = Result<(), NodeError>> + Send + use<> {
        let mut waiting = locked(&self.waiting);
        let permit = waiting.is_empty().then(|| node.try_reserve());
        let (tell, told) = oneshot::channel();
        match permit {
            Some(Ok(permit)) => {
                // Who asked is there: it has not got the other end yet.
                let _ = tell.send(set.begin(permit));
            }
            Some(Err(NodeError::Busy)) | None => {
                waiting.push_back((set, tell));
                self.queued.notify_one();
            }
            Some(Err(_)) => {}
        }
        async move {
            match told.await {
                Ok(begun) => begun.done().await,
                Err(_) => Err(NodeError::Closed),
            }
        }
    }

    /// Empties the queue, for ever.
    pub(super) async fn run(&self, node: &Node) {
        loop {
            self.queued.notified().await;
            while let Ok(permit) = node.reserve().await {
                let mut waiting = locked(&self.waiting);
                let Some((set, tell)) = waiting.pop_front() else {
                    break;
                };
                // Who asked may have gone; it is set all the same.
                let _ = tell.send(set.begin(permit));
            }
        }
    }
}

impl Set {
    fn begin(self, permit: Permit) -> PendingOperation {
        let Self {
            path,
            value,
            setting,
            mark,
        } = self;
        permit.set_local(path, value, setting, mark)
    }
}

//! Who waits until the events of what it did have been followed.
//!
//! Model: marks are numbered; the node puts each among its events, and whoever follows them says when it
//! has come to it.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;
use zocp_node::Node;

use super::locked;

/// A mark that is waited for; forgotten when nobody does any more.
#[derive(Debug)]
pub(super) struct Mark<'a> {
    marks: &'a Marks,
    pub(super) number: u64,
    passed: oneshot::Receiver<()>,
}

impl Mark<'_> {
    /// Waits until the events before it are followed.
    pub(super) async fn passed(mut self) {
        // An error means that nobody follows any more.
        let _ = (&mut self.passed).await;
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        locked(&self.marks.waiting).remove(&self.number);
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Marks {
    last: AtomicU64,
    /// Locked because calls of programs wait for marks, which the task that follows the node reports.
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

impl Marks {
    /// Waits until all that was done with the node before is followed, or the node has ended.
    pub(super) async fn pass(&self, node: &Node) {
        let mark = self.open();
        if node.mark(mark.number).await.is_ok() {
            mark.passed().await;
        }
    }

    /// A mark that somebody is to put among the node's events.
    pub(super) fn open(&self) -> Mark<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (tell, passed) = oneshot::channel();
        locked(&self.waiting).insert(number, tell);
        Mark {
            marks: self,
            number,
            passed,
        }
    }

    /// The events before a mark are followed.
    pub(super) fn passed(&self, number: u64) {
        if let Some(tell) = locked(&self.waiting).remove(&number) {
            // Its asker may have gone.
            let _ = tell.send(());
        }
    }
}

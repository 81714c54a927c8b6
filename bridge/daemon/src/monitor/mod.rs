//! `org.z25.Zocp1.Monitor`: a live stream of events for programs that watch.
//!
//! Model: a [`Monitor`] belongs to a bridge and has *watchers*. A program that opens one is given a
//! descriptor, from which it reads lines of JSON or a capture file until it closes it. Each event is
//! put into the queue of each watcher; a task of each watcher encodes and writes it.
//! Invariants: DAEMONMONITOR-1. While nobody watches, a message costs one relaxed load here, and so does a refusal.
//! DAEMONMONITOR-2. Nothing waits for a watcher: events for which its queue has no room are dropped and counted, and the
//! watcher reads the number. DAEMONMONITOR-3. A watcher ends when its descriptor is closed, and when the bridge ends.
//! Limits: `WATCHERS_MAX` watchers, `WATCHERS_PER_PROGRAM_MAX` of one program; those of `watcher`.
//! Layout: `filter` selects events; `event` is their kinds; `watcher` is a queue and its task; `lines`
//! writes JSON with `calls` for their durations; `capture` writes pcapng with `segment` and `pcapng`;
//! `packets` finds D-Bus messages in whispers.
//! Spec: docs/reference/dbus.md, "Monitor"

mod calls;
mod capture;
mod encoder;
mod event;
mod filter;
mod lines;
mod packets;
mod pcapng;
mod requests;
mod segment;
#[cfg(test)]
mod tests;
mod watcher;

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Variant, message::Header};
use zocp_node::{
    Node,
    plumbing::{TraceEvent, TraceSink},
};

use self::{
    event::{Event, EventKind, RefusedCall},
    filter::Filter,
    watcher::Watcher,
};
use zocp_dbus::{errors::Refusal, report::Observer};

/// The stream of events. Clones share the watchers. See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_watched: AtomicBool,
    /// Locked because the actor of the node and its connection tasks put events into the queues while calls of programs
    /// add watchers and their tasks remove them.
    watchers: Mutex<Vec<Watcher>>,
    /// The node whose trace hook is set while there are watchers, and the tracker of the tasks.
    ground: OnceLock<(Node, TaskTracker)>,
    stop: CancellationToken,
}

impl Monitor {
    /// Sets the node whose mesh is watched.
    pub(crate) fn attach(&self, node: &Node, tasks: &TaskTracker) {
        // A bridge has one node.
        let _ = self.shared.ground.set((node.clone(), tasks.clone()));
    }

    /// Gives a program a descriptor to read from.
    async fn open(&self, program: &str, options: Option<&Variant<'_>>) -> Result<OwnedFd, Refusal> {
        let filter = Filter::read(options)?;
        let Some((node, tasks)) = self.shared.ground.get() else {
            return Err(Refusal::Failed("there is nothing to watch".to_owned()));
        };
        let failed = |error: &dyn std::fmt::Display| Refusal::Failed(error.to_string());
        let peers = node.peers().await.map_err(|error| failed(&error))?;
        let (watcher, theirs) = {
            let mut watchers = self.watchers();
            let own = watchers.iter().filter(|one| one.is_of(program)).count();
            if watchers.len() >= WATCHERS_MAX || own >= WATCHERS_PER_PROGRAM_MAX {
                let text = format!("{} watch already, {own} of this program", watchers.len());
                return Err(Refusal::LimitsExceeded(text));
            }
            let opened = Watcher::open(program, filter, self.shared.stop.child_token());
            let (watcher, theirs, task) = opened.map_err(|error| failed(&error))?;
            watchers.push(watcher.clone());
            // With the list locked: the task of a watcher that ends at once detaches after this.
            self.shared.is_watched.store(true, Ordering::Relaxed);
            node.traffic().trace_hook().attach(Arc::new(self.clone()));
            let (monitor, id) = (self.clone(), watcher.clone());
            tasks.spawn(async move {
                task.await;
                monitor.leave(&id);
            });
            (watcher, theirs)
        };
        for peer in peers {
            let known = EventKind::Known(peer.id, peer.name.into());
            watcher.offer(&Arc::new(Event::now(known)));
        }
        Ok(theirs)
    }

    /// Ends all watching.
    pub(crate) fn close(&self) {
        self.shared.stop.cancel();
    }

    #[cold]
    fn tell(&self, what: EventKind) {
        let event = Arc::new(Event::now(what));
        for watcher in self.watchers().iter() {
            watcher.offer(&event);
        }
    }

    /// A watcher has ended.
    fn leave(&self, watcher: &Watcher) {
        let mut watchers = self.watchers();
        watchers.retain(|one| !one.is(watcher));
        if watchers.is_empty() {
            self.shared.is_watched.store(false, Ordering::Relaxed);
            if let Some((node, _)) = self.shared.ground.get() {
                node.traffic().trace_hook().detach();
            }
        }
    }

    /// Plain data, whole between the steps of each method.
    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.shared
            .watchers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Monitor {
    fn refused(&self, refusal: &Refusal, call: Option<&Header<'_>>) {
        if self.shared.is_watched.load(Ordering::Relaxed) {
            self.tell(EventKind::Refused(RefusedCall::new(refusal, call)));
        }
    }
}

impl TraceSink for Monitor {
    fn record(&self, event: TraceEvent) {
        self.tell(EventKind::Mesh(event));
    }
}

/// More than anybody looks at; each costs a queue entry for each event.
const WATCHERS_MAX: usize = 16;
/// So that one program cannot take all of them.
const WATCHERS_PER_PROGRAM_MAX: usize = 4;

//! Gives orders to a face's node, one after the other, beside the task that reads its events.
//!
//! Model: a face hands over what is to be set and published, as long as there is a place, and hears of what did not
//! work.
//! Limits: [`JOBS_MAX`] orders wait; whoever has more keeps them. [`FAILURES_MAX`] failures wait to be heard.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{
    counts::{self, Counts},
    mesh::{CapPath, Capability, Mesh, PeerId, SetFailure, Value, Withdrawal},
};

/// What a node is to do. `T` is what a face wants back when a value could not be set.
#[derive(Debug)]
pub(crate) enum Job<T> {
    /// Set a value of a peer.
    Set {
        peer: PeerId,
        path: CapPath,
        value: Value,
        about: T,
    },
    /// Publish a capability of this node.
    Publish(CapPath, Capability),
    /// Withdraw something of this node.
    Withdraw(Withdrawal),
    /// Tell a value of this node, as an event or not.
    Tell(CapPath, Value, bool),
    /// Tell what was counted.
    Counts(Counts),
}

/// A worker's two ends.
pub(crate) struct Worker<T> {
    pub(crate) jobs: mpsc::Sender<Job<T>>,
    pub(crate) failures: mpsc::Receiver<(T, SetFailure)>,
    /// The counters that the node shows, or is about to.
    reported: Option<Counts>,
}

impl<T: Send + 'static> Worker<T> {
    pub(crate) fn start(mesh: Mesh) -> Self {
        let (jobs, orders) = mpsc::channel(JOBS_MAX);
        let (failed, failures) = mpsc::channel(FAILURES_MAX);
        tokio::spawn(work(mesh, orders, failed));
        Self {
            jobs,
            failures,
            reported: None,
        }
    }

    /// Hands over what `next` gives; whether that stopped because there is no place left.
    pub(crate) fn fill(&self, mut next: impl FnMut() -> Option<Job<T>>) -> bool {
        loop {
            let Ok(place) = self.jobs.try_reserve() else {
                return true;
            };
            match next() {
                Some(job) => place.send(job),
                None => return false,
            }
        }
    }

    /// Has the node show counters, if they differ from those that it shows. Without a free place the next call does.
    pub(crate) fn report(&mut self, counts: &Counts) {
        if self.reported.as_ref() != Some(counts)
            && self.jobs.try_send(Job::Counts(counts.clone())).is_ok()
        {
            self.reported = Some(counts.clone());
        }
    }
}

async fn work<T>(
    mesh: Mesh,
    mut orders: mpsc::Receiver<Job<T>>,
    failed: mpsc::Sender<(T, SetFailure)>,
) {
    let mut told = Counts::default();
    let mut published = false;
    while let Some(job) = orders.recv().await {
        let outcome = match job {
            Job::Set {
                peer,
                path,
                value,
                about,
            } => {
                if let Err(failure) = mesh.set(peer, path, value).await {
                    // The face may be ending.
                    let _ = failed.send((about, failure)).await;
                }
                Ok(())
            }
            Job::Publish(path, capability) => mesh.publish(path, capability).await,
            Job::Withdraw(withdrawal) => mesh.withdraw(withdrawal).await,
            Job::Tell(path, value, emits) => mesh.tell(path, value, emits).await,
            Job::Counts(counts) => {
                tell_counts(&mesh, &told, &counts, published).await;
                (told, published) = (counts, true);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the node of this face did not take something");
        }
    }
}

async fn tell_counts(mesh: &Mesh, old: &Counts, new: &Counts, published: bool) {
    for ((name, before), (_, value)) in old.values().into_iter().zip(new.values()) {
        let outcome = if !published {
            mesh.publish(counts::path(name), counts::capability(value))
                .await
        } else if before != value {
            mesh.tell(counts::path(name), value, true).await
        } else {
            Ok(())
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, name, "a count was not told");
        }
    }
}

/// Packets or events that a face takes before others have their turn.
pub(crate) const BATCH_MAX: usize = 256;
/// How often a face reports what it counted.
pub(crate) const COUNTS_INTERVAL: Duration = Duration::from_secs(1);
/// Until a face looks again when nothing is due.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);
/// Orders that wait.
pub(crate) const JOBS_MAX: usize = 64;
/// Failures that wait to be heard.
pub(crate) const FAILURES_MAX: usize = 64;

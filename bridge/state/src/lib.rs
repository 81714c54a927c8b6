//! What outlives the bridge: small documents in a directory of their own.
//!
//! Model: a [`StateDir`] is a place. A [`Document`] is a type that is kept there, in a file of its own:
//! JSON, `{"format": "zocp-NAME", "version": 1, "state": …}`. Opening it gives what was kept and a
//! [`Store`]; [`Store::persist`] starts the task that writes, and gives its handle, the [`Persister`]. Who owns
//! the state says when it changed; what it is by then is asked for when it is written.
//! Invariants:
//! STATE-1. A file is whole, the old one or the new one, also after a crash or a full disk: it is written
//!     beside its place, synced, and put there by one rename.
//! STATE-2. What cannot be understood is never written over: a file that is malformed is put aside, one of a
//!     newer version, or one that cannot be read, stays, and nothing is kept until the next start.
//! STATE-3. One bridge writes in a directory. It has a lock on it as long as it runs; a second keeps nothing.
//! STATE-4. Nothing of it is on the way of values: changes wait [`SAVE_DELAY`] to be written together, outside
//!     the tasks of the bridge. What cannot be written is logged once and tried again.
//! Limits: [`LEN_MAX`] octets for a file; [`ASIDE_MAX`] files of each document put aside.
//! Not here: what is kept (`zocp_daemon::local`, `zocp_wires`), where the directory is (`bridge/cli`).
//! Spec: docs/reference/configuration.md, "What is kept".

mod file;
mod persister;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::file::Directory;
pub use self::persister::Persister;

/// What is kept in a file of its own.
pub trait Document: Serialize + DeserializeOwned + Default + Send + 'static {
    /// Its name, which is part of the file's.
    const NAME: &'static str;
    /// The version of its form, raised by every change that an older bridge would misread.
    const VERSION: u32;
}

/// The place where documents are kept. Clones share its lock.
#[derive(Debug, Clone)]
pub struct StateDir {
    directory: Option<Arc<Directory>>,
}

impl StateDir {
    /// A directory, which is made when there is something to keep.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            directory: Some(Arc::new(Directory::new(path))),
        }
    }

    /// No place: nothing is kept.
    #[must_use]
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// What was kept, which is the default where nothing was or where it cannot be understood (that is
    /// logged), and what keeps it from now on.
    pub fn open<D: Document>(&self) -> (D, Store<D>) {
        let Some(directory) = &self.directory else {
            return (D::default(), Store::new(None));
        };
        match directory.read::<D>() {
            Ok(document) => (
                document.unwrap_or_default(),
                Store::new(Some(directory.clone())),
            ),
            Err(error) => {
                tracing::error!(%error, document = D::NAME, "nothing of it is kept until the next start");
                (D::default(), Store::new(None))
            }
        }
    }
}

/// Where a document is kept; nowhere, if that cannot be.
#[derive(Debug)]
#[must_use = "nothing is written before `persist`"]
pub struct Store<D> {
    directory: Option<Arc<Directory>>,
    document: std::marker::PhantomData<fn() -> D>,
}

impl<D: Document> Store<D> {
    fn new(directory: Option<Arc<Directory>>) -> Self {
        Self {
            directory,
            document: std::marker::PhantomData,
        }
    }

    /// Starts to write. `state` is asked for what is to be kept, once for each writing, and must be short.
    /// When `stop` is cancelled, what has changed is written a last time.
    pub fn persist(
        self,
        tasks: &TaskTracker,
        stop: CancellationToken,
        state: impl Fn() -> D + Send + Sync + 'static,
    ) -> Persister {
        match self.directory {
            Some(directory) => Persister::start(tasks, stop, directory, state),
            None => Persister::none(),
        }
    }
}

/// Why a document cannot be read or written. What was in its file is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system does not let us. The operator must act.
    #[error("{}: {source}", path.display())]
    System {
        /// What was to be read or written.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another bridge keeps its state there.
    #[error("{} belongs to another bridge that runs: give this one a place of its own", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A newer bridge has written it.
    #[error("{} has version {found}, and this bridge knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What we can read.
        known: u32,
    },
    /// As many as may be are put aside already; somebody should look at them.
    #[error("{} is malformed ({reason}), as are the {ASIDE_MAX} put aside before", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is more to keep than a file may have.
    #[error("{len} octets are more than {LEN_MAX}")]
    TooLong {
        /// How many there are.
        len: usize,
    },
    /// The bridge has ended, and has written its state before.
    #[error("the bridge has ended")]
    Closed,
    /// It has no form in JSON: our fault.
    #[error("cannot be written as JSON: {0}")]
    Unwritable(String),
}

/// How long changes wait for others. A crash loses at most what changed since.
pub const SAVE_DELAY: Duration = Duration::from_secs(1);
/// Octets of a file: far more than publications and wires need.
pub const LEN_MAX: usize = 16 * 1024 * 1024;
/// Malformed files of one document that are kept to be looked at.
pub const ASIDE_MAX: usize = 9;

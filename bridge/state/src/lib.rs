//! State that outlives the bridge: small documents in a directory of their own.
//!
//! Model: a [`StateDir`] is the directory. A [`Document`] is a type that is saved there in its own file, as JSON:
//! `{"format": "zocp-NAME", "version": 1, "state": …}`. Opening a document returns the saved value and a [`Store`];
//! [`Store::persist`] starts the task that writes the document, and returns its handle, the [`Persister`]. The owner
//! of the state reports changes; the task requests the current state when it writes.
//! Invariants:
//! STATE-1. A file is complete, the old or the new version, even after a crash or on a full disk: it is written to a
//!     temporary file, synced, and renamed.
//! STATE-2. A file that cannot be read is never overwritten. A malformed file is renamed; a file of a newer version,
//!     or one that the system cannot read, stays, and the document is not saved until the next start.
//! STATE-3. Only one bridge writes to a directory. It holds a lock while it runs; a second bridge saves nothing.
//! STATE-4. Saving never delays values: changes are collected for [`SAVE_DELAY`] and written outside the tasks of the
//!     bridge. A failure to write is logged once, and writing is retried.
//! Limits: [`LEN_MAX`] octets for a file; [`ASIDE_MAX`] renamed malformed files of each document.
//! Not here: the contents of documents (`zocp_daemon::local`, `zocp_wires`), the path of the directory (`bridge/cli`).
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

/// A type that is saved in its own file.
pub trait Document: Serialize + DeserializeOwned + Default + Send + 'static {
    /// Its name, which is part of the name of the file.
    const NAME: &'static str;
    /// The version of its format. It must be raised with every change that an older bridge would misread.
    const VERSION: u32;
}

/// The directory of documents. Clones share its lock.
#[derive(Debug, Clone)]
pub struct StateDir {
    directory: Option<Arc<Directory>>,
}

impl StateDir {
    /// A directory. It is created when a document is first written.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            directory: Some(Arc::new(Directory::new(path))),
        }
    }

    /// No directory: nothing is saved.
    #[must_use]
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// Reads a document; the default if there is no file or if it cannot be read, which is logged. The returned
    /// store saves it from now on.
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
                tracing::error!(%error, document = D::NAME, "cannot read the saved state: changes are not saved until the next start");
                (D::default(), Store::new(None))
            }
        }
    }
}

/// Where a document is saved, if it can be.
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

    /// Starts the task that saves the document. `state` must return the current state quickly; it is called once for
    /// each write. When `stop` is cancelled, unsaved changes are written a last time.
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

/// Why a document cannot be read or written. The contents of its file are preserved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system reports an error. The operator must act.
    #[error("{}: {source}", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// Another bridge uses the directory.
    #[error("{} is in use by another running bridge: configure another directory for this one", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file was written by a newer bridge.
    #[error("{} has version {found}, and this bridge knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this bridge can read.
        known: u32,
    },
    /// The file is malformed, and the limit of renamed malformed files is reached; the operator should examine them.
    #[error("{} is malformed ({reason}), as are the {ASIDE_MAX} files that were renamed before", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        reason: String,
    },
    /// The document is larger than a file may be.
    #[error("the state has {len} octets, more than the limit of {LEN_MAX}")]
    TooLong {
        /// Its octets.
        len: usize,
    },
    /// The bridge has ended, after it wrote the state a last time.
    #[error("the bridge has ended")]
    Closed,
    /// The document cannot be converted to JSON, which is a bug of the bridge.
    #[error("cannot be written as JSON: {0}")]
    Unwritable(String),
}

/// How long changes are collected before they are written. A crash loses at most the changes since then.
pub const SAVE_DELAY: Duration = Duration::from_secs(1);
/// Octets of a file: far more than publications and wires need.
pub const LEN_MAX: usize = 16 * 1024 * 1024;
/// Renamed malformed files of one document, for the operator to examine.
pub const ASIDE_MAX: usize = 9;

//! Files that messages named: which ones a peer may ask for, and the copies of those of peers.
//!
//! Model: what passed to a peer in a member that names files may be asked for by that peer, and by nobody else. A copy
//! has a name that follows from its content, so that programs which remember pictures by their names see a new one.
//! Copies are in a
//! directory that only this user can enter, which is made for the first one and removed with the bridge.
//! Limits: [`ANNOUNCED_MAX`] files of a peer, then the oldest ones are forgotten; [`COPIES_MAX`] copies of
//! [`COPIES_LEN_MAX`] octets, then those that were used longest ago are removed.

use std::{
    collections::{HashMap, VecDeque},
    env, fs,
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::Instant;
use zocp_node::PeerId;

use crate::lock::lock;

/// See the [module](self). Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamedFiles(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Where copies are, once there was one.
    /// Locked because the directory is made by whichever task copies the first file.
    directory: Mutex<Option<TempDir>>,
    keys: [RandomState; 2],
    /// Locked because connection tasks enter and look up files, and blocking tasks copy them.
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// By the peer to which they were named, the newest last.
    announced: HashMap<PeerId, VecDeque<Box<str>>>,
    copies: HashMap<(PeerId, Box<str>), FileCopy>,
    /// All copies, that which was used last at the end.
    used: VecDeque<(PathBuf, usize)>,
}

#[derive(Debug)]
struct FileCopy {
    path: PathBuf,
    since: Instant,
}

impl NamedFiles {
    /// Files were named to a peer.
    pub(crate) fn announce(&self, peer: PeerId, names: Vec<String>) {
        let mut tables = self.tables();
        let announced = tables.announced.entry(peer).or_default();
        for name in names {
            announced.retain(|known| **known != *name);
            announced.push_back(name.into());
        }
        let excess = announced.len().saturating_sub(ANNOUNCED_MAX);
        announced.drain(..excess);
    }

    /// Whether a peer may have a file.
    pub(crate) fn is_announced(&self, peer: PeerId, name: &str) -> bool {
        let tables = self.tables();
        let announced = tables.announced.get(&peer);
        announced.is_some_and(|names| names.iter().any(|known| **known == *name))
    }

    /// The copy of a file of a peer, if it is new.
    pub(crate) fn copy(&self, peer: PeerId, name: &str) -> Option<PathBuf> {
        let mut tables = self.tables();
        let copy = tables.copies.get(&(peer, name.into()))?;
        if copy.since.elapsed() > COPY_AGE_MAX {
            return None;
        }
        let path = copy.path.clone();
        tables.touch(&path, None);
        Some(path)
    }

    /// Keeps the octets of a file of a peer; where. Writes to the disk.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn keep(
        &self,
        (peer, name): (PeerId, &str),
        octets: &[u8],
        ending: &str,
    ) -> io::Result<PathBuf> {
        let directory = self.directory()?;
        let [one, two] = self.0.keys.each_ref().map(|key| key.hash_one(octets));
        let path = directory.join(format!("{one:016x}{two:016x}.{ending}"));
        if !path.exists() {
            let partial = directory.join(format!("{one:016x}{two:016x}.part"));
            fs::write(&partial, octets)?;
            fs::rename(&partial, &path)?;
        }
        let mut tables = self.tables();
        let copy = FileCopy {
            path: path.clone(),
            since: Instant::now(),
        };
        tables.copies.insert((peer, name.into()), copy);
        tables.touch(&path, Some(octets.len()));
        let old = tables.take_old();
        drop(tables);
        for path in old {
            remove(&path);
        }
        Ok(path)
    }

    /// A peer is gone.
    pub(crate) fn forget(&self, peer: PeerId) {
        let mut tables = self.tables();
        tables.announced.remove(&peer);
        tables.copies.retain(|(its, _), _| *its != peer);
    }

    fn directory(&self) -> io::Result<PathBuf> {
        let mut directory = lock(&self.0.directory);
        if let Some(directory) = &*directory {
            return Ok(directory.path().to_owned());
        }
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        let place = runtime.map_or_else(env::temp_dir, PathBuf::from);
        // It is made with the permissions 0700.
        let made = tempfile::Builder::new()
            .prefix("zocp-files-")
            .tempdir_in(place)?;
        let path = made.path().to_owned();
        *directory = Some(made);
        Ok(path)
    }

    /// Plain data, whole between the steps of each method.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.0.tables)
    }
}

impl Tables {
    /// A copy is used, or kept with this length.
    fn touch(&mut self, path: &Path, len: Option<usize>) {
        let at = self.used.iter().position(|(known, _)| known == path);
        let known = at.and_then(|at| self.used.remove(at)).map(|(_, len)| len);
        if let Some(len) = len.or(known) {
            self.used.push_back((path.to_owned(), len));
        }
    }

    /// Takes out what is more than there may be.
    fn take_old(&mut self) -> Vec<PathBuf> {
        let mut octets: usize = self.used.iter().map(|(_, len)| len).sum();
        let mut old = Vec::new();
        while self.used.len() > COPIES_MAX || octets > COPIES_LEN_MAX {
            let Some((path, len)) = self.used.pop_front() else {
                break;
            };
            octets -= len;
            old.push(path);
        }
        self.copies.retain(|_, copy| !old.contains(&copy.path));
        old
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "an old copy of a file cannot be removed");
    }
}

/// Files that a peer may ask for.
const ANNOUNCED_MAX: usize = 64;
/// Copies of files of all peers.
const COPIES_MAX: usize = 128;
/// Octets of all of them.
const COPIES_LEN_MAX: usize = 64 << 20;
/// How long a copy is taken for the file. A message that names the file after that has it copied anew.
const COPY_AGE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::new([number; 16])
    }

    #[test]
    fn a_peer_may_have_what_was_named_to_it_lately_and_nothing_else() {
        let files = NamedFiles::default();
        files.announce(peer(1), vec!["/a".to_owned()]);
        assert!(files.is_announced(peer(1), "/a"));
        assert!(!files.is_announced(peer(1), "/b") && !files.is_announced(peer(2), "/a"));
        let many = (0..ANNOUNCED_MAX).map(|number| format!("/{number}"));
        files.announce(peer(1), many.collect());
        assert!(!files.is_announced(peer(1), "/a") && files.is_announced(peer(1), "/0"));
        files.forget(peer(1));
        assert!(!files.is_announced(peer(1), "/0"));
    }

    #[test]
    fn copies_are_named_by_content_and_the_oldest_ones_are_removed() {
        let files = NamedFiles::default();
        let keep = |name: &str, octets: &[u8]| files.keep((peer(1), name), octets, "png").unwrap();
        let first = keep("/a", b"one");
        assert_eq!(fs::read(&first).unwrap(), b"one");
        assert_eq!(keep("/b", b"one"), first);
        assert_ne!(keep("/a", b"two"), first);
        assert_eq!(files.copy(peer(1), "/b"), Some(first.clone()));
        assert_eq!(files.copy(peer(2), "/b"), None);
        for number in 0..COPIES_MAX {
            keep("/c", format!("{number}").as_bytes());
        }
        assert!(!first.exists());
        assert_eq!(files.copy(peer(1), "/b"), None);
        let directory = files.directory().unwrap();
        let count = || fs::read_dir(&directory).unwrap().count();
        assert_eq!(count(), COPIES_MAX);
        let large = vec![7; COPIES_LEN_MAX / 2 + 1];
        keep("/d", &large);
        keep("/e", &[&large[..], b"x"].concat());
        assert_eq!(count(), 1);
        drop(files);
        assert!(!directory.exists());
    }
}

//! The files of documents: reading, renaming malformed ones, replacing.
//!
//! Model: [`Directory`] is the path with its lock, which is taken at the first read or write. All functions block. The
//! names of temporary files are fixed, because only the owner of the lock writes.
//! Invariants: those of [`super`].

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{ASIDE_MAX, Document, LEN_MAX, StateError};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The open and thereby locked lock file, once it was needed.
    /// Locked because documents are read and written by blocking threads, of which the first opens the lock file.
    lock: Mutex<Option<File>>,
}

/// The fields that are checked before the state is parsed.
#[derive(Debug, Deserialize)]
struct Heading {
    format: String,
    version: u32,
}

/// The contents of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Whole<D> {
    format: String,
    version: u32,
    state: D,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock: Mutex::new(None),
        }
    }

    /// Reads a document. `None` if there is no file, or if it was malformed and was renamed.
    pub(super) fn read<D: Document>(&self) -> Result<Option<D>, StateError> {
        let file = self.file_of::<D>();
        if !self.exists(&file)? {
            return Ok(None);
        }
        self.lock()?;
        let octets = match read_bounded(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            octets => octets.map_err(|source| system(&file, source))?,
        };
        match parse::<D>(&file, octets.as_deref())? {
            Ok(document) => Ok(Some(document)),
            Err(reason) => {
                let place = self.put_aside::<D>(&file, &reason)?;
                let (file, place) = (file.display(), place.display());
                tracing::error!(%file, %place, reason, "malformed: put aside, and begun anew");
                Ok(None)
            }
        }
    }

    /// Formats a document.
    pub(super) fn form<D: Document>(document: D) -> Result<Vec<u8>, StateError> {
        let whole = Whole {
            format: format_of::<D>(),
            version: D::VERSION,
            state: document,
        };
        let mut octets = serde_json::to_vec_pretty(&whole)
            .map_err(|error| StateError::Unwritable(error.to_string()))?;
        octets.push(b'\n');
        match octets.len() {
            len if len > LEN_MAX => Err(StateError::TooLong { len }),
            _ => Ok(octets),
        }
    }

    /// Replaces the file of a document.
    pub(super) fn write<D: Document>(&self, octets: &[u8]) -> Result<(), StateError> {
        self.lock()?;
        let file = self.file_of::<D>();
        let beside = self.path.join(format!(".{}.json.new", D::NAME));
        let written = write_synced(&beside, octets);
        written.map_err(|source| system(&beside, source))?;
        fs::rename(&beside, &file).map_err(|source| system(&file, source))?;
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(|source| system(&self.path, source))
    }

    fn file_of<D: Document>(&self) -> PathBuf {
        self.path.join(format!("{}.json", D::NAME))
    }

    fn exists(&self, file: &Path) -> Result<bool, StateError> {
        file.try_exists().map_err(|source| system(file, source))
    }

    /// Creates and locks the directory, once.
    fn lock(&self) -> Result<(), StateError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.path);
        made.map_err(|source| system(&self.path, source))?;
        let path = self.path.join("lock");
        let file = writable().open(&path);
        let file = file.map_err(|source| system(&path, source))?;
        match file.try_lock() {
            Ok(()) => *lock = Some(file),
            Err(TryLockError::WouldBlock) => {
                let path = self.path.clone();
                return Err(StateError::Locked { path });
            }
            Err(TryLockError::Error(source)) => return Err(system(&path, source)),
        }
        Ok(())
    }

    /// Renames a malformed file, so that the operator can examine it.
    fn put_aside<D: Document>(&self, file: &Path, reason: &str) -> Result<PathBuf, StateError> {
        for number in 1..=ASIDE_MAX {
            let place = self
                .path
                .join(format!("{}.json.malformed-{number}", D::NAME));
            if !self.exists(&place)? {
                fs::rename(file, &place).map_err(|source| system(file, source))?;
                return Ok(place);
            }
        }
        Err(StateError::Malformed {
            path: file.to_owned(),
            reason: reason.to_owned(),
        })
    }
}

/// Parses a document; the inner error describes a malformed file.
fn parse<D: Document>(file: &Path, octets: Option<&[u8]>) -> Result<Result<D, String>, StateError> {
    let Some(octets) = octets else {
        return Ok(Err(format!("it is longer than {LEN_MAX} octets")));
    };
    let heading: Heading = match serde_json::from_slice(octets) {
        Ok(heading) => heading,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if heading.format != format_of::<D>() {
        return Ok(Err(format!("its format is {:?}", heading.format)));
    }
    if heading.version > D::VERSION {
        return Err(StateError::Newer {
            path: file.to_owned(),
            found: heading.version,
            known: D::VERSION,
        });
    }
    let whole = serde_json::from_slice::<Whole<D>>(octets);
    Ok(whole
        .map(|whole| whole.state)
        .map_err(|error| error.to_string()))
}

/// The octets of a file; `None` if it is too long.
fn read_bounded(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let most = LEN_MAX as u64;
    let mut octets = Vec::new();
    File::open(file)?.take(most + 1).read_to_end(&mut octets)?;
    Ok((octets.len() as u64 <= most).then_some(octets))
}

fn write_synced(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = writable().truncate(true).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// Options for a file that only its owner can read.
fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn format_of<D: Document>() -> String {
    format!("zocp-{}", D::NAME)
}

fn system(path: &Path, source: io::Error) -> StateError {
    StateError::System {
        path: path.to_owned(),
        source,
    }
}

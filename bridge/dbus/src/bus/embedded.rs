//! A bus of the bridge's own, for machines without one.
//!
//! Model: a private directory with one socket, at which [`zocp_bus`] is served within the bridge, whether a
//! `dbus-daemon` is installed or not: so the bus is the same on every machine. Only the user who started the bridge,
//! and root, can reach it. The directory is locked as long as the bus runs; one that nobody has locked was left by a
//! bridge that was killed.
//! Invariants: EMBEDDED-1. the address never changes. EMBEDDED-2. the bus does not outlive the bridge, and its directory not the next
//! start of one.
//! Spec: docs/reference/bus.md

use std::{
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use zocp_bus::{Server, ServerConfig};

use super::BusError;

/// A bus of the bridge's own. It ends when this is dropped.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    address: String,
    /// Taken when it ends.
    server: Option<Server>,
    /// The lock, which the kernel gives back at our end, whatever that is.
    _lock: File,
}

impl Embedded {
    /// Starts a bus in a new private directory. Needs a runtime of tokio.
    ///
    /// # Errors
    /// When there is no place for its socket.
    pub fn start() -> Result<Self, BusError> {
        let (directory, lock) = choose_directory()?;
        let socket = directory.join(SOCKET);
        let server = Server::bind(&socket, ServerConfig::for_user()).map_err(|source| {
            remove(&directory);
            BusError::Place {
                path: socket.clone(),
                source,
            }
        })?;
        Ok(Self {
            directory,
            address: format!("unix:path={}", escape(&socket)),
            server: Some(server),
            _lock: lock,
        })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.server.take());
        remove(&self.directory);
    }
}

/// A new directory that only we can enter, and its lock: in the user's runtime directory, else in that for
/// temporary files.
fn choose_directory() -> Result<(PathBuf, File), BusError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let places = runtime
        .map(PathBuf::from)
        .into_iter()
        .chain([std::env::temp_dir()]);
    let mut failure = None;
    for place in places {
        remove_left(&place);
        // Mode 0700 by the crate's promise; `keep` because the end of it is ours to decide.
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place);
        let locked = made.and_then(|directory| {
            let lock = File::open(directory.path())?;
            lock.try_lock().map_err(std::io::Error::from)?;
            Ok((directory.keep(), lock))
        });
        match locked {
            Ok(locked) => return Ok(locked),
            Err(source) => {
                failure = Some(BusError::Place {
                    path: place,
                    source,
                })
            }
        }
    }
    Err(failure.unwrap_or_else(|| BusError::Embedded(String::from("no directory to be in"))))
}

/// Removes the directories of bridges that were killed: ours, with a socket, and locked by nobody. One without a
/// socket may be another's that starts at this moment.
fn remove_left(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        // What is another user's cannot be opened, or not be removed.
        if is_ours
            && entry.path().join(SOCKET).exists()
            && let Ok(lock) = File::open(entry.path())
            && lock.try_lock().is_ok()
        {
            remove(&entry.path());
        }
    }
}

fn remove(directory: &Path) {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, directory = %directory.display(), "cannot remove");
        }
        _ => {}
    }
}

/// A path as a value in a D-Bus address: what is not plain becomes `%` and two hex digits.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for &octet in path.as_os_str().as_bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' | b'.' => {
                text.push(char::from(octet));
            }
            _ => text.push_str(&format!("%{octet:02x}")),
        }
    }
    text
}

/// The name of the socket in its directory, and what the name of the directory begins with.
const SOCKET: &str = "bus";
const PREFIX: &str = "zocp-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_for_an_address() {
        assert_eq!(escape(Path::new("/tmp/a b;c")), "/tmp/a%20b%3bc");
        assert_eq!(
            escape(Path::new("/run/user/1000/zocp-x_1.2")),
            "/run/user/1000/zocp-x_1.2"
        );
    }
}

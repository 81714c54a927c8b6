//! A bus within the bridge: for machines without a bus, and for views.
//!
//! Model: [`zocp_bus`] is served at a socket in a private directory, whether or not `dbus-daemon` is installed, so the
//! bus is the same on every machine. Only the user who started the bridge, and root, can connect. The directory is
//! locked while the bus runs; a directory without a lock was left by a bridge that was killed.
//! Invariants: EMBEDDED-1. The address never changes. EMBEDDED-2. The bus ends with the bridge, and its directory is
//! removed at the next start of a bridge at the latest.
//! Spec: docs/reference/bus.md

use std::{
    fs::{File, Permissions},
    num::NonZeroU32,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use zocp_bus::{Handle, Server, ServerConfig};

use super::BusError;

/// A bus within the bridge. It ends when this value is dropped.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    address: String,
    /// `None` once it has ended.
    server: Option<Server>,
    /// The lock, which the kernel releases when the process ends for any reason.
    _lock: File,
}

impl Embedded {
    /// Starts a bus in a new private directory. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The directory or the socket could not be made.
    pub fn start() -> Result<Self, BusError> {
        Self::numbered(NonZeroU32::MIN)
    }

    /// The same, of a bus with this number: buses with different numbers have no unique name in common.
    ///
    /// # Errors
    /// The directory or the socket could not be made.
    pub fn numbered(number: NonZeroU32) -> Result<Self, BusError> {
        let config = ServerConfig {
            number: Some(number),
            ..ServerConfig::for_user()
        };
        let (directory, lock) = choose_directory()?;
        let socket = directory.join(SOCKET);
        let server = Server::bind(&socket, config).map_err(|source| {
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

    /// The bus, for connections without a socket; `None` once it has ended.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.server.as_ref().map(Server::handle)
    }

    /// The address for clients.
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

/// Creates and locks a directory that only this user can enter: in the user's runtime directory, else in the
/// directory for temporary files.
fn choose_directory() -> Result<(PathBuf, File), BusError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let places = runtime
        .map(PathBuf::from)
        .into_iter()
        .chain([std::env::temp_dir()]);
    let mut failure = None;
    for place in places {
        remove_left(&place);
        // It is kept because this module removes it.
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&place);
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
    Err(failure.unwrap_or_else(|| BusError::Embedded(String::from("no directory for the socket"))))
}

/// Removes the directories of bridges that were killed: they belong to this user, have a socket and are not locked.
/// A directory without a socket may belong to a bridge that is starting.
fn remove_left(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        // A directory of another user cannot be opened or removed.
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
            tracing::warn!(%error, directory = %directory.display(), "cannot remove the directory of an embedded bus");
        }
        _ => {}
    }
}

/// A path as a value in a D-Bus address: special characters become `%` and two hex digits.
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

/// The name of the socket, and the prefix of the directory.
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

//! A bus of the bridge's own, for machines without one.
//!
//! Model: a private directory with one socket; in it an installed `dbus-daemon`, else the built-in
//! [`busd`](super::busd). Only the user who started the bridge can reach it.
//! Invariants: I1. the address never changes. I2. neither the bus nor its directory outlives the
//! bridge, however that ends; only with busd a bridge that is killed leaves its directory.
//! Limits: a bus that ends is started again after [`RESTART_PAUSE`].

use std::{
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{BusError, busd::Busd, dbus_daemon::DbusDaemon};

/// A bus of the bridge's own.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    address: String,
    broker: Broker,
}

impl Embedded {
    /// Starts a bus in a new private directory.
    ///
    /// # Errors
    /// When there is no place for its socket, or neither broker comes up.
    pub async fn start() -> Result<Self, BusError> {
        let directory = choose_directory()?;
        let address = format!("unix:path={}", escape(&directory.join("bus")));
        let broker = Broker::start(&directory, &address).await?;
        Ok(Self {
            directory,
            address,
            broker,
        })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Which program it is: `dbus-daemon` or `busd`.
    #[must_use]
    pub fn broker(&self) -> &'static str {
        match self.broker {
            Broker::DbusDaemon(_) => "dbus-daemon",
            Broker::Busd(_) => "busd",
        }
    }

    /// Waits for the end of the bus and starts it again; never ends itself. Cancel safe: what is lost
    /// by a cancellation is a start that is tried again at the next call.
    pub async fn keep(&mut self) {
        loop {
            self.broker.ended().await;
            tracing::error!(
                address = self.address,
                "the embedded bus ended: starting it again"
            );
            tokio::time::sleep(RESTART_PAUSE).await;
            match self.restart().await {
                Ok(broker) => self.broker = broker,
                Err(error) => tracing::error!(%error, "the embedded bus does not start"),
            }
        }
    }

    /// Ends the bus and removes its directory.
    pub async fn stop(self) {
        self.broker.stop().await;
        remove(&self.directory);
    }

    async fn restart(&self) -> Result<Broker, BusError> {
        remove(&self.directory);
        create(&self.directory)?;
        Broker::start(&self.directory, &self.address).await
    }
}

#[derive(Debug)]
enum Broker {
    DbusDaemon(DbusDaemon),
    Busd(Busd),
}

impl Broker {
    async fn start(directory: &Path, address: &str) -> Result<Self, BusError> {
        match DbusDaemon::start(directory, address).await {
            Ok(daemon) => Ok(Self::DbusDaemon(daemon)),
            Err(reason) => {
                tracing::info!(reason, "no dbus-daemon: using the built-in bus");
                let busd = Busd::start(address).await.map_err(BusError::Embedded)?;
                Ok(Self::Busd(busd))
            }
        }
    }

    async fn ended(&mut self) {
        match self {
            Self::DbusDaemon(daemon) => daemon.ended().await,
            Self::Busd(busd) => busd.ended().await,
        }
    }

    async fn stop(self) {
        match self {
            Self::DbusDaemon(daemon) => daemon.stop().await,
            Self::Busd(busd) => busd.stop().await,
        }
    }
}

/// A new directory that only we can enter: in the user's runtime directory, else in that for
/// temporary files.
fn choose_directory() -> Result<PathBuf, BusError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let places = runtime
        .map(PathBuf::from)
        .into_iter()
        .chain([std::env::temp_dir()]);
    let mut failure = None;
    for place in places {
        // Mode 0700 by the crate's promise; `keep` because the end of it is ours to decide.
        match tempfile::Builder::new().prefix("zocp-").tempdir_in(&place) {
            Ok(directory) => return Ok(directory.keep()),
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

fn create(directory: &Path) -> Result<(), BusError> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(|source| BusError::Place {
            path: directory.to_owned(),
            source,
        })
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

/// A broker that dies at once each time must not keep a core busy.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

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

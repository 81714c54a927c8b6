//! The configuration file, read at the start and again at SIGHUP.
//!
//! Model: what flags and environment said lies over the file, each time it is read. What is different is
//! told on stderr; rules are followed at once, the rest at the next start.
//! Invariants: READING-1. a file that is not a configuration changes nothing, and is told by file, line and key.
//! READING-2. the service manager, which was told of the reading, is told of its end, also when it failed.

use std::{env, path::PathBuf};

use rustix::time::{ClockId, clock_gettime};
use tokio::{signal::unix::Signal, sync::mpsc};
use zocp_daemon::config::{
    Config, ConfigError, Difference, Reload, Settings, StateConfig, search_path, state_place,
};
use zocp_node::PublicKey;

use crate::{exit::Failure, notify::notify};

/// See the [module](self).
pub(super) struct Reading {
    /// The file that was named, if one was.
    place: Option<PathBuf>,
    /// What flags and environment said.
    said: Config,
    /// All that is said now.
    now: Config,
}

impl Reading {
    /// Reads the file for the first time.
    pub(super) fn new(place: Option<PathBuf>, said: Config) -> Result<Self, Failure> {
        let mut reading = Self {
            place,
            said,
            now: Config::default(),
        };
        reading.now = reading.read()?;
        Ok(reading)
    }

    /// What it means.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.now.clone().check()?)
    }

    /// Reads the file again at each signal, until nobody wants that any more; then pends. `key` is what the
    /// bridge runs with.
    pub(super) async fn follow(
        mut self,
        mut hangup: Signal,
        key: Option<PublicKey>,
        reload: mpsc::Sender<Reload>,
    ) {
        while hangup.recv().await.is_some() {
            notify(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", microseconds()));
            match self.read_again(key) {
                Ok(settings) => {
                    if reload.send(settings).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    eprintln!("{error}");
                    eprintln!("zocp: the file is not followed; all stays as it was");
                    notify("READY=1\n");
                }
            }
        }
        std::future::pending().await
    }

    fn read_again(&mut self, key: Option<PublicKey>) -> Result<Reload, Failure> {
        let new = self.read()?;
        let reload = new.clone().check()?.reload(key)?;
        let difference = Difference::between(&self.now, &new);
        eprintln!("zocp: the configuration was read again");
        for line in &difference.followed {
            eprintln!("zocp: {line}");
        }
        for section in &difference.waiting {
            eprintln!("zocp: {section} is followed at the next start");
        }
        self.now = new;
        Ok(reload)
    }

    /// The file that is read, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let found = || places().into_iter().find(|place| place.exists());
        self.place.clone().or_else(found)
    }

    fn read(&self) -> Result<Config, ConfigError> {
        let file = match &self.place {
            Some(file) => Config::read(file)?,
            None => Config::find(&places())?,
        };
        Ok(self.said.clone().over(file).over(customary()))
    }
}

/// Where the file may be.
fn places() -> Vec<PathBuf> {
    search_path(directory("XDG_CONFIG_HOME"), directory("HOME"))
}

/// What is the custom on this machine, unless something else is said.
fn customary() -> Config {
    let directory = state_place(directory("XDG_STATE_HOME"), directory("HOME"));
    Config {
        state: StateConfig { directory },
        ..Config::default()
    }
}

fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

/// The clock that the service manager compares with.
fn microseconds() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

//! A `dbus-daemon` of a test's own, ended with the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test's helpers fail like the test, and say to a bus what they want"
)]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;
use zbus::{Connection, Message, connection::Builder};

use crate::message::Outgoing;

/// A bus that ends when it is dropped.
pub struct TestBus {
    daemon: Child,
    /// Its D-Bus address.
    pub address: String,
}

impl TestBus {
    /// Starts one.
    pub fn start() -> Self {
        Self::spawn(&[], NOWHERE)
    }

    /// Starts one that listens at this address.
    pub fn listening(address: &str) -> Self {
        Self::spawn(&[format!("--address={address}")], NOWHERE)
    }

    /// Starts one that can start the services of a directory: of its `dbus-1/services`.
    pub fn with_services(data: &Path) -> Self {
        Self::spawn(&[], data)
    }

    fn spawn(arguments: &[String], data: impl AsRef<Path>) -> Self {
        let data = data.as_ref();
        let spawned = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .args(arguments)
            .env("XDG_DATA_HOME", data)
            .env("XDG_DATA_DIRS", data)
            .env_remove("XDG_RUNTIME_DIR")
            .stdout(Stdio::piped())
            .spawn();
        let mut daemon = spawned.expect("dbus-daemon runs: Debian's package dbus-daemon has it");
        let mut address = String::new();
        let out = daemon.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        Self { daemon, address }
    }

    /// Connects a client.
    pub async fn client(&self) -> Connection {
        let address = self.address.as_str();
        Builder::address(address).build().await.unwrap()
    }

    /// Runs a command on this bus and returns its output; it must succeed.
    pub async fn run(&self, command: &[&str]) -> String {
        let output = soon(
            tokio::process::Command::new(command[0])
                .args(&command[1..])
                .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
                .output(),
        )
        .await
        .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops the process until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues the process.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon), signal).unwrap();
    }

    /// Ends the bus now.
    pub fn kill(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message with a reserved path: a bus disconnects a client that sends it.
pub fn unlawful_message() -> Outgoing {
    let local = "org.freedesktop.DBus.Local";
    let signal = Message::signal("/org/freedesktop/DBus/Local", local, "Disconnected");
    Outgoing::unlawful(signal.build(&()).unwrap())
}

/// Awaits a future, with a timeout that only a deadlock exceeds.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("within 20 s")
}

/// No service of the user's session is started on the bus of a test.
const NOWHERE: &str = "/nonexistent";

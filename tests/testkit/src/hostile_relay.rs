//! A relay of TCP on a host, that records what passes and changes it: `tests/peers/hostile_relay.py`.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::path::PathBuf;

use crate::{Host, Lab, Program, tools};

/// A running relay.
pub struct HostileRelay {
    /// Its process.
    pub program: Program,
    /// Where it writes what passes.
    records: PathBuf,
}

impl HostileRelay {
    /// Starts one on `host`, which passes on what comes to `port` to the same port of `target`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(lab: &Lab, host: &Host, port: u16, target: &str) -> Self {
        let records = PathBuf::from(lab.path("records"));
        std::fs::create_dir_all(&records).expect("a directory");
        let port = port.to_string();
        let program = host
            .command("python3")
            .arg(tools::peers().join("hostile_relay.py"))
            .args([port.as_str(), target, port.as_str()])
            .arg(&records)
            .start();
        program.says("listening").await;
        Self { program, records }
    }

    /// Has it do something to the next octets of the newest connection to the target, and waits until it has.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn tricks(&mut self, trick: &str) {
        self.program.tell(trick).await;
        self.program.says("done ").await;
    }

    /// All that passed, of all connections, both ways.
    ///
    /// # Panics
    /// When a record cannot be read.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        let records = std::fs::read_dir(&self.records).expect("its directory");
        let records = records.map(|record| std::fs::read(record.expect("a record").path()));
        records
            .flat_map(|record| record.expect("it is there"))
            .collect()
    }
}

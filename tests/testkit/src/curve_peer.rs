//! Sockets of libzmq with CURVE, `tests/peers/curve_peer.py`.
//!
//! Its commands and events are described there.

use serde_json::{Value, json};

use crate::{Cmd, Host, Program, tools};

/// A running process with a ROUTER, and DEALERs at command.
pub struct CurvePeer {
    /// Its process.
    pub program: Program,
    endpoint: String,
    key: String,
}

impl CurvePeer {
    /// Starts it where the test itself is, outside all hosts, with this secret key in Z85. It sends a PING
    /// every 100 ms.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_here(secret: &str) -> Self {
        let command = Cmd::new(&tools::python().to_string_lossy()).label("libzmq");
        Self::launch(with_script(command, secret).args(["--heartbeat", "100"])).await
    }

    /// Starts it on a host, where its ROUTER listens at `address`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(host: &Host, secret: &str, address: &str) -> Self {
        let command = host.command(&tools::python().to_string_lossy());
        let command = with_script(command, secret).label(&format!("{} libzmq", host.name()));
        Self::launch(command.args(["--listen", address])).await
    }

    async fn launch(command: Cmd) -> Self {
        let mut peer = Self {
            program: command.start(),
            endpoint: String::new(),
            key: String::new(),
        };
        let ready = peer.event("ready", |_| true).await;
        peer.endpoint = ready["endpoint"].as_str().unwrap_or_default().to_owned();
        peer.key = ready["key"].as_str().unwrap_or_default().to_owned();
        peer
    }

    /// Where its ROUTER listens, `tcp://address:port`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its public key in Z85.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Carries out a command, and waits until it is done.
    ///
    /// # Panics
    /// When the process has ended.
    pub async fn command(&mut self, command: Value) {
        let verb = command
            .as_object()
            .and_then(|object| object.keys().next())
            .cloned()
            .unwrap_or_default();
        self.program.tell(&command.to_string()).await;
        self.event("done", |done| done["command"] == json!(verb))
            .await;
    }

    /// Waits for an event of the kind that `wanted` agrees with, and takes it.
    ///
    /// # Panics
    /// At the deadline, and when the process has ended.
    pub async fn event(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let pick = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == json!(kind) && wanted(&event)).then_some(event)
        };
        self.program
            .says_like(&format!("the event {kind}"), pick)
            .await
    }

    /// Waits for the next message at `"router"` or `"dealer"`: its frames, in hexadecimal.
    ///
    /// # Panics
    /// As [`event`](Self::event) does.
    pub async fn message(&self, at: &str) -> Vec<String> {
        let message = self
            .event("message", |event| event["at"] == json!(at))
            .await;
        let frames = message["frames"].as_array().into_iter().flatten();
        frames
            .map(|frame| frame.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

fn with_script(command: Cmd, secret: &str) -> Cmd {
    command
        .arg(tools::peers().join("curve_peer.py"))
        .arg(format!("--secret={secret}"))
}

//! A node in Python, `tests/peers/zocp_peer.py`: pyre from PyPI with the habits of pyZOCP.
//!
//! Its commands and events are described there.

use serde_json::{Value, json};

use crate::{Cmd, Host, Program, tools};

/// A running Python node.
pub struct PyPeer {
    /// Its process.
    pub program: Program,
    uuid: String,
    endpoint: String,
}

impl PyPeer {
    /// Starts a ZOCP node that carries out the commands `setup` before it goes to the mesh.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(host: &Host, name: &str, setup: &[Value]) -> Self {
        Self::launch(command(host, name).args(setup_options(setup))).await
    }

    /// Starts a ZOCP node on a beacon port of its own, where nobody hears it.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_unheard(host: &Host, name: &str) -> Self {
        Self::launch(command(host, name).args(["--port", "5679"])).await
    }

    /// Starts a ZOCP node where the test itself is, outside all hosts.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_here(name: &str, setup: &[Value]) -> Self {
        let command = with_script(Cmd::pypi_python(), name).label(name);
        Self::launch(command.args(setup_options(setup))).await
    }

    /// Starts a ZRE peer that knows nothing of ZOCP.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_plain(host: &Host, name: &str) -> Self {
        Self::launch(command(host, name).arg("--plain")).await
    }

    async fn launch(command: Cmd) -> Self {
        let mut peer = Self {
            program: command.start(),
            uuid: String::new(),
            endpoint: String::new(),
        };
        let ready = peer.event("ready", |_| true).await;
        peer.uuid = ready["uuid"].as_str().unwrap_or_default().to_owned();
        peer.endpoint = ready["endpoint"].as_str().unwrap_or_default().to_owned();
        peer
    }

    /// Its UUID, 32 hex digits.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Where it is reached, `tcp://address:port`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Carries out a command, and waits until it is done.
    ///
    /// # Panics
    /// When the node has ended.
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

    /// Says goodbye and ends.
    pub async fn leave(&mut self) {
        self.program.tell(r#"{"exit": true}"#).await;
        self.program.ended().await;
    }

    /// Waits for an event of the kind that `wanted` agrees with, and takes it.
    ///
    /// # Panics
    /// At the deadline, and when something happens that would end a node of pyZOCP.
    pub async fn event(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let pick = |line: &str| {
            assert!(!is_harm(line), "the node was harmed: {line}");
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == json!(kind) && wanted(&event)).then_some(event)
        };
        self.program
            .says_like(&format!("the event {kind}"), pick)
            .await
    }

    /// Waits until a peer of this name has entered.
    ///
    /// # Panics
    /// As [`event`](Self::event) does.
    pub async fn entered(&self, peer: &str) -> Value {
        self.event("enter", |event| event["name"] == json!(peer))
            .await
    }

    /// Waits until a peer of this name has left.
    ///
    /// # Panics
    /// As [`event`](Self::event) does.
    pub async fn left(&self, peer: &str) -> Value {
        self.event("exit", |event| event["name"] == json!(peer))
            .await
    }

    /// Waits until the node has done with what had reached it, so that it has said what it says of that.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn catch_up(&mut self) {
        // It carries out a command, reads what has come, and only then carries out the next.
        for _ in 0..2 {
            self.command(json!({"nothing": null})).await;
        }
    }

    /// Asserts that nothing has happened so far that would end a node of pyZOCP.
    ///
    /// # Panics
    /// When it has.
    pub async fn is_unharmed(&mut self) {
        self.catch_up().await;
        let harm = self
            .program
            .unmatched()
            .into_iter()
            .find(|line| is_harm(line));
        assert!(harm.is_none(), "the node was harmed: {harm:?}");
    }
}

fn command(host: &Host, name: &str) -> Cmd {
    let command = host.command(&tools::python().to_string_lossy());
    with_script(command, name).label(&format!("{} {name}", host.name()))
}

fn with_script(command: Cmd, name: &str) -> Cmd {
    command
        .arg(tools::peers().join("zocp_peer.py"))
        .args(["--name", name])
}

fn setup_options(setup: &[Value]) -> impl Iterator<Item = String> {
    setup
        .iter()
        .flat_map(|command| ["--setup".to_owned(), command.to_string()])
}

/// What pyZOCP would raise from, or a thread of pyre that has died.
fn is_harm(line: &str) -> bool {
    line.starts_with(r#"{"event": "fatal""#)
        || line.starts_with("Traceback")
        || line.starts_with("Exception in thread")
}

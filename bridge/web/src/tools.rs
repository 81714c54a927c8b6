//! Scenes and the doctor: what the command line does, done by the same program.
//!
//! Model: a tool is the program itself with other arguments, `--json`, on the same bus. Its answer is what it prints.
//! Invariants: TOOL-1. what a tab names is an argument behind `--`, never an option, and no shell reads it.
//! Limits: [`TOOLS_MAX`] at once, [`TOOL_TIME_MAX`] each, [`TOOL_LEN_MAX`] octets of answer.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::Semaphore,
    time::timeout,
};
use zocp_client::Refused;

use crate::limits::{TOOL_LEN_MAX, TOOL_TIME_MAX, TOOLS_MAX};

/// The program, and the bus that it works on.
#[derive(Debug, Clone)]
pub struct Tools {
    program: PathBuf,
    bus: String,
    permits: Arc<Semaphore>,
}

/// What is done with a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SceneVerb {
    Save,
    Diff,
    Load,
}

impl Tools {
    /// `program` is `zocp`, `bus` the address of the bus.
    #[must_use]
    pub fn new(program: PathBuf, bus: String) -> Self {
        Self {
            program,
            bus,
            permits: Arc::new(Semaphore::new(TOOLS_MAX)),
        }
    }

    /// The findings of the doctor.
    pub(crate) async fn doctor(&self) -> Result<Value, Refused> {
        self.run(&["doctor"]).await
    }

    /// The names of the scenes.
    pub(crate) async fn scenes(&self) -> Result<Value, Refused> {
        self.run(&["scene", "list"]).await
    }

    /// Saves, compares or loads a scene; of the last two the parts that differ, or that could not be restored.
    pub(crate) async fn scene(&self, verb: SceneVerb, name: &str) -> Result<Value, Refused> {
        let verb = match verb {
            SceneVerb::Save => "save",
            SceneVerb::Diff => "diff",
            SceneVerb::Load => "load",
        };
        if name.is_empty() || name.contains('\0') {
            return Err(Refused("a scene needs a name".to_owned()));
        }
        self.run(&["scene", verb, "--", name]).await
    }

    async fn run(&self, args: &[&str]) -> Result<Value, Refused> {
        let failed =
            |error: std::io::Error| Refused(format!("{}: {error}", self.program.display()));
        let Ok(_permit) = self.permits.acquire().await else {
            return Err(Refused("the server ends".to_owned()));
        };
        let mut child = Command::new(&self.program)
            .args(["--bus", &self.bus, "--json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (out, error) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let said = tokio::try_join!(read(out), read(error))?;
            Ok::<_, std::io::Error>((said, child.wait().await?))
        };
        let Ok(ended) = timeout(TOOL_TIME_MAX, ended).await else {
            return Err(Refused(format!(
                "it took longer than {} s",
                TOOL_TIME_MAX.as_secs()
            )));
        };
        let ((out, error), status) = ended.map_err(failed)?;
        match (status.code(), serde_json::from_str(&out)) {
            // What differs, and what the doctor found, has a code of its own and is an answer.
            (Some(0 | 11 | 12), Ok(value)) => Ok(value),
            (Some(0), Err(_)) => Ok(json!([])),
            _ => {
                let error = error.trim().trim_start_matches("zocp: ");
                Err(Refused(if error.is_empty() {
                    status.to_string()
                } else {
                    error.to_owned()
                }))
            }
        }
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        stream
            .take(TOOL_LEN_MAX as u64)
            .read_to_end(&mut said)
            .await?;
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

//! An installed `dbus-daemon` as the embedded bus.
//!
//! Model: a shell starts the daemon and waits for one of two ends: the daemon's own, or that of its
//! standard input, which is a pipe that only we hold. So the daemon ends with us even when we are
//! killed, without a signal handler and without code between fork and exec. Both are a process group of
//! their own: Ctrl-C at a terminal is for us, who take leave of the bus in order.
//! Limits: [`START_MAX`] to come up, [`STOP_MAX`] to go; then the shell is killed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// A running `dbus-daemon`.
#[derive(Debug)]
pub(super) struct DbusDaemon {
    /// The shell; its standard input is the pipe.
    shell: Child,
}

impl DbusDaemon {
    /// Starts the daemon; `Err` says why it cannot be had.
    pub(super) async fn start(directory: &Path, address: &str) -> Result<Self, String> {
        let program = find_program("dbus-daemon").ok_or("dbus-daemon is not installed")?;
        let config = directory.join("bus.conf");
        std::fs::write(&config, configuration(address))
            .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .args([Path::new("zocp-embedded-bus"), &program, &config, directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start /bin/sh: {error}"))?;
        await_address(&mut shell).await?;
        if let Some(stderr) = shell.stderr.take() {
            tokio::spawn(log(stderr));
        }
        Ok(Self { shell })
    }

    /// Waits until the daemon has ended. Cancel safe.
    pub(super) async fn ended(&mut self) {
        // `Child::wait` closes the pipe before it waits; so take the pipe aside.
        let pipe = self.shell.stdin.take();
        let guard = Pipe {
            pipe,
            shell: &mut self.shell,
        };
        if let Err(error) = guard.shell.wait().await {
            tracing::warn!(%error, "cannot wait for the embedded bus");
        }
    }

    /// Ends the daemon and waits until it has.
    pub(super) async fn stop(mut self) {
        drop(self.shell.stdin.take());
        if timeout(STOP_MAX, self.shell.wait()).await.is_err() {
            tracing::warn!("the embedded bus does not end: killing it");
            // Its end is not our concern any more, and an error means that it has ended.
            let _ = self.shell.kill().await;
        }
    }
}

/// Gives the pipe back to its child, also when the wait between is cancelled.
struct Pipe<'a> {
    pipe: Option<tokio::process::ChildStdin>,
    shell: &'a mut Child,
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.shell.stdin = self.pipe.take();
    }
}

/// The daemon prints its address when it listens.
async fn await_address(shell: &mut Child) -> Result<(), String> {
    let stdout = shell.stdout.take().ok_or("no pipe")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout.take(LINE_LEN_MAX));
    match timeout(START_MAX, reader.read_line(&mut line)).await {
        Ok(Ok(length)) if length > 0 => Ok(()),
        Ok(Ok(_)) => Err(complaint(shell).await),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "dbus-daemon does not start within {} s",
            START_MAX.as_secs()
        )),
    }
}

/// What the daemon has to say; unread it would have to wait. Ends with the daemon.
async fn log(stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!("{line}");
    }
}

/// What the daemon said when it did not come up.
async fn complaint(shell: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = shell.stderr.take() {
        let mut limited = stderr.take(LINE_LEN_MAX);
        // Whatever was readable is all there is to tell.
        let _ = timeout(START_MAX, limited.read_to_string(&mut text)).await;
    }
    format!("dbus-daemon: {}", text.trim())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

/// As a session bus has it, without service activation: nothing starts on this bus by itself.
fn configuration(address: &str) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_incoming_unix_fds">250000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_outgoing_unix_fds">250000000</limit>
  <limit name="max_message_size">134217728</limit>
  <limit name="auth_timeout">240000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_names_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"#
    )
}

/// `$1` the daemon, `$2` its configuration, `$3` the directory to remove. A background job has no
/// standard input in a script, so the pipe is descriptor 3, which the daemon must not keep.
const SCRIPT: &str = r#"
exec 3<&0
"$1" --config-file="$2" --nofork --print-address 3<&- &
bus=$!
{ read -r _ <&3; kill "$bus"; } 2>/dev/null >/dev/null &
watch=$!
exec 3<&- >/dev/null
wait "$bus"
kill "$watch" 2>/dev/null
rm -rf -- "$3"
"#;

const START_MAX: Duration = Duration::from_secs(5);
const STOP_MAX: Duration = Duration::from_secs(3);
const LINE_LEN_MAX: u64 = 4096;

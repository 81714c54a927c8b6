//! A program that runs, what it has said so far, and what it is expected to say.
//!
//! Model: one task reads each of the two streams and appends to the list of *unmatched* lines. An expectation takes the
//! first line that matches out of it and leaves the others, so the order in which a test asks does not matter where the
//! order of events does not; each line answers one expectation only.
//! Invariants: every line is printed when it comes (I4 of the crate).
//! Not here: JSON events of the Python peer (`py_peer.rs`).

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::Notify,
};

use crate::in_time;

/// A running program. Dropping it kills it.
pub struct Program {
    label: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Said>,
}

impl Program {
    pub(crate) fn start(label: String, mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {label}: {error}"));
        let said = Arc::new(Said::default());
        listen(child.stdout.take(), &label, &said);
        listen(child.stderr.take(), &label, &said);
        Self {
            stdin: child.stdin.take(),
            label,
            child,
            said,
        }
    }

    /// Waits for a line, of either stream, that contains `text`, and takes it.
    ///
    /// # Panics
    /// When the program ends, or the deadline passes, without it.
    pub async fn says(&self, text: &str) -> String {
        self.says_like(text, |line| line.contains(text).then(|| line.to_owned()))
            .await
    }

    /// Waits for a line for which `pick` gives something, and takes it. `what` is for the message of a panic.
    ///
    /// # Panics
    /// As [`says`](Self::says) does.
    pub async fn says_like<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let what = format!("{} to say {what}", self.label);
        in_time(&what, async {
            loop {
                let news = self.said.news.notified();
                match self.said.take(&mut pick) {
                    Taken::Line(value) => return value,
                    Taken::NothingYet => news.await,
                    Taken::NothingEver => panic!("waited for {what}, but it has ended"),
                }
            }
        })
        .await
    }

    /// Forgets the lines that no expectation has taken yet.
    pub fn forget_said(&self) {
        self.said.lines().unmatched.clear();
    }

    /// The lines that no expectation has taken yet.
    #[must_use]
    pub fn unmatched(&self) -> Vec<String> {
        self.said.lines().unmatched.clone()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When nobody reads there any more.
    pub async fn tell(&mut self, line: &str) {
        let label = &self.label;
        let stdin = self
            .stdin
            .as_mut()
            .unwrap_or_else(|| panic!("the input of {label} is closed"));
        let written = stdin.write_all(format!("{line}\n").as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{label} does not listen: {error}"));
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Stops it as it is: its connections stay, and it says and hears nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal); // gone already is as good
        }
    }

    /// Sends a signal to it and to all that it has started, and they: dbus-broker is several processes.
    pub fn signal_all(&self, signal: Signal) {
        let Some(first) = self.pid() else { return };
        let mut family = vec![first];
        let mut at = 0;
        while let Some(parent) = family.get(at) {
            family.extend(children(*parent));
            at += 1;
        }
        for process in family {
            let _ = kill_process(process, signal);
        }
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn ended(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.label);
        let status = in_time(&what, self.child.wait()).await;
        status.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// The process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
    }
}

/// The processes that a process has started.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = processes.filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name, which may have anything in it: the state and the parent.
        let (_, behind) = stat.rsplit_once(") ")?;
        (behind.split(' ').nth(1)? == parent).then(|| Pid::from_raw(process))?
    });
    children.collect()
}

/// What a program has said.
#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    news: Notify,
}

#[derive(Default)]
struct Lines {
    unmatched: Vec<String>,
    streams_ended: u8,
}

enum Taken<T> {
    Line(T),
    NothingYet,
    NothingEver,
}

impl Said {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<T>(&self, pick: &mut impl FnMut(&str) -> Option<T>) -> Taken<T> {
        let mut lines = self.lines();
        let found = lines
            .unmatched
            .iter()
            .enumerate()
            .find_map(|(at, line)| Some((at, pick(line)?)));
        match found {
            Some((at, value)) => {
                lines.unmatched.remove(at);
                Taken::Line(value)
            }
            None if lines.streams_ended == STREAMS => Taken::NothingEver,
            None => Taken::NothingYet,
        }
    }

    fn add(&self, line: String) {
        self.lines().unmatched.push(line);
        self.news.notify_waiters();
    }

    fn end_stream(&self) {
        self.lines().streams_ended += 1;
        self.news.notify_waiters();
    }
}

fn listen(stream: Option<impl AsyncRead + Unpin + Send + 'static>, label: &str, said: &Arc<Said>) {
    let (label, said, start) = (label.to_owned(), Arc::clone(said), Instant::now());
    tokio::spawn(async move {
        if let Some(stream) = stream {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line).await, Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let shown: String = text.chars().take(SHOWN_MAX).collect();
                eprintln!("{:8.3} [{label}] {shown}", start.elapsed().as_secs_f64());
                said.add(text);
                line.clear();
            }
        }
        said.end_stream();
    });
}

/// Standard output and standard error.
const STREAMS: u8 = 2;
/// So many characters of a line are printed.
const SHOWN_MAX: usize = 300;

//! The loop around a program that is a node: its socket, time, and the node.
//!
//! Model: as in `run`. What was learned is written to a file a second later, as a whole and in the place of the old one.

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{
    map::Map,
    options::Ready,
    packet::PACKET_LEN_MAX,
    program::Program,
    run::{DATAGRAM_LEN, now},
    senders::{Senders, datagrams},
};
use crate::{
    FaceError,
    allow::Allow,
    file,
    mesh::{Mesh, MeshEvent, MeshEvents, MeshOptions},
    worker::{BATCH_MAX, COUNTS_INTERVAL, IDLE, Job, Worker},
};

/// What is told of a program before its node begins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgramOptions {
    /// The node, by the program's name.
    pub mesh: MeshOptions,
    /// Where the program sends to.
    pub listen: SocketAddr,
    /// Where the program listens, `HOST:PORT`.
    pub remote: String,
    /// The file that says what its addresses are.
    pub map: Option<PathBuf>,
    /// The directory for what is learned; none: it is not kept.
    pub state: Option<PathBuf>,
}

impl ProgramOptions {
    /// A program there, which sends to here.
    #[must_use]
    pub fn new(mesh: MeshOptions, listen: SocketAddr, remote: impl Into<String>) -> Self {
        Self {
            mesh,
            listen,
            remote: remote.into(),
            map: None,
            state: None,
        }
    }
}

/// Runs the node of a program until `shutdown` is done; `ready` is told when it listens.
///
/// # Errors
/// See [`FaceError`].
pub async fn publish(
    options: ProgramOptions,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), FaceError> {
    let map = options.map.as_deref().map(Map::read).transpose();
    let map = map.map_err(|error| FaceError::Usage(error.to_string()))?;
    let path = file::learned_path(options.state.as_deref(), "osc", &options.mesh.name);
    let mut senders = Senders::new(datagrams(options.listen)?);
    let remote = senders.add(0, &options.remote).await?;
    if options.listen.ip().is_loopback() && !remote.ip().is_loopback() {
        return Err(FaceError::Usage(format!(
            "packets of {remote} cannot reach {}, an address of this machine alone: use --listen 0.0.0.0:{}",
            options.listen,
            options.listen.port()
        )));
    }
    let (mesh, events) = Mesh::start(&options.mesh).await?;
    ready(Ready {
        listen: options.listen,
        query: None,
        mesh_port: mesh.port(),
    });
    let running = Running {
        program: Program::new(
            map.unwrap_or_default(),
            file::learned(path.as_deref(), Map::read),
        ),
        senders,
        remote,
        worker: Worker::start(mesh.clone()),
        file: path,
    };
    let outcome = running.run(events, shutdown).await;
    mesh.shutdown().await;
    outcome
}

struct Running {
    program: Program,
    senders: Senders,
    remote: SocketAddr,
    worker: Worker<()>,
    file: Option<PathBuf>,
}

impl Running {
    async fn run(
        mut self,
        mut events: MeshEvents,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), FaceError> {
        tokio::pin!(shutdown);
        let mut buffer = vec![0; PACKET_LEN_MAX];
        let jobs = self.worker.jobs.clone();
        let mut seconds = interval(COUNTS_INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_full = self.flush().await;
            let deadline = self.deadline(is_full);
            // Each branch is cancel-safe: receiving, and sleeping.
            tokio::select! {
                () = &mut shutdown => {
                    self.save().await;
                    return Ok(());
                }
                received = self.senders.main.recv_from(&mut buffer) => self.datagrams(received, &mut buffer),
                event = events.next() => self.event(event.ok_or(FaceError::Ended)?),
                place = jobs.reserve(), if is_full => {
                    // There is a place now: it is taken when what is due is handed over.
                    drop(place);
                }
                () = sleep_until(deadline.into()) => {}
                _ = seconds.tick() => self.second().await,
            }
            self.program.timeout(now());
        }
    }

    fn event(&mut self, event: MeshEvent) {
        if let MeshEvent::Received { path, value } = event {
            self.program.received(now(), &path, &value);
        }
    }

    fn datagrams(&mut self, received: std::io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let now = now();
        let mut received = received;
        let only = Allow::default();
        for _ in 0..BATCH_MAX {
            // An error is that of something sent before: nobody listens there.
            if let Ok((len, from)) = received {
                let local = only.permits(from.ip()) && self.remote.ip().is_loopback();
                if local || from.ip().to_canonical() == self.remote.ip().to_canonical() {
                    self.program.packet(now, &buffer[..len]);
                } else {
                    let counts = &mut self.program.counts;
                    counts.refuse(&format!("a packet from {from}, which is not the program"));
                }
            }
            received = self.senders.main.try_recv_from(buffer);
            let is_empty = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            if received.as_ref().is_err_and(is_empty) {
                return;
            }
        }
    }

    /// Hands over all that is due, and says whether the node takes nothing more now.
    async fn flush(&mut self) -> bool {
        let now = now();
        for packet in self.program.packets(now, DATAGRAM_LEN) {
            self.senders.send(self.remote, &packet).await;
        }
        let program = &mut self.program;
        self.worker.fill(|| {
            if let Some((path, capability)) = program.next_publication() {
                return Some(Job::Publish(path, capability));
            }
            let (path, value) = program.next_value(now)?;
            Some(Job::Tell(path, value, true))
        })
    }

    fn deadline(&self, is_full: bool) -> Instant {
        let now = now();
        let (program, node) = self.program.poll_timeout(now);
        let node = node.filter(|_| !is_full);
        let due = program.into_iter().chain(node).min();
        due.unwrap_or(now.instant + IDLE)
    }

    async fn second(&mut self) {
        self.save().await;
        self.worker.report(&self.program.counts);
    }

    /// Writes what was learned, if something was.
    async fn save(&mut self) {
        if !std::mem::take(&mut self.program.has_learned) {
            return;
        }
        if let Some(file) = &self.file {
            file::save(file.clone(), self.program.learned().text()).await;
        }
    }
}

//! The loop around a program that is a node: its socket, time, and the node.
//!
//! Model: as in `run`. What was learned is written to a file a second later, as a whole and in the place of the old one.

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    face::Now,
    map::Map,
    options::Ready,
    packet::PACKET_LEN_MAX,
    program::Program,
    remote_query::{INPUTS_MAX, PACKETS_MAX, QueryUrl, RemoteInput, RemoteQuery},
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

/// How a program is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remote {
    /// It listens at `HOST:PORT`; what it sends is learned.
    Osc(String),
    /// Its OSCQuery server says what it has, and where it listens.
    Query(QueryUrl),
}

/// What is told of a program before its node begins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgramOptions {
    /// The node, by the program's name.
    pub mesh: MeshOptions,
    /// Where the program sends to.
    pub listen: SocketAddr,
    /// The program.
    pub remote: Remote,
    /// The file that says what its addresses are.
    pub map: Option<PathBuf>,
    /// The directory for what is learned; none: it is not kept.
    pub state: Option<PathBuf>,
}

impl ProgramOptions {
    /// A program there, which sends to here.
    #[must_use]
    pub fn new(mesh: MeshOptions, listen: SocketAddr, remote: Remote) -> Self {
        Self {
            mesh,
            listen,
            remote,
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
    let listen = senders.main.local_addr().unwrap_or(options.listen);
    let remote = match &options.remote {
        Remote::Osc(place) => Some(senders.add(0, place).await?),
        Remote::Query(_) => None,
    };
    if let Some(remote) = remote
        && options.listen.ip().is_loopback()
        && !remote.ip().is_loopback()
    {
        return Err(FaceError::Usage(format!(
            "packets of {remote} cannot reach {}, an address of this machine alone: use --listen 0.0.0.0:{}",
            options.listen,
            options.listen.port()
        )));
    }
    let (mesh, events) = Mesh::start(&options.mesh).await?;
    ready(Ready {
        listen,
        query: None,
        mesh_port: mesh.port(),
    });
    let (inputs, described) = mpsc::channel(INPUTS_MAX);
    let (through, packets) = mpsc::channel(PACKETS_MAX);
    let mut tasks = JoinSet::new();
    // A program that says what it has sends nothing else, unless its map says otherwise.
    let map = map.unwrap_or_else(|| Map {
        learn: remote.is_some(),
        ..Map::default()
    });
    if let Remote::Query(url) = options.remote {
        let query = RemoteQuery {
            url,
            inputs,
            packets,
        };
        tasks.spawn(query.keep());
    }
    let running = Running {
        program: Program::new(map, file::learned(path.as_deref(), Map::read)),
        senders,
        remote,
        is_here: remote.is_some(),
        described,
        through,
        worker: Worker::start(mesh.clone()),
        file: path,
    };
    let outcome = running.run(events, shutdown).await;
    tasks.shutdown().await;
    mesh.shutdown().await;
    outcome
}

struct Running {
    program: Program,
    senders: Senders,
    /// Where it takes datagrams.
    remote: Option<SocketAddr>,
    /// Whether it is there, as far as one can know.
    is_here: bool,
    /// What its OSCQuery says.
    described: mpsc::Receiver<RemoteInput>,
    /// To its WebSocket.
    through: mpsc::Sender<Vec<u8>>,
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
        let through = self.through.clone();
        let mut seconds = interval(COUNTS_INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_full = self.flush().await;
            let deadline = self.deadline(is_full);
            let is_blocked = self.is_here && !self.takes();
            // Each branch is cancel-safe: receiving, and sleeping.
            tokio::select! {
                () = &mut shutdown => {
                    self.save().await;
                    return Ok(());
                }
                received = self.senders.main.recv_from(&mut buffer) => self.datagrams(received, &mut buffer),
                event = events.next() => self.event(event.ok_or(FaceError::Ended)?),
                Some(input) = self.described.recv() => self.described(input).await,
                place = jobs.reserve(), if is_full => {
                    // There is a place now: it is taken when what is due is handed over.
                    drop(place);
                }
                place = through.reserve(), if is_blocked => drop(place),
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

    async fn described(&mut self, input: RemoteInput) {
        let was_here = self.is_here;
        match input {
            RemoteInput::Here(None) => (self.remote, self.is_here) = (None, true),
            RemoteInput::Here(Some(remote)) => {
                match self.senders.add(0, &remote.to_string()).await {
                    Ok(remote) => (self.remote, self.is_here) = (Some(remote), true),
                    Err(error) => {
                        tracing::warn!(%remote, %error, "the program cannot be sent anything");
                        (self.remote, self.is_here) = (None, false);
                    }
                }
            }
            RemoteInput::Tree(description) => self.program.described(now(), description),
            RemoteInput::Packet(octets) => self.program.packet(now(), &octets),
            // Its values stay as they are until it is here again.
            RemoteInput::Gone => (self.remote, self.is_here) = (None, false),
        }
        if self.is_here && !was_here {
            self.program.here(now());
        }
    }

    fn datagrams(&mut self, received: std::io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let now = now();
        let mut received = received;
        let only = Allow::default();
        for _ in 0..BATCH_MAX {
            // An error is that of something sent before: nobody listens there.
            if let Ok((len, from)) = received {
                let is_of = |remote: SocketAddr| {
                    let is_local = only.permits(from.ip()) && remote.ip().is_loopback();
                    is_local || from.ip().to_canonical() == remote.ip().to_canonical()
                };
                if self.remote.is_some_and(is_of) {
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
        for packet in self.packets(now) {
            match self.remote {
                Some(remote) => self.senders.send(remote, &packet).await,
                None if self.through.try_send(packet).is_err() => self.program.counts.dropped += 1,
                None => {}
            }
        }
        let program = &mut self.program;
        self.worker.fill(|| {
            if let Some(withdrawal) = program.next_withdrawal() {
                return Some(Job::Withdraw(withdrawal));
            }
            if let Some((path, capability)) = program.next_publication() {
                return Some(Job::Publish(path, capability));
            }
            let (path, value) = program.next_value(now)?;
            Some(Job::Tell(path, value, true))
        })
    }

    /// What the program is to be sent, if it takes something: else the newest values wait.
    fn packets(&mut self, now: Now) -> Vec<Vec<u8>> {
        let packets_max = match self.remote {
            Some(_) => usize::MAX,
            None => self.through.capacity(),
        };
        match self.takes() {
            true => self.program.packets(now, DATAGRAM_LEN, packets_max),
            false => Vec::new(),
        }
    }

    /// Whether the program takes something now.
    fn takes(&self) -> bool {
        self.is_here && (self.remote.is_some() || self.through.capacity() > 0)
    }

    fn deadline(&self, is_full: bool) -> Instant {
        let now = now();
        let (program, node) = self.program.poll_timeout(now, self.takes());
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

//! The loop around a device of MIDI: its client, time, and its node.

use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{
    controls::Controls,
    map::Map,
    port::{Message, MidiSystem, Port, PortError},
};
use crate::{
    FaceError, file,
    mesh::{Mesh, MeshEvent, MeshEvents, MeshOptions},
    worker::{COUNTS_INTERVAL, IDLE, Job, Worker},
};

/// What is told of a device before its node begins.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MidiOptions {
    /// Its node; the client has the same name.
    pub mesh: MeshOptions,
    /// What it is a client of.
    pub system: MidiSystem,
    /// The file that says what its controls are.
    pub map: Option<PathBuf>,
    /// The directory for what is learned; none: it is not kept.
    pub state: Option<PathBuf>,
}

impl MidiOptions {
    /// A device whose controls are learned.
    #[must_use]
    pub fn new(mesh: MeshOptions) -> Self {
        Self {
            mesh,
            system: MidiSystem::default(),
            map: None,
            state: None,
        }
    }
}

/// What is told when a device is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MidiReady {
    /// What it is a client of.
    pub system: MidiSystem,
    /// The name of the client, with the ports `in` and `out`.
    pub client: String,
}

/// Runs a device until `shutdown` is done; `ready` is told when it is there.
///
/// # Errors
/// See [`FaceError`].
pub async fn run(
    options: MidiOptions,
    ready: impl FnOnce(MidiReady),
    shutdown: impl Future<Output = ()>,
) -> Result<(), FaceError> {
    let map = options.map.as_deref().map(Map::read).transpose();
    let map = map.map_err(|error| FaceError::Usage(error.to_string()))?;
    let path = file::learned_path(options.state.as_deref(), "midi", &options.mesh.name);
    let port = open(options.system, &options.mesh.name);
    let port = port.map_err(|error| FaceError::Device(error.to_string()))?;
    let (mesh, events) = Mesh::start(&options.mesh).await?;
    ready(MidiReady {
        system: options.system,
        client: options.mesh.name.clone(),
    });
    let running = Running {
        controls: Controls::new(
            map.unwrap_or_default(),
            file::learned(path.as_deref(), Map::read),
        ),
        port,
        worker: Worker::start(mesh.clone()),
        file: path,
        periods: (0, Instant::now()),
    };
    let outcome = running.run(events, shutdown).await;
    mesh.shutdown().await;
    outcome
}

/// Opens a client of this name.
#[cfg(feature = "midi")]
fn open(system: MidiSystem, name: &str) -> Result<Port, PortError> {
    match system {
        MidiSystem::Jack => super::jack::open(name),
        MidiSystem::Alsa => super::alsa::open(name),
    }
}

/// There is none.
#[cfg(not(feature = "midi"))]
const fn open(_: MidiSystem, _: &str) -> Result<Port, PortError> {
    Err(PortError::Absent)
}

struct Running {
    controls: Controls,
    port: Port,
    worker: Worker<()>,
    file: Option<PathBuf>,
    /// How many periods of JACK there were, and when that was another number.
    periods: (u64, Instant),
}

impl Running {
    async fn run(
        mut self,
        mut events: MeshEvents,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), FaceError> {
        tokio::pin!(shutdown);
        let jobs = self.worker.jobs.clone();
        let mut seconds = interval(COUNTS_INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_full = self.flush();
            let deadline = self.deadline(is_full);
            // Each branch is cancel-safe: receiving, and sleeping.
            tokio::select! {
                () = &mut shutdown => {
                    self.save().await;
                    return Ok(());
                }
                Some(message) = self.port.incoming.recv() => self.messages(message),
                event = events.next() => {
                    if let MeshEvent::Received { path, value } = event.ok_or(FaceError::Ended)? {
                        self.controls.received(Instant::now(), &path, &value);
                    }
                }
                place = jobs.reserve(), if is_full => drop(place),
                () = sleep_until(deadline.into()) => {}
                _ = seconds.tick() => {
                    self.second().await;
                    if self.has_ended() {
                        return Err(FaceError::Device("JACK has ended".to_owned()));
                    }
                    if self.port.incoming.is_closed() {
                        let text = "the sequencer of ALSA is not to be had any more";
                        return Err(FaceError::Device(text.to_owned()));
                    }
                }
            }
        }
    }

    fn messages(&mut self, first: Message) {
        let now = Instant::now();
        let mut next = Some(first);
        while let Some((octets, len)) = next {
            self.controls
                .message(now, octets.get(..len).unwrap_or(&octets));
            next = self.port.incoming.try_recv().ok();
        }
    }

    /// Hands over all that is due; whether the node takes nothing more now.
    fn flush(&mut self) -> bool {
        let now = Instant::now();
        for message in self.controls.messages(now) {
            let mut octets = [0; 3];
            for (octet, of_message) in octets.iter_mut().zip(&message) {
                *octet = *of_message;
            }
            if self
                .port
                .outgoing
                .try_send((octets, message.len()))
                .is_err()
            {
                self.controls.counts.dropped += 1;
            }
        }
        let controls = &mut self.controls;
        self.worker.fill(|| {
            if let Some((path, capability)) = controls.next_publication() {
                return Some(Job::Publish(path, capability));
            }
            let (path, value) = controls.next_value(now)?;
            Some(Job::Tell(path, value, true))
        })
    }

    fn deadline(&self, is_full: bool) -> Instant {
        let now = Instant::now();
        let (device, node) = self.controls.poll_timeout(now);
        let due = device.into_iter().chain(node.filter(|_| !is_full)).min();
        due.unwrap_or(now + IDLE)
    }

    async fn second(&mut self) {
        self.save().await;
        self.controls.counts.dropped += self.port.dropped.swap(0, Ordering::Relaxed);
        self.worker.report(&self.controls.counts);
    }

    /// Whether JACK has called for no period lately.
    fn has_ended(&mut self) -> bool {
        let Some(periods) = &self.port.periods else {
            return false;
        };
        let periods = periods.load(Ordering::Relaxed);
        let (last, since) = self.periods;
        if periods != last {
            self.periods = (periods, Instant::now());
        }
        periods == last && since.elapsed() > SILENCE
    }

    /// Writes what was learned, if something was.
    async fn save(&mut self) {
        if std::mem::take(&mut self.controls.has_learned)
            && let Some(file) = &self.file
        {
            file::save(file.clone(), self.controls.learned().text()).await;
        }
    }
}

/// JACK has ended when it has been silent for so long.
const SILENCE: Duration = Duration::from_secs(3);

//! The loop around a face of OSC: sockets, time, and its node.
//!
//! Model: one task owns the [`Face`]. Connections are tasks of their own and hand over packets; a worker gives the node
//! what is to be set. After each batch of events everything that is due is sent.
//! Limits: [`BATCH_MAX`] packets or events before others have their turn; [`INPUTS_MAX`] inputs of connections wait, then
//! connections are not read.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    announcement::Announcement,
    connection::{Connections, Input, Kind, Outgoing},
    description::{HostInfo, answer},
    destination::{Destination, Source, Wants},
    face::{Face, Now, Output, Set},
    listener::{CONNECTIONS_MAX, Listener, Speaks},
    options::{OscOptions, Ready, Target, Transport},
    outlet::{Notices, Outlet},
    packet::PACKET_LEN_MAX,
    schedule::time_tag,
    senders::{Senders, at, datagrams},
};
use crate::{
    FaceError,
    allow::Allow,
    mesh::{Mesh, MeshEvents},
    worker::{BATCH_MAX, COUNTS_INTERVAL, IDLE, Job, Worker},
};

/// Runs a face of OSC until `shutdown` is done; `ready` is told when it listens.
///
/// # Errors
/// See [`FaceError`].
pub async fn run(
    options: OscOptions,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), FaceError> {
    check(&options)?;
    let socket = datagrams(options.listen)?;
    let listeners = listeners(&options).await?;
    let (mesh, events) = Mesh::start(&options.mesh).await?;
    let (inputs, incoming) = mpsc::channel(INPUTS_MAX);
    let first = options.send.len() as Destination;
    let connections = Connections::new(inputs, first);
    let mut tasks = JoinSet::new();
    let mut running = Running {
        host: host_info(&options),
        face: Face::new(options.nodes.clone()),
        senders: Senders::new(socket),
        allow: options.allow.clone(),
        outlets: HashMap::new(),
        worker: Worker::start(mesh.clone()),
    };
    for (id, target) in (0..).zip(options.send.clone()) {
        match target.transport {
            Transport::Udp => running.target(id, &target).await?,
            Transport::Tcp(framing) => {
                tasks.spawn(connections.clone().dial(target, framing));
            }
        }
    }
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for (socket, speaks) in listeners {
        let listener = Listener {
            connections: connections.clone(),
            allow: options.allow.clone(),
            speaks,
            places: Arc::clone(&places),
        };
        tasks.spawn(listener.accept(socket));
    }
    drop(connections);
    if let Some(announcement) = announcement(&options) {
        tasks.spawn(announcement.keep());
    }
    ready(Ready {
        listen: options.listen,
        query: options.query,
        mesh_port: mesh.port(),
    });
    let outcome = running.run(events, incoming, shutdown).await;
    tasks.shutdown().await;
    mesh.shutdown().await;
    outcome
}

/// What takes connections, and what is spoken there.
async fn listeners(options: &OscOptions) -> Result<Vec<(TcpListener, Speaks)>, FaceError> {
    let places = match options.query {
        Some(query) if query == options.listen => vec![(query, Speaks::Both)],
        Some(query) => vec![(options.listen, Speaks::Osc), (query, Speaks::Http)],
        None => vec![(options.listen, Speaks::Osc)],
    };
    let mut listeners = Vec::new();
    for (place, speaks) in places {
        let listener = TcpListener::bind(place).await;
        let listener = listener.map_err(|error| at("listen with TCP at", place, error))?;
        listeners.push((listener, speaks));
    }
    Ok(listeners)
}

fn host_info(options: &OscOptions) -> HostInfo {
    let place = |place: SocketAddr| {
        let ip = (!place.ip().is_unspecified()).then(|| place.ip().to_string());
        (ip, place.port())
    };
    HostInfo {
        name: options.mesh.name.clone(),
        osc: place(options.listen),
        web_socket: place(options.query.unwrap_or(options.listen)),
    }
}

/// What is announced: nothing that others cannot reach.
fn announcement(options: &OscOptions) -> Option<Announcement> {
    let query = options.query.filter(|query| !query.ip().is_loopback())?;
    Some(Announcement {
        name: format!("{} of ZOCP", options.mesh.name),
        query: query.port(),
        osc: options.listen.port(),
    })
}

fn check(options: &OscOptions) -> Result<(), FaceError> {
    let open = [Some(options.listen), options.query];
    let mut open = open.into_iter().flatten();
    if let Some(open) = open.find(|place| !place.ip().is_loopback())
        && options.allow.is_local()
    {
        return Err(FaceError::Usage(format!(
            "listening at {open} needs --allow with the networks that may send, such as 192.168.1.0/24; \
             0.0.0.0/0 allows everybody"
        )));
    }
    Ok(())
}

struct Running {
    face: Face,
    senders: Senders,
    allow: Allow,
    host: HostInfo,
    /// Of connections.
    outlets: HashMap<Destination, Outlet>,
    worker: Worker<Set>,
}

impl Running {
    async fn target(&mut self, id: Destination, target: &Target) -> Result<(), FaceError> {
        let address = self.senders.add(id, &target.place).await?;
        self.face.add(now(), id, wants(target), Some(address));
        Ok(())
    }

    async fn run(
        mut self,
        mut events: MeshEvents,
        mut incoming: mpsc::Receiver<Input>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), FaceError> {
        tokio::pin!(shutdown);
        let mut buffer = vec![0; PACKET_LEN_MAX];
        let mut seconds = interval(COUNTS_INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let blocked = self.flush().await;
            let deadline = self.deadline(blocked);
            // Each branch is cancel-safe: receiving, and sleeping.
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                received = self.senders.main.recv_from(&mut buffer) => self.datagrams(received, &mut buffer),
                event = events.next() => {
                    let now = now();
                    self.face.mesh(now, event.ok_or(FaceError::Ended)?);
                    for _ in 1..BATCH_MAX {
                        let Some(event) = events.try_next() else { break };
                        self.face.mesh(now, event);
                    }
                }
                Some(input) = incoming.recv() => {
                    self.input(input);
                    for _ in 1..BATCH_MAX {
                        let Ok(input) = incoming.try_recv() else { break };
                        self.input(input);
                    }
                }
                Some((set, failure)) = self.worker.failures.recv() => {
                    self.face.not_set(now(), set, &failure);
                }
                () = sleep_until(deadline.into()) => {}
                _ = seconds.tick() => self.count(),
            }
            self.face.timeout(now());
        }
    }

    fn datagrams(&mut self, received: std::io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let now = now();
        let mut received = received;
        for _ in 0..BATCH_MAX {
            // An error is that of something sent before: nobody listens there.
            if let Ok((len, from)) = received {
                if self.allow.permits(from.ip()) {
                    self.face
                        .packet(now, Source::Datagram(from), &buffer[..len]);
                } else {
                    self.face
                        .counts
                        .refuse(&format!("a packet from {from}: see --allow"));
                }
            }
            received = self.senders.main.try_recv_from(buffer);
            if received
                .as_ref()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            {
                return;
            }
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Opened { id, outlet, kind } => {
                match &kind {
                    // It is told nothing but answers.
                    Kind::Source => {}
                    Kind::Target(target) => self.face.add(now(), id, wants(target), None),
                    Kind::WebSocket => {
                        self.face
                            .add(now(), id, Wants::Listed(HashSet::new()), None);
                    }
                }
                let notices = matches!(kind, Kind::WebSocket).then(Notices::default);
                self.outlets.insert(
                    id,
                    Outlet {
                        queue: outlet,
                        notices,
                    },
                );
            }
            Input::Listen {
                id,
                address,
                listens,
            } => self.face.listen(id, &address, listens),
            Input::Question {
                path,
                attribute,
                reply,
            } => {
                let said = answer(&self.face.space, &self.host, &path, attribute.as_deref());
                // Who asked may have gone.
                let _ = reply.send(said);
            }
            Input::Packet { id, octets } => {
                self.face.packet(now(), Source::Connection(id), &octets);
            }
            Input::Closed { id } => {
                self.outlets.remove(&id);
                self.face.remove(id);
            }
        }
    }

    /// Hands over all that is due, and says whether something has to wait although it is due.
    async fn flush(&mut self) -> bool {
        let now = now();
        let face = &mut self.face;
        let mut blocked = self.worker.fill(|| {
            let set = face.next_set(now)?;
            Some(Job::Set {
                peer: set.peer,
                path: set.path.clone(),
                value: set.due.value.1.clone(),
                about: set,
            })
        });
        while let Some(output) = self.face.poll_output() {
            self.output(output);
        }
        for (id, address) in self.senders.addresses.clone() {
            for packet in self.face.packets(now, id, DATAGRAM_LEN) {
                self.senders.send(address, &packet).await;
            }
        }
        for (id, outlet) in &mut self.outlets {
            blocked |= !outlet.flush_notices();
            if outlet.queue.capacity() < PLACES_MIN {
                blocked = true;
                continue;
            }
            for packet in self.face.packets(now, *id, STREAM_LEN) {
                if outlet.queue.try_send(Outgoing::Packet(packet)).is_err() {
                    self.face.counts.dropped += 1;
                }
            }
        }
        blocked
    }

    fn output(&mut self, output: Output) {
        let (command, address) = match output {
            Output::Answer(to, packet) => {
                if let Some(outlet) = self.outlets.get(&to) {
                    // Who takes no answers gets none.
                    let _ = outlet.queue.try_send(Outgoing::Packet(packet));
                }
                return;
            }
            Output::Added(address) => ("PATH_ADDED", address),
            Output::Removed(address) => ("PATH_REMOVED", address),
            Output::Described(address) => ("PATH_CHANGED", address),
        };
        for outlet in self.outlets.values_mut() {
            if let Some(notices) = &mut outlet.notices {
                notices.push(command, &address);
            }
        }
    }

    /// When to look again. What is blocked is not looked at before a tick is over.
    fn deadline(&self, blocked: bool) -> Instant {
        let now = now();
        let ids = self.senders.addresses.keys().chain(self.outlets.keys());
        let due = ids.filter_map(|id| self.face.destination_timeout(now, *id));
        let next = due
            .chain(self.face.set_timeout(now))
            .chain(self.face.schedule_timeout(now))
            .min()
            .unwrap_or(now.instant + IDLE);
        if blocked {
            next.max(now.instant + BLOCKED_PAUSE)
        } else {
            next
        }
    }

    fn count(&mut self) {
        self.worker.report(&self.face.counts);
    }
}

fn wants(target: &Target) -> Wants {
    Wants::Below(target.prefix.iter().cloned().collect())
}

pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        clock: time_tag(since.unwrap_or_default()),
    }
}

/// Inputs of connections that wait.
pub(crate) const INPUTS_MAX: usize = 256;
/// Octets of a bundle in a datagram: no network has to cut it.
pub(crate) const DATAGRAM_LEN: usize = 1400;
/// Octets of a bundle in a connection.
const STREAM_LEN: usize = 16 * 1024;
/// Places that a connection has at least when it is sent a row of packets.
const PLACES_MIN: usize = 8;
/// Before what is due and has no place is tried again.
const BLOCKED_PAUSE: Duration = Duration::from_millis(2);

//! The loop around a face of OSC: sockets, time, and its node.
//!
//! Model: one task owns the [`Face`]. Connections are tasks of their own and hand over packets; a worker gives the node
//! what is to be set. After each batch of events everything that is due is sent.
//! Limits: [`BATCH_MAX`] packets or events before others have their turn; [`INPUTS_MAX`] inputs of connections wait, then
//! connections are not read.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::{TcpListener, UdpSocket, lookup_host},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    connection::{Connections, Input},
    face::{Destination, Face, Now, Output, Set, Source, Wants},
    options::{OscOptions, Ready, Target, Transport},
    packet::PACKET_LEN_MAX,
    schedule::time_tag,
};
use crate::{
    FaceError,
    allow::Allow,
    counts::Counts,
    mesh::{Follow, Mesh, MeshEvents},
    worker::{Job, Worker},
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
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|error| at("listen with TCP at", options.listen, error))?;
    let (mesh, events) = Mesh::start(&options.mesh, Follow::Everybody).await?;
    let (inputs, incoming) = mpsc::channel(INPUTS_MAX);
    let first = options.send.len() as Destination;
    let connections = Connections::new(inputs, options.allow.clone(), first);
    let mut running = Running {
        face: Face::new(options.nodes),
        senders: Senders::new(socket).await?,
        allow: options.allow,
        outlets: HashMap::new(),
        worker: Worker::start(mesh.clone()),
        told: None,
    };
    for (id, target) in (0..).zip(options.send) {
        running.target(id, target, &connections).await?;
    }
    tokio::spawn(connections.accept(listener));
    ready(Ready {
        listen: options.listen,
        mesh_port: mesh.port(),
    });
    let outcome = running.run(events, incoming, shutdown).await;
    mesh.shutdown().await;
    outcome
}

fn check(options: &OscOptions) -> Result<(), FaceError> {
    if !options.listen.ip().is_loopback() && options.allow.is_local() {
        return Err(FaceError::Usage(format!(
            "listening at {} needs --allow with the networks that may send, such as 192.168.1.0/24; \
             0.0.0.0/0 allows everybody",
            options.listen
        )));
    }
    Ok(())
}

struct Running {
    face: Face,
    senders: Senders,
    allow: Allow,
    /// Of connections.
    outlets: HashMap<Destination, mpsc::Sender<Vec<u8>>>,
    worker: Worker<Set>,
    /// The counts that were told last.
    told: Option<Counts>,
}

impl Running {
    async fn target(
        &mut self,
        id: Destination,
        target: Target,
        connections: &Connections,
    ) -> Result<(), FaceError> {
        match target.transport {
            Transport::Udp => {
                let address = self.senders.add(id, &target.place).await?;
                self.face.add(now(), id, wants(&target), Some(address));
            }
            Transport::Tcp(framing) => {
                tokio::spawn(connections.clone().dial(target, framing));
            }
        }
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
            Input::Opened { id, outlet, target } => {
                // Who connects is told nothing but answers; whom we connect to is told values.
                if let Some(target) = &target {
                    self.face.add(now(), id, wants(target), None);
                }
                self.outlets.insert(id, outlet);
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
        let mut blocked = false;
        loop {
            let Ok(place) = self.worker.jobs.try_reserve() else {
                blocked = true;
                break;
            };
            let Some(set) = self.face.next_set(now) else {
                break;
            };
            place.send(Job::Set {
                peer: set.peer,
                path: set.path.clone(),
                value: set.value.clone(),
                about: set,
            });
        }
        while let Some(output) = self.face.poll_output() {
            if let Output::Answer(to, packet) = output
                && let Some(outlet) = self.outlets.get(&to)
            {
                // Who takes no answers gets none.
                let _ = outlet.try_send(packet);
            }
        }
        for (id, address) in self.senders.addresses.clone() {
            for packet in self.face.packets(now, id, DATAGRAM_LEN) {
                self.senders.send(address, &packet).await;
            }
        }
        for (id, outlet) in &self.outlets {
            if outlet.capacity() < PLACES_MIN {
                blocked = true;
                continue;
            }
            for packet in self.face.packets(now, *id, STREAM_LEN) {
                if outlet.try_send(packet).is_err() {
                    self.face.counts.dropped += 1;
                }
            }
        }
        blocked
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
        if self.told.as_ref() != Some(&self.face.counts)
            && self
                .worker
                .jobs
                .try_send(Job::Counts(self.face.counts.clone()))
                .is_ok()
        {
            self.told = Some(self.face.counts.clone());
        }
    }
}

/// The sockets from which datagrams are sent.
struct Senders {
    /// The one that listens.
    main: UdpSocket,
    /// For places that the one that listens cannot reach, since it is one of the loopback.
    others: Option<[UdpSocket; 2]>,
    addresses: HashMap<Destination, SocketAddr>,
}

impl Senders {
    async fn new(main: UdpSocket) -> Result<Self, FaceError> {
        Ok(Self {
            main,
            others: None,
            addresses: HashMap::new(),
        })
    }

    async fn add(&mut self, id: Destination, place: &str) -> Result<SocketAddr, FaceError> {
        let of = |error| FaceError::Socket {
            what: "send to",
            address: place.to_owned(),
            error,
        };
        let found: Vec<SocketAddr> = lookup_host(place).await.map_err(of)?.collect();
        let local = self.main.local_addr().map_err(of)?;
        let alike = found.iter().find(|one| one.is_ipv4() == local.is_ipv4());
        let unknown = || of(std::io::Error::other("no such host"));
        let address = *alike.or_else(|| found.first()).ok_or_else(unknown)?;
        if !reaches(local.ip(), address.ip()) && self.others.is_none() {
            let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                .await
                .map_err(of)?;
            // A system without IPv6 has one of IPv4 more.
            let v6 = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
                Ok(socket) => socket,
                Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                    .await
                    .map_err(of)?,
            };
            self.others = Some([v4, v6]);
        }
        self.addresses.insert(id, address);
        Ok(address)
    }

    async fn send(&self, address: SocketAddr, packet: &[u8]) {
        let is_reached = |local: SocketAddr| reaches(local.ip(), address.ip());
        let socket = match &self.others {
            Some([v4, v6]) if !self.main.local_addr().is_ok_and(is_reached) => {
                if address.is_ipv4() { v4 } else { v6 }
            }
            _ => &self.main,
        };
        if let Err(error) = socket.send_to(packet, address).await {
            tracing::debug!(%address, %error, "a datagram was not sent");
        }
    }
}

/// Whether a socket with this address sends to that one.
fn reaches(local: IpAddr, to: IpAddr) -> bool {
    local.is_ipv4() == to.is_ipv4() && (!local.is_loopback() || to.is_loopback())
}

fn datagrams(listen: SocketAddr) -> Result<UdpSocket, FaceError> {
    let open = || {
        let domain = socket2::Domain::for_address(listen);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // The system gives what it may.
        let _ = socket.set_recv_buffer_size(RECEIVE_LEN);
        socket.bind(&listen.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| at("listen with UDP at", listen, error))
}

fn at(what: &'static str, address: SocketAddr, error: std::io::Error) -> FaceError {
    FaceError::Socket {
        what,
        address: address.to_string(),
        error,
    }
}

fn wants(target: &Target) -> Wants {
    Wants::Below(target.prefix.iter().cloned().collect())
}

fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        clock: time_tag(since.unwrap_or_default()),
    }
}

/// Packets or events before others have their turn.
pub(crate) const BATCH_MAX: usize = 256;
/// Inputs of connections that wait.
pub(crate) const INPUTS_MAX: usize = 256;
/// Octets of a bundle in a datagram: no network has to cut it.
const DATAGRAM_LEN: usize = 1400;
/// Octets of a bundle in a connection.
const STREAM_LEN: usize = 16 * 1024;
/// Places that a connection has at least when it is sent a row of packets.
const PLACES_MIN: usize = 8;
/// Octets that the system keeps of what has come.
const RECEIVE_LEN: usize = 4 << 20;
/// How often what was counted is told.
const COUNTS_INTERVAL: Duration = Duration::from_secs(1);
/// When nothing is due.
const IDLE: Duration = Duration::from_secs(3600);
/// Before what is due and has no place is tried again.
const BLOCKED_PAUSE: Duration = Duration::from_millis(2);

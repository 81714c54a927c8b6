//! The loop around a universe: sockets, time, and its node.
//!
//! Model: [`Running`] has the slots of one universe. Out: values that are set or arrive over wires become slots, which are
//! sent as [`Sender`] says. In: what the [`Receiver`] hears becomes values, which are emitted when they are other ones.
//! sACN goes by multicast on every network of the mesh, or to who is named. Art-Net goes to the nodes that have said that
//! they take the universe, or to who is named.
//! Limits: [`BATCH_MAX`] packets before others have their turn.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    artnet,
    options::{DmxOptions, DmxReady, Protocol},
    patch::{Direction, Loss, Patch},
    receiver::Receiver,
    replies::Replies,
    sacn::{self, SLOTS_MAX},
    sender::Sender,
};
use crate::{
    FaceError,
    allow::Allow,
    counts::Counts,
    mesh::{CapPath, Mesh, MeshEvent, MeshEvents, Network, Value},
    sets::Sets,
    worker::{BATCH_MAX, COUNTS_INTERVAL, IDLE, Job, Worker},
};

/// Runs a universe until `shutdown` is done; `ready` is told when it is there.
///
/// # Errors
/// See [`FaceError`].
pub async fn run(
    options: DmxOptions,
    ready: impl FnOnce(DmxReady),
    shutdown: impl Future<Output = ()>,
) -> Result<(), FaceError> {
    let patch = Patch::read(&options.patch).map_err(|error| FaceError::Usage(error.to_string()))?;
    let is_universe = match options.protocol {
        Protocol::Sacn => (1..=63_999).contains(&options.universe),
        Protocol::ArtNet => options.universe < 0x8000,
    };
    if !is_universe {
        let message = "a universe is from 1 to 63999 with sACN, from 0 to 32767 with Art-Net";
        return Err(FaceError::Usage(message.to_owned()));
    }
    let port = match options.protocol {
        Protocol::Sacn => sacn::PORT,
        Protocol::ArtNet => artnet::PORT,
    };
    let socket = open(port)?;
    let (mesh, events) = Mesh::start(&options.mesh).await?;
    let worker = Worker::start(mesh.clone());
    for channel in &patch.channels {
        let job = Job::Publish(channel.path.clone(), channel.capability(patch.direction));
        let _ = worker.jobs.send(job).await;
    }
    let mut running = Running::new(options, patch, socket, worker, mesh.clone());
    running.join().await;
    ready(DmxReady {
        sends: running.patch.direction == Direction::Out,
        channels: running.patch.channels.len(),
        networks: running
            .networks
            .iter()
            .map(|network| network.address)
            .collect(),
    });
    let outcome = running.run(events, shutdown).await;
    mesh.shutdown().await;
    outcome
}

fn open(port: u16) -> Result<UdpSocket, FaceError> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // Several programs of a machine receive one multicast; a unicast packet (Art-Net) reaches only one of them.
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.set_multicast_loop_v4(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| FaceError::Socket {
        what: "listen with UDP at",
        address: address.to_string(),
        error,
    })
}

pub(super) struct Running {
    pub(super) options: DmxOptions,
    pub(super) patch: Patch,
    pub(super) socket: UdpSocket,
    pub(super) worker: Worker<()>,
    pub(super) mesh: Mesh,
    pub(super) networks: Vec<Network>,
    /// From whom packets are taken: what the options say, else the networks of the mesh.
    allowed: Allow,
    pub(super) source: [u8; 16],
    pub(super) slots: [u8; SLOTS_MAX],
    pub(super) sender: Sender,
    pub(super) sequence: u8,
    pub(super) receiver: Receiver,
    /// Whether somebody was heard since the last loss.
    pub(super) is_heard: bool,
    pub(super) sets: Sets<Value>,
    pub(super) channels: HashMap<Arc<str>, CapPath>,
    pub(super) values: HashMap<CapPath, Value>,
    /// Nodes of Art-Net that take the universe, with when they said so.
    pub(super) nodes: HashMap<IpAddr, Instant>,
    pub(super) replies: Replies,
    pub(super) counts: Counts,
}

impl Running {
    fn new(
        options: DmxOptions,
        patch: Patch,
        socket: UdpSocket,
        worker: Worker<()>,
        mesh: Mesh,
    ) -> Self {
        let mut slots = [0; SLOTS_MAX];
        for channel in &patch.channels {
            channel.put(&channel.default(), &mut slots);
        }
        let allowed = options.allow.clone();
        let named = patch.channels.iter().map(|channel| {
            let name: Arc<str> = channel.path.to_string().into();
            (name, channel.path.clone())
        });
        Self {
            source: mesh.identity(),
            channels: named.collect(),
            options,
            patch,
            socket,
            worker,
            mesh,
            networks: Vec::new(),
            allowed,
            slots,
            sender: Sender::new(),
            sequence: 0,
            receiver: Receiver::default(),
            is_heard: false,
            sets: Sets::default(),
            values: HashMap::new(),
            nodes: HashMap::new(),
            replies: Replies::default(),
            counts: Counts::default(),
        }
    }

    /// Is on every network of the mesh, also on those that are new.
    async fn join(&mut self) {
        let networks = self.mesh.networks().await;
        let is_sacn = self.options.protocol == Protocol::Sacn;
        for Network { address, .. } in &networks {
            let is_new = !(self.networks.iter()).any(|known| known.address == *address);
            if is_sacn && is_new && self.patch.direction == Direction::In {
                let group = sacn::group(self.options.universe);
                if let Err(error) = self.socket.join_multicast_v4(group, *address) {
                    tracing::warn!(%address, %error, "cannot join the universe's group there");
                }
                if self.patch.sync != 0 {
                    let _ = self
                        .socket
                        .join_multicast_v4(sacn::group(self.patch.sync), *address);
                }
            }
        }
        if self.options.allow.is_local() {
            let own = networks
                .iter()
                .map(|network| (network.address, network.prefix));
            self.allowed = Allow::of(own);
        }
        let known = std::mem::replace(&mut self.networks, networks);
        if self.options.protocol == Protocol::ArtNet {
            self.introduce(&known).await;
        }
    }

    /// Art-Net: says what is here on networks that are new, since a desk may ask seldom.
    async fn introduce(&mut self, known: &[Network]) {
        let new = self
            .networks
            .iter()
            .filter(|network| !known.contains(network));
        for network in new.copied().collect::<Vec<_>>() {
            if let Some(broadcast) = network.broadcast {
                let reply = self.description(network.address);
                self.send_to(&reply, (broadcast, artnet::PORT).into()).await;
            }
        }
    }

    async fn run(
        mut self,
        mut events: MeshEvents,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), FaceError> {
        tokio::pin!(shutdown);
        let mut buffer = vec![0; PACKET_LEN];
        let jobs = self.worker.jobs.clone();
        let mut seconds = interval(COUNTS_INTERVAL);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polls = interval(POLL_INTERVAL);
        loop {
            let is_full = self.flush();
            if self.patch.direction == Direction::Out && self.sender.take(Instant::now()) {
                self.send(false).await;
            }
            let deadline = self.deadline(is_full);
            // Each branch is cancel-safe: receiving, and sleeping.
            tokio::select! {
                () = &mut shutdown => {
                    self.end().await;
                    return Ok(());
                }
                received = self.socket.recv_from(&mut buffer) => self.packets(received, &mut buffer).await,
                event = events.next() => self.event(event.ok_or(FaceError::Ended)?),
                place = jobs.reserve(), if is_full => drop(place),
                () = sleep_until(deadline.into()) => self.timeout(),
                _ = seconds.tick() => {
                    self.join().await;
                    self.count();
                }
                _ = polls.tick(), if self.options.protocol == Protocol::ArtNet => self.poll().await,
            }
        }
    }

    fn event(&mut self, event: MeshEvent) {
        let MeshEvent::Received { path, value } = event else {
            return;
        };
        let channel = self
            .patch
            .channels
            .iter()
            .find(|channel| channel.path == path);
        if let Some(channel) = channel.filter(|_| self.patch.direction == Direction::Out) {
            self.counts.taken += 1;
            if channel.put(&value, &mut self.slots) {
                self.sender.changed();
            }
        }
    }

    async fn packets(&mut self, received: std::io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let mut received = received;
        for _ in 0..BATCH_MAX {
            if let Ok((len, from)) = received {
                let ip = from.ip();
                if self.allowed.permits(ip) {
                    let octets = buffer[..len].to_vec();
                    self.packet(ip, &octets).await;
                } else {
                    self.counts
                        .refuse(&format!("a packet from {ip}: see --allow"));
                }
            }
            received = self.socket.try_recv_from(buffer);
            let is_empty = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            if received.as_ref().is_err_and(is_empty) {
                break;
            }
        }
        self.heard();
    }

    async fn packet(&mut self, from: IpAddr, octets: &[u8]) {
        match self.options.protocol {
            Protocol::Sacn => match sacn::decode(octets) {
                Some(packet) => self.sacn(packet),
                None => self
                    .counts
                    .refuse(&format!("a packet from {from} that is not sACN")),
            },
            Protocol::ArtNet => match artnet::decode(octets) {
                Some(packet) => self.artnet(from, packet).await,
                None => self
                    .counts
                    .refuse(&format!("a packet from {from} that is not Art-Net")),
            },
        }
    }

    /// What is heard becomes values.
    fn heard(&mut self) {
        let slots = self.receiver.slots();
        if slots.is_none() && !self.is_heard {
            return;
        }
        self.is_heard = slots.is_some();
        let now = Instant::now();
        for channel in &self.patch.channels {
            let value = match (&slots, self.patch.loss) {
                (Some(slots), _) => channel.value(slots),
                (None, Loss::Hold) => continue,
                (None, Loss::Default) => channel.default(),
                (None, Loss::Blackout) => channel.least(),
            };
            if self.values.get(&channel.path) != Some(&value) {
                self.values.insert(channel.path.clone(), value.clone());
                let name: Arc<str> = channel.path.to_string().into();
                self.sets.state(now, &name, value);
            }
        }
    }

    fn timeout(&mut self) {
        self.receiver.timeout(Instant::now());
        if self.is_heard && self.receiver.slots().is_none() {
            tracing::warn!(
                universe = self.options.universe,
                "no source has sent the universe for 2.5 s"
            );
        }
        self.heard();
    }

    /// Hands over the values that are due; whether the node takes nothing more now.
    fn flush(&mut self) -> bool {
        let (sets, channels) = (&mut self.sets, &self.channels);
        self.worker.fill(|| {
            loop {
                let due = sets.take(Instant::now())?;
                if let Some(path) = channels.get(&due.address) {
                    return Some(Job::Tell(path.clone(), due.value, true));
                }
            }
        })
    }

    fn deadline(&self, is_full: bool) -> Instant {
        let now = Instant::now();
        let sender = (self.patch.direction == Direction::Out).then(|| self.sender.due(now));
        let sets = self.sets.poll_timeout(now).filter(|_| !is_full);
        let due = sender
            .into_iter()
            .chain(sets)
            .chain(self.receiver.poll_timeout());
        due.min().unwrap_or(now + IDLE)
    }

    fn count(&mut self) {
        self.counts.replaced = self.sets.replaced;
        self.worker.report(&self.counts);
    }
}

/// Octets of the longest packet of both.
const PACKET_LEN: usize = 2048;
/// Between two polls of Art-Net.
const POLL_INTERVAL: Duration = Duration::from_millis(2750);

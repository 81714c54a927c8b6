//! The actor: the one task that owns all state of a node and does all its waiting.
//!
//! Model: [`Actor`] owns the pure cores (`Zre`: peers and groups; `Model`: capabilities), the writing half of every
//! connection, and the events that wait for their reader. Tasks of connections give it inputs, handles give it
//! commands. After each batch it *settles*: it takes the outputs of the cores, routes them from one to the other, and
//! writes what goes to the wire.
//! Invariants: ACTOR-1. Between two waits no output is left in the cores, and each connection was given what is queued
//! for it. ACTOR-2. A peer has send credit from `Entered` to `Exited`. ACTOR-3. While events wait for space in their
//! queue, the actor takes nothing that makes further ones: no inputs of connections, no beacons, and commands that make
//! events only until the backlog is full (`backlog.rs`). Requests and timers go on. So beside the queue there wait the
//! backlog, the events of one turn, those of peers whose time is over, and the newest choice of networks. ACTOR-4.
//! While connections are not read, no peer is taken for silent.
//! Limits: those of the configuration, each with what happens when it is reached.
//! Layout: this file has the loop; `mesh.rs` routes the ZRE core, `messages.rs` takes what handles request of it,
//! `dials.rs` writes, `model.rs` routes the model, `passing.rs` and `away.rs` have nodes of other venues, `keys.rs`
//! handles the keys of a secure mesh, `networks.rs` follows the networks of this machine, `counters.rs` counts.

mod away;
mod channels;
mod counters;
mod dials;
mod keys;
mod mesh;
mod messages;
mod model;
mod networks;
mod passing;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use zocp_model::{CallId, Model};
use zocp_zre::{DialId, IdHash, LinkId, PeerId, Zre};

use self::dials::Dial;
use crate::acceptor::{LinkNumbers, Mailbox, accept};
use crate::backlog::Backlog;
use crate::beacon::{Beacons, Datagram};
use crate::call::CallResult;
use crate::channel::Channels;
use crate::clock;
use crate::command::Command;
use crate::config::{Config, Ipv6};
use crate::connection::{ConnectionContext, Input};
use crate::credit::SendCredits;
use crate::event::Event;
use crate::handshakes::HandshakeSlots;
use crate::interfaces::{Listed, Network, Selection, Watch};
use crate::log_throttle::{AddressLogThrottle, LogThrottle};
use crate::passing::Passing;
use crate::security::Keys;
use crate::traffic::Traffic;
use crate::venue::OwnVenue;
use crate::wanted_links::WantedLinks;

/// All state of a node.
pub(crate) struct Actor {
    id: PeerId,
    venue: OwnVenue,
    zre: Zre,
    model: Model,
    beacons: Beacons,
    selection: Selection,
    /// The networks that carry the mesh.
    networks: Vec<Network>,
    /// All addresses of this machine.
    listed: Listed,
    ipv6: Ipv6,
    context: ConnectionContext,
    tasks: TaskTracker,
    /// Cancelled when the node ends; every connection's token is a child of it.
    connections: CancellationToken,
    stop: CancellationToken,
    links: HashMap<LinkId, Link, IdHash>,
    dials: HashMap<DialId, Dial, IdHash>,
    /// Dials that have something to write or are to be closed.
    dirty: Vec<DialId>,
    credits: Arc<SendCredits>,
    channels: Arc<Channels>,
    traffic: Arc<Traffic>,
    pings: HashMap<PeerId, VecDeque<oneshot::Sender<Duration>>>,
    calls: HashMap<CallId, (PeerId, oneshot::Sender<CallResult>)>,
    /// Events that are not in the queue to their reader yet.
    events: Vec<Event>,
    backlog: Backlog,
    /// Nodes of other venues, and what other venues are told of.
    passing: Passing,
    handshakes: HandshakeSlots,
    wanted_links: WantedLinks,
    /// Limits how often it is logged that there are too many connections.
    refusals_log: LogThrottle,
    call_max: Duration,
}

/// A connection that a peer opened.
struct Link {
    token: CancellationToken,
    /// The peer, by what it says of itself.
    peer: PeerId,
    /// The local and the remote address.
    ends: (SocketAddr, SocketAddr),
    way: LinkWay,
}

/// Who sends on a connection that a peer opened.
enum LinkWay {
    /// The peer. The task of the link waits for the number of a dial, to become one.
    Peer(oneshot::Sender<DialId>),
    /// Both; this node by this dial.
    Both(DialId),
}

/// What an actor is made of.
pub(crate) struct Parts {
    pub(crate) id: PeerId,
    pub(crate) zre: Zre,
    pub(crate) model: Model,
    pub(crate) beacons: Beacons,
    pub(crate) selection: Selection,
    /// The networks of the selection that exist.
    pub(crate) networks: Vec<Network>,
    pub(crate) listed: Listed,
    /// For the tasks of connections.
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) credits: Arc<SendCredits>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
    pub(crate) hash: IdHash,
}

/// Where peers connect to.
pub(crate) struct Mailboxes {
    pub(crate) mesh: Mailbox,
    /// For peers of other venues, where the mesh itself is open.
    pub(crate) links: Option<Mailbox>,
}

impl Mailboxes {
    /// The TCP port for peers of other venues.
    pub(crate) fn link_port(&self) -> io::Result<u16> {
        let mailbox = self.links.as_ref().unwrap_or(&self.mesh);
        Ok(mailbox.first.local_addr()?.port())
    }
}

/// The receiving ends of the actor's queues, and the sending end of the events.
pub(crate) struct Queues {
    /// Commands that make events.
    pub(crate) commands: mpsc::Receiver<Command<Actor>>,
    /// All others.
    pub(crate) requests: mpsc::Receiver<Command<Actor>>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) datagrams: mpsc::Receiver<Datagram>,
    pub(crate) events: mpsc::Sender<Vec<Event>>,
}

impl Actor {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let hash = parts.hash;
        let context = ConnectionContext {
            inputs: parts.inputs,
            limits: config.limits.zmtp.clone(),
            handshake_max: config.limits.handshake_max,
            silence_max: config.silence_max,
            keys: Keys::of(config.security.as_ref()),
            traffic: Arc::clone(&parts.traffic),
            tickets: parts.channels.tickets.clone(),
            old: AddressLogThrottle::default(),
        };
        Self {
            id: parts.id,
            venue: OwnVenue::of(config),
            zre: parts.zre,
            model: parts.model,
            beacons: parts.beacons,
            selection: parts.selection,
            networks: parts.networks,
            listed: parts.listed,
            ipv6: config.ipv6,
            context,
            tasks: TaskTracker::new(),
            connections: CancellationToken::new(),
            stop: parts.stop,
            links: HashMap::with_hasher(hash),
            dials: HashMap::with_hasher(hash),
            dirty: Vec::new(),
            credits: parts.credits,
            channels: parts.channels,
            traffic: parts.traffic,
            pings: HashMap::new(),
            calls: HashMap::new(),
            events: Vec::new(),
            backlog: Backlog::default(),
            passing: Passing::new(config.pass.clone()),
            handshakes: HandshakeSlots::new(&config.limits),
            wanted_links: WantedLinks::default(),
            refusals_log: LogThrottle::default(),
            call_max: config.limits.call_max,
        }
    }

    /// Runs the node until it is told to stop, or all handles and the reader of its events are gone.
    pub(crate) async fn run(mut self, mailboxes: Mailboxes, mut watch: Watch, mut queues: Queues) {
        self.accept(mailboxes);
        self.report_networks();
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut alarm = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut alarm_at = None;
        let mut turns = 0;
        let mut handles_gone = false;
        loop {
            self.settle(clock::now());
            self.hand_over(&queues.events);
            let blocked = !self.events.is_empty();
            let is_full = self.backlog.is_full(&self.events);
            self.zre.set_listening(!blocked);
            let deadline = self.deadline();
            if alarm_at != Some(deadline) {
                alarm.as_mut().reset(deadline);
                alarm_at = Some(deadline);
            }
            // What comes all the time is taken first, except in some turns, so that nothing starves.
            turns = (turns + 1) % TURNS_MAX;
            let (skips_commands, skips_inputs) = (turns == 0, turns < 2);
            // Cancel-safe: queues, netlink, a timer and a token.
            tokio::select! {
                biased;
                Some(input) = queues.inputs.recv(), if !skips_inputs && !blocked => {
                    self.input(clock::now(), input);
                }
                Some(request) = queues.requests.recv(), if !skips_commands => {
                    self.commands(clock::now(), request, &mut queues.requests);
                }
                command = queues.commands.recv(), if !skips_commands && !is_full && !handles_gone => {
                    match command {
                        Some(command) if blocked => self.command(clock::now(), command),
                        Some(command) => self.commands(clock::now(), command, &mut queues.commands),
                        None => handles_gone = true,
                    }
                }
                // There are no handles and no reader of events any more.
                () = queues.events.closed(), if handles_gone => break,
                () = &mut stopped => break,
                Some(datagram) = queues.datagrams.recv(), if !blocked => {
                    self.beacon(clock::now(), &datagram);
                }
                slot = queues.events.reserve(), if blocked => match slot {
                    Ok(slot) => slot.send(std::mem::take(&mut self.events)),
                    Err(_) => self.events.clear(),
                },
                () = watch.changed() => self.follow_networks(&watch).await,
                () = alarm.as_mut() => {
                    alarm_at = None;
                    self.zre.handle_timeout(clock::now());
                    self.model.handle_timeout(clock::now());
                }
                () = std::future::ready(()), if skips_inputs => {}
            }
        }
        self.end(queues).await;
    }

    /// Accepts connections at all mailboxes.
    fn accept(&self, mailboxes: Mailboxes) {
        let numbers = LinkNumbers::default();
        let all = [
            (Some(mailboxes.mesh), self.context.keys.of_mesh()),
            (mailboxes.links, self.context.keys.clone()),
        ];
        for (mailbox, keys) in all {
            let Some(mailbox) = mailbox else { continue };
            let context = ConnectionContext {
                keys,
                ..self.context.clone()
            };
            self.tasks.spawn(accept(
                mailbox,
                context,
                self.tasks.clone(),
                self.connections.clone(),
                self.handshakes.clone(),
                numbers.clone(),
            ));
        }
    }

    fn beacon(&mut self, now: Instant, datagram: &Datagram) {
        self.count_beacon(datagram);
        self.zre.handle_beacon(now, datagram.from, &datagram.octets);
    }

    fn commands(
        &mut self,
        now: Instant,
        first: Command<Self>,
        queue: &mut mpsc::Receiver<Command<Self>>,
    ) {
        self.command(now, first);
        for _ in 1..COMMAND_BATCH {
            let Ok(command) = queue.try_recv() else { break };
            self.command(now, command);
        }
    }

    fn command(&mut self, now: Instant, command: Command<Self>) {
        self.model.handle_timeout(now);
        match command {
            Command::Whisper {
                peer,
                content,
                permit,
            } => self.whisper(now, peer, content, permit),
            Command::Run(work) => work(self, now),
        }
    }

    /// The next time at which a core has something to do; far away when there is none.
    fn deadline(&self) -> tokio::time::Instant {
        let wakes = [self.zre.poll_timeout(), self.model.poll_timeout()];
        let earliest = wakes.into_iter().flatten().min();
        earliest.unwrap_or_else(|| clock::now() + IDLE_MAX).into()
    }

    /// Gives all events that there are to their reader as one batch, if the queue has space.
    fn hand_over(&mut self, queue: &mpsc::Sender<Vec<Event>>) {
        if self.events.is_empty() {
            return;
        }
        match queue.try_send(std::mem::take(&mut self.events)) {
            Ok(()) => {}
            Err(TrySendError::Full(events)) => self.events = events,
            // The reader is gone; the node goes on without it.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// Says goodbye to the mesh, sends what is queued within [`LINGER`], and closes everything.
    async fn end(mut self, mut queues: Queues) {
        info!("leaving the mesh");
        self.zre.shutdown(clock::now());
        self.settle(clock::now());
        let drained = async {
            while self.dials.values().any(Dial::has_queued) {
                let Some(input) = queues.inputs.recv().await else {
                    break;
                };
                self.input(clock::now(), input);
                self.settle(clock::now());
            }
        };
        if tokio::time::timeout(LINGER, drained).await.is_err() {
            warn!("some peers did not take what was queued for them");
        }
        // Cancelled tasks still report that they closed; none of them may wait for space in the queue.
        drop(queues.inputs);
        self.connections.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // Only if there is space: the end does not wait for the reader.
        self.hand_over(&queues.events);
    }
}

/// Commands taken between two writes: enough to batch a burst of whispers into one write.
const COMMAND_BATCH: usize = 512;

/// Of this many turns one takes neither inputs nor commands, and one takes no inputs.
const TURNS_MAX: usize = 16;

/// How long a node that ends waits for its peers to take what is queued.
const LINGER: Duration = Duration::from_secs(1);

/// When a node that waits for nothing wakes up.
const IDLE_MAX: Duration = Duration::from_secs(3600);

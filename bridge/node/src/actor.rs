//! The actor: the one task that owns all state of a node and does all its waiting.
//!
//! Model: [`Actor`] owns the pure cores (`Zre`: who is here; `Model`: what they can do), the
//! writing half of every connection and the events that wait for their reader. Reading tasks feed
//! it inputs, handles feed it commands; after each batch it *settles*: takes what the cores put
//! out, routes it from one to the other, and writes what goes to the wire.
//! Invariants: I1. Between two waits nothing is left in the cores' outputs, and every connection
//! was offered what is queued for it. I2. A peer has a gate from `Entered` to `Exited`. I3. While
//! events wait for room in their queue, nothing of the network is taken that makes further ones: no input from
//! connections, no beacon; and commands that make events only until the backlog is full (`backlog.rs`). Requests and
//! timers go on. So there wait, beside the queue, the backlog, the events of one turn, those of peers whose time has
//! come, and the newest choice of networks. I4. As long as connections are not read, no peer is taken for silent.
//! Limits: those of the configuration; what happens at each is said there.
//! Layout: this file has the loop; `mesh.rs` routes the ZRE core, `dials.rs` writes, `zocp.rs` routes the
//! model, `trusting.rs` is about keys, `counting.rs` counts what passes.

mod counters;
mod dials;
mod keys;
mod mesh;
mod model;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use zocp_model::{CallId, Model};
use zocp_zre::{DialId, IdHash, LinkId, PeerId, Zre};

use self::dials::Dial;
use crate::acceptor::accept;
use crate::backlog::Backlog;
use crate::beacon::{Beacons, Datagram, Failure};
use crate::call::CallResult;
use crate::clock;
use crate::command::Command;
use crate::config::Config;
use crate::connection::{ConnectionContext, Input};
use crate::credit::SendCredits;
use crate::event::Event;
use crate::handshakes::HandshakeSlots;
use crate::interfaces::{Network, Selection, Watch, choose, describe};
use crate::log_throttle::{AddressLogThrottle, LogThrottle};
use crate::traffic::Traffic;

/// All state of a node.
pub(crate) struct Actor {
    id: PeerId,
    zre: Zre,
    model: Model,
    beacons: Beacons,
    selection: Selection,
    /// Those that carry the mesh.
    networks: Vec<Network>,
    context: ConnectionContext,
    tasks: TaskTracker,
    /// Cancelled when the node ends; every connection's token is a child of it.
    connections: CancellationToken,
    stop: CancellationToken,
    links: HashMap<LinkId, Link, IdHash>,
    dials: HashMap<DialId, Dial, IdHash>,
    /// Dials that have something to write, or should be looked at.
    dirty: Vec<DialId>,
    credits: Arc<SendCredits>,
    traffic: Arc<Traffic>,
    pings: HashMap<PeerId, VecDeque<oneshot::Sender<Duration>>>,
    calls: HashMap<CallId, (PeerId, oneshot::Sender<CallResult>)>,
    /// Events that were not handed over yet.
    events: Vec<Event>,
    backlog: Backlog,
    handshakes: HandshakeSlots,
    /// That connections are too many was said.
    refused: LogThrottle,
    call_max: Duration,
}

/// A connection that a peer opened.
struct Link {
    token: CancellationToken,
    /// Whose it says to be.
    peer: PeerId,
    /// Ours, and the peer's.
    ends: (SocketAddr, SocketAddr),
}

/// What a house is made of, as `start` made it.
pub(crate) struct Parts {
    pub(crate) id: PeerId,
    pub(crate) zre: Zre,
    pub(crate) model: Model,
    pub(crate) beacons: Beacons,
    pub(crate) selection: Selection,
    /// Those of the selection that are there.
    pub(crate) networks: Vec<Network>,
    /// For the tasks of connections.
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) credits: Arc<SendCredits>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) stop: CancellationToken,
    pub(crate) hash: IdHash,
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
            keys: config
                .security
                .as_ref()
                .map(|security| security.keys.clone()),
            traffic: Arc::clone(&parts.traffic),
            old: AddressLogThrottle::default(),
        };
        Self {
            id: parts.id,
            zre: parts.zre,
            model: parts.model,
            beacons: parts.beacons,
            selection: parts.selection,
            networks: parts.networks,
            context,
            tasks: TaskTracker::new(),
            connections: CancellationToken::new(),
            stop: parts.stop,
            links: HashMap::with_hasher(hash),
            dials: HashMap::with_hasher(hash),
            dirty: Vec::new(),
            credits: parts.credits,
            traffic: parts.traffic,
            pings: HashMap::new(),
            calls: HashMap::new(),
            events: Vec::new(),
            backlog: Backlog::default(),
            handshakes: HandshakeSlots::new(&config.limits),
            refused: LogThrottle::default(),
            call_max: config.limits.call_max,
        }
    }

    /// Runs the node until it is told to stop, or all handles and the reader of its events are gone.
    pub(crate) async fn run(mut self, mailbox: TcpListener, mut watch: Watch, mut queues: Queues) {
        let accept = accept(
            mailbox,
            self.context.clone(),
            self.tasks.clone(),
            self.connections.clone(),
            self.handshakes.clone(),
        );
        self.tasks.spawn(accept);
        self.tell_networks();
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
            // What comes all the time is looked at first, but not always: nobody starves.
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
                // Nobody can ask for anything or be told anything any more.
                () = queues.events.closed(), if handles_gone => break,
                () = &mut stopped => break,
                Some(datagram) = queues.datagrams.recv(), if !blocked => {
                    self.beacon(clock::now(), &datagram);
                }
                room = queues.events.reserve(), if blocked => match room {
                    Ok(room) => room.send(std::mem::take(&mut self.events)),
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

    /// The next moment at which a core wants to be woken; far away when there is none.
    fn deadline(&self) -> tokio::time::Instant {
        let wakes = [self.zre.poll_timeout(), self.model.poll_timeout()];
        let earliest = wakes.into_iter().flatten().min();
        earliest.unwrap_or_else(|| clock::now() + IDLE_MAX).into()
    }

    /// Gives events to their reader, all that there are as one batch, if the queue has room.
    fn hand_over(&mut self, queue: &mpsc::Sender<Vec<Event>>) {
        if self.events.is_empty() {
            return;
        }
        match queue.try_send(std::mem::take(&mut self.events)) {
            Ok(()) => {}
            Err(TrySendError::Full(events)) => self.events = events,
            // Nobody reads any more; the node goes on without telling.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    async fn follow_networks(&mut self, watch: &Watch) {
        let all = match watch.networks().await {
            Ok(all) => all,
            Err(error) => {
                warn!(%error, "the list of network interfaces could not be read");
                return;
            }
        };
        self.own(&all);
        let chosen = choose(&all, &self.selection);
        if chosen == self.networks {
            return;
        }
        self.beacons.follow(&chosen).iter().for_each(Failure::warn);
        self.networks = chosen;
        self.tell_networks();
    }

    /// So that we never dial ourselves, whoever names our mailbox.
    pub(crate) fn own(&mut self, all: &[Network]) {
        for network in all {
            self.zre.own_address(network.address.into());
        }
    }

    fn tell_networks(&mut self) {
        let is_usable = self.selection == Selection::Usable;
        if self.networks.is_empty() {
            warn!("no usable network at the moment");
        } else if is_usable && self.networks.iter().all(|network| network.loopback) {
            warn!("no network but the loopback: only nodes of this machine are met");
        } else {
            info!(networks = describe(&self.networks), "the mesh is on these");
        }
        // What was not read yet is not so any more.
        self.events
            .retain(|event| !matches!(event, Event::Networks(_)));
        self.events.push(Event::Networks(self.networks.clone()));
    }

    pub(crate) fn networks(&self) -> Vec<Network> {
        self.networks.clone()
    }

    /// Whether a connection came in on a network that carries the mesh. Without a choice of the
    /// user's every network does, also one that netlink has not told of yet.
    fn admits(&self, local: SocketAddr) -> bool {
        // protocol.md §1.9
        let chosen = |network: &Network| local.ip() == network.address;
        !matches!(self.selection, Selection::Named(_)) || self.networks.iter().any(chosen)
    }

    /// Goodbye to the mesh; what is queued goes out within [`LINGER`]; then everything closes.
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
        // Cancelled tasks still tell that they closed: nobody may wait for room in the queue.
        drop(queues.inputs);
        self.connections.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // If there is room: who does not read is not waited for.
        self.hand_over(&queues.events);
    }
}

/// Commands taken between two writes: enough to batch a burst of whispers into one write.
const COMMAND_BATCH: usize = 512;

/// Of as many turns one is for all but inputs and commands, and one for all but inputs.
const TURNS_MAX: usize = 16;

/// How long an ending node waits for its peers to take what is queued.
const LINGER: Duration = Duration::from_secs(1);

/// The alarm of a node that waits for nothing.
const IDLE_MAX: Duration = Duration::from_secs(3600);

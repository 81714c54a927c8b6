//! Which services of peers are imported, and what happens on their connections to the bus: the pure half.
//!
//! Model: a [`State`] knows the peers with what they export, the imports, and the programs here that call them. It takes
//! messages of both sides and the time, and says what to do as [`Output`]s. **After each call that takes `&mut self`,
//! drain [`State::poll_output`] until it gives `None`.**
//! Invariants:
//! IMPORT-1. An import is of one revision of a service; another revision is another import.
//! IMPORT-2. A call that was passed on gets one reply: from its exporter, or an error when service, peer or the connection
//!     goes, when the peer's queue is full, or after the time that a rule gives it. When the caller leaves, none.
//! IMPORT-3. What a peer sends reaches only what it belongs to: replies the caller that asked, signals the import that
//!     subscribed, directed ones a caller that called it.
//! IMPORT-4. Only who called the service is called by it, and only what a rule here allows: by default nothing, since
//!     whoever calls a service of another machine did not mean to open itself to that machine.
//! IMPORT-5. When the bus is lost, all callers are gone: on the next one their names mean others.
//! IMPORT-6. A request is open only while its peer, its import and its caller are there.
//! Limits: those of [`ServiceLimits`]: `imports_max`, `requests_max`, `caller_calls_max`, `calls_back_max`.
//! Layout: `import` one import; `subscriptions` which there are, `appearance` as what; `buses` on which buses they are; `calls` and `call_back` what programs
//! here send, `packets` what peers send; `naming` the
//! name of one on the bus; `starting` what is only offered until somebody calls it.
//! Not here: connections and queues (`super`).

mod appearance;
mod buses;
mod call_back;
mod calls;
#[cfg(any(test, feature = "testing"))]
mod checks;
mod import;
mod naming;
mod packets;
mod starting;
mod subscriptions;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use bytes::Bytes;
use zbus::Message;
use zocp_node::PeerId;

pub(crate) use self::buses::{BusId, OWN_BUS};
pub use self::buses::{ViewScope, ViewService};
use self::{
    import::{Import, Request, Subscription},
    starting::Offered,
};
use super::announcement::Export;
use crate::descriptors::Departures;
use crate::{
    limits::ServiceLimits,
    refusal_log::RefusalLog,
    remote::Remote,
    requests::Requests,
    transport::{Control, Stream},
};
use zocp_dbus::{errors::Refusal, message::Octets};
use zocp_policy::{ImportRule, Member};

/// The number of an import. None has that of another one, also not after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ImportId(u64);

/// What to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a packet to a peer.
    Send {
        peer: PeerId,
        stream: Stream,
        packet: Bytes,
    },
    /// Send a call to a peer, if there is room for it in the peer's queue; if not, call
    /// [`State::handle_full`] with its number.
    Call {
        peer: PeerId,
        stream: Stream,
        packet: Bytes,
        id: Option<NonZeroU32>,
    },
    /// Reply to a call of a peer with an error.
    RefusePeer {
        peer: PeerId,
        stream: Stream,
        id: NonZeroU32,
        error: Refusal,
    },
    /// Have an import make a connection to this bus, and call [`State::handle_connected`] and [`State::handle_disconnected`] when it
    /// begins and fails.
    Connect(ImportId, BusId),
    /// Offer the bus of a view to start a service of this name; when somebody calls it, call [`State::handle_start`].
    Offer(BusId, Arc<str>),
    /// Stop offering it: calls that wait for it get an error.
    Withdraw(BusId, Arc<str>),
    /// Calls that wait for it get this error; it stays offered.
    FailStart(BusId, Arc<str>, Refusal),
    /// End the connection of an import when what is written is sent. It has no messages for the state any more.
    Disconnect(ImportId),
    /// Write a message on an import's connection.
    Write(ImportId, Octets),
    /// Reply to a call that came on an import's connection with an error, if it wants a reply.
    RefuseCall(ImportId, Message, Refusal),
    /// Log that a signal of this service is longer than the bus takes.
    LogTooLong(PeerId, Arc<str>),
    /// Ask a bus whether a caller is there; if not, call [`State::handle_program_gone`].
    AskCaller(BusId, Arc<str>),
    /// [`State::poll_names`] may have something.
    NamesChanged,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct State {
    departures: Arc<dyn Departures>,
    rules: Vec<ImportRule>,
    limits: ServiceLimits,
    /// The longest message that the bus takes.
    message_len_max: usize,
    peers: BTreeMap<PeerId, Peer>,
    views: BTreeMap<BusId, ViewScope>,
    imports: BTreeMap<ImportId, Import>,
    offered: Offered,
    last: u64,
    arrivals: u64,
    /// By unique name.
    callers: HashMap<Arc<str>, Caller>,
    denied: RefusalLog,
    output: VecDeque<Output>,
}

/// A program that called an import.
#[derive(Debug)]
struct Caller {
    bus: BusId,
    /// Whose bridges know of it.
    peers: HashSet<PeerId>,
}

/// A peer, and what is imported of it.
#[derive(Debug)]
struct Peer {
    remote: Arc<Remote>,
    /// The peer's label on this bus.
    label: Arc<str>,
    /// How many came before it.
    arrival: u64,
    /// Whether its tree is known.
    is_known: bool,
    /// What it exports.
    exports: BTreeMap<Arc<str>, Export>,
    /// What is imported of it.
    services: BTreeMap<Arc<str>, Subscription>,
    by_subscription: BTreeMap<NonZeroU32, Arc<str>>,
    /// What it was asked.
    requests: Requests<Request>,
    /// The names that were given last.
    names: BTreeMap<String, String>,
}

impl State {
    /// Of a bus that takes messages of this length.
    pub(crate) fn new(
        rules: Vec<ImportRule>,
        limits: ServiceLimits,
        message_len_max: usize,
        departures: Arc<dyn Departures>,
    ) -> Self {
        Self {
            departures,
            rules,
            limits,
            message_len_max,
            peers: BTreeMap::new(),
            views: BTreeMap::new(),
            imports: BTreeMap::new(),
            offered: Offered::default(),
            last: 0,
            arrivals: 0,
            callers: HashMap::new(),
            denied: RefusalLog::default(),
            output: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// What is there already stays when a limit gets lower.
    pub(crate) fn set_limits(&mut self, limits: ServiceLimits) {
        self.limits = limits;
    }

    pub(crate) fn rules(&self) -> &[ImportRule] {
        &self.rules
    }

    /// How many services of one peer are imported at most.
    pub(crate) fn imports_max(&self) -> usize {
        self.limits.imports_max
    }

    /// A peer is here, under this label.
    pub(crate) fn handle_peer(&mut self, remote: Arc<Remote>, label: Arc<str>) {
        let id = remote.id;
        self.arrivals += 1;
        let peer = Peer {
            remote,
            label,
            arrival: self.arrivals,
            is_known: false,
            exports: BTreeMap::new(),
            services: BTreeMap::new(),
            by_subscription: BTreeMap::new(),
            requests: Requests::default(),
            names: BTreeMap::new(),
        };
        self.peers.insert(id, peer);
    }

    /// A peer is gone.
    pub(crate) fn handle_peer_gone(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let gone = Refusal::NodeGone(peer.remote.name.clone());
        let services = peer.services.values();
        let imports: Vec<ImportId> = services.flat_map(Subscription::imports).collect();
        for import in imports {
            self.close(import, &gone);
        }
        self.peers.remove(&id);
        self.callers.retain(|_, caller| {
            caller.peers.remove(&id);
            !caller.peers.is_empty()
        });
        self.denied.forget(id);
    }

    /// Takes everything from the bus.
    pub(crate) fn handle_stop(&mut self) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.handle_peer_gone(peer);
        }
    }

    /// A bus can say from now on who leaves it: callers that are known may have left before.
    pub(crate) fn handle_watched(&mut self, bus: BusId) {
        let its = self.callers.iter().filter(|(_, caller)| caller.bus == bus);
        let asked = its.map(|(name, _)| Output::AskCaller(bus, name.clone()));
        self.output.extend(asked);
    }

    /// The bus of the bridge is lost (IMPORT-5).
    pub(crate) fn handle_bus_lost(&mut self) {
        self.forget_callers(OWN_BUS);
    }

    /// All programs of a bus are gone.
    fn forget_callers(&mut self, bus: BusId) {
        let gone = self.callers.extract_if(|_, caller| caller.bus == bus);
        let gone: Vec<(Arc<str>, Caller)> = gone.collect();
        for (name, caller) in gone {
            self.say_gone(&name, caller.peers);
            for peer in self.peers.values_mut() {
                peer.requests.close_program(&name);
            }
        }
        for import in self.imports.values_mut().filter(|import| import.bus == bus) {
            import.callers.clear();
        }
    }

    /// A program has left the bus.
    pub(crate) fn handle_program_gone(&mut self, program: &str) {
        let Some((name, caller)) = self.callers.remove_entry(program) else {
            return;
        };
        self.say_gone(&name, caller.peers);
        for import in self.imports.values_mut() {
            import.callers.remove(program);
        }
        for peer in self.peers.values_mut() {
            peer.requests.close_program(program);
        }
    }

    /// Names of the services of a peer on the bus of the bridge, if they are others than those that were given last; all of them.
    pub(crate) fn poll_names(&mut self) -> Option<(PeerId, BTreeMap<String, String>)> {
        for (id, peer) in &mut self.peers {
            let shown = peer.services.values().filter_map(|service| {
                let import = self.imports.get(service.imports.get(&OWN_BUS)?)?;
                let name = import.naming.shown()?;
                Some((import.service.to_string(), name.to_string()))
            });
            let names: BTreeMap<String, String> = shown.collect();
            if names != peer.names {
                peer.names.clone_from(&names);
                return Some((*id, names));
            }
        }
        None
    }

    /// The name that an import is to have, for the log.
    pub(crate) fn name_of(&self, id: ImportId) -> String {
        let import = self.imports.get(&id);
        import.map_or_else(String::new, |import| import.naming.wanted().to_string())
    }

    fn say_gone(&mut self, caller: &Arc<str>, peers: HashSet<PeerId>) {
        for peer in peers {
            let gone = Control::CallerGone(caller.to_string());
            self.say(peer, Stream::Caller(caller.clone()), &gone);
        }
    }

    /// Says something to a peer's bridge that needs no reply.
    fn say(&mut self, peer: PeerId, stream: Stream, control: &Control) {
        self.output
            .extend(control.unanswered().map(|packet| Output::Send {
                peer,
                stream,
                packet,
            }));
    }

    /// Ends an import: calls in flight get an error at once, then the connection ends, and with it the name. Whether it was
    /// the last of its service.
    fn close(&mut self, id: ImportId, error: &Refusal) -> bool {
        self.close_requests(id, error);
        self.close_calls_back(id, error);
        let Some(import) = self.imports.remove(&id) else {
            return false;
        };
        let mut is_last = false;
        if let Some(peer) = self.peers.get_mut(&import.peer)
            && let Some(subscription) = peer.services.get_mut(&import.service)
        {
            subscription.imports.remove(&import.bus);
            is_last = subscription.imports.is_empty();
            if is_last {
                peer.services.remove(&import.service);
                peer.by_subscription.retain(|_, its| *its != import.service);
                let is_its = |request: &Request| matches!(request, Request::Subscribe(its) if *its == import.service);
                peer.requests.close_all(is_its);
            }
        }
        self.output.extend(import.failed_start(error));
        self.output.push_back(Output::Disconnect(id));
        self.output.push_back(Output::NamesChanged);
        if let (false, Some(unique)) = (is_last, &import.unique) {
            // What was asked for the memory of this import alone.
            self.say_gone(unique, [import.peer].into());
        }
        self.settle_names(import.bus, &import.service);
        is_last
    }

    /// Closes what a peer was asked for an import. Callers get the error.
    fn close_requests(&mut self, id: ImportId, error: &Refusal) {
        for request in self.take_requests(id, |_| true) {
            if let Some(call) = request.call() {
                let refused = Output::RefuseCall(id, call.clone(), error.clone());
                self.output.push_back(refused);
            }
        }
    }

    fn take_requests(&mut self, id: ImportId, is_it: impl Fn(&Request) -> bool) -> Vec<Request> {
        let peer = self.imports.get(&id).map(|import| import.peer);
        let peer = peer.and_then(|peer| self.peers.get_mut(&peer));
        peer.map_or_else(Vec::new, |peer| {
            let requests = &mut peer.requests;
            requests.close_all(|request| request.import() == Some(id) && is_it(request))
        })
    }

    /// Logs what a rule does not allow, once for each rule and peer.
    fn log_denied(denied: &mut RefusalLog, remote: &Remote, import: &Import, method: &Member<'_>) {
        let rule = &*import.rule.text;
        if denied.is_new(remote.id, rule) {
            tracing::warn!(
                peer = remote.name,
                service = &*import.service,
                rule,
                call = method.rule(),
                "denied: the rule here does not allow it"
            );
        }
    }
}

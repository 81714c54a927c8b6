//! Which services are exported to whom, and what happens on the connections of remote callers: the pure half.
//!
//! Model: a [`State`] knows the rules, what is offered, the peers with their subscriptions, and the callers. It takes
//! messages of both sides, what the bus says of names, and the time, and says what to do as [`Output`]s. **After each call
//! that takes `&mut self`, drain [`State::poll_output`] until it gives `None`.**
//! Invariants:
//! EXPORT-1. What is owned by this bridge, and what bears a bridge's name, is never offered.
//! EXPORT-2. A peer gets and calls only what its grant allows, whatever it asks for.
//! EXPORT-3. A subscription is agreed to after the bus sends us the signals, so that none is missed from then on.
//! EXPORT-4. A call that wants a reply gets one: from the service, from the bus in its place, or an error when the
//!     connection ends, the service is taken back, or after the time that a rule gives it.
//! EXPORT-5. What comes on a caller's connection is passed on in that order, and behind what the service emitted before.
//! EXPORT-6. Only a service that the caller called may call it, as long as both are there and the grant says so.
//! EXPORT-7. A request is open only while its peer and its caller are there.
//! Limits: those of [`ServiceLimits`]: `exports_max`, `callers_max`, `caller_calls_max`, `caller_queue_max`,
//! `calls_back_max`, `requests_max`.
//! Layout: `offers` what is offered, `origin` whether it is a service at all; `rules`; `peers` subscriptions; `caller` one
//! caller; `calls`, `call_back` and `signals` what passes.
//! Not here: connections and queues (`super`), what the tree says of services (`super::announcement`).

mod call_back;
mod caller;
mod calls;
#[cfg(any(test, feature = "testing"))]
mod checks;
mod offers;
mod origin;
mod peers;
mod rules;
mod signals;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    num::NonZeroU32,
    sync::Arc,
};

use bytes::Bytes;
use tokio::time::Instant;
use zbus::Message;
use zocp_node::PeerId;

pub use self::rules::RuleInForce;
use self::{
    caller::{CallBack, Caller},
    offers::Offers,
    origin::Origin,
    rules::Rules,
};
use crate::descriptors::Departures;
use crate::{
    deadlines::Deadlines,
    limits::ServiceLimits,
    own_names::OwnNames,
    refusal_log::RefusalLog,
    remote::Remote,
    requests::Requests,
    transport::{Control, Stream},
};
use zocp_dbus::{
    errors::Refusal,
    message::{Octets, Outgoing},
};
use zocp_policy::{ExportPolicy, Grant, Member};

/// The number of a remote caller's connection. None has that of another one, also not after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallerId(u64);

/// A service that is to be announced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Announced {
    pub(crate) revision: u64,
    /// The unique name of its owner.
    pub(crate) owner: Option<Arc<str>>,
    /// Whether the bus can start it.
    pub(crate) is_activatable: bool,
    /// What everybody may do with it.
    pub(crate) grant: Arc<Grant>,
}

/// What is offered to peers.
#[derive(Debug)]
pub struct OfferedNow {
    /// All services that are on the bus or can be started, sorted; `None`: as before.
    pub services: Option<Vec<String>>,
    /// All rules, those of the configuration first; `None`: as before.
    pub rules: Option<Vec<RuleInForce>>,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a packet to a peer, behind all that is on another stream now.
    Send {
        peer: PeerId,
        stream: Stream,
        packet: Bytes,
        behind: Option<Stream>,
    },
    /// Reply to a call of a peer with an error.
    RefusePeer {
        peer: PeerId,
        stream: Stream,
        id: NonZeroU32,
        error: Refusal,
    },
    /// Make a connection for a caller of a peer, and call [`State::handle_disconnected`] when it ends.
    Connect(PeerId, CallerId),
    /// End the connection of a caller when what is written is sent. It has no messages for the state any more.
    Disconnect(CallerId),
    /// Write a call on a caller's connection, unless `caller_queue_max` octets wait there; if they do, call
    /// [`State::handle_full`].
    Call(CallerId, Octets, NonZeroU32),
    /// Write a message on a caller's connection.
    Write(CallerId, Octets),
    /// Reply to a call that came on a caller's connection with an error, if it wants a reply.
    RefuseCall(CallerId, Message, Refusal),
    /// Ask the bus for all names that it has, and that it can start a service for.
    AskNames,
    /// Ask the bus who owns a name.
    AskOwner(Arc<str>),
    /// Ask the owner of a name whether it is a bridge, and have [`State::handle_origin_timeout`] called at this time. The
    /// serial of the call is the number of the question.
    AskOrigin(Outgoing, Instant),
    /// No answer to this question is waited for any more.
    ForgetQuestion(NonZeroU32),
    /// Ask the bus whether a program is there; if not, call [`State::handle_program_gone`].
    AskProgram(Arc<str>),
    /// Have the bus send the signals of a service, and call [`State::handle_listening`] with this number when it does.
    Listen(Arc<str>, u64),
    /// Have the bus send them no more.
    Ignore(Arc<str>),
    /// Announce a service.
    Announce(Arc<str>, Announced),
    /// Announce it no more.
    Withdraw(Arc<str>),
    /// A peer comes to show this service.
    Wanted(Arc<str>),
    /// Log that signals of this connection cannot be passed on.
    LogSignal { sender: Arc<str>, member: Arc<str> },
    /// [`State::poll_offered`] may have something.
    OffersChanged,
}

/// Whether an interface of an object of a service has a method, where that is known.
pub(crate) type Knows<'a> = dyn Fn(&str, &Member<'_>, &str) -> Option<bool> + 'a;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct State {
    /// Whether what is on the bus are services of other bridges, which are passed on: nobody is asked whether it is a
    /// bridge, and nobody is told that it hears all signals, since we may not.
    is_passage: bool,
    departures: Arc<dyn Departures>,
    /// Of our node.
    name: String,
    own_names: OwnNames,
    limits: ServiceLimits,
    /// The longest message that the bus takes.
    message_len_max: usize,
    rules: Rules,
    offers: Offers,
    /// What was given as offered last.
    offered: Vec<String>,
    origins: BTreeMap<NonZeroU32, Origin>,
    origin_deadlines: Deadlines<NonZeroU32>,
    peers: BTreeMap<PeerId, Peer>,
    callers: BTreeMap<CallerId, Caller>,
    last: u64,
    denied: RefusalLog,
    output: VecDeque<Output>,
}

/// A peer that may use services.
#[derive(Debug)]
struct Peer {
    remote: Arc<Remote>,
    /// Its callers that have a connection.
    callers: HashMap<Arc<str>, CallerId>,
    /// What its callers were asked.
    requests: Requests<CallBack>,
}

impl State {
    /// Of the bridge with this name, whose connections have these names, on a bus that takes messages of this length.
    pub(crate) fn new(
        name: &str,
        own_names: OwnNames,
        policy: ExportPolicy,
        limits: ServiceLimits,
        message_len_max: usize,
        departures: Arc<dyn Departures>,
    ) -> Self {
        Self {
            departures,
            is_passage: false,
            name: name.to_owned(),
            own_names,
            limits,
            message_len_max,
            rules: Rules::new(policy),
            offers: Offers::default(),
            offered: Vec::new(),
            origins: BTreeMap::new(),
            origin_deadlines: Deadlines::default(),
            peers: BTreeMap::new(),
            callers: BTreeMap::new(),
            last: 0,
            denied: RefusalLog::default(),
            output: VecDeque::new(),
        }
    }

    /// What is on the bus are services of other bridges, which are passed on.
    pub(crate) fn pass_on(&mut self) {
        self.is_passage = true;
    }

    /// What to do next.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// What is offered, sorted, and the rules, each if it is something else than what was given last.
    pub(crate) fn poll_offered(&mut self) -> Option<OfferedNow> {
        let names = self.offers.names();
        let rules = self.poll_rules(&names);
        let services = (self.offered != names).then(|| {
            self.offered.clone_from(&names);
            names
        });
        (services.is_some() || rules.is_some()).then_some(OfferedNow { services, rules })
    }

    /// Whether a peer subscribed to a service.
    pub(crate) fn is_subscriber(&self, peer: PeerId) -> bool {
        self.offers.is_subscriber(peer)
    }

    /// The rules of the configuration, and the limits, are others. What is there already stays when a limit gets lower.
    pub(crate) fn handle_rules(&mut self, policy: ExportPolicy, limits: ServiceLimits) {
        self.limits = limits;
        self.change_rules(|rules| rules.replace(policy));
    }

    fn announced(&mut self, service: Arc<str>, revision: u64) {
        let announced = Announced {
            revision,
            owner: self.offers.owner(&service),
            is_activatable: self.offers.is_activatable(&service),
            grant: self.rules.all.public_grant(&service).into(),
        };
        self.output.push_back(Output::Announce(service, announced));
        self.output.push_back(Output::OffersChanged);
    }

    fn withdrawn(&mut self, services: Vec<Arc<str>>) {
        if services.is_empty() {
            return;
        }
        for service in services {
            self.output.push_back(Output::Withdraw(service.clone()));
            self.output.push_back(Output::Ignore(service));
        }
        self.output.push_back(Output::OffersChanged);
    }

    /// Says something to a peer's bridge that needs no reply.
    fn say(&mut self, peer: PeerId, stream: Stream, control: &Control) {
        self.output
            .extend(control.unanswered().map(|packet| Output::Send {
                peer,
                stream,
                packet,
                behind: None,
            }));
    }
}

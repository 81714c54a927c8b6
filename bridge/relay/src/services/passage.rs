//! Services of nodes that are passed on to bridges of other venues.
//!
//! Model: a [`Passage`] is for one bridge of another venue and one node of ours. It is a bus of its own, on which the
//! services of the node are as in a view, and an exporter of what is on it for that bridge alone. So a call passes the
//! node's rules for us, the rules here for imports, and what `[[pass]]` says. The other bridge knows the node's tree, and
//! with it which services there are; it is only told when to ask for one ([`Exporter::of_passage`]).
//! Invariants: PASSAGE-1. A passage begins with the first packet for its node, and ends when the bridge, the node or the rule
//! for it goes: then each call that is under way gets an error. PASSAGE-2. Only services that the node announces as its own
//! are passed on, so none is passed on twice.
//! Limits: one passage for each linked bridge and each node that is passed on to it.
//! Not here: the tree (`zocp_node`). Descriptors do not pass.
//! Spec: docs/reference/protocol.md §10.7

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_dbus::{
    bus::Embedded,
    server::{BusContext, BusScope},
};
use zocp_node::{Content, Node, PassRule, PeerId, PeerInfo};
use zocp_policy::{ExportPolicy, ExportRule, Grant, Peers, ServicePattern};

use super::router::Router;
use crate::{
    context::Context,
    export::Exporter,
    import::{ImportView, ImportViews, ViewScope},
    limits::ServiceLimits,
    link::Link,
    own_names::OwnNames,
    remote::Remote,
    transport::Reassembly,
    watch::{Listener, Question, Watch},
};

/// Which services of nodes of the own venue bridges of others may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePass {
    /// The nodes and the venues.
    pub rule: PassRule,
    /// The services.
    pub services: Vec<ServicePattern>,
}

/// What is passed on of one node to one bridge.
#[derive(Debug)]
pub(super) struct Passage {
    router: Router,
    link: Arc<Link>,
    reassembly: Reassembly,
    view: ImportView,
    stop: CancellationToken,
    /// Last, so that it ends last.
    _bus: Embedded,
}

/// All passages, by bridge and node.
#[derive(Debug)]
pub(super) struct Passages {
    rules: Vec<ServicePass>,
    open: HashMap<(PeerId, PeerId), Passage>,
}

impl Passages {
    pub(super) fn new(rules: Vec<ServicePass>) -> Self {
        Self {
            rules,
            open: HashMap::new(),
        }
    }

    /// The bridge of another venue whispers to a node. Waits while the bus connection that a packet goes out on is full.
    pub(super) async fn receive(
        &mut self,
        (context, node): (&Context, &Node),
        router: &Router,
        (bridge, to): (PeerId, PeerId),
        content: &Content,
    ) {
        if !self.open.contains_key(&(bridge, to)) {
            let Some((bridge_info, to_info)) = both(node, bridge, to).await else {
                return;
            };
            let policy = policy(&self.rules, &bridge_info, &to_info.name);
            if policy.rules.is_empty() {
                return;
            }
            match Passage::open((context, node), router, (&bridge_info, to), policy) {
                Ok(passage) => drop(self.open.insert((bridge, to), passage)),
                Err(error) => {
                    tracing::warn!(
                        bridge = bridge_info.name,
                        node = to_info.name,
                        error = &*error,
                        "services are not passed on: their bus cannot be made"
                    );
                    return;
                }
            }
        }
        if let Some(passage) = self.open.get_mut(&(bridge, to)) {
            let Passage {
                router,
                link,
                reassembly,
                ..
            } = passage;
            router.receive(link, reassembly, content).await;
        }
    }

    /// A peer is gone.
    pub(super) fn peer_gone(&mut self, peer: PeerId) {
        self.open.retain(|(bridge, node), passage| {
            let stays = *bridge != peer && *node != peer;
            if !stays {
                passage.close();
            }
            stays
        });
    }

    /// The rules are others: what they still allow is not disturbed.
    pub(super) async fn set_rules(
        &mut self,
        node: &Node,
        rules: Vec<ServicePass>,
        limits: ServiceLimits,
    ) {
        self.rules = rules;
        let open: Vec<(PeerId, PeerId)> = self.open.keys().copied().collect();
        for (bridge, to) in open {
            let known = both(node, bridge, to).await;
            let allowed = known.map(|(bridge, to)| policy(&self.rules, &bridge, &to.name));
            let Some(passage) = self.open.get(&(bridge, to)) else {
                continue;
            };
            match allowed.filter(|policy| !policy.rules.is_empty()) {
                Some(policy) => passage.router.exporter.reload(policy, limits),
                None => {
                    passage.close();
                    self.open.remove(&(bridge, to));
                }
            }
        }
    }

    /// Ends all.
    pub(super) fn close(&mut self) {
        for (_, passage) in self.open.drain() {
            passage.close();
        }
    }
}

impl Passage {
    fn open(
        (context, node): (&Context, &Node),
        router: &Router,
        (bridge, to): (&PeerInfo, PeerId),
        policy: ExportPolicy,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let views = ImportViews::new(router.importer.clone());
        let number = views.next_number();
        let bus = Embedded::numbered(NonZeroU32::MIN.saturating_add(number))?;
        let mut site = BusContext::new(bus.address(), BusScope::Session);
        if let Some(handle) = bus.handle() {
            site = site.within(handle);
        }
        let (stop, own_names) = (CancellationToken::new(), OwnNames::default());
        let here = Context {
            bus: site.clone(),
            watch: Watch::new(),
            own_names: own_names.clone(),
            ..context.clone()
        };
        let exporter = Exporter::of_passage(node, here.clone(), policy, stop.clone());
        let link = Link::about(node, (bridge.id, to), Remote::new(bridge), &here);
        exporter.peer_came(&link);
        let listener = PassageListener(exporter.clone());
        let address = site.address().clone();
        here.watch.start(
            &here.tasks,
            address,
            own_names,
            Arc::new(listener),
            stop.clone(),
        );
        let scope = ViewScope {
            nodes: vec![to.to_string()],
            reserved: Vec::new(),
        };
        Ok(Self {
            router: Router {
                exporter,
                ..router.clone()
            },
            link,
            reassembly: Reassembly::default(),
            view: views.open(number, site, scope),
            stop,
            _bus: bus,
        })
    }

    /// Ends what is on the bus, before the bus ends.
    fn close(&self) {
        self.router.exporter.peer_gone(self.link.remote.id);
        self.link.gone.cancel();
        self.view.close();
        self.stop.cancel();
    }
}

/// Who a bridge and a node are, while both are here.
async fn both(node: &Node, bridge: PeerId, to: PeerId) -> Option<(PeerInfo, PeerInfo)> {
    let bridge = node.peer(bridge).await.ok()??;
    Some((bridge, node.peer(to).await.ok()??))
}

/// What the bridge of another venue may use of a node with this name.
fn policy(rules: &[ServicePass], bridge: &PeerInfo, node: &str) -> ExportPolicy {
    let venue = bridge.venue.as_deref();
    let is_for = |it: &&ServicePass| venue.is_some_and(|venue| it.rule.names(node, venue));
    let services = rules.iter().filter(is_for).flat_map(|it| &it.services);
    let rules = services.map(|service| ExportRule {
        service: service.clone(),
        peers: Peers::default(),
        // The node's own rules, and those here for imports, allow less.
        grant: Grant::all(),
    });
    ExportPolicy {
        rules: rules.collect(),
    }
}

/// Tells an exporter what is on the bus of a passage.
struct PassageListener(Exporter);

impl Listener for PassageListener {
    fn connected(&self) {
        self.0.connected();
    }

    fn lost(&self) {
        self.0.lost();
    }

    fn owner_changed(&self, name: &str, _: Option<&str>, new: Option<&str>) {
        if new.is_none() && name.starts_with(':') {
            self.0.program_gone(name);
        }
        self.0.owner_changed(name, new);
    }

    fn answered(&self, question: Question, answer: &Message) {
        if let Question::Program(program) = &question {
            if matches!(answer.body().deserialize(), Ok(false)) {
                self.0.program_gone(program);
            }
            return;
        }
        self.0.answered(&question, answer);
    }

    fn signal(&self, message: &Message) {
        self.0.signal(message);
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.busy()
    }
}

//! The one place that knows how a node of the mesh is used: what faces need of `zocp-node`, and no more.
//!
//! Model: a [`Mesh`] is the handle of a face's own node, [`MeshEvents`] what happens. Commands may wait for the node;
//! so they are given by a task that does not read the events.
//! Not here: what any face does with it.

use std::net::Ipv4Addr;
pub(crate) use zocp_node::{
    CapPath, Capability, ObjectPath, PeerId, StartError, Value,
    model::{Access, Change, CheckError, Info, SetError, Shape, Tree, TypeHint, float, number},
};

use tokio_util::sync::CancellationToken;
use zocp_node::{Config, Event, Events, Invalid, Node, NodeError, Security};
use zocp_srv::{SrvName, SrvNameError};

/// Where a face's node is and how it meets others.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MeshOptions {
    /// The name of the node.
    pub name: String,
    /// Names or addresses of interfaces; none: every usable one.
    pub interfaces: Vec<String>,
    /// The UDP port of the beacons; none: the usual one.
    pub beacon_port: Option<u16>,
    /// Peers to meet without beacons, `tcp://host:port`, or names of such in DNS, `srv:_service._tcp.domain`.
    pub peers: Vec<String>,
    /// Makes the mesh a secure one.
    pub security: Option<Security>,
}

impl MeshOptions {
    /// A node of this name on every usable network.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// A face's own node.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    node: Node,
    /// Cancelled when names are not looked up any more.
    stop: CancellationToken,
}

/// A network of the mesh with an address of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// This machine's address there.
    pub(crate) address: Ipv4Addr,
    /// Bits of the network's prefix.
    pub(crate) prefix: u8,
    pub(crate) broadcast: Option<Ipv4Addr>,
}

/// What happens on the mesh, as far as a face is concerned.
#[derive(Debug)]
pub(crate) enum MeshEvent {
    Entered {
        peer: PeerId,
        name: String,
    },
    Left {
        peer: PeerId,
    },
    Tree {
        peer: PeerId,
        tree: Box<Tree>,
    },
    Changed {
        peer: PeerId,
        changes: Vec<Change>,
    },
    /// A peer emitted.
    Emitted {
        peer: PeerId,
        path: CapPath,
        value: Value,
    },
    /// This node has set what a peer emits.
    Set {
        peer: PeerId,
        path: CapPath,
        value: Value,
    },
    /// A value for a capability of this node: somebody set it, or a wire brought it.
    Received {
        path: CapPath,
        value: Value,
    },
}

/// What of a face's node is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Withdrawal {
    Capability(CapPath),
    /// With all that is in it.
    Object(ObjectPath),
}

/// Why a value was not set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SetFailure {
    /// Too much waits for the peer: later it may work.
    Busy,
    /// The peer or its capability is gone.
    Gone,
    /// The peer does not take it.
    Refused(String),
}

pub(crate) struct MeshEvents(Events);

impl Mesh {
    pub(crate) async fn start(options: &MeshOptions) -> Result<(Self, MeshEvents), StartError> {
        // Also where a face shows nobody it follows all: a node tells an old one nothing that it does not know to be there.
        let (names, peers): (Vec<String>, _) = {
            let peers = options.peers.iter().cloned();
            peers.partition(|peer| SrvName::is_meant(peer))
        };
        let names = names.iter().map(|name| name.parse());
        let names: Vec<SrvName> = names
            .collect::<Result<_, SrvNameError>>()
            .map_err(|error| StartError::Config(format!("--peer: {error}")))?;
        let mut config = Config::new(&*options.name)
            .with_interfaces(options.interfaces.iter().map(String::as_str))
            .with_peers(peers.iter().map(String::as_str));
        if let Some(port) = options.beacon_port {
            config = config.with_beacon_port(port);
        }
        if let Some(security) = &options.security {
            config = config.with_security(security.clone());
        }
        let (node, events) = Node::start(config).await?;
        let stop = CancellationToken::new();
        tokio::spawn(zocp_srv::follow(names, peers, node.clone(), stop.clone()));
        Ok((Self { node, stop }, MeshEvents(events)))
    }

    /// The TCP port of the node.
    pub(crate) fn port(&self) -> u16 {
        self.node.port()
    }

    /// The identity of the node, new at each start.
    pub(crate) fn identity(&self) -> [u8; 16] {
        *self.node.id().as_bytes()
    }

    /// The networks of the mesh that are up.
    pub(crate) async fn networks(&self) -> Vec<Network> {
        let networks = self.node.networks().await.unwrap_or_default();
        let networks = networks.into_iter().filter(|network| network.up);
        networks
            .filter_map(|network| {
                Some(Network {
                    address: network.ipv4()?,
                    prefix: network.prefix,
                    broadcast: network.broadcast,
                })
            })
            .collect()
    }

    pub(crate) async fn set(
        &self,
        peer: PeerId,
        path: CapPath,
        value: Value,
    ) -> Result<(), SetFailure> {
        match self.node.set(peer, path, value).await {
            Ok(()) => Ok(()),
            Err(NodeError::Busy) => Err(SetFailure::Busy),
            Err(NodeError::NodeGone(_) | NodeError::Closed)
            | Err(NodeError::Invalid(Invalid::Set(SetError::UnknownCapability))) => {
                Err(SetFailure::Gone)
            }
            Err(error) => Err(SetFailure::Refused(error.to_string())),
        }
    }

    pub(crate) async fn publish(
        &self,
        path: CapPath,
        capability: Capability,
    ) -> Result<(), NodeError> {
        self.node.publish(path, capability).await
    }

    pub(crate) async fn withdraw(&self, withdrawal: Withdrawal) -> Result<(), NodeError> {
        match withdrawal {
            Withdrawal::Capability(path) => self.node.unpublish(path).await,
            Withdrawal::Object(path) => self.node.remove_object(path).await,
        }
    }

    /// Tells a value of this node: as an event if it emits, else as what it is now.
    pub(crate) async fn tell(
        &self,
        path: CapPath,
        value: Value,
        emits: bool,
    ) -> Result<(), NodeError> {
        if emits {
            self.node.emit(path, value).await
        } else {
            self.node.set_local(path, value).await
        }
    }

    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.node.shutdown().await;
    }
}

impl MeshEvents {
    /// The next event that concerns a face; `None` when the node has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<MeshEvent> {
        loop {
            if let Some(event) = of_concern(self.0.next().await?) {
                return Some(event);
            }
        }
    }

    /// The next one, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<MeshEvent> {
        loop {
            if let Some(event) = of_concern(self.0.try_next()?) {
                return Some(event);
            }
        }
    }
}

fn of_concern(event: Event) -> Option<MeshEvent> {
    Some(match event {
        Event::Entered(info) if info.zocp => MeshEvent::Entered {
            peer: info.id,
            name: info.name,
        },
        Event::Exited { peer, .. } => MeshEvent::Left { peer },
        Event::TreeKnown { peer, tree } => MeshEvent::Tree { peer, tree },
        Event::Changed { peer, changes } => MeshEvent::Changed { peer, changes },
        Event::Emitted {
            peer, path, value, ..
        } => MeshEvent::Emitted { peer, path, value },
        Event::Set {
            peer, path, value, ..
        } => MeshEvent::Set { peer, path, value },
        Event::LocalSet { path, value, .. } => MeshEvent::Received { path, value },
        Event::LocalSensed {
            sensor: Some(path),
            value,
            ..
        } => MeshEvent::Received { path, value },
        _ => return None,
    })
}

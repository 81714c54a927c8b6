//! One peer as the relay sees it: who it is, and what goes to it.
//!
//! Model: a [`Link`] is there from the peer's arrival to its leaving.
//! Not here: what the peer was asked (`crate::requests`).

use std::{num::NonZeroU32, sync::Arc};

use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_node::{Node, PeerId, PeerInfo};

use crate::{
    context::Context,
    descriptors::WaitingPackets,
    limits::Limits,
    metrics::Meter,
    remote::Remote,
    transport::{NodeSink, Pace, Scheduler, Stream},
};
use zocp_dbus::report::Report;
use zocp_dbus::{
    errors::Refusal,
    message::{Octets, Outgoing},
};

/// One peer. See the [module](self).
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) remote: Arc<Remote>,
    pub(crate) scheduler: Scheduler<NodeSink>,
    pub(crate) limits: Limits,
    pub(crate) report: Report,
    pub(crate) meter: Meter,
    /// What came and waits for its files.
    pub(crate) waiting: WaitingPackets,
    /// Cancelled when the peer leaves.
    pub(crate) gone: CancellationToken,
}

impl Link {
    /// With a peer, or with a node that another peer passes on.
    pub(crate) fn new(node: &Node, info: &PeerInfo, context: &Context) -> Arc<Self> {
        let remote = Remote::new(info);
        match info.via {
            Some(via) => Self::about(node, (via, info.id), remote, context),
            None => Self::with(node, (info.id, None), remote, context),
        }
    }

    /// With a peer, about a node that one of the two passes on to the other. Descriptors are not passed on.
    pub(crate) fn about(
        node: &Node,
        (peer, about): (PeerId, PeerId),
        remote: Remote,
        context: &Context,
    ) -> Arc<Self> {
        let remote = Remote {
            channels: false,
            is_here: false,
            ..remote
        };
        Self::with(node, (peer, Some(about)), remote, context)
    }

    fn with(
        node: &Node,
        (peer, about): (PeerId, Option<PeerId>),
        remote: Remote,
        context: &Context,
    ) -> Arc<Self> {
        let gone = CancellationToken::new();
        let limits = &context.limits;
        let meter = context.metrics.meter(remote.id);
        let sink = NodeSink {
            node: node.clone(),
            peer,
            about,
            meter: meter.clone(),
        };
        let waiting_max = limits.now().packets_queue_max;
        let pace = match remote.venue {
            None => Pace::NEAR,
            Some(_) => Pace::FAR,
        };
        Arc::new(Self {
            scheduler: Scheduler::new(sink, pace, &context.tasks, gone.clone(), waiting_max),
            remote: Arc::new(remote),
            limits: limits.clone(),
            report: context.bus.report().clone(),
            meter,
            waiting: WaitingPackets::default(),
            gone,
        })
    }

    /// Replies to a call of the peer with an error of ours, on the stream that its reply would be on.
    pub(crate) fn refuse(&self, stream: Stream, id: NonZeroU32, refusal: &Refusal) {
        self.report.refused(refusal, None);
        let call = Message::method_call("/", "x").serial(id);
        let packet = Outgoing::build(call, &()).and_then(|call| {
            let error = Message::error(&call.header(), refusal.name());
            Outgoing::build(error, &refusal.to_string())
        });
        match packet {
            Ok(packet) => self
                .scheduler
                .push(stream, Octets::from(packet).into_bytes()),
            Err(error) => tracing::error!(%error, "a refusal cannot be made"),
        }
    }
}

//! One peer as the relay sees it: who it is, and what goes to it.
//!
//! Model: a [`Link`] is there from the peer's arrival to its leaving.
//! Not here: what the peer was asked (`crate::requests`).

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_node::{Node, PeerId, PeerInfo, PublicKey};

use crate::{
    context::Context,
    limits::Limits,
    metrics::Meter,
    transport::{Control, Lane, NodePost, Outlet, Parts},
};
use zocp_dbus::report::Report;
use zocp_dbus::{
    errors::Refusal,
    message::{Octets, Outgoing},
};
use zocp_policy::Who;

/// One peer. See the [module](self).
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: PeerId,
    pub(crate) uuid: String,
    pub(crate) name: String,
    /// What it has proved, on a secure mesh.
    pub(crate) key: Option<PublicKey>,
    /// The peer's label on this bus.
    label: Mutex<Arc<str>>,
    pub(crate) outlet: Outlet<NodePost>,
    pub(crate) limits: Limits,
    pub(crate) report: Report,
    pub(crate) meter: Meter,
    /// Cancelled when the peer leaves.
    pub(crate) gone: CancellationToken,
    pub(crate) parts: Mutex<Parts>,
}

impl Link {
    pub(crate) fn new(node: &Node, info: &PeerInfo, label: &str, context: &Context) -> Arc<Self> {
        let peer = info.id;
        let gone = CancellationToken::new();
        let limits = &context.limits;
        let meter = context.metrics.meter(peer);
        let post = NodePost {
            node: node.clone(),
            peer,
            meter: meter.clone(),
        };
        let waiting_max = limits.now().packets_queue_max;
        Arc::new(Self {
            peer,
            uuid: peer.to_string(),
            name: info.name.clone(),
            key: info.key,
            label: Mutex::new(label.into()),
            outlet: Outlet::new(post, &context.tasks, gone.clone(), waiting_max),
            limits: limits.clone(),
            report: context.site.report().clone(),
            meter,
            gone,
            parts: Mutex::default(),
        })
    }

    /// The peer's label on this bus.
    pub(crate) fn label(&self) -> Arc<str> {
        self.lock_label().clone()
    }

    /// The peer has another label.
    pub(crate) fn set_label(&self, label: Arc<str>) {
        *self.lock_label() = label;
    }

    fn lock_label(&self) -> MutexGuard<'_, Arc<str>> {
        self.label.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom rules may mean.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            name: &self.name,
            uuid: &self.uuid,
            key: self.key,
        }
    }

    /// Tells the peer's bridge something that needs no answer.
    pub(crate) fn tell(&self, lane: Lane, control: &Control) {
        // The number of what is not answered does not matter.
        match control.packet(NonZeroU32::MIN) {
            Ok(packet) => self.outlet.push(lane, Octets::from(packet).into_bytes()),
            Err(error) => tracing::error!(%error, ?control, "a message cannot be made"),
        }
    }

    /// Answers a call of the peer with an error of ours, on the lane that its answer would be on.
    pub(crate) fn refuse(&self, lane: Lane, id: NonZeroU32, refusal: &Refusal) {
        self.report.refused(refusal, None);
        let call = Message::method_call("/", "x").serial(id);
        let packet = Outgoing::build(call, &()).and_then(|call| {
            let error = Message::error(&call.header(), refusal.name());
            Outgoing::build(error, &refusal.to_string())
        });
        match packet {
            Ok(packet) => self.outlet.push(lane, Octets::from(packet).into_bytes()),
            Err(error) => tracing::error!(%error, "a refusal cannot be made"),
        }
    }

    /// Answers a call of the peer with an error of ours, behind what its service told that caller.
    pub(crate) fn refuse_call(
        &self,
        service: &str,
        caller: &str,
        id: NonZeroU32,
        refusal: &Refusal,
    ) {
        self.refuse(Lane::Answers(service.into(), caller.into()), id, refusal);
    }
}

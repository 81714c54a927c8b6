//! One peer as the services see it: what goes to it, and what we asked of it.
//!
//! Model: a [`Link`] is there from the peer's arrival to its leaving. A request is numbered and kept
//! until its answer comes; whoever takes it out is who answers it, so every call gets one answer.
//! A request waits without a deadline of its own, unless a rule says so.
//! Invariants: K1. a number is used again only after its request was taken out. K2. of a long call no more is
//! kept than its answer needs. K3. when a program leaves its bus its calls are taken out, whether the peer
//! answers them or not.
//! Limits: `requests_max` requests wait, `caller_calls_max` of them of one program; above that calls are refused.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_node::{Node, PeerId, PeerInfo, PublicKey};

use super::{Bounds, Ground};
use crate::{
    export::CallBack,
    import::{Asked, Imported},
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
    pub(crate) bounds: Bounds,
    pub(crate) report: Report,
    pub(crate) meter: Meter,
    /// Cancelled when the peer leaves.
    pub(crate) gone: CancellationToken,
    pub(crate) parts: Mutex<Parts>,
    requests: Mutex<Requests>,
}

#[derive(Debug, Default)]
struct Requests {
    last: u32,
    open: HashMap<NonZeroU32, Request>,
    /// How many calls of each program here wait.
    programs: HashMap<Arc<str>, usize>,
}

/// What the peer was asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// To tell the signals of a service.
    Subscribe(Arc<Imported>),
    /// To say something of a service for our memory alone.
    Own {
        /// Of which service.
        imported: Arc<Imported>,
        /// What.
        asked: Asked,
    },
    /// To call a method of one of its callers, for a local service.
    Back(CallBack),
    /// To call a method for a local caller.
    Call {
        /// Through which service.
        imported: Arc<Imported>,
        /// Who called.
        program: Arc<str>,
        /// What is to be answered.
        call: Message,
        /// What is learned from the answer.
        asked: Option<Asked>,
    },
}

impl Link {
    pub(crate) fn new(node: &Node, info: &PeerInfo, label: &str, ground: &Ground) -> Arc<Self> {
        let peer = info.id;
        let gone = CancellationToken::new();
        let bounds = &ground.bounds;
        let meter = ground.metrics.meter(peer);
        let post = NodePost {
            node: node.clone(),
            peer,
            meter: meter.clone(),
        };
        let waiting_max = bounds.now().packets_queue_max;
        Arc::new(Self {
            peer,
            uuid: peer.to_string(),
            name: info.name.clone(),
            key: info.key,
            label: Mutex::new(label.into()),
            outlet: Outlet::new(post, &ground.tasks, gone.clone(), waiting_max),
            bounds: bounds.clone(),
            report: ground.site.report().clone(),
            meter,
            gone,
            parts: Mutex::default(),
            requests: Mutex::default(),
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

    /// Keeps a request; its number.
    pub(crate) fn open(&self, request: Request) -> Result<NonZeroU32, Refusal> {
        let mut requests = self.requests();
        let limits = self.bounds.now();
        let count = requests.open.len();
        if count >= limits.requests_max {
            let text = format!("{count} calls wait for {}", self.name);
            return Err(Refusal::Busy(text));
        }
        if let Request::Call { program, .. } = &request {
            let count = requests.programs.entry(program.clone()).or_default();
            if *count >= limits.caller_calls_max {
                let text = format!("{count} calls of {program} wait for {}", self.name);
                return Err(Refusal::Busy(text));
            }
            *count += 1;
        }
        loop {
            requests.last = requests.last.wrapping_add(1);
            if let Some(id) = NonZeroU32::new(requests.last)
                && !requests.open.contains_key(&id)
            {
                requests.open.insert(id, request);
                return Ok(id);
            }
        }
    }

    /// Takes a request out, to answer it.
    pub(crate) fn close(&self, id: NonZeroU32) -> Option<Request> {
        self.requests().take(id)
    }

    /// Whether a request waits.
    pub(crate) fn is_open(&self, id: NonZeroU32) -> bool {
        self.requests().open.contains_key(&id)
    }

    /// A program here has left its bus: nobody waits for the answers to its calls (K3).
    pub(crate) fn close_program(&self, program: &str) {
        let mut requests = self.requests();
        if requests.programs.remove(program).is_some() {
            let is_its = |request: &Request| matches!(request, Request::Call { program: its, .. } if **its == *program);
            requests.open.retain(|_, request| !is_its(request));
        }
    }

    /// Takes all requests of one service out.
    pub(crate) fn close_all(&self, of: &Arc<Imported>) -> Vec<Request> {
        let mut requests = self.requests();
        let is_its = |request: &mut Request| match request {
            Request::Subscribe(imported)
            | Request::Own { imported, .. }
            | Request::Call { imported, .. } => Arc::ptr_eq(imported, of),
            Request::Back(_) => false,
        };
        let taken = requests.open.extract_if(|_, request| is_its(request));
        let taken: Vec<Request> = taken.map(|(_, request)| request).collect();
        for request in &taken {
            requests.uncount(request);
        }
        taken
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

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    fn take(&mut self, id: NonZeroU32) -> Option<Request> {
        let request = self.open.remove(&id)?;
        self.uncount(&request);
        Some(request)
    }

    fn uncount(&mut self, request: &Request) {
        let Request::Call { program, .. } = request else {
            return;
        };
        if let Some(count) = self.programs.get_mut(program) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.programs.remove(program);
            }
        }
    }
}

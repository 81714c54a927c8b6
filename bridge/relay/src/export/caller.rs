//! A remote caller on this bus: a connection of its own.
//!
//! Model: a [`Caller`] is made at the first call and ends when the caller leaves its bus, the link goes,
//! or nothing that it called is imported there any more. Calls go out in the order in which they came;
//! answers and directed signals are *held* until the watch has heard what was before them: when it
//! knows that it has, or when it has passed a barrier. So what the service told all before is passed on
//! before.
//! Invariants: C1. each call that wants an answer is answered once: by the service, or the bus in its place; when
//! the connection ends; after the time that a rule gives it, if one does. C2. what comes on this connection is passed on in that order.
//! Limits: `caller_calls_max` calls wait for answers, of each no more than its number and its service;
//! `caller_queue_max` octets wait for the bus: above that, `Busy`.
//! Spec: docs/reference/protocol.md §7.7

use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::{
    Message,
    message::{Flags, Type},
};

use super::{Exporter, locked};
use crate::{
    deadlines::Deadlines,
    link::Link,
    transport::{Lane, has_descriptors, local_call, outgoing_answer, outgoing_signal},
};
use zocp_dbus::{
    errors::Refusal,
    line::{Ear, Ended, Line, connect, live},
};

/// A remote caller. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    pub(super) name: Arc<str>,
    pub(super) line: Line,
    pub(super) calls: Mutex<Calls>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// By serial on this bus.
    pending: HashMap<NonZeroU32, Pending>,
    deadlines: Deadlines<NonZeroU32>,
    /// The services that were called and are still imported there.
    called: HashSet<Arc<str>>,
    /// What services asked of the caller: the numbers of the requests.
    pub(super) back: HashSet<NonZeroU32>,
    pub(super) back_deadlines: Deadlines<NonZeroU32>,
    is_closed: bool,
}

#[derive(Debug)]
struct Pending {
    id: NonZeroU32,
    service: Arc<str>,
}

impl Caller {
    /// Has a connection made.
    pub(super) fn connect(exporter: Exporter, link: Arc<Link>, name: Arc<str>) -> Self {
        let caller = Self {
            shared: Arc::new(Shared {
                stop: link.gone.child_token(),
                line: Line::new(link.report.clone()),
                link,
                name,
                calls: Mutex::default(),
            }),
        };
        let tasks = exporter.shared.tasks.clone();
        let task = caller.clone();
        tasks.spawn(async move { task.run(&exporter).await });
        caller
    }

    /// Calls a service, with a call that is not longer than `max` on this bus, with `interface` if it has none. It waits for its answer as long as
    /// `timeout` says.
    pub(super) fn call(
        &self,
        packet: &Message,
        service: Arc<str>,
        interface: Option<&str>,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Refusal> {
        let serial = self.shared.line.serial();
        let call = local_call(packet, &service, interface, serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        if call.len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let mut calls = locked(&self.shared.calls);
        if calls.is_closed {
            return Err(Refusal::Busy(
                "the connection of the caller ends".to_owned(),
            ));
        }
        let limits = self.shared.link.limits.now();
        let is_full = calls.pending.len() >= limits.caller_calls_max;
        if is_full || self.shared.line.octets() >= limits.caller_queue_max {
            let text = format!("{service}: too many calls wait");
            return Err(Refusal::Busy(text));
        }
        calls.called.insert(service.clone());
        let flags = packet.primary_header().flags();
        if !flags.contains(Flags::NO_REPLY_EXPECTED) {
            let id = packet.primary_header().serial_num();
            calls.pending.insert(serial, Pending { id, service });
            if let Some(timeout) = timeout.or(limits.answer_max) {
                calls.expect(serial, timeout);
            }
        }
        self.shared.line.push(call);
        Ok(())
    }

    /// A service is not imported there any more; whether that was the last one.
    pub(super) fn forget(&self, service: &str) -> bool {
        let mut calls = locked(&self.shared.calls);
        calls.called.remove(service) && calls.called.is_empty()
    }

    /// Answers the calls of a service that wait.
    pub(super) fn refuse_all(&self, service: &str, refusal: &Refusal) {
        let calls = &mut *locked(&self.shared.calls);
        let its = calls
            .pending
            .extract_if(|_, pending| *pending.service == *service);
        for (_, pending) in its {
            self.refuse(&pending, refusal);
        }
    }

    pub(super) fn close(&self) {
        self.shared.stop.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        locked(&self.shared.calls).is_closed
    }

    async fn run(&self, exporter: &Exporter) {
        let shared = &self.shared;
        let connected = tokio::select! {
            () = shared.stop.cancelled() => None,
            connected = connect(exporter.shared.site.address()) => Some(connected),
        };
        let gone = || Refusal::NodeGone(exporter.shared.name.clone());
        let refusal = match connected {
            Some(Ok(connected)) => {
                exporter.shared.own_names.add(connected.unique_name());
                let mut ear = CallerEar {
                    caller: self,
                    exporter,
                    held: VecDeque::new(),
                    fresh: Vec::new(),
                };
                let ended = live(&shared.line, connected, &mut ear, &shared.stop).await;
                ear.release_all();
                match ended {
                    Ended::Stopped => gone(),
                    Ended::Failed(reason) => Refusal::Failed(reason),
                }
            }
            Some(Err(error)) => Refusal::Failed(error.to_string()),
            None => gone(),
        };
        self.end(exporter, &refusal);
    }

    /// Nothing will be answered any more (C1).
    fn end(&self, exporter: &Exporter, refusal: &Refusal) {
        let mut calls = locked(&self.shared.calls);
        calls.is_closed = true;
        for (_, pending) in calls.pending.drain() {
            self.refuse(&pending, refusal);
        }
        // The bus tells the services.
        for id in calls.back.drain() {
            exporter.close_call_back(self.shared.link.peer, id);
        }
    }

    fn refuse(&self, pending: &Pending, refusal: &Refusal) {
        let shared = &self.shared;
        let link = &shared.link;
        link.refuse_call(&pending.service, &shared.name, pending.id, refusal);
    }
}

impl Calls {
    /// An answer is to come within this time.
    fn expect(&mut self, serial: NonZeroU32, timeout: Duration) {
        let (pending, deadline) = (&self.pending, Instant::now() + timeout);
        self.deadlines
            .add(deadline, serial, |serial| pending.contains_key(serial));
    }
}

pub(super) struct CallerEar<'a> {
    pub(super) caller: &'a Caller,
    pub(super) exporter: &'a Exporter,
    /// What waits for a barrier, with its number.
    held: VecDeque<(u64, Held)>,
    /// What came since the last barrier was asked for.
    fresh: Vec<Held>,
}

/// A packet for the caller.
struct Held {
    service: Arc<str>,
    packet: Bytes,
}

impl Ear for CallerEar<'_> {
    fn hear(&mut self, message: Message) {
        match message.message_type() {
            Type::MethodReturn | Type::Error => self.hear_answer(&message),
            Type::Signal => self.hear_signal(&message),
            Type::MethodCall => self.hear_call(&message),
        }
    }

    fn turn(&mut self) -> Option<Instant> {
        let watch = &self.exporter.shared.watch;
        if self.held.is_empty() && !self.fresh.is_empty() && watch.is_level() {
            for held in std::mem::take(&mut self.fresh) {
                self.release(held);
            }
        }
        if !self.fresh.is_empty() {
            let barrier = watch.barrier(&self.caller.shared.line);
            let fresh = self.fresh.drain(..).map(|held| (barrier, held));
            self.held.extend(fresh);
        }
        while let Some((barrier, _)) = self.held.front()
            && watch.is_passed(*barrier)
            && let Some((_, held)) = self.held.pop_front()
        {
            self.release(held);
        }
        let due = [self.expire(), self.caller.expire_back(self.exporter)];
        due.into_iter().flatten().min()
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        let link = &self.caller.shared.link;
        if link.outlet.has_room() {
            return None;
        }
        let link = link.clone();
        Some(Box::pin(async move { link.outlet.room().await }))
    }
}

impl CallerEar<'_> {
    fn hear_answer(&mut self, answer: &Message) {
        let shared = &self.caller.shared;
        let serial = answer.header().reply_serial();
        let pending = serial.and_then(|serial| locked(&shared.calls).pending.remove(&serial));
        let Some(pending) = pending else { return };
        if has_descriptors(answer) {
            return self.caller.refuse(&pending, &Refusal::NoFileDescriptors);
        }
        let max = shared.link.limits.now().message_len_max();
        if answer.data().len() > max {
            return self.caller.refuse(&pending, &Refusal::TooLarge { max });
        }
        match outgoing_answer(answer, &shared.name, pending.id) {
            Ok(packet) => self.hold(pending.service, packet),
            Err(error) => {
                let refusal = Refusal::Failed(format!("the answer: {error}"));
                self.caller.refuse(&pending, &refusal);
            }
        }
    }

    /// A signal for this caller alone, from a service that it called.
    fn hear_signal(&mut self, signal: &Message) {
        let shared = &self.caller.shared;
        let header = signal.header();
        let Some(sender) = header.sender().filter(|_| header.destination().is_some()) else {
            return;
        };
        let Some((service, id)) = self.service_of(sender.as_str()) else {
            return;
        };
        let max = shared.link.limits.now().message_len_max();
        if has_descriptors(signal) || signal.data().len() > max {
            if let Some(left_out) = shared.link.report.log(&service) {
                tracing::warn!(
                    service = &*service,
                    left_out,
                    "signals to one caller cannot be passed on: too long, or with file descriptors"
                );
            }
            return;
        }
        match outgoing_signal(signal, id, Some(&shared.name)) {
            Ok(packet) => self.hold(service, packet),
            Err(error) => tracing::debug!(%error, "a signal cannot be passed on"),
        }
    }

    /// The service that the caller called and that this connection is, and the subscription to it.
    pub(super) fn service_of(&self, owner: &str) -> Option<(Arc<str>, NonZeroU32)> {
        let shared = &self.caller.shared;
        let called = locked(&shared.calls).called.clone();
        let offers = locked(&self.exporter.shared.offers);
        offers.hearer(owner, shared.link.peer, |name| called.contains(name))
    }

    /// Has a packet go out behind what a service told before.
    pub(super) fn hold(&mut self, service: Arc<str>, packet: Bytes) {
        self.fresh.push(Held { service, packet });
    }

    fn release(&self, held: Held) {
        let shared = &self.caller.shared;
        let lane = Lane::Answers(held.service.clone(), shared.name.clone());
        let before = Lane::Service(held.service);
        shared.link.outlet.push_after(lane, held.packet, &before);
    }

    /// The connection is gone, so nothing comes any more that would have to be waited for.
    fn release_all(&mut self) {
        for (_, held) in std::mem::take(&mut self.held) {
            self.release(held);
        }
        for held in std::mem::take(&mut self.fresh) {
            self.release(held);
        }
    }

    /// Answers calls whose time is over; when the next one's is.
    fn expire(&self) -> Option<Instant> {
        let mut calls = locked(&self.caller.shared.calls);
        let now = Instant::now();
        while let Some(serial) = calls.deadlines.pop(now) {
            if let Some(pending) = calls.pending.remove(&serial) {
                let text = format!("{} did not answer in time", pending.service);
                self.caller.refuse(&pending, &Refusal::Timeout(text));
            }
        }
        calls.deadlines.next()
    }
}

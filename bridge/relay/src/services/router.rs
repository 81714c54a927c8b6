//! Where packets of peers go: calls to the exporter, replies and signals to the importer.
//!
//! Model: a [`Router`] reads what a whisper brings and hands it over in its turn. A packet whose files are still being
//! copied, or whose descriptors another bridge of this machine is to pass, waits with what is behind it of the same caller (`crate::descriptors`).

use std::{fmt, sync::Arc};

use tokio_util::task::TaskTracker;
use zbus::{Message, message::Type};
use zocp_dbus::{connection::BusConnection, errors::Refusal, message::received::Unreadable};
use zocp_node::Content;
use zocp_policy::NOTIFICATIONS;

use crate::{
    descriptors::{Admitted, Named, Notes, Packet, Porter, split},
    export::Exporter,
    import::Importer,
    link::Link,
    named::{Form, fetch, files_in},
    requests::Half,
    transport::{
        Control, FRAGMENT_TAG, PacketError, Reassembly, Stream, TAG, Waiting, read, read_with,
        waiting_for,
    },
};

/// See the [module](self). Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Router {
    pub(super) exporter: Exporter,
    pub(super) importer: Importer,
    pub(super) porter: Porter,
    pub(super) tasks: TaskTracker,
}

impl Router {
    /// A peer whispers a packet, or a fragment of one. Waits while the bus connection that it goes out on is full.
    pub(super) async fn receive(
        &self,
        link: &Arc<Link>,
        reassembly: &mut Reassembly,
        content: &Content,
    ) {
        let error = match self.packet(link, reassembly, content) {
            Ok(Some(packet)) => {
                let kind = packet.message.message_type();
                let len = packet.message.data().len();
                link.meter.received(kind.into(), len);
                return self.admit(link, packet).await;
            }
            Ok(None) => return,
            Err(error) => error,
        };
        if let Some(left_out) = link.report.log(&link.remote.uuid) {
            tracing::warn!(peer = link.remote.name, %error, left_out, "packets are dropped");
        }
        match error {
            PacketError::TooLong { max, waiting, .. } => {
                self.handle_lost(link, waiting, Refusal::TooLarge { max });
            }
            PacketError::Descriptors { waiting } | PacketError::NoDescriptors { waiting, .. } => {
                self.handle_lost(link, waiting, Refusal::Failed(error.to_string()));
            }
            PacketError::Malformed(unreadable) => self.handle_unreadable(link, &unreadable).await,
            _ => {}
        }
    }

    /// What a whisper brings, when it is whole.
    fn packet(
        &self,
        link: &Link,
        reassembly: &mut Reassembly,
        content: &Content,
    ) -> Result<Option<Packet>, PacketError> {
        let [tag, octets] = &content[..] else {
            return Err(PacketError::Frames(content.len()));
        };
        let max = link.limits.now().packet_len_max;
        if **tag == *TAG {
            return self.whole(link, octets, max).map(Some);
        }
        debug_assert_eq!(&**tag, FRAGMENT_TAG, "that is what `is_ours` lets through");
        match reassembly.add(octets, max)? {
            Some(octets) => self.whole(link, &octets, max).map(Some),
            None => Ok(None),
        }
    }

    /// A whole packet, with its descriptors.
    fn whole(&self, link: &Link, octets: &[u8], max: usize) -> Result<Packet, PacketError> {
        let waiting = || waiting_for(octets);
        let split = split(octets).ok_or_else(|| PacketError::Descriptors { waiting: waiting() });
        let (message, notes) = split?;
        if notes.is_empty() {
            let message = read(message, max)?;
            return Ok(Packet {
                named: self.named(link, &message),
                ..Packet::of(message)
            });
        }
        if link.remote.is_here {
            return self.passed(link, (message, notes), max);
        }
        let arrived = self.porter.arrive(&link.remote, &notes);
        let arrived = arrived.map_err(|error| PacketError::NoDescriptors {
            error,
            waiting: waiting(),
        })?;
        Ok(Packet {
            files: arrived.files,
            ..Packet::of(read_with(message, arrived.fds, max)?)
        })
    }

    /// A packet of a bridge of this machine, which may pass its descriptors: it waits for them.
    fn passed(
        &self,
        link: &Link,
        (octets, notes): (&[u8], Notes),
        max: usize,
    ) -> Result<Packet, PacketError> {
        // Until then it has others in their place, with which nobody gets it.
        let stand_ins = notes.stand_ins();
        let stand_ins = stand_ins.map_err(|error| PacketError::NoDescriptors {
            error,
            waiting: waiting_for(octets),
        })?;
        let message = read_with(octets, stand_ins, max)?;
        let (porter, remote, octets) = (self.porter.clone(), link.remote.clone(), octets.to_vec());
        let arriving = self.tasks.spawn(async move {
            let failed = |error: &dyn fmt::Display| Refusal::Failed(error.to_string());
            let arrived = porter.take(&remote, &notes).await;
            let arrived = arrived.map_err(|error| failed(&error))?;
            let message = read_with(&octets, arrived.fds, max).map_err(|error| failed(&error))?;
            Ok((message, arrived.files))
        });
        Ok(Packet {
            arriving: Some(arriving),
            ..Packet::of(message)
        })
    }

    /// Has the files copied that a message names, if they are wanted here.
    fn named(&self, link: &Link, message: &Message) -> Option<Named> {
        let form = Form::of(message).filter(|_| link.remote.channels)?;
        let peer = link.remote.id;
        let is_wanted = match form {
            Form::Notify => {
                let header = message.header();
                let service = header.destination().map(|name| name.as_str());
                service == Some(NOTIFICATIONS)
            }
            Form::Value | Form::Values | Form::Changed => self.importer.wants_files(peer, message),
        };
        let files = files_in(form, message);
        if !is_wanted || files.is_empty() {
            return None;
        }
        // What the service says by itself may be a new file of the same name.
        let is_news = matches!(form, Form::Changed | Form::Notify);
        let copies = files.into_iter().map(|name| {
            let Porter { node, named, .. } = self.porter.clone();
            self.tasks.spawn(fetch(node, named, (peer, name), is_news))
        });
        Some((form, copies.collect()))
    }

    async fn admit(&self, link: &Arc<Link>, packet: Packet) {
        match link.waiting.admit(packet).await {
            Admitted::Now(message) => self.route(link, &message).await,
            Admitted::First(caller) => {
                let (router, link) = (self.clone(), link.clone());
                self.tasks.spawn(async move {
                    let passed = router.pass_waiting(&link, &caller);
                    tokio::select! {
                        () = passed => {}
                        () = link.gone.cancelled() => {}
                    }
                });
            }
            Admitted::Behind => {}
        }
    }

    /// Hands over what waits of a caller, one after the other.
    async fn pass_waiting(&self, link: &Arc<Link>, caller: &str) {
        while let Some((message, filled)) = link.waiting.next(caller).await {
            match filled {
                Ok(()) => self.route(link, &message).await,
                Err(refusal) => {
                    self.handle_lost(link, waiting_for(message.data().bytes()), refusal);
                }
            }
        }
    }

    /// A packet is dropped: who waits for a reply because of it gets an error.
    fn handle_lost(&self, link: &Arc<Link>, waiting: Option<Waiting>, refusal: Refusal) {
        match waiting {
            Some(Waiting::Sender(id)) => {
                // Nothing of the same caller has to be in front of it.
                let stream = Stream::Replies("".into(), "".into());
                link.refuse(stream, id, &refusal);
            }
            Some(Waiting::Receiver(id)) => match Half::of(id) {
                Half::Import => self.importer.lost_reply(link.remote.id, id, refusal),
                Half::Export => self.exporter.lost_reply(link.remote.id, id, refusal),
            },
            None => {}
        }
    }

    /// Who waits for a reply to a packet, or for this one as a reply, gets the error that it cannot be read.
    async fn handle_unreadable(&self, link: &Arc<Link>, packet: &Unreadable) {
        if let Some(answer) = packet.answer() {
            return self.route(link, &answer).await;
        }
        let Some(call) = packet.call() else { return };
        let header = call.header();
        if let (Some(caller), Some(destination)) = (header.sender(), header.destination()) {
            let stream = match is_call_back(&call) {
                true => Stream::Caller(destination.as_str().into()),
                false => Stream::Replies(destination.as_str().into(), caller.as_str().into()),
            };
            let id = call.primary_header().serial_num();
            link.refuse(stream, id, &Refusal::InvalidArgs(packet.to_string()));
        }
    }

    async fn route(&self, link: &Arc<Link>, packet: &Message) {
        let full = match packet.message_type() {
            Type::MethodCall if packet.header().destination().is_none() => {
                self.control(link, packet);
                Vec::new()
            }
            Type::MethodCall if is_call_back(packet) => {
                self.importer.call_back(link.remote.id, packet)
            }
            Type::MethodCall => {
                self.exporter.call(link.remote.id, packet);
                Vec::new()
            }
            Type::MethodReturn | Type::Error => self.reply(link, packet),
            Type::Signal => self.importer.signal(link.remote.id, packet),
        };
        for connection in full {
            connection.room().await;
        }
    }

    /// The connections that a reply from a peer goes out on and that are full.
    fn reply(&self, link: &Arc<Link>, packet: &Message) -> Vec<BusConnection> {
        let Some(id) = packet.header().reply_serial() else {
            return Vec::new();
        };
        match Half::of(id) {
            Half::Import => self.importer.reply(link.remote.id, packet, id),
            Half::Export => {
                let written = self.exporter.reply(link.remote.id, packet, id);
                written.into_iter().collect()
            }
        }
    }

    fn control(&self, link: &Arc<Link>, packet: &Message) {
        match Control::read(packet) {
            Some(Control::Revised(service)) => self.importer.revised(link.remote.id, &service),
            Some(control) => {
                let id = packet.primary_header().serial_num();
                self.exporter.control(link.remote.id, control, id);
            }
            None => tracing::debug!(peer = link.remote.name, "an unknown message to the bridge"),
        }
    }
}

/// Whether a call is a service's for one that called it: services have names, callers unique ones.
fn is_call_back(packet: &Message) -> bool {
    let header = packet.header();
    let destination = header.destination().map(|name| name.as_str());
    destination.is_some_and(|name| name.starts_with(':'))
}

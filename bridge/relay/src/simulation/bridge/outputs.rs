//! What a bridge does when its states say so.

use std::num::NonZeroU32;

use zbus::{Message, message::Flags};
use zocp_node::PeerId;

use super::{Announced, Bridge, Owner};
use crate::{
    export::state as export,
    import::state::{self as import, OWN_BUS},
    simulation::{
        bus::{News, WATCH},
        mesh::Mesh,
    },
    transport::Stream,
};
use zocp_dbus::{
    errors::Refusal,
    message::{Octets, Outgoing},
};

impl Bridge {
    /// Does what the states say.
    pub(in crate::simulation) fn carry_out(&mut self, mesh: &mut Mesh) {
        while let Some(output) = self.import.poll_output() {
            self.carry_out_import(output, mesh);
        }
        while let Some(output) = self.export.poll_output() {
            self.carry_out_export(output, mesh);
        }
    }

    fn carry_out_import(&mut self, output: import::Output, mesh: &mut Mesh) {
        match output {
            import::Output::Send {
                peer,
                stream,
                packet,
            } => {
                if let Some(way) = self.way(peer) {
                    mesh.push(way, stream, packet, None);
                }
            }
            import::Output::Call {
                peer,
                stream,
                packet,
                id,
            } => match self.way(peer) {
                Some(way) if mesh.is_full(way) => {
                    if let Some(id) = id {
                        self.import.handle_full(peer, id);
                    }
                }
                Some(way) => mesh.push(way, stream, packet, None),
                None => {}
            },
            import::Output::RefusePeer {
                peer,
                stream,
                id,
                error,
            } => self.refuse(mesh, peer, (stream, id), &error),
            import::Output::Connect(import, bus) => {
                let connecting = (bus, Vec::new());
                self.connecting.insert(Owner::Import(import), connecting);
            }
            import::Output::Disconnect(import) => self.end_connection(Owner::Import(import)),
            import::Output::Write(import, message) => self.write(Owner::Import(import), message),
            import::Output::RefuseCall(import, call, error) => {
                self.refuse_call(Owner::Import(import), &call, &error);
            }
            import::Output::AskCaller(bus, caller) => {
                if let Some(bus) = self.bus_of(bus) {
                    let is_there = bus.is_connected(&caller);
                    bus.news.push_back(News::Program(caller, is_there));
                }
            }
            import::Output::Offer(bus, name) => {
                if let Some(bus) = self.bus_of(bus) {
                    bus.set_activatable(&name, true);
                }
            }
            import::Output::Withdraw(bus, name) => {
                if let Some(bus) = self.bus_of(bus) {
                    bus.set_activatable(&name, false);
                }
            }
            import::Output::FailStart(bus, name, _) => {
                if let Some(bus) = self.bus_of(bus) {
                    bus.fail_start(&name);
                }
            }
            import::Output::LogTooLong(..) | import::Output::NamesChanged => {}
        }
    }

    fn carry_out_export(&mut self, output: export::Output, mesh: &mut Mesh) {
        match output {
            export::Output::Send {
                peer,
                stream,
                packet,
                behind,
            } => {
                if let Some(way) = self.way(peer) {
                    mesh.push(way, stream, packet, behind);
                }
            }
            export::Output::RefusePeer {
                peer,
                stream,
                id,
                error,
            } => self.refuse(mesh, peer, (stream, id), &error),
            export::Output::Connect(_, caller) => {
                let connecting = (OWN_BUS, Vec::new());
                self.connecting.insert(Owner::Caller(caller), connecting);
            }
            export::Output::Disconnect(caller) => self.end_connection(Owner::Caller(caller)),
            export::Output::Call(caller, call, serial) => {
                if self.bus.connections().len() > 12 {
                    self.export.handle_full(caller, serial);
                } else {
                    self.write(Owner::Caller(caller), call);
                }
            }
            export::Output::Write(caller, message) => self.write(Owner::Caller(caller), message),
            export::Output::RefuseCall(caller, call, error) => {
                self.refuse_call(Owner::Caller(caller), &call, &error);
            }
            export::Output::AskNames => {
                let names = self.bus.names().map(|(name, _)| name.clone());
                let names = names.collect();
                self.bus.news.push_back(News::Names(names));
                self.say_activatable();
            }
            export::Output::AskOwner(name) => {
                let owner = self.bus.owner(&name).cloned();
                self.bus.news.push_back(News::Owner(name, owner));
            }
            export::Output::AskOrigin(call, _) => self.bus.send(WATCH, call.data()),
            export::Output::AskProgram(program) => {
                let is_there = self.bus.is_connected(&program);
                self.bus.news.push_back(News::Program(program, is_there));
            }
            export::Output::Listen(service, question) => self.bus.listen(service, question),
            export::Output::Ignore(service) => self.bus.ignore(&service),
            export::Output::Announce(service, announced) => {
                let announced = Announced {
                    revision: announced.revision,
                    runs: announced.owner.is_some(),
                    is_activatable: announced.is_activatable,
                };
                self.tree.insert(service, announced);
                self.readers.extend(self.peers.keys());
            }
            export::Output::Withdraw(service) => {
                self.tree.remove(&service);
                self.readers.extend(self.peers.keys());
            }
            export::Output::ForgetQuestion(_)
            | export::Output::Wanted(_)
            | export::Output::LogSignal { .. }
            | export::Output::OffersChanged => {}
        }
    }

    /// The bus says what it can start services for.
    pub(in crate::simulation) fn say_activatable(&mut self) {
        let names = self.bus.activatable().cloned().collect();
        self.bus.news.push_back(News::Activatable(names));
    }

    fn way(&self, peer: PeerId) -> Option<(usize, usize)> {
        let mut peers = self.peers.iter();
        let (number, _) = peers.find(|(_, its)| **its == peer)?;
        Some((self.number, *number))
    }

    fn write(&mut self, owner: Owner, message: Octets) {
        if let Some(unique) = self.connections.get(&owner) {
            let unique = unique.clone();
            self.bus_with(&unique).send(&unique, &message);
        } else if let Some((_, waiting)) = self.connecting.get_mut(&owner) {
            waiting.push(message);
        }
    }

    fn refuse_call(&mut self, owner: Owner, call: &Message, error: &Refusal) {
        let flags = call.primary_header().flags();
        if !flags.contains(Flags::NO_REPLY_EXPECTED) {
            let reply = Message::error(&call.header(), error.name());
            let reply = Outgoing::build(reply, &error.to_string()).expect("an error");
            self.write(owner, reply.into());
        }
    }

    fn refuse(
        &self,
        mesh: &mut Mesh,
        peer: PeerId,
        (stream, id): (Stream, NonZeroU32),
        error: &Refusal,
    ) {
        let call = Message::method_call("/", "x").serial(id);
        let call = Outgoing::build(call, &()).expect("a call");
        let packet = Message::error(&call.header(), error.name());
        let packet = Outgoing::build(packet, &error.to_string()).expect("an error");
        if let Some(way) = self.way(peer) {
            mesh.push(way, stream, Octets::from(packet).into_bytes(), None);
        }
    }

    fn end_connection(&mut self, owner: Owner) {
        self.connecting.remove(&owner);
        if self.connections.contains_key(&owner) {
            self.ending.insert(owner);
        }
    }
}

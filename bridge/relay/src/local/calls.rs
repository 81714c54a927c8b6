//! Calls of programs of a view to local services, calls back, and the replies.

use std::sync::Arc;

use zbus::Message;
use zocp_dbus::{connection::BUS_NAME, errors::Refusal};

use super::{
    LOCAL_CALLERS_MAX,
    caller::{Caller, Held, Pending},
    service::CallBack,
    state::{Action, State},
};
use crate::transport::{directed_signal, kept, local_call, local_reply, wants_reply};

impl State {
    /// Passes a call of a program of the view on.
    pub(super) fn pass_on(&mut self, name: &Arc<str>, call: &Message) -> Result<(), Refusal> {
        check_descriptors(call)?;
        let header = call.header();
        let Some(sender) = header.sender().map(|name| name.as_str()) else {
            return Err(Refusal::Failed("a call without a sender".to_owned()));
        };
        let program: Arc<str> = sender.into();
        if !self.callers.contains_key(&program) {
            let count = self.callers.len();
            if count >= LOCAL_CALLERS_MAX {
                let text = format!("{count} programs of this view call local services");
                return Err(Refusal::LimitsExceeded(text));
            }
            let caller = Caller::new(self.connections.another());
            self.actions
                .push(Action::Call(program.clone(), caller.connection.clone()));
            self.callers.insert(program.clone(), caller);
        }
        let Some(caller) = self.callers.get_mut(&program) else {
            return Ok(());
        };
        if caller.pending.len() >= self.calls_max {
            let text = format!("{} calls of {program} wait", caller.pending.len());
            return Err(Refusal::Busy(text));
        }
        if !caller.connection.bus.has_room() {
            let text = "the bus of the bridge takes no more".to_owned();
            return Err(Refusal::Busy(text));
        }
        let serial = caller.serials.next();
        let octets = local_call(call, name, None, serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?
            .with_descriptors_of(call);
        if wants_reply(call) {
            let pending = Pending {
                service: name.clone(),
                call: kept(call),
            };
            caller.pending.insert(serial, pending);
        }
        caller.called.insert(name.clone());
        caller.connection.bus.push(octets);
        Ok(())
    }

    /// The reply of a service.
    pub(super) fn handle_reply(&mut self, program: &Arc<str>, reply: &Message) {
        let Some(caller) = self.callers.get_mut(program) else {
            return;
        };
        let serial = reply.header().reply_serial();
        let Some(pending) = serial.and_then(|serial| caller.pending.remove(&serial)) else {
            return;
        };
        let service = self.services.get(&pending.service);
        let local = check_descriptors(reply).and_then(|()| {
            local_reply(reply, &pending.call)
                .map_err(|error| Refusal::Failed(format!("the answer: {error}")))
        });
        let local = local.map(|octets| octets.with_descriptors_of(reply));
        match (local, service) {
            (Ok(octets), _) => {
                let service = pending.service;
                caller.held.push(Held { service, octets });
            }
            (Err(error), Some(service)) => {
                service.connection.bus.refuse(&pending.call, &error);
            }
            (Err(_), None) => {}
        }
    }

    /// A signal of a service to one of its clients.
    pub(super) fn handle_directed(&mut self, program: &Arc<str>, signal: &Message) {
        let header = signal.header();
        let sender = header.sender().map(|name| name.as_str());
        let Some(caller) = self.callers.get_mut(program) else {
            return;
        };
        let mut called = caller.called.iter();
        let service = called.find(|name| {
            let service = self.services.get(*name);
            service.is_some_and(|it| Some(&*it.owner) == sender)
        });
        let (Some(service), Ok(())) = (service, check_descriptors(signal)) else {
            return;
        };
        match directed_signal(signal, program) {
            Ok(octets) => {
                let service = service.clone();
                let octets = octets.with_descriptors_of(signal);
                caller.held.push(Held { service, octets });
            }
            Err(error) => tracing::debug!(%error, "a signal is dropped"),
        }
    }

    /// A service calls one of its clients.
    pub(super) fn call_back(&mut self, program: &Arc<str>, call: &Message) -> Result<(), Refusal> {
        let header = call.header();
        let sender = header.sender().map(|name| name.as_str());
        let not_called = || Refusal::AccessDenied("the program did not call this service".into());
        let caller = self.callers.get(program).ok_or_else(not_called)?;
        let mut services = self.services.iter_mut();
        let (_, service) = services
            .find(|(name, service)| {
                caller.called.contains(*name) && Some(&*service.owner) == sender
            })
            .ok_or_else(not_called)?;
        check_descriptors(call)?;
        if service.calls_back.len() >= self.calls_max {
            let text = format!("{} calls wait for programs", service.calls_back.len());
            return Err(Refusal::Busy(text));
        }
        let serial = service.serials.next();
        let octets = local_call(call, program, None, serial)
            .map_err(|error| Refusal::Failed(error.to_string()))?
            .with_descriptors_of(call);
        if wants_reply(call) {
            let call = CallBack {
                caller: program.clone(),
                call: kept(call),
            };
            service.calls_back.insert(serial, call);
        }
        service.connection.bus.push(octets);
        Ok(())
    }

    /// The bus of the view replies that a name is ours, or a program replies to a call of its service.
    pub(super) fn handle_reply_of_view(&mut self, name: &Arc<str>, reply: &Message) {
        let header = reply.header();
        let (Some(service), Some(serial)) = (self.services.get_mut(name), header.reply_serial())
        else {
            return;
        };
        let is_of_bus = header
            .sender()
            .is_some_and(|name| name.as_str() == BUS_NAME);
        if is_of_bus && service.question.take_if(|it| *it == serial).is_some() {
            service.is_named = true;
            return;
        }
        let Some(call) = service.calls_back.remove(&serial) else {
            return;
        };
        let Some(caller) = self.callers.get(&call.caller) else {
            return;
        };
        let own = &caller.connection.bus;
        match (local_reply(reply, &call.call), check_descriptors(reply)) {
            (_, Err(refusal)) => own.refuse(&call.call, &refusal),
            (Ok(octets), Ok(())) => own.push(octets.with_descriptors_of(reply)),
            (Err(error), Ok(())) => own.refuse(&call.call, &Refusal::Failed(error.to_string())),
        }
    }
}

/// A message brings as many descriptors as its header declares, or it is not passed on. Which kinds they are is of no
/// matter: both programs are of this machine.
fn check_descriptors(message: &Message) -> Result<(), Refusal> {
    let declared = message.header().unix_fds().unwrap_or(0) as usize;
    match declared == message.data().fds().len() {
        true => Ok(()),
        false => Err(Refusal::NoFileDescriptors(
            "a file descriptor that did not come".to_owned(),
        )),
    }
}

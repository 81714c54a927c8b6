//! Which local services a view has, and what waits for a reply.
//!
//! Model: messages of both buses come in; what is to be sent is put into the queues of the connections, and what else
//! is to be done is taken as [`Action`]s after each input.
//! Layout: `super::calls` passes calls on, `super::caller` is one program.
//! Invariants: LOCALSERVICE-3. A call gets one reply: of its service, or an error when the connection of its caller
//! fails or the service is on the bus no more.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use zbus::{Message, message::Type};
use zocp_dbus::{
    connection::{BUS_NAME, BusConnection, bus_call},
    errors::Refusal,
};
use zocp_interfaces::NODE_NAME_PREFIX;
use zocp_policy::ServicePattern;

use super::{LOCAL_SERVICES_MAX, caller::Caller, connection::Connection, service::Service};
use crate::{
    barrier::Barrier,
    own_names::OwnNames,
    serials::Serials,
    transport::{has_descriptors, local_signal},
};

/// What is to be done, beside sending.
#[derive(Debug)]
pub(super) enum Action {
    /// Ask the own bus who owns a name.
    AskOwner(Arc<str>),
    /// Offer the view's bus to start a service of this name.
    Offer(Arc<str>),
    /// Stop offering it.
    Withdraw(Arc<str>),
    /// Have the own bus start a service.
    Start(Arc<str>),
    /// Calls in the view that wait for the service get this error.
    FailStart(Arc<str>, String, String),
    /// Have the own bus send the signals of a service.
    Listen(Arc<str>),
    /// No more.
    Ignore(Arc<str>),
    /// Keep a service on the view's bus.
    Serve(Arc<str>, Connection),
    /// Keep a program of the view on the own bus.
    Call(Arc<str>, Connection),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct State {
    patterns: Vec<ServicePattern>,
    /// Our own connections to the own bus: what they own is in the view already, or is to be let in there by its node.
    own_names: OwnNames,
    /// What makes the connections of services and programs.
    pub(super) connections: Connection,
    pub(super) calls_max: usize,
    pub(super) services: HashMap<Arc<str>, Service>,
    /// The names that the own bus can start services for, and that are offered to the view's.
    activatable: BTreeSet<Arc<str>>,
    pub(super) callers: HashMap<Arc<str>, Caller>,
    /// Answers of the own bus that are still to come before it is known what is there.
    unknown: Unknown,
    pub(super) actions: Vec<Action>,
}

#[derive(Debug, Default)]
struct Unknown {
    names: bool,
    activatable: bool,
    owners: HashSet<Arc<str>>,
}

impl State {
    /// Connections are made like `connections`, and end with it.
    pub(super) fn new(
        patterns: Vec<ServicePattern>,
        own_names: OwnNames,
        connections: Connection,
        calls_max: usize,
    ) -> Self {
        Self {
            patterns,
            own_names,
            connections,
            calls_max,
            services: HashMap::new(),
            activatable: BTreeSet::new(),
            callers: HashMap::new(),
            unknown: Unknown {
                names: true,
                activatable: true,
                owners: HashSet::new(),
            },
            actions: Vec::new(),
        }
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn is_settled(&self) -> bool {
        let Unknown {
            names,
            activatable,
            owners,
        } = &self.unknown;
        let is_known = !names && !activatable && owners.is_empty();
        is_known && self.services.values().all(|service| service.is_named)
    }

    /// A connection to the view that takes no more.
    pub(super) fn full(&self) -> Option<BusConnection> {
        let mut services = self.services.values();
        let full = services.find(|service| !service.connection.bus.has_room())?;
        Some(full.connection.bus.clone())
    }

    pub(super) fn handle_stop(&mut self) {
        for (_, service) in self.services.drain() {
            service.connection.stop.cancel();
        }
        for (_, caller) in self.callers.drain() {
            caller.connection.stop.cancel();
        }
    }

    /// The own bus is lost: what was on it is not known any more.
    pub(super) fn handle_own_bus_lost(&mut self) {
        let offered = std::mem::take(&mut self.activatable);
        self.actions
            .extend(offered.into_iter().map(Action::Withdraw));
        self.unknown.owners.clear();
        let names: Vec<Arc<str>> = self.services.keys().cloned().collect();
        for name in names {
            self.drop_service(&name);
        }
    }

    /// Names that are on the own bus, or that it can start.
    pub(super) fn handle_names(&mut self, names: &[String], is_activatable: bool) {
        let let_in = names.iter().filter(|name| self.is_let_in(name));
        let let_in: Vec<Arc<str>> = let_in.map(|name| name.as_str().into()).collect();
        match is_activatable {
            true => {
                self.unknown.activatable = false;
                return self.offer(let_in.into_iter().collect());
            }
            false => self.unknown.names = false,
        }
        for name in let_in {
            self.unknown.owners.insert(name.clone());
            self.actions.push(Action::AskOwner(name));
        }
    }

    /// A name of the own bus has this owner, or none.
    pub(super) fn handle_owner(&mut self, name: &str, owner: Option<&str>) {
        self.unknown.owners.remove(name);
        if !self.is_let_in(name) {
            return;
        }
        let name: Arc<str> = name.into();
        let owner = owner.filter(|owner| !self.own_names.has(owner));
        match owner {
            Some(owner) => self.show(&name, owner),
            None => self.drop_service(&name),
        }
    }

    /// Offers these names to the view's bus, and no others.
    fn offer(&mut self, mut names: BTreeSet<Arc<str>>) {
        while names.len() > LOCAL_SERVICES_MAX {
            let name = names.pop_last();
            tracing::warn!(?name, "not let in: there are too many local services");
        }
        let new = names.difference(&self.activatable).cloned();
        self.actions.extend(new.map(Action::Offer));
        let gone = self.activatable.difference(&names).cloned();
        self.actions.extend(gone.map(Action::Withdraw));
        self.activatable = names;
    }

    /// A name that is offered to the view's bus was called there.
    pub(super) fn handle_start(&mut self, name: &str) {
        // One that is shown gets its name in the view, and what waits with it.
        if let Some(name) = self.activatable.get(name)
            && !self.services.contains_key(name)
        {
            self.actions.push(Action::Start(name.clone()));
        }
    }

    /// The own bus has started a service, or says why not.
    pub(super) fn handle_started(&mut self, name: &Arc<str>, error: Option<(String, String)>) {
        // Its owner was told before.
        if !self.services.contains_key(name) {
            let left = || (FAILED.to_owned(), format!("{name} has left the bus"));
            let (error, text) = error.unwrap_or_else(left);
            self.actions
                .push(Action::FailStart(name.clone(), error, text));
        }
    }

    /// A service's connection to the view's bus is there: it asks for its name.
    pub(super) fn handle_served(&mut self, name: &Arc<str>) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.is_named = false;
        let serial = service.serials.next();
        // Without flags: in the queue behind its owner.
        if let Some(call) = bus_call("RequestName", &(&**name, 0u32), Some(serial)) {
            service.question = Some(serial);
            service.connection.bus.push(call);
        }
    }

    /// A service's connection to the view's bus is lost: no program there will answer its calls.
    pub(super) fn handle_unserved(&mut self, name: &Arc<str>, reason: &str) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        for (_, call) in service.calls_back.drain() {
            if let Some(caller) = self.callers.get(&call.caller) {
                let error = Refusal::Failed(format!("the bus of the view: {reason}"));
                caller.connection.bus.refuse(&call.call, &error);
            }
        }
    }

    /// A program has left the view.
    pub(super) fn handle_program_gone(&mut self, program: &str) {
        if let Some(caller) = self.callers.remove(program) {
            caller.connection.stop.cancel();
        }
        for service in self.services.values_mut() {
            service
                .calls_back
                .retain(|_, call| *call.caller != *program);
        }
    }

    /// The connection of a program to the own bus is lost.
    pub(super) fn handle_caller_lost(&mut self, program: &Arc<str>, reason: &str) {
        let Some(mut caller) = self.callers.remove(program) else {
            return;
        };
        caller.release_all(&self.services);
        for pending in caller.pending.into_values() {
            if let Some(service) = self.services.get(&pending.service) {
                let error = Refusal::Failed(format!("the bus of the bridge: {reason}"));
                service.connection.bus.refuse(&pending.call, &error);
            }
        }
    }

    /// A message on the connection of a service to the view.
    pub(super) fn handle_of_view(&mut self, name: &Arc<str>, message: &Message) {
        match message.message_type() {
            Type::MethodCall => {
                if let Err(error) = self.pass_on(name, message)
                    && let Some(service) = self.services.get(name)
                {
                    service.connection.bus.refuse(message, &error);
                }
            }
            Type::MethodReturn | Type::Error => self.handle_reply_of_view(name, message),
            Type::Signal => {}
        }
    }

    /// A message on the connection of a program to the own bus.
    pub(super) fn handle_of_own_bus(&mut self, program: &Arc<str>, message: &Message) {
        match message.message_type() {
            Type::MethodCall => {
                if let Err(error) = self.call_back(program, message)
                    && let Some(caller) = self.callers.get(program)
                {
                    caller.connection.bus.refuse(message, &error);
                }
            }
            Type::MethodReturn | Type::Error => self.handle_reply(program, message),
            Type::Signal => self.handle_directed(program, message),
        }
    }

    /// A signal of a service to all.
    pub(super) fn handle_signal(&mut self, signal: &Message) {
        let header = signal.header();
        let Some(sender) = header.sender().map(|name| name.as_str()) else {
            return;
        };
        if header.destination().is_some() || has_descriptors(signal) {
            return;
        }
        let services = self.services.values();
        let mut owned = services.filter(|service| *service.owner == *sender);
        let Some(first) = owned.next() else { return };
        let signal = match local_signal(signal) {
            Ok(signal) => signal,
            Err(error) => return tracing::debug!(%error, "a signal is dropped"),
        };
        // Each name of the sender is a connection of its own in the view.
        for service in owned {
            service.connection.bus.push(signal.clone());
        }
        first.connection.bus.push(signal);
    }

    /// Lets go of what is behind all that was emitted before it.
    pub(super) fn handle_turn(&mut self, program: &Arc<str>, barrier: &dyn Barrier) {
        if let Some(caller) = self.callers.get_mut(program) {
            caller.release(barrier, &self.services);
        }
    }

    fn is_let_in(&self, name: &str) -> bool {
        // The nodes of the mesh are in the view themselves.
        let is_ours = name == BUS_NAME || name.starts_with(NODE_NAME_PREFIX);
        !is_ours && self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// A service is on the own bus.
    fn show(&mut self, name: &Arc<str>, owner: &str) {
        let count = self.services.len();
        if let Some(service) = self.services.get_mut(name) {
            service.owner = owner.into();
            return;
        }
        if count >= LOCAL_SERVICES_MAX {
            tracing::warn!(
                name = &**name,
                count,
                "not let in: there are too many local services"
            );
            return;
        }
        let service = Service {
            connection: self.connections.another(),
            owner: owner.into(),
            serials: Serials::default(),
            question: None,
            is_named: false,
            calls_back: HashMap::new(),
        };
        self.actions.push(Action::Listen(name.clone()));
        self.actions
            .push(Action::Serve(name.clone(), service.connection.clone()));
        self.services.insert(name.clone(), service);
    }

    fn drop_service(&mut self, name: &Arc<str>) {
        let Some(service) = self.services.remove(name) else {
            return;
        };
        self.actions.push(Action::Ignore(name.clone()));
        for caller in self.callers.values_mut() {
            caller.release_of(name, &service);
            let its = caller.pending.extract_if(|_, it| it.service == *name);
            for (_, pending) in its {
                let error = Refusal::ServiceUnknown(format!("{name} has left the bus"));
                service.connection.bus.refuse(&pending.call, &error);
            }
        }
        service.connection.stop.cancel();
        if !service.is_named && self.activatable.contains(name) {
            let text = format!("{name} has left the bus");
            self.actions
                .push(Action::FailStart(name.clone(), FAILED.to_owned(), text));
        }
    }
}

const FAILED: &str = "org.freedesktop.DBus.Error.Failed";

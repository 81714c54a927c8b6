//! The connections: one on the view's bus for each service, one on the own bus for each program that calls.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_dbus::{
    connection::{Backoff, BusConnection, Ended, Handler, connect, run},
    report::Report,
};

use super::LocalServices;
use crate::barrier::WatchBarrier;

/// What waits to be written on a connection, and its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Connection {
    pub(super) bus: BusConnection,
    pub(super) stop: CancellationToken,
}

impl Connection {
    pub(super) fn new(report: Report) -> Self {
        Self {
            bus: BusConnection::new(report),
            stop: CancellationToken::new(),
        }
    }

    /// Another one, which ends with this one at the latest.
    pub(super) fn another(&self) -> Self {
        Self {
            bus: BusConnection::new(self.bus.report().clone()),
            stop: self.stop.child_token(),
        }
    }
}

/// Keeps a service on the view's bus.
pub(super) fn serve(services: &LocalServices, name: Arc<str>, connection: Connection) {
    let services = services.clone();
    let tasks = services.shared.context.tasks.clone();
    tasks.spawn(async move {
        let Connection { bus, stop } = &connection;
        let mut backoff = Backoff::default();
        while !stop.is_cancelled() {
            match services.shared.view.connect().await {
                Ok(connected) => {
                    backoff.reset();
                    services.input(|state| state.handle_served(&name));
                    let mut handler = ServiceHandler {
                        services: &services,
                        name: &name,
                    };
                    if let Ended::Failed(reason) = run(bus, connected, &mut handler, stop).await {
                        services.input(|state| state.handle_unserved(&name, &reason));
                        tracing::debug!(name = &*name, reason, "off the bus of a view");
                    }
                }
                Err(error) => {
                    tracing::debug!(name = &*name, %error, "not on the bus of a view");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = backoff.wait() => {}
            }
        }
    });
}

/// Keeps a program of the view on the own bus, until its connection fails or it leaves.
pub(super) fn call(services: &LocalServices, caller: Arc<str>, connection: Connection) {
    let services = services.clone();
    let tasks = services.shared.context.tasks.clone();
    tasks.spawn(async move {
        let Connection { bus, stop } = &connection;
        let reason = match connect(services.shared.context.bus.address()).await {
            Ok(connected) => {
                let own = connected.unique_name();
                services.shared.context.own_names.add(own);
                let mut handler = CallerHandler {
                    services: &services,
                    caller: &caller,
                    bus,
                };
                match run(bus, connected, &mut handler, stop).await {
                    Ended::Stopped => return,
                    Ended::Failed(reason) => reason,
                }
            }
            Err(error) => error.to_string(),
        };
        services.input(|state| state.handle_caller_lost(&caller, &reason));
    });
}

struct ServiceHandler<'a> {
    services: &'a LocalServices,
    name: &'a Arc<str>,
}

impl Handler for ServiceHandler<'_> {
    fn hear(&mut self, message: Message) {
        self.services
            .input(|state| state.handle_of_view(self.name, &message));
    }
}

struct CallerHandler<'a> {
    services: &'a LocalServices,
    caller: &'a Arc<str>,
    bus: &'a BusConnection,
}

impl Handler for CallerHandler<'_> {
    fn hear(&mut self, message: Message) {
        self.services
            .input(|state| state.handle_of_own_bus(self.caller, &message));
    }

    fn turn(&mut self) -> Option<Instant> {
        let barrier = WatchBarrier {
            watch: &self.services.shared.own_watch,
            bus: self.bus,
        };
        self.services
            .input(|state| state.handle_turn(self.caller, &barrier));
        None
    }
}

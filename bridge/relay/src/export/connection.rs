//! The bus connection of a remote caller.
//!
//! Model: a task connects once, and gives the state what comes. When the connection fails, the caller ends; its next call
//! makes another one.
//! Limits: those of `zocp_dbus::connection`; while the peer takes no more, nothing is read.
//! Not here: what is made of a message (`super::state`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::Message;

use super::{Exporter, state::CallerId};
use crate::{barrier::WatchBarrier, link::Link};
use zocp_dbus::{
    connection::{BusConnection, Ended, Handler, connect, run},
    errors::Refusal,
};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(super) struct Connection {
    bus: BusConnection,
    stop: CancellationToken,
}

impl Connection {
    /// What waits to be written.
    pub(super) fn bus(&self) -> &BusConnection {
        &self.bus
    }

    /// Ends it when what waits is written.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Makes the connection of a caller of a peer.
pub(super) fn start(exporter: &Exporter, link: &Arc<Link>, caller: CallerId) -> Connection {
    let context = &exporter.shared.context;
    let connection = Connection {
        bus: BusConnection::new(context.bus.report().clone()),
        stop: CancellationToken::new(),
    };
    let (exporter, its, link) = (exporter.clone(), connection.clone(), link.clone());
    context.tasks.spawn(async move {
        let error = serve(&exporter, &link, caller, &its).await;
        exporter.input(|state| state.handle_disconnected(caller, &error));
        exporter.lock().connections.remove(&caller);
    });
    connection
}

/// Serves the connection until it ends; why it did.
async fn serve(
    exporter: &Exporter,
    link: &Arc<Link>,
    caller: CallerId,
    connection: &Connection,
) -> Refusal {
    let Connection { bus, stop } = connection;
    let context = &exporter.shared.context;
    let stopped = || Refusal::Failed("the connection was to end".to_owned());
    let connected = tokio::select! {
        () = stop.cancelled() => return stopped(),
        connected = connect(context.bus.address()) => connected,
    };
    let connected = match connected {
        Ok(connected) => connected,
        Err(error) => return Refusal::Failed(error.to_string()),
    };
    context.own_names.add(connected.unique_name());
    let mut handler = CallerHandler {
        exporter,
        link,
        caller,
        bus,
    };
    match run(bus, connected, &mut handler, stop).await {
        Ended::Stopped => stopped(),
        Ended::Failed(reason) => Refusal::Failed(reason),
    }
}

struct CallerHandler<'a> {
    exporter: &'a Exporter,
    link: &'a Arc<Link>,
    caller: CallerId,
    bus: &'a BusConnection,
}

impl Handler for CallerHandler<'_> {
    fn hear(&mut self, message: Message) {
        let now = Instant::now();
        self.exporter
            .input(|state| state.handle_message(self.caller, &message, now));
    }

    fn turn(&mut self) -> Option<Instant> {
        let barrier = WatchBarrier {
            watch: &self.exporter.shared.context.watch,
            bus: self.bus,
        };
        let now = Instant::now();
        self.exporter
            .input(|state| state.handle_turn(self.caller, &barrier, now))
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        if self.link.scheduler.has_capacity() {
            return None;
        }
        let link = self.link.clone();
        Some(Box::pin(async move { link.scheduler.capacity().await }))
    }
}

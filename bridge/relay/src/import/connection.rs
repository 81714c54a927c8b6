//! The bus connection of an imported service.
//!
//! Model: a task connects, and gives the state what comes. When the connection fails it is made anew, until the import
//! ends; what is to be written waits in the queue meanwhile.
//! Limits: those of `zocp_dbus::connection`.
//! Not here: what is made of a message (`super::state`).

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::Message;

use super::{
    Importer, Place,
    state::{BusId, ImportId, OWN_BUS, State},
};
use zocp_dbus::{
    connection::{Backoff, BusConnection, Ended, Handler, run},
    errors::Refusal,
    message::Octets,
};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(super) struct Connection {
    bus: BusConnection,
    stop: CancellationToken,
}

impl Connection {
    /// Has a message written; the connection if it is full.
    pub(super) fn push(&self, message: Octets) -> Option<BusConnection> {
        self.bus.push(message);
        self.if_full()
    }

    /// Has an error written as the reply to a call, if it wants one; the connection if it is full.
    pub(super) fn refuse(&self, call: &Message, refusal: &Refusal) -> Option<BusConnection> {
        self.bus.refuse(call, refusal);
        self.if_full()
    }

    fn if_full(&self) -> Option<BusConnection> {
        (!self.bus.has_room()).then(|| self.bus.clone())
    }

    /// Ends it when what waits is written.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Makes the connection of an import, and keeps it until it is stopped.
pub(super) fn start(
    importer: &Importer,
    import: ImportId,
    bus: BusId,
    place: &Place,
) -> Connection {
    let context = &importer.shared.context;
    let connection = Connection {
        bus: BusConnection::new(place.site.report().clone()),
        stop: CancellationToken::new(),
    };
    let (importer, its) = (importer.clone(), connection.clone());
    let place = place.clone();
    context.tasks.spawn(async move {
        keep(&importer, import, (bus, &place), &its).await;
        importer.lock().connections.remove(&import);
    });
    connection
}

async fn keep(
    importer: &Importer,
    import: ImportId,
    (on, place): (BusId, &Place),
    connection: &Connection,
) {
    let Connection { bus, stop } = connection;
    let context = &importer.shared.context;
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        match place.site.connect().await {
            Ok(connected) => {
                backoff.reset();
                let unique: Arc<str> = connected.unique_name();
                if on == OWN_BUS {
                    context.own_names.add(unique.clone());
                }
                importer.input(|state| state.handle_connected(import, unique));
                let mut handler = ImportHandler { importer, import };
                let ended = run(bus, connected, &mut handler, stop).await;
                if let Ended::Failed(reason) = ended {
                    importer.input(|state| state.handle_disconnected(import));
                    let name = importer.input(|state| state.name_of(import));
                    tracing::warn!(name, reason, "off the bus");
                }
            }
            Err(error) => {
                let name = importer.input(|state| state.name_of(import));
                tracing::warn!(name, %error, "not on the bus");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = backoff.wait() => {}
        }
    }
}

struct ImportHandler<'a> {
    importer: &'a Importer,
    import: ImportId,
}

impl ImportHandler<'_> {
    fn input<R>(&self, input: impl FnOnce(&mut State, Instant) -> R) -> R {
        self.importer.input(|state| input(state, Instant::now()))
    }
}

impl Handler for ImportHandler<'_> {
    fn hear(&mut self, message: Message) {
        self.input(|state, now| state.handle_message(self.import, &message, now));
    }

    fn turn(&mut self) -> Option<Instant> {
        self.input(|state, now| state.handle_timeout(self.import, now))
    }
}

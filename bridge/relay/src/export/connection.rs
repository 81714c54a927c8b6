//! The bus connection of a remote caller.
//!
//! Model: a task connects once, and gives the state what comes. When the connection fails, the caller ends; its next call
//! makes another one.
//! Limits: those of `zocp_dbus::line`; while the peer takes no more, nothing is read.
//! Not here: what is made of a message (`super::state`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::Message;

use super::{
    Exporter,
    state::{Barrier, CallerId},
};
use crate::{link::Link, watch::Watch};
use zocp_dbus::{
    errors::Refusal,
    line::{Ear, Ended, Line, connect, live},
};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(super) struct Connection {
    line: Line,
    stop: CancellationToken,
}

impl Connection {
    /// What waits to be written.
    pub(super) fn line(&self) -> &Line {
        &self.line
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
        line: Line::new(context.site.report().clone()),
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
    let Connection { line, stop } = connection;
    let context = &exporter.shared.context;
    let stopped = || Refusal::Failed("the connection was to end".to_owned());
    let connected = tokio::select! {
        () = stop.cancelled() => return stopped(),
        connected = connect(context.site.address()) => connected,
    };
    let connected = match connected {
        Ok(connected) => connected,
        Err(error) => return Refusal::Failed(error.to_string()),
    };
    context.own_names.add(connected.unique_name());
    let mut handler = Handler {
        exporter,
        link,
        caller,
        line,
    };
    match live(line, connected, &mut handler, stop).await {
        Ended::Stopped => stopped(),
        Ended::Failed(reason) => Refusal::Failed(reason),
    }
}

struct Handler<'a> {
    exporter: &'a Exporter,
    link: &'a Arc<Link>,
    caller: CallerId,
    line: &'a Line,
}

impl Ear for Handler<'_> {
    fn hear(&mut self, message: Message) {
        let now = Instant::now();
        self.exporter
            .input(|state| state.handle_message(self.caller, &message, now));
    }

    fn turn(&mut self) -> Option<Instant> {
        let barrier = Signals {
            watch: &self.exporter.shared.context.watch,
            line: self.line,
        };
        let now = Instant::now();
        self.exporter
            .input(|state| state.handle_turn(self.caller, &barrier, now))
    }

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        if self.link.outlet.has_room() {
            return None;
        }
        let link = self.link.clone();
        Some(Box::pin(async move { link.outlet.room().await }))
    }
}

/// What is known of signals, which come on the connection of the watch.
struct Signals<'a> {
    watch: &'a Watch,
    /// Is looked at again when a barrier is passed.
    line: &'a Line,
}

impl Barrier for Signals<'_> {
    fn is_level(&self) -> bool {
        self.watch.is_level()
    }

    fn raise(&self) -> u64 {
        self.watch.barrier(self.line)
    }

    fn is_passed(&self, number: u64) -> bool {
        self.watch.is_passed(number)
    }
}

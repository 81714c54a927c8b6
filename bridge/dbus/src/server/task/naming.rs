//! The names of a server: requested from the bus, kept, exchanged and released.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use zbus::{Message, fdo::RequestNameReply, message::Header};

use super::Connected;
use crate::server::{ObjectHandler, Presence, Wanted};

/// Receives the wanted names, and the notification to release the previous name.
pub(in crate::server) struct Names {
    pub(in crate::server) wanted: watch::Receiver<Wanted>,
    pub(in crate::server) let_go: Arc<Notify>,
}

/// The state of requesting a name.
pub(super) enum Naming {
    /// Must not be requested before this is cancelled.
    Waiting(Option<CancellationToken>),
    /// Requested from the bus: the serial of the call and the index of the name.
    Asked(NonZeroU32, usize),
    /// To be requested again at this time.
    Retry(Instant),
    /// Owned, or none is wanted.
    Settled(Option<Arc<str>>),
}

impl<O: ObjectHandler> Connected<'_, O> {
    pub(super) fn wake(&mut self) {
        if let Naming::Retry(at) = self.naming
            && at <= Instant::now()
            && self.closing.is_none()
        {
            self.ask_for_name(0);
        }
    }

    pub(super) fn settle_name(&mut self, at: usize, message: &Message, header: &Header<'_>) {
        let (name, is_last) = {
            let wanted = self.names.wanted.borrow();
            let Some(name) = wanted.names.get(at) else {
                return;
            };
            (name.clone(), at + 1 == wanted.names.len())
        };
        let reply = message.body().deserialize::<RequestNameReply>();
        let presence = match (header.error_name(), reply) {
            (None, Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner)) => {
                self.previous_name
                    .take_if(|previous_name| *previous_name == name);
                self.naming = Naming::Settled(Some(name.clone()));
                return self.options.emit_presence(Presence::Named(name));
            }
            (None, Ok(_)) if !is_last => {
                tracing::warn!(%name, "another program owns the name: requesting the next one");
                return self.ask_for_name(at + 1);
            }
            (None, Ok(_)) => Presence::Taken(name),
            (_, _) => Presence::Denied {
                name,
                reason: message.to_string(),
            },
        };
        self.naming = Naming::Retry(Instant::now() + NAME_RETRY);
        match &self.previous_name {
            // The server keeps the previous name until it can own the new one.
            Some(previous_name) => {
                tracing::warn!(%previous_name, ?presence, "the new name is not available: keeping the previous one")
            }
            None => self.options.emit_presence(presence),
        }
    }

    /// Starts to request another name; the current one stays owned until then.
    pub(super) fn begin_to_rename(&mut self) {
        let wanted = self.names.wanted.borrow_and_update().clone();
        if let Naming::Settled(Some(owned)) = &self.naming {
            if wanted.names.contains(owned) {
                return;
            }
            let owned = owned.clone();
            self.release_previous_name();
            self.previous_name = Some(owned);
        }
        self.naming = Naming::Waiting(wanted.after);
    }

    /// Releases the previous name, once the new one is owned.
    pub(super) fn release_previous_name(&mut self) {
        if matches!(&self.naming, Naming::Settled(Some(_)))
            && let Some(previous_name) = self.previous_name.take()
        {
            self.call_bus("ReleaseName", &previous_name.as_ref());
        }
    }

    pub(super) fn ask_for_name(&mut self, at: usize) {
        let name = self.names.wanted.borrow().names.get(at).cloned();
        self.naming = match name {
            None => Naming::Settled(None),
            Some(name) => match self.call_bus("RequestName", &(name.as_ref(), DO_NOT_QUEUE)) {
                Some(serial) => Naming::Asked(serial, at),
                None => Naming::Settled(None),
            },
        };
    }
}

/// Waits until the name may be requested; never completes if it was requested.
pub(super) async fn may_be_named(naming: &Naming) {
    match naming {
        Naming::Waiting(None) => {}
        Naming::Waiting(Some(before)) => before.cancelled().await,
        _ => std::future::pending().await,
    }
}

/// `DBUS_NAME_FLAG_DO_NOT_QUEUE`: the bus refuses a name that another connection owns.
const DO_NOT_QUEUE: u32 = 4;

/// The pause before a name is requested again.
const NAME_RETRY: Duration = Duration::from_secs(2);

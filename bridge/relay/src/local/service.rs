//! A local service that a view has.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use zbus::Message;

use super::connection::Connection;
use crate::serials::Serials;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Service {
    pub(super) connection: Connection,
    /// On the own bus.
    pub(super) owner: Box<str>,
    pub(super) serials: Serials,
    /// The call that asked for the name, until it is ours.
    pub(super) question: Option<NonZeroU32>,
    pub(super) is_named: bool,
    /// Calls of the service to programs of the view.
    pub(super) calls_back: HashMap<NonZeroU32, CallBack>,
}

/// A call that waits for the reply of a program of the view.
#[derive(Debug)]
pub(super) struct CallBack {
    pub(super) caller: Arc<str>,
    pub(super) call: Message,
}

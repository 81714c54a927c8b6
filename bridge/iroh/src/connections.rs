//! The connections that are open, by the bridge at the other end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use iroh::endpoint::Connection;

use crate::identity::Id;

/// Shared by those that open, accept and look; locked for plain data alone.
pub(crate) type Connections = Arc<Mutex<HashMap<Id, Connection>>>;

/// The protocol that two engines agree on.
pub(crate) const ALPN: &[u8] = b"zocp-link/1";

//! How the octets of a link travel.

use std::time::Duration;

use futures_util::StreamExt as _;
use iroh::endpoint::{Connection, PathList};
use tracing::info;

use crate::identity::Id;

/// How the octets of a link travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From one machine to the other, through the routers.
    Direct,
    /// By a relay.
    Relay,
}

impl Way {
    /// The way that is in use, and the round trip on it.
    pub(crate) fn of(paths: &PathList<'_>) -> Option<(Self, Duration)> {
        let path = paths.iter().find(|path| path.is_selected())?;
        let way = if path.is_relay() {
            Self::Relay
        } else {
            Self::Direct
        };
        Some((way, path.rtt()))
    }
}

/// Logs each change of the way, until the connection ends.
pub(crate) async fn tell(id: Id, connection: Connection) {
    let mut told = None;
    let mut paths = std::pin::pin!(connection.paths_stream());
    while let Some(now) = paths.next().await {
        let way = Way::of(&now).map(|(way, _)| way);
        if way == told {
            continue;
        }
        match way {
            Some(Way::Direct) => info!(%id, "the link by iroh goes directly"),
            Some(Way::Relay) => info!(%id, "the link by iroh goes by a relay"),
            None => {}
        }
        told = way;
    }
}

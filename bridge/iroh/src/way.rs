//! How the octets of a link travel.

use futures_util::StreamExt as _;
use iroh::endpoint::{Connection, PathList};
use tracing::info;

use crate::identity::Id;

/// How the octets of a link travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From one machine to the other, through the routers.
    Direct,
    /// By a relay.
    Relay,
}

impl Way {
    /// The way that is in use.
    fn of(paths: &PathList<'_>) -> Option<Self> {
        let path = paths.iter().find(|path| path.is_selected())?;
        Some(if path.is_relay() {
            Self::Relay
        } else {
            Self::Direct
        })
    }
}

/// Logs each change of the way, until the connection ends.
pub(crate) async fn tell(id: Id, connection: Connection) {
    let mut told = None;
    let mut paths = std::pin::pin!(connection.paths_stream());
    while let Some(now) = paths.next().await {
        let way = Way::of(&now);
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

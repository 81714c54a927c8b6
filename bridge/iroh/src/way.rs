//! Follows how the octets of a connection travel, until it ends.

use futures_util::StreamExt as _;
use iroh::{
    TransportAddr,
    endpoint::{Connection, PathList},
};
use tracing::info;

use crate::{
    identity::Id,
    links::{Links, Way},
};

/// The way that is in use.
fn selected(paths: &PathList<'_>) -> Option<Way> {
    let path = paths.iter().find(|path| path.is_selected())?;
    Some(match path.remote_addr() {
        TransportAddr::Relay(url) => Way::Relay(url.to_string()),
        _ => Way::Direct,
    })
}

/// Tells each change of the way, and logs it, and then the end of the connection.
pub(crate) async fn follow(id: Id, connection: Connection, links: &Links) {
    {
        let mut paths = std::pin::pin!(connection.paths_stream());
        while let Some(now) = paths.next().await {
            // While a path replaces another one, none is selected, and the former is shown.
            if let Some(way) = selected(&now)
                && links.goes(id, &connection, &way)
            {
                info!(%id, "the link by iroh goes {way}");
            }
        }
    }
    let why = connection.closed().await.to_string();
    links.closed(id, &connection, &why);
}

//! What tests of a node's events share.

use std::time::Duration;

use tokio::time::timeout;
use zocp_node::{Event, Events};

/// Reads events until one is wanted.
///
/// # Panics
/// When the node ends, or none is wanted in time.
pub(crate) async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(SOON, found).await.expect("in time")
}

const SOON: Duration = Duration::from_secs(20);

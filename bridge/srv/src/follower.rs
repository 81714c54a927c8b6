//! Looks the names up when they are due, and tells the node.
//!
//! Model: one task with the state of [`Names`]; at most one lookup of each name is under way.

use std::time::Instant;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use zocp_node::{Node, NodeError};

use crate::{
    LookupError, SrvName,
    lookup::look_up,
    names::{Change, Names, News, RECORDS_MAX},
};

/// Follows the records of all names until `stop` is cancelled or the node has ended. Endpoints in `fixed` are left alone:
/// the node has them from elsewhere.
pub async fn follow(names: Vec<SrvName>, fixed: Vec<String>, node: Node, stop: CancellationToken) {
    if names.is_empty() {
        return;
    }
    let told = names.clone();
    let mut names = Names::new(now(), names, fixed);
    let mut lookups = FuturesUnordered::new();
    loop {
        for (number, name) in names.take_due(now()) {
            lookups.push(async move { (number, look_up(name.domain()).await) });
        }
        let due = names.poll_timeout();
        let timer = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        // Cancel safe: lookups go on, and the timer is set anew.
        let (number, answer) = tokio::select! {
            () = stop.cancelled() => return,
            Some(answered) = lookups.next(), if !lookups.is_empty() => answered,
            () = timer => continue,
        };
        let change = names.handle_answer(now(), number, answer);
        if let Some(name) = told.get(number) {
            report(name, &change);
        }
        if carry_out(&mut names, change, &node).await.is_err() {
            return;
        }
    }
}

/// Tells the node; an error if it has ended.
async fn carry_out(names: &mut Names, change: Change, node: &Node) -> Result<(), NodeError> {
    for endpoint in change.leave {
        info!(
            endpoint = without_key(&endpoint),
            "DNS does not name this peer any more"
        );
        node.disconnect(&endpoint).await?;
    }
    for endpoint in change.meet {
        match node.connect(&endpoint).await {
            Ok(()) => info!(endpoint = without_key(&endpoint), "DNS names this peer"),
            Err(NodeError::Closed) => return Err(NodeError::Closed),
            Err(error) => {
                let endpoint_shown = without_key(&endpoint);
                warn!(endpoint = endpoint_shown, %error, "a peer that DNS names cannot be met");
                names.refused(&endpoint);
            }
        }
    }
    Ok(())
}

fn report(name: &SrvName, change: &Change) {
    match &change.news {
        Some(News::Failed(LookupError::Missing)) => {
            warn!(%name, "DNS has no SRV records of this name; asking again with growing pauses");
        }
        Some(News::Failed(error)) => {
            warn!(%name, %error, "cannot look up this name; asking again with growing pauses");
        }
        Some(News::Found(count)) => info!(%name, count, "DNS names peers"),
        Some(News::TooMany(count)) => {
            warn!(%name, count, "DNS names more peers than are used, which are {RECORDS_MAX}");
        }
        None => debug!(%name, "looked up again"),
    }
}

fn without_key(endpoint: &str) -> &str {
    endpoint
        .split_once('|')
        .map_or(endpoint, |(place, _)| place)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

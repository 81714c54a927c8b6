//! The links of the bridge, as it tells them.

use std::collections::HashMap;

use zbus::OwnedVariant;
use zocp_interfaces::LinksProxy;

use crate::{client::Client, exit::Failure};

/// A link.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WantedView {
    /// The endpoint and the key.
    pub(crate) to: String,
    pub(crate) source: String,
    /// The UUID of the peer, where it is up.
    pub(crate) peer: Option<String>,
    pub(crate) why: Option<String>,
    /// Seconds that it has been so.
    pub(crate) since: Option<f64>,
    /// Seconds until the next attempt.
    pub(crate) next: Option<f64>,
    /// Whether the other end dials.
    pub(crate) waits: bool,
}

impl WantedView {
    fn new(told: &HashMap<String, OwnedVariant>) -> Self {
        let text = |key: &str| Some(<&str>::try_from(told.get(key)?).ok()?.to_owned());
        let number = |key: &str| f64::try_from(told.get(key)?).ok();
        Self {
            to: text("To").unwrap_or_default(),
            source: text("Source").unwrap_or_default(),
            peer: text("Peer"),
            why: text("Why"),
            since: number("Since"),
            next: number("Next"),
            waits: told
                .get("Dials")
                .is_some_and(|it| bool::try_from(it) == Ok(false)),
        }
    }

    /// Without the key.
    pub(crate) fn endpoint(&self) -> &str {
        let endpoint = self.to.split_once('|');
        endpoint.map_or(&self.to, |(endpoint, _)| endpoint)
    }
}

/// All links of the bridge, those by iroh also where the other end dials; none of a bridge that is older than this.
pub(crate) async fn wanted(client: &Client) -> Result<Vec<WantedView>, Failure> {
    let links = LinksProxy::new(&client.connection).await?;
    let told = links.list().await.unwrap_or_default();
    Ok(told.iter().map(WantedView::new).collect())
}

/// Those that were added by command, each with what there is to say of it: for completions.
pub(crate) async fn removable(client: &Client) -> Result<Vec<(String, String)>, Failure> {
    let links = wanted(client).await?.into_iter();
    let links = links.filter(|link| link.source == "hand");
    Ok(links
        .map(|link| {
            let state = if link.peer.is_some() { "up" } else { "down" };
            (link.endpoint().to_owned(), state.to_owned())
        })
        .collect())
}

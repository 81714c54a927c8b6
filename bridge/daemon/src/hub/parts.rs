//! What the bridge's own objects are made of.

use tokio_util::sync::CancellationToken;
use zocp_mapping::directory::Directory;
use zocp_node::Node;
use zocp_relay::{export::Exporter, metrics::Metrics, programs::Programs};
use zocp_state::StateDir;
use zocp_wires::Wires;

#[cfg(test)]
use crate::links::LoadedLinks;
use crate::{
    engine::Engine,
    links::Links,
    local::{self},
    trust::Trust,
    views::Views,
};
#[cfg(test)]
use tokio_util::task::TaskTracker;
#[cfg(test)]
use zocp_dbus::server::BusContext;

/// What a hub shows, and whom it asks.
#[derive(Debug)]
pub struct HubParts {
    /// The bridge's node.
    pub node: Node,
    /// The labels of peers.
    pub directory: Directory,
    /// For programs that export.
    pub exporter: Exporter,
    /// For programs that publish.
    pub programs: Programs,
    /// The counters of packets between bridges.
    pub metrics: Metrics,
    /// What is wired to what.
    pub wires: Wires,
    /// Whose keys are trusted.
    pub trust: Trust,
    /// The links to other venues.
    pub links: Links,
    /// What carries some of them.
    pub(crate) engine: Engine,
    /// The venue of the bridge.
    pub venue: Option<String>,
    /// Buses of their own.
    pub views: Views,
    /// How much they may publish.
    pub limits: local::Limits,
    /// Where lasting values are kept.
    pub state: StateDir,
    /// Then what is to be kept is written a last time.
    pub saving: CancellationToken,
}

#[cfg(test)]
impl HubParts {
    /// What most tests need: nothing is kept, limits are the customary ones.
    pub(crate) fn plain(
        node: &Node,
        directory: &Directory,
        services: &zocp_relay::services::Services,
        wires: &Wires,
        site: &BusContext,
    ) -> Self {
        let tasks = TaskTracker::new();
        let trust = Trust::start(&tasks, node.clone(), None, CancellationToken::new());
        let mut config = zocp_node::Config::default();
        let links = LoadedLinks::new(&StateDir::none(), &mut config, Vec::new(), None);
        let pair = (node.clone(), trust.clone(), Engine::none());
        Self {
            node: node.clone(),
            directory: directory.clone(),
            exporter: services.exporter(),
            programs: services.programs(),
            metrics: services.metrics(),
            wires: wires.clone(),
            links: Links::start(&tasks, pair, links, CancellationToken::new()),
            trust,
            engine: Engine::none(),
            venue: None,
            views: Views::start(
                &TaskTracker::new(),
                site,
                node.clone(),
                directory.clone(),
                services,
            ),
            limits: local::Limits::default(),
            state: StateDir::none(),
            saving: CancellationToken::new(),
        }
    }
}

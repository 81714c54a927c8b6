//! What the exporting and the importing half both need.

use tokio_util::task::TaskTracker;
use zocp_dbus::server::BusContext;

use crate::{
    descriptors::Porter, limits::Limits, metrics::Metrics, own_names::OwnNames, watch::Watch,
};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) tasks: TaskTracker,
    pub(crate) bus: BusContext,
    pub(crate) watch: Watch,
    pub(crate) own_names: OwnNames,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) porter: Porter,
}

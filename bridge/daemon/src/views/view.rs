//! One view: its bus, and what is on it.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zbus::Variant;
use zocp_dbus::{
    bus::Embedded,
    errors::Refusal,
    interface::{Interface, SlotError},
    server::{BusContext, BusScope},
};
use zocp_relay::services::{ImportView, ViewScope, ViewService};

use super::{
    Shared,
    mirrors::{Shown, ViewMirrors},
    path_of,
};

/// See the [module](self).
pub(super) struct View {
    number: u32,
    nodes: Vec<String>,
    import: ImportView,
    shown: Arc<Shown>,
    stop: CancellationToken,
    address: String,
    /// Until it is closed.
    /// Locked because a view is closed by its opener, by the end of its opener or by the end of the bridge, and the
    /// first of them takes the bus.
    bus: Mutex<Option<Embedded>>,
}

impl View {
    /// Makes the bus of a view, and has what its nodes have appear on it.
    pub(super) async fn open(
        shared: &Arc<Shared>,
        number: u32,
        scope: ViewScope,
    ) -> Result<Self, Refusal> {
        // The bus of the bridge may be one of ours, too, with the first number.
        let bus_number = NonZeroU32::MIN.saturating_add(number);
        let bus = Embedded::numbered(bus_number).map_err(|error| {
            let causes = std::error::Error::source(&error).map(ToString::to_string);
            let cause = causes.map_or_else(String::new, |cause| format!(": {cause}"));
            Refusal::Failed(format!("the bus of the view: {error}{cause}"))
        })?;
        let mut site = BusContext::new(bus.address(), BusScope::Session);
        if let Some(handle) = bus.handle() {
            site = site.within(handle);
        }
        let stop = CancellationToken::new();
        let shown = Arc::new(Shown::default());
        let nodes = scope.nodes.clone();
        let mirrors = ViewMirrors::new(shared, site.clone(), scope.clone(), shown.clone());
        let mirrors = mirrors.map_err(|error| Refusal::Failed(error.to_string()))?;
        let import = shared.imports.open(number, site, scope);
        ViewMirrors::begin(shared, number, mirrors, stop.clone()).await;
        Ok(Self {
            number,
            nodes,
            import,
            shown,
            stop,
            address: bus.address().to_owned(),
            bus: Mutex::new(Some(bus)),
        })
    }

    pub(super) fn path(&self) -> String {
        path_of(self.number)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Its object.
    pub(super) fn describe(&self, interface: Interface) -> Result<Interface, SlotError> {
        interface
            .with("Address", self.address().to_owned())?
            .with("Nodes", Variant::new(self.nodes.clone()))?
            .with("Services", Variant::new(labels(&self.import.services())))
    }

    /// Waits until what is known is on the bus, or for some time.
    pub(super) async fn settled(&self) {
        let settled = async {
            self.import.settled().await;
            self.shown.settled().await;
        };
        if timeout(SETTLED_MAX, settled).await.is_err() {
            tracing::info!(
                view = self.number,
                "not everything is on the bus of a view yet"
            );
        }
    }

    /// Gives the services, by name with the label of their node, each time they are others, until the view ends.
    pub(super) async fn follow_services(&self, mut tell: impl FnMut(BTreeMap<String, String>)) {
        let mut services = Vec::new();
        loop {
            services = tokio::select! {
                () = self.stop.cancelled() => return,
                services = self.import.other_services(&services) => services,
            };
            tell(labels(&services));
        }
    }

    /// Ends it: what is on the bus, then the bus with its socket.
    pub(super) async fn close(&self, mirrors: Option<ViewMirrors>) {
        self.stop.cancel();
        self.import.close();
        if let Some(mirrors) = mirrors {
            let gone = async {
                for mirror in mirrors.close() {
                    mirror.cancelled().await;
                }
            };
            timeout(CLOSE_MAX, gone).await.ok();
        }
        let bus = self
            .bus
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(bus);
    }
}

fn labels(services: &[ViewService]) -> BTreeMap<String, String> {
    let labels = services.iter();
    labels
        .map(|it| (it.name.clone(), it.node.clone()))
        .collect()
}

/// How long the caller of `Open` waits for services and nodes that are known, at most: a node that has just come may take
/// 2 s for its tree.
const SETTLED_MAX: Duration = Duration::from_secs(3);
/// How long the objects of nodes may take to go, at most.
const CLOSE_MAX: Duration = Duration::from_millis(500);

//! Views: buses of their own, on which services of some nodes appear.
//!
//! Model: an [`ImportView`] is what the importing half does on one such bus, until it is closed. A connection watches the
//! bus, so that who leaves it is known.
//! Not here: the bus itself, who may have one (`zocp_daemon::views`), which services appear under which names
//! (`super::state`).

use std::sync::{Arc, atomic::Ordering};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_dbus::{connection::until, server::BusContext};

use super::{
    Importer, Place, Shared,
    state::{BusId, ViewScope, ViewService},
};
use crate::{
    local::LocalServices,
    own_names::OwnNames,
    watch::{Listener, Question, Watch},
};

/// Makes views. Clones are the same.
#[derive(Debug, Clone)]
pub struct ImportViews {
    importer: Importer,
}

/// One view. It is there until [`ImportView::close`].
#[derive(Debug)]
pub struct ImportView {
    importer: Importer,
    bus: BusId,
    /// Services of our own bus, where some are let in.
    local: Option<LocalServices>,
    stop: CancellationToken,
}

impl ImportViews {
    pub(crate) fn new(importer: Importer) -> Self {
        Self { importer }
    }

    /// A number that no other view has, nor the bus that we are on, which may be a view of another bridge: no unique
    /// name of its bus is one of another bus of ours, if the bus has the number after it.
    #[must_use]
    pub fn next_number(&self) -> u32 {
        let Shared { context, views, .. } = &*self.importer.shared;
        loop {
            let number = views.fetch_add(1, Ordering::Relaxed) + 1;
            if !context.own_names.has_prefix(&format!(":{}.", number + 1)) {
                return number;
            }
        }
    }

    /// Shows services of nodes on a bus with this number.
    #[must_use]
    pub fn open(&self, number: u32, site: BusContext, scope: ViewScope) -> ImportView {
        let watch = Watch::new();
        let local = (!scope.reserved.is_empty()).then(|| {
            let context = &self.importer.shared.context;
            let place = (site.clone(), watch.clone());
            LocalServices::start(context, place, scope.reserved.clone())
        });
        let view = ImportView {
            importer: self.importer.clone(),
            bus: BusId(number),
            local: local.clone(),
            stop: CancellationToken::new(),
        };
        let listener = ViewListener {
            importer: self.importer.clone(),
            bus: view.bus,
            local,
        };
        watch.start(
            &self.importer.shared.context.tasks,
            site.address().clone(),
            OwnNames::default(),
            Arc::new(listener),
            view.stop.clone(),
        );
        watch.want();
        view.follow_starts(site.clone());
        let place = Place { site, watch };
        self.importer.lock().buses.insert(view.bus, place);
        self.importer
            .input(|state| state.handle_view(view.bus, scope, Instant::now()));
        view
    }
}

impl ImportView {
    /// Has services appear when they are called, until the view ends.
    fn follow_starts(&self, site: BusContext) {
        let (importer, bus) = (self.importer.clone(), self.bus);
        let (local, stop) = (self.local.clone(), self.stop.clone());
        self.importer.shared.context.tasks.spawn(async move {
            while let Some(name) = stop.run_until_cancelled(site.next_start()).await {
                importer.input(|state| state.handle_start(bus, &name, Instant::now()));
                if let Some(local) = &local {
                    local.called(&name);
                }
            }
        });
    }

    /// Waits until everything that is known is on the bus. Cancel safe.
    pub async fn settled(&self) {
        let changed = &self.importer.shared.views_changed;
        until(changed, || self.importer.lock().state.is_settled(self.bus)).await;
        if let Some(local) = &self.local {
            local.settled().await;
        }
    }

    /// The services that are on the bus, and those that are started when they are called.
    #[must_use]
    pub fn services(&self) -> Vec<ViewService> {
        self.importer.lock().state.services_of(self.bus)
    }

    /// Waits until there are other services than these; all of them. Cancel safe.
    pub async fn other_services(&self, than: &[ViewService]) -> Vec<ViewService> {
        let changed = &self.importer.shared.views_changed;
        until(changed, || self.services() != than).await;
        self.services()
    }

    /// Ends it: calls in flight get an error, all connections end.
    pub fn close(&self) {
        if let Some(local) = &self.local {
            local.close();
        }
        self.importer
            .input(|state| state.handle_view_gone(self.bus));
        self.importer.lock().buses.remove(&self.bus);
        self.stop.cancel();
    }
}

/// Hears which programs leave the bus of a view.
struct ViewListener {
    importer: Importer,
    bus: BusId,
    local: Option<LocalServices>,
}

impl ViewListener {
    fn program_gone(&self, program: &str) {
        self.importer.program_gone(program);
        if let Some(local) = &self.local {
            local.program_gone(program);
        }
    }
}

impl Listener for ViewListener {
    fn connected(&self) {
        self.importer.input(|state| state.handle_watched(self.bus));
    }

    /// The bus of a view is lost only when the view ends.
    fn lost(&self) {}

    fn owner_changed(&self, name: &str, _: Option<&str>, new: Option<&str>) {
        if new.is_none() && name.starts_with(':') {
            self.program_gone(name);
        }
    }

    fn answered(&self, question: Question, answer: &Message) {
        if let Question::Program(program) = question
            && matches!(answer.body().deserialize(), Ok(false))
        {
            self.program_gone(&program);
        }
    }

    fn signal(&self, _: &Message) {}

    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

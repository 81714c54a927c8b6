//! Views: message buses of their own, on which services and nodes of other machines have their original names.
//!
//! Model: [`Views`] has the open views, each of its opener. A view is a bus at a socket, the services of its nodes on it
//! (`zocp_relay`), and a mirror of each of its nodes. It ends when its opener leaves the bus of the bridge.
//! Invariants: BUSVIEW-1. What a view has begun is ended, also when its opener leaves while it opens. BUSVIEW-2. When a
//! view has ended, there is no socket, no connection and no object of it. BUSVIEW-3. No unique name is on two of the
//! bridge's buses.
//! Limits: `VIEWS_MAX` views, `CALLER_VIEWS_MAX` of them of one program; `VIEW_NODES_MAX` nodes and
//! `VIEW_ALSO_MAX` patterns of one.
//! Layout: `view` one view; `mirrors` the nodes on it; `requests` what programs ask.
//! Not here: the bus itself (`zocp_bus`), the command (`bridge/cli`).
//! Spec: docs/reference/dbus.md, "Views"

mod mirrors;
mod requests;
mod view;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures_util::future::join_all;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::Variant;
use zocp_dbus::{
    errors::Refusal,
    interface::Interface,
    server::{BusContext, ObjectTable, authority::Authority},
};
use zocp_interfaces::VIEWS_PATH;
use zocp_mapping::directory::{Directory, Relabelled};
use zocp_node::{Event, Node};
use zocp_relay::{
    programs::Programs,
    services::{ImportViews, Services, ViewScope},
};

use self::{mirrors::ViewMirrors, view::View};

/// All views. Clones are the same. See the [module](self).
#[derive(Clone)]
pub struct Views {
    shared: Arc<Shared>,
}

struct Shared {
    tasks: TaskTracker,
    /// For who reads the events.
    node: Node,
    directory: Directory,
    imports: ImportViews,
    openers: Programs,
    own_bus: BusContext,
    /// Where views are shown, and how.
    shown: OnceLock<(ObjectTable, Interface)>,
    /// Locked because calls of programs open and close views while the task that follows programs closes those of
    /// programs that left.
    open: Mutex<BTreeMap<u32, Entry>>,
    /// Locked because the task of the bridge gives events to the mirrors while views come and go. Held across awaits: a
    /// mirror that a bus holds up holds up the events behind it.
    mirrors: tokio::sync::Mutex<BTreeMap<u32, ViewMirrors>>,
    stop: CancellationToken,
}

/// A view, or the place of one that opens.
struct Entry {
    opener: Box<str>,
    view: Option<Arc<View>>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").finish_non_exhaustive()
    }
}

/// What a program asks for.
#[derive(Debug, Default)]
struct Order {
    opener: String,
    scope: ViewScope,
}

/// What it gets.
#[derive(Debug)]
struct Opened {
    address: String,
    path: String,
}

impl Views {
    /// Views of a bridge on this bus. `node` is for the task that reads the node's events.
    #[must_use]
    pub fn start(
        tasks: &TaskTracker,
        own_bus: &BusContext,
        node: Node,
        directory: Directory,
        services: &Services,
    ) -> Self {
        let views = Self {
            shared: Arc::new(Shared {
                tasks: tasks.clone(),
                node,
                directory,
                imports: services.views(),
                openers: services.openers(),
                own_bus: own_bus.clone(),
                shown: OnceLock::new(),
                open: Mutex::default(),
                mirrors: tokio::sync::Mutex::default(),
                stop: CancellationToken::new(),
            }),
        };
        let following = views.clone();
        tasks.spawn(async move {
            loop {
                let gone = tokio::select! {
                    () = following.shared.stop.cancelled() => return,
                    gone = following.shared.openers.next_gone() => gone,
                };
                following.close_of(&gone).await;
            }
        });
        views
    }

    /// Has each view be an object of this table, with this interface.
    pub(crate) fn show_on(&self, table: &ObjectTable, interface: Interface) {
        self.shared.shown.set((table.clone(), interface)).ok();
    }

    /// Follows an event of the mesh. Waits while a view does not take what a node emits.
    pub(crate) async fn handle(&self, event: &Event) {
        for mirrors in self.shared.mirrors.lock().await.values_mut() {
            mirrors.handle(event).await;
        }
    }

    /// A node has another label.
    pub(crate) async fn relabelled(&self, relabelled: &Relabelled) {
        for mirrors in self.shared.mirrors.lock().await.values_mut() {
            mirrors.relabelled(relabelled);
        }
    }

    /// Ends all views.
    pub(crate) async fn close(&self) {
        self.shared.stop.cancel();
        let all: Vec<u32> = self.open().keys().copied().collect();
        self.close_all(all).await;
    }

    /// Opens a view.
    async fn open_for(&self, order: Order) -> Result<Opened, Refusal> {
        if self.shared.own_bus.authority() == Authority::Polkit {
            let text = "there are no views on the system bus: a view belongs to the user that runs the bridge, and \
                        callers here may be others; run a bridge on the session bus";
            return Err(Refusal::NotSupported(text.to_owned()));
        }
        let number = self.reserve(&order.opener)?;
        let (views, opener) = (self.clone(), order.opener.clone());
        // Not in place: what waits here ends with the connection to the bus (BUSVIEW-1).
        let opening = self.shared.tasks.spawn(async move {
            let opened = View::open(&views.shared, number, order.scope).await;
            match opened {
                Ok(view) => views.settle(number, view).await,
                Err(error) => {
                    views.open().remove(&number);
                    Err(error)
                }
            }
        });
        self.shared.openers.follow(&opener);
        let opened = opening.await;
        opened.unwrap_or_else(|error| Err(Refusal::Failed(format!("the view: {error}"))))
    }

    /// A view is there: waits until what is known is on it.
    async fn settle(&self, number: u32, view: View) -> Result<Opened, Refusal> {
        let view = Arc::new(view);
        match self.open().get_mut(&number) {
            Some(entry) => entry.view = Some(view.clone()),
            // Its opener has left (BUSVIEW-1).
            None => {
                self.shared.tasks.spawn(self.clone().end(number, view));
                return Err(Refusal::Failed("the caller has left".to_owned()));
            }
        }
        let path = view.path();
        self.show(&view);
        let following = (self.clone(), view.clone());
        self.shared.tasks.spawn(async move {
            let (views, view) = following;
            view.follow_services(|services| views.set_services(&view, services))
                .await;
        });
        view.settled().await;
        Ok(Opened {
            address: view.address().to_owned(),
            path,
        })
    }

    /// The number of a view that is to be opened.
    fn reserve(&self, opener: &str) -> Result<u32, Refusal> {
        let mut open = self.open();
        let its = open.values().filter(|entry| *entry.opener == *opener);
        let count = its.count();
        if count >= CALLER_VIEWS_MAX {
            let text =
                format!("{opener} has {count} views, which is as many as one program may have");
            return Err(Refusal::LimitsExceeded(text));
        }
        if open.len() >= VIEWS_MAX {
            let text = format!(
                "there are {} views, which is as many as there may be",
                open.len()
            );
            return Err(Refusal::LimitsExceeded(text));
        }
        let number = self.shared.imports.next_number();
        let entry = Entry {
            opener: opener.into(),
            view: None,
        };
        open.insert(number, entry);
        Ok(number)
    }

    /// Ends a view for who opened it.
    async fn close_for(&self, opener: &str, path: &str) -> Result<(), Refusal> {
        let number = {
            let open = self.open();
            let its = |(_, entry): &(&u32, &Entry)| {
                let view = entry.view.as_ref();
                view.is_some_and(|view| view.path() == path)
            };
            let Some((number, entry)) = open.iter().find(its) else {
                return Err(Refusal::UnknownObject(path.to_owned()));
            };
            if *entry.opener != *opener {
                let text = "another program opened this view".to_owned();
                return Err(Refusal::AccessDenied(text));
            }
            *number
        };
        self.close_one(number).await;
        Ok(())
    }

    /// A program is gone, and with it its views.
    async fn close_of(&self, opener: &str) {
        self.close_all(self.numbers_of(opener)).await;
    }

    async fn close_all(&self, numbers: Vec<u32>) {
        join_all(numbers.into_iter().map(|number| self.close_one(number))).await;
    }

    fn numbers_of(&self, opener: &str) -> Vec<u32> {
        let open = self.open();
        let its = open.iter().filter(|(_, entry)| *entry.opener == *opener);
        its.map(|(number, _)| *number).collect()
    }

    async fn close_one(&self, number: u32) {
        let entry = self.open().remove(&number);
        if let Some(view) = entry.and_then(|entry| entry.view) {
            // Not in place: who asked for it may leave meanwhile.
            let ended = self.shared.tasks.spawn(self.clone().end(number, view));
            if let Err(error) = ended.await {
                tracing::error!(%error, "a view was not ended");
            }
        }
    }

    /// Takes away all that there is of a view (BUSVIEW-2).
    async fn end(self, number: u32, view: Arc<View>) {
        if let Some((table, _)) = self.shared.shown.get() {
            table.with(|objects| objects.remove_tree(&view.path()));
        }
        let mirrors = self.shared.mirrors.lock().await.remove(&number);
        view.close(mirrors).await;
    }

    fn show(&self, view: &View) {
        let Some((table, interface)) = self.shared.shown.get() else {
            return;
        };
        let shown = view
            .describe(interface.clone())
            .map(|interface| table.with(|objects| objects.insert(&view.path(), [interface])));
        match shown {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a view cannot be shown"),
            Err(error) => tracing::error!(%error, "a view cannot be described"),
        }
    }

    fn set_services(&self, view: &View, services: BTreeMap<String, String>) {
        let Some((table, interface)) = self.shared.shown.get() else {
            return;
        };
        let services = Variant::new(services);
        let set = table.with(|objects| {
            let path = view.path();
            // It may have ended.
            match objects.interface(&path, interface.name()) {
                Some(_) => objects.set(&path, interface.name(), "Services", services),
                None => Ok(false),
            }
        });
        if let Err(error) = set {
            tracing::error!(%error, "the services of a view cannot be shown");
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, Entry>> {
        let open = &self.shared.open;
        open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_of(number: u32) -> String {
    format!("{VIEWS_PATH}/{number}")
}

/// Views that there may be, each a socket, and a connection for each of its services and programs.
const VIEWS_MAX: usize = 64;
/// Views of one program.
const CALLER_VIEWS_MAX: usize = 16;
/// Nodes of one view.
const VIEW_NODES_MAX: usize = 64;
/// Patterns of local services of one view.
const VIEW_ALSO_MAX: usize = 64;

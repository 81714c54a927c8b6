//! Services of the bridge's own bus on the bus of a view, under their own names.
//!
//! Model: a [`LocalServices`] follows which of the names that a view lets in are on the own bus. Each is a connection
//! on the view's bus that owns the name; each program of the view that calls one is a connection on the own bus, so
//! that a service
//! sees its clients as it is used to. What is decided is in [`State`]; here are connections and tasks. Replies wait until
//! the signals that the service emitted before them have passed, which come on the connection that watches the own bus.
//! Invariants: LOCALSERVICE-1. A name is on the view's bus while it has an owner on the own bus, and is offered there while
//! the own bus can start it: that bus is asked to when the name is called.
//! LOCALSERVICE-2. When a program leaves the view, or the view ends, its connection on the own bus ends.
//! Limits: [`LOCAL_SERVICES_MAX`] names, [`LOCAL_CALLERS_MAX`] programs of one view; `caller_calls_max` calls of one
//! program wait for replies.
//! Descriptors pass, but for those of signals to all, which the connection that watches the own bus does not take.
//! Not here: services of other machines (`crate::import`).
//! Spec: docs/reference/dbus.md, "Views"

mod caller;
mod calls;
mod connection;
mod listener;
mod service;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zocp_dbus::{connection::until, server::BusContext};
use zocp_policy::ServicePattern;

use self::{
    connection::Connection,
    listener::OwnBus,
    state::{Action, State},
};
use crate::{context::Context, lock::lock, watch::Watch};

/// Local services of one view. Clones are the same. See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct LocalServices {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    context: Context,
    view: BusContext,
    own_watch: Watch,
    view_watch: Watch,
    /// Locked because connections on both buses give inputs, each in its own task.
    state: Mutex<State>,
    changed: Notify,
    stop: CancellationToken,
}

impl LocalServices {
    /// Lets in what the patterns match. The view's bus comes with the connection that watches it, whose listener says
    /// which programs leave ([`LocalServices::program_gone`]).
    pub(crate) fn start(
        context: &Context,
        (view, view_watch): (BusContext, Watch),
        names: Vec<ServicePattern>,
    ) -> Self {
        let max = context.limits.now().caller_calls_max;
        let connections = Connection::new(view.report().clone());
        let stop = connections.stop.clone();
        let services = Self {
            shared: Arc::new(Shared {
                context: context.clone(),
                view,
                own_watch: Watch::new(),
                view_watch,
                state: Mutex::new(State::new(
                    names,
                    context.own_names.clone(),
                    connections,
                    max,
                )),
                changed: Notify::new(),
                stop,
            }),
        };
        let Shared {
            own_watch, stop, ..
        } = &*services.shared;
        let own_bus = Arc::new(OwnBus(services.clone()));
        let address = context.bus.address().clone();
        let own_names = context.own_names.clone();
        own_watch.start(&context.tasks, address, own_names, own_bus, stop.clone());
        own_watch.want();
        services
    }

    /// A name that is offered to the view was called.
    pub(crate) fn called(&self, name: &str) {
        self.input(|state| state.handle_start(name));
    }

    /// A program has left the view.
    pub(crate) fn program_gone(&self, program: &str) {
        self.input(|state| state.handle_program_gone(program));
    }

    /// Waits until all that is on the own bus now is on the view's. Cancel safe.
    pub(crate) async fn settled(&self) {
        until(&self.shared.changed, || self.lock().is_settled()).await;
    }

    /// Ends all.
    pub(crate) fn close(&self) {
        self.shared.stop.cancel();
        self.input(State::handle_stop);
    }

    /// Gives the state an input, and does what follows.
    fn input<R>(&self, input: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let outcome = input(&mut state);
        let actions = state.take_actions();
        drop(state);
        for action in actions {
            self.carry_out(action);
        }
        self.shared.changed.notify_waiters();
        outcome
    }

    fn carry_out(&self, action: Action) {
        let Shared {
            own_watch,
            view_watch,
            view,
            ..
        } = &*self.shared;
        match action {
            Action::AskOwner(name) => own_watch.ask_owner(&name),
            Action::Offer(name) => view.offer(&name),
            Action::Withdraw(name) => view.withdraw(&name),
            Action::Start(name) => own_watch.start_service(&name),
            Action::FailStart(name, error, text) => view.fail_start(&name, &error, &text),
            // Nobody waits for the answer.
            Action::Listen(name) => own_watch.listen(&name, 0),
            Action::Ignore(name) => own_watch.ignore(&name),
            Action::Serve(name, connection) => connection::serve(self, name, connection),
            Action::Call(caller, connection) => {
                // It may have left before we could know of it.
                view_watch.ask_program(&caller);
                connection::call(self, caller, connection);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

/// Names of one view.
const LOCAL_SERVICES_MAX: usize = 256;
/// Programs of one view that call local services, each a connection on the own bus.
const LOCAL_CALLERS_MAX: usize = 256;

//! Calls and sets on a mirrored node, passed on to the node.
//!
//! Model: members are found in the view, values converted by what the node declared, and the node asked.
//! After a successful `Set` the new value is shown at once: old nodes do not confirm to who set.
//! Limits: [`ANSWER_DEADLINE`] for an answer, below the customary 25 s of D-Bus clients.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use zbus::Variant;
use zocp_interfaces::{STREAMS_INTERFACE, VALUES_INTERFACE};
use zocp_node::{CapPath, ObjectPath, Value, model};

use super::{Mirror, commands::Commands};
use crate::node_error::refusal;
use crate::streams::{Options, Wanted, released};
use crate::view::{
    inbound::{arguments, results, wanted},
    metadata::{self, CapabilityMetadata},
};
use zocp_dbus::{
    errors::Refusal,
    interface::Interface,
    server::{Answer, CallRequest, ObjectHandler, SetRequest},
};

/// Who answers for a mirrored node.
pub(super) struct NodeHandler<C> {
    pub(super) mirror: Arc<Mirror>,
    pub(super) commands: C,
    pub(super) tasks: TaskTracker,
}

impl<C: Commands> ObjectHandler for NodeHandler<C> {
    async fn call(&self, call: CallRequest) -> Answer {
        if &*call.interface == STREAMS_INTERFACE {
            return self.acquire(&call).await;
        }
        let (object, name, method) = self.method(&call)?;
        let arguments = arguments(&method, &call.arguments)?;
        let what = format!("{object}{}{name}", if object.is_root() { "" } else { "." });
        let answer = self
            .commands
            .call(self.mirror.peer, object, &name, arguments);
        let values = self.within(answer, &what).await?;
        results(&method, &values)
    }

    async fn set(&self, set: SetRequest) -> Result<(), Refusal> {
        let unknown = || Refusal::UnknownProperty {
            path: set.path.as_ref().to_owned(),
            property: set.property.as_ref().to_owned(),
        };
        let (path, known) = self.capability(&set).ok_or_else(unknown)?;
        let value = wanted(&known, &set.value)
            .map_err(|mismatch| Refusal::InvalidArgs(format!("{path}: {mismatch}")))?;
        let before = self.revision(&set);
        let done = self
            .commands
            .set(self.mirror.peer, path.clone(), value.clone());
        self.within(done, &path.to_string()).await?;
        self.show(&set, &known, before, &value);
        Ok(())
    }
}

impl<C: Commands> NodeHandler<C> {
    /// Opens a stream for a program.
    async fn acquire(&self, call: &CallRequest) -> Answer {
        let name = call.text(0)?;
        let options = Options::understand(call.arguments.get(1))?;
        let wanted = self.stream(call, name, options)?;
        let acquired = self
            .commands
            .acquire(self.mirror.peer, &self.mirror.name, wanted);
        let acquired = match timeout(ANSWER_DEADLINE, acquired).await {
            Ok(acquired) => acquired?,
            Err(_) => return Err(Refusal::Timeout(format!("{name}: no way answers in time"))),
        };
        if let Some(over) = acquired.over {
            let (table, path) = (self.mirror.table.clone(), call.path.clone());
            let name = name.to_owned();
            self.tasks.spawn(async move {
                if let Some(carried) = over.await {
                    released(&table, &path, &name, &carried);
                }
            });
        }
        Ok(vec![Variant::Fd(acquired.fd.into()), acquired.info])
    }

    fn stream(&self, call: &CallRequest, name: &str, options: Options) -> Result<Wanted, Refusal> {
        let unknown = || Refusal::InvalidArgs(format!("{} has no stream \"{name}\"", call.path));
        let (object, shared) = self.mirror.view().at(&call.path).ok_or_else(unknown)?;
        let metadata = metadata::lock(&shared);
        Wanted::of(&object, &metadata, name, options).ok_or_else(unknown)
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, zocp_node::NodeError>>,
        what: &str,
    ) -> Result<T, Refusal> {
        let node = &self.mirror.name;
        match timeout(ANSWER_DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|error| refusal(error, node, what)),
            Err(_) => Err(Refusal::Timeout(format!("{node} did not answer"))),
        }
    }

    fn capability(&self, set: &SetRequest) -> Option<(CapPath, CapabilityMetadata)> {
        let (object, shared) = self.mirror.view().at(&set.path)?;
        let metadata = metadata::lock(&shared);
        let (name, known) = metadata.capability(&set.property)?;
        let name = name.clone();
        Some((CapPath { object, name }, known.clone()))
    }

    fn method(&self, call: &CallRequest) -> Result<(ObjectPath, String, model::Method), Refusal> {
        let found = || {
            let (object, shared) = self.mirror.view().at(&call.path)?;
            let metadata = metadata::lock(&shared);
            let (name, method) = metadata.method(&call.member)?;
            Some((object, name.to_owned(), method.clone()))
        };
        found().ok_or_else(|| Refusal::UnknownMethod {
            path: call.path.as_ref().to_owned(),
            member: call.member.as_ref().to_owned(),
        })
    }

    fn revision(&self, set: &SetRequest) -> Option<u32> {
        self.mirror
            .table
            .with(|objects| objects.revision(&set.path, VALUES_INTERFACE, &set.property))
    }

    /// Shows a value that was set, unless something newer came from the node meanwhile. The change also
    /// comes as an event; one that makes the type another one comes only so.
    fn show(
        &self,
        set: &SetRequest,
        known: &CapabilityMetadata,
        before: Option<u32>,
        value: &Value,
    ) {
        let Some(shown) = known.kind.show(value).map(|shown| shown.value) else {
            return;
        };
        self.mirror.table.with(|objects| {
            let is_newest = objects.revision(&set.path, VALUES_INTERFACE, &set.property) == before;
            let is_typed = objects
                .interface(&set.path, VALUES_INTERFACE)
                .and_then(|interface: &Interface| interface.property(&set.property))
                .is_some_and(|property| property.signature == *shown.value_signature());
            if is_newest && is_typed {
                // It is there and of this type: nothing to refuse.
                objects
                    .set(&set.path, VALUES_INTERFACE, &set.property, shown)
                    .ok();
            }
        });
    }
}

/// The bridge's own deadline for an answer from a node.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

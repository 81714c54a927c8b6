//! The handlers of the interfaces that the bridge's own objects have.

use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, Interfaces, ObjectHandler, SetRequest},
};

use crate::local::Local;

/// Answers what the table cannot.
pub(super) struct HubHandler {
    pub(super) interfaces: Interfaces,
    pub(super) local: Local,
}

impl ObjectHandler for HubHandler {
    fn call(&self, call: CallRequest) -> impl Future<Output = Answer> + Send {
        self.interfaces.call(call)
    }

    /// Only values of the bridge's own tree can be written; the table refuses everything else.
    fn set(&self, set: SetRequest) -> impl Future<Output = Result<(), Refusal>> + Send {
        self.local.set(&set)
    }
}

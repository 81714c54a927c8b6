//! The method of `org.z25.Zocp1.Monitor`.

use futures_util::{FutureExt, future::BoxFuture};
use zbus::Variant;
use zocp_dbus::server::{Answer, CallRequest, InterfaceHandler, unknown_method};

use super::Monitor;

impl InterfaceHandler for Monitor {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            match &*call.member {
                "Open" => {
                    let events = self.open(call.program()?, call.arguments.first()).await?;
                    Ok(vec![Variant::Fd(events.into())])
                }
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

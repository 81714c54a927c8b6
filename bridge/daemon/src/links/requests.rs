//! What callers on the bus ask of the links: the methods of `org.z25.Zocp1.Links`.

use futures_util::{FutureExt, future::BoxFuture};
use zocp_dbus::server::{Answer, CallRequest, InterfaceHandler, unknown_method};

use super::Links;

impl InterfaceHandler for Links {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            match &*call.member {
                "Add" => self.add(call.text(0)?).await,
                "Remove" => self.remove(call.text(0)?).await,
                "List" => self.list().await,
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

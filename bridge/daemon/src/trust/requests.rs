//! What callers on the bus ask of the trust store: the methods of `org.z25.Zocp1.Trust`.

use futures_util::{FutureExt, future::BoxFuture};
use zocp_dbus::server::{Answer, CallRequest, InterfaceHandler, unknown_method};

use super::Trust;

impl InterfaceHandler for Trust {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            match &*call.member {
                "Trust" => self.trust(call.text(0)?).await,
                "Distrust" => self.distrust(call.text(0)?).await,
                "Strangers" => self.strangers().await,
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

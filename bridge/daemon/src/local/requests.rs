//! The methods of `org.z25.Zocp1.Local`, and those that programs publish on the local node.

use futures_util::{FutureExt, future::BoxFuture};
use zocp_dbus::server::{Answer, CallRequest, InterfaceHandler, unknown_method};
use zocp_interfaces::{METHODS_INTERFACE, STREAMS_INTERFACE};

use super::Local;

impl InterfaceHandler for Local {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            if &*call.interface == STREAMS_INTERFACE {
                return self.acquire(&call).await;
            }
            if &*call.interface == METHODS_INTERFACE {
                return self.call_method(call).await;
            }
            match &*call.member {
                "Publish" => self.publish(call.program()?, &call.arguments).await,
                "PublishMethod" => self.publish_method(call.program()?, &call.arguments).await,
                "PublishStream" => self.publish_stream(call.program()?, &call.arguments).await,
                "Unpublish" => self.unpublish(call.program()?, call.text(0)?).await,
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

//! The handlers of interfaces, by name: one for each fixed interface, wherever it belongs.
//!
//! Model: whoever serves a table registers a handler for each interface that its objects have; a call goes to the
//! handler of its interface.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::{Answer, CallRequest};
use crate::errors::Refusal;

/// Answers the calls of one interface, of all objects that have it.
pub trait InterfaceHandler: Send + Sync + 'static {
    /// A call of one of its methods; the arguments have the declared types. The reply may be awaited in any order.
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer>;
}

/// Handlers by interface. See the [module](self).
#[derive(Default)]
pub struct Interfaces {
    handlers: HashMap<&'static str, Arc<dyn InterfaceHandler>>,
}

impl Interfaces {
    /// Has a handler answer the calls of an interface.
    pub fn register(&mut self, interface: &'static str, handler: impl InterfaceHandler) {
        self.handlers.insert(interface, Arc::new(handler));
    }

    /// Answers a call.
    ///
    /// # Errors
    /// No handler has the interface, or the handler refuses.
    pub async fn call(&self, call: CallRequest) -> Answer {
        match self.handlers.get(&*call.interface) {
            Some(handler) => handler.call(call).await,
            None => Err(unknown_method(&call)),
        }
    }
}

/// The error for a method that the interface does not have.
#[must_use]
pub fn unknown_method(call: &CallRequest) -> Refusal {
    Refusal::UnknownMethod {
        path: call.path.to_string(),
        member: call.member.to_string(),
    }
}

impl CallRequest {
    /// The text that an argument is, counted from 0.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self, index: usize) -> Result<&str, Refusal> {
        match self.arguments.get(index) {
            Some(zbus::Variant::Str(text)) => Ok(text.as_str()),
            _ => Err(undeclared(index)),
        }
    }

    /// The octets that an argument is.
    ///
    /// # Errors
    /// It is no `ay`.
    pub fn octets(&self, index: usize) -> Result<Vec<u8>, Refusal> {
        let Some(zbus::Variant::Array(array)) = self.arguments.get(index) else {
            return Err(undeclared(index));
        };
        let octets = array.inner().iter().map(|item| match item {
            zbus::Variant::U8(octet) => Some(*octet),
            _ => None,
        });
        let octets: Option<Vec<u8>> = octets.collect();
        octets.ok_or_else(|| undeclared(index))
    }

    /// The program that calls: every caller on a bus has a name.
    ///
    /// # Errors
    /// The call came without a bus.
    pub fn program(&self) -> Result<&str, Refusal> {
        let caller = self.caller.as_deref();
        caller.ok_or_else(|| Refusal::Failed("a call without a sender".to_owned()))
    }
}

/// The error for an argument that is not of the declared type.
#[must_use]
pub fn undeclared(index: usize) -> Refusal {
    Refusal::InvalidArgs(format!(
        "argument {} is not of the declared type",
        index + 1
    ))
}

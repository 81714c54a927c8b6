//! The handlers of interfaces, by interface name.
//!
//! Model: the owner of a table registers one handler for each interface of its objects; a call is passed to the handler
//! of its interface.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::{Answer, CallRequest};
use crate::errors::Refusal;

/// Handles the calls of one interface, for all objects that have it.
pub trait InterfaceHandler: Send + Sync + 'static {
    /// Handles a call of one of its methods. The arguments have the declared types. The returned futures may be polled in
    /// any order.
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer>;
}

/// Handlers by interface.
#[derive(Default)]
pub struct Interfaces {
    handlers: HashMap<&'static str, Arc<dyn InterfaceHandler>>,
}

impl Interfaces {
    /// Registers the handler of an interface.
    pub fn register(&mut self, interface: &'static str, handler: impl InterfaceHandler) {
        self.handlers.insert(interface, Arc::new(handler));
    }

    /// Passes a call to the handler of its interface.
    ///
    /// # Errors
    /// No handler is registered for the interface, or the handler returns an error.
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
    /// The string argument at an index, counted from 0.
    ///
    /// # Errors
    /// The argument is not a string.
    pub fn text(&self, index: usize) -> Result<&str, Refusal> {
        match self.arguments.get(index) {
            Some(zbus::Variant::Str(text)) => Ok(text.as_str()),
            _ => Err(undeclared(index)),
        }
    }

    /// The argument of type `ay` at an index, counted from 0.
    ///
    /// # Errors
    /// The argument is not of type `ay`.
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

    /// The unique name of the caller.
    ///
    /// # Errors
    /// The call has no sender, because it did not arrive over a bus.
    pub fn program(&self) -> Result<&str, Refusal> {
        let caller = self.caller.as_deref();
        caller.ok_or_else(|| Refusal::Failed("a call without a sender".to_owned()))
    }
}

/// The strings of an array; `None` if the value is no array of strings.
#[must_use]
pub fn strings(value: &zbus::Variant<'_>) -> Option<Vec<String>> {
    let zbus::Variant::Array(array) = value else {
        return None;
    };
    let strings = array.inner().iter().map(|item| match item {
        zbus::Variant::Str(text) => Some(text.to_string()),
        _ => None,
    });
    strings.collect()
}

/// The error for an argument that is not of the declared type.
#[must_use]
pub fn undeclared(index: usize) -> Refusal {
    Refusal::InvalidArgs(format!(
        "argument {} is not of the declared type",
        index + 1
    ))
}

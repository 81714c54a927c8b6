//! Calls that the dispatcher passes to the handler of an object, and the token to answer them.

use std::sync::Arc;

use zbus::{Message, Variant, message::Flags};

/// The result of handling a message.
#[derive(Debug)]
#[must_use]
pub enum Dispatch {
    /// Nothing more to do: the call is answered, or the message is not a call.
    Done,
    /// A call of a method that is not of a standard interface; its arguments have the declared types.
    Call(Call),
    /// A `Set` of a writable property. Type and range of the value are not checked.
    Set(Set),
}

/// A method call for the handler of the object.
#[derive(Debug)]
pub struct Call {
    /// The token to answer the call.
    pub ticket: ReplyToken,
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The method.
    pub member: Arc<str>,
    /// The input arguments, as many as the method declares.
    pub arguments: Vec<Variant<'static>>,
    /// The polkit action for which the caller needs authorization.
    pub action: Option<Box<str>>,
}

/// A `Set` for the handler of the object.
#[derive(Debug)]
pub struct Set {
    /// The token to answer the call.
    pub ticket: ReplyToken,
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The property.
    pub property: Arc<str>,
    /// The value that the client sent, unpacked from its variant.
    pub value: Variant<'static>,
}

/// The obligation to answer one method call, with [`Objects::answer`](super::Objects::answer).
#[derive(Debug)]
#[must_use = "every method call gets an answer"]
pub struct ReplyToken {
    pub(super) call: Message,
}

impl ReplyToken {
    /// The unique name of the caller; `None` without a bus.
    #[must_use]
    pub fn caller(&self) -> Option<String> {
        self.call.header().sender().map(ToString::to_string)
    }

    /// Whether the caller allows polkit to ask a person.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        let flags = self.call.primary_header().flags();
        flags.contains(Flags::ALLOW_INTERACTIVE_AUTH)
    }
}

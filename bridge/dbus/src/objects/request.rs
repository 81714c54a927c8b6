//! What the dispatcher gives to the owner of an object, and the right to answer.

use std::sync::Arc;

use zbus::{Message, Variant, message::Flags};

/// What became of a message.
#[derive(Debug)]
#[must_use]
pub enum Dispatch {
    /// Nothing more to do: it is answered, or it was no method call.
    Done,
    /// A call of one of the object's own methods, its arguments of the declared types.
    Call(Call),
    /// A `Set` of a property that may be written. Type and range of the value are not checked.
    Set(Set),
}

/// A method call for the owner of the object.
#[derive(Debug)]
pub struct Call {
    /// To answer by.
    pub ticket: ReplyToken,
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The method.
    pub member: Arc<str>,
    /// As many as the method has inputs.
    pub arguments: Vec<Variant<'static>>,
    /// The action that it takes, which not everybody may be allowed.
    pub action: Option<Box<str>>,
}

/// A `Set` for the owner of the object.
#[derive(Debug)]
pub struct Set {
    /// To answer by.
    pub ticket: ReplyToken,
    /// The object.
    pub path: Arc<str>,
    /// The interface.
    pub interface: Arc<str>,
    /// The property.
    pub property: Arc<str>,
    /// What the client sent, out of its variant.
    pub value: Variant<'static>,
}

/// The right and the duty to answer one method call, with [`Objects::answer`](super::Objects::answer).
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

    /// Whether the caller lets its user be asked for the right to do this.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        let flags = self.call.primary_header().flags();
        flags.contains(Flags::ALLOW_INTERACTIVE_AUTH)
    }
}

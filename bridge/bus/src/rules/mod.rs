//! Match rules: what a connection wants to hear.
//!
//! Model: a [`Rule`] is what a text says; it is compared with a [`Subject`], a message with what the bus knows about
//! it. [`Index`] finds the rules that may match without looking at the others.
//! Layout: `parse` reads texts, `index` finds.
//! Spec: D-Bus specification, "Match Rules"

mod index;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use self::{index::Index, parse::RuleError};
use crate::{
    ConnectionId,
    message::{Arg, Args, Kind, Message},
};

/// A match rule. Two texts that say the same are the same rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    kind: Option<Kind>,
    sender: Option<Box<str>>,
    interface: Option<Box<str>>,
    member: Option<Box<str>>,
    path: Option<Place>,
    destination: Option<Box<str>>,
    /// By the number of the argument.
    args: Vec<(u8, ArgTest)>,
    is_eavesdropping: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Path(Box<str>),
    Namespace(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ArgTest {
    Is(Box<str>),
    Path(Box<str>),
    Namespace(Box<str>),
}

/// A message, and what the bus knows about it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    message: &'a Message<'a>,
    args: Args<'a>,
    /// `None`: the bus itself.
    pub(crate) sender: Option<ConnectionId>,
    /// The unique name of the sender, or the name of the bus.
    pub(crate) sender_name: &'a str,
    /// Who gets it because it is addressed.
    pub(crate) recipient: Option<ConnectionId>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        message: &'a Message<'a>,
        sender: Option<ConnectionId>,
        sender_name: &'a str,
        recipient: Option<ConnectionId>,
    ) -> Self {
        Self {
            message,
            args: Args::new(message),
            sender,
            sender_name,
            recipient,
        }
    }
}

/// Who owns a name.
pub(crate) trait Owners {
    /// Whether this connection owns a name, unique or well known.
    fn owns(&self, connection: ConnectionId, name: &str) -> bool;
    /// The well-known names that a connection may own.
    fn names(&self, connection: ConnectionId) -> impl Iterator<Item = &str>;
    /// How many these are.
    fn names_len(&self, connection: ConnectionId) -> usize;
}

impl Rule {
    /// Whether a connection that has this rule is to be told a message that is not addressed to it. Monitors are told
    /// what is addressed to others too.
    fn matches(&self, subject: &mut Subject<'_>, owners: &impl Owners, is_monitor: bool) -> bool {
        let message = subject.message;
        is_same(self.kind.as_ref(), Some(&message.kind()))
            && is_same(self.interface.as_deref(), message.interface())
            && is_same(self.member.as_deref(), message.member())
            && self.matches_path(message.path())
            && self.matches_sender(subject, owners)
            && self.matches_destination(subject, owners, is_monitor)
            && self.args.iter().all(|(number, test)| {
                let arg = subject.args.get((*number).into());
                arg.is_some_and(|arg| test.matches(arg))
            })
    }

    fn matches_path(&self, path: Option<&str>) -> bool {
        match (&self.path, path) {
            (None, _) => true,
            (Some(Place::Path(wanted)), Some(path)) => **wanted == *path,
            (Some(Place::Namespace(wanted)), Some(path)) => is_below(path, wanted),
            (Some(_), None) => false,
        }
    }

    fn matches_sender(&self, subject: &Subject<'_>, owners: &impl Owners) -> bool {
        match (&self.sender, subject.sender) {
            (None, _) => true,
            (Some(wanted), None) => **wanted == *subject.sender_name,
            (Some(wanted), Some(sender)) => owners.owns(sender, wanted),
        }
    }

    fn matches_destination(
        &self,
        subject: &Subject<'_>,
        owners: &impl Owners,
        is_monitor: bool,
    ) -> bool {
        match (&self.destination, subject.message.destination()) {
            // Who is not a monitor hears what is addressed to nobody.
            (None, destination) => is_monitor || destination.is_none(),
            (Some(_), None) => false,
            (Some(wanted), Some(destination)) => {
                is_monitor
                    && match subject.recipient {
                        Some(recipient) => owners.owns(recipient, wanted),
                        None => **wanted == *destination,
                    }
            }
        }
    }
}

impl ArgTest {
    fn matches(&self, arg: Arg<'_>) -> bool {
        match (self, arg) {
            (Self::Is(wanted), Arg::String(text)) => **wanted == *text,
            (Self::Path(wanted), Arg::String(text) | Arg::Path(text)) => {
                let is_part =
                    |outer: &str, inner: &str| outer.ends_with('/') && inner.starts_with(outer);
                **wanted == *text || is_part(wanted, text) || is_part(text, wanted)
            }
            (Self::Namespace(wanted), Arg::String(text)) => text
                .strip_prefix(&**wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            (_, Arg::Path(_)) => false,
        }
    }
}

fn is_same<T: PartialEq + ?Sized>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

/// Whether a path is a namespace or below it.
fn is_below(path: &str, namespace: &str) -> bool {
    namespace == "/"
        || path
            .strip_prefix(namespace)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

//! Messages that every bus accepts.
//!
//! Model: a bus closes the connection of a client that sends an invalid message. So every message for a bus is an
//! [`Outgoing`], or the [`Octets`] of one. [`Outgoing::build`] is the only way to build one from values: it accepts
//! strings only as [`Text`] and then checks the message as a bus does. An invalid message is an error for the code
//! that builds it and never reaches the connection. Messages that are forwarded with their original body become
//! [`Octets`] by [`Octets::of_checked`].
//! Invariants: MSG-1. An `Outgoing` contains no string, path, signature or name that a bus, sd-bus, GLib or libdbus
//! rejects.
//! MSG-2. The body of an `Outgoing` matches its signature, with arrays of at most 64 MiB and at most 64 nested
//!     containers.
//! MSG-3. No other code builds an `Outgoing` or sends a message: `clippy.toml` of this crate lists the functions of
//!     zbus that could.
//! Limits: those of D-Bus; a bus may have lower ones (`crate::objects`).
//! Not here: the mesh. This module knows D-Bus alone.
//! Spec: D-Bus specification, "Marshaling (Wire Format)", "Valid Names".

mod legal;
#[cfg(any(test, feature = "testing"))]
pub mod readable;
pub mod received;
mod text;

use std::{num::NonZeroU32, ops::Deref};

use bytes::Bytes;
use serde::Serialize;
use zbus::{
    Connection, DynamicType, Message, Signature, Variant,
    message::{Builder, Header},
    wire::StructureBuilder,
};

use self::legal::Legal;
pub use self::text::Text;

/// A message that every bus accepts. See the [module](self).
#[derive(Debug, Clone)]
pub struct Outgoing(Message);

impl Outgoing {
    /// Builds a message with these values in its body.
    ///
    /// # Errors
    /// A header field is invalid, or the body is: a signature of more than 255 characters, too many nested
    /// containers, more than 64 MiB in an array, or more than 128 MiB in total.
    pub fn build<B>(builder: Builder<'_>, body: &B) -> zbus::Result<Self>
    where
        B: Serialize + DynamicType,
    {
        Self::build_exact(builder, &Legal(body))
    }

    /// Builds a message with values that were received over D-Bus, without changing strings.
    ///
    /// # Errors
    /// As [`Outgoing::build`]; also if a string contains NUL, which cannot be received over D-Bus.
    pub fn build_exact<B>(builder: Builder<'_>, body: &B) -> zbus::Result<Self>
    where
        B: Serialize + DynamicType,
    {
        check_signature(&body.signature())?;
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let message = builder.build(body)?;
        check_reserved(&message)?;
        message.body().validate()?;
        Ok(Self(message))
    }

    /// A message that is not checked, for tests.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn unlawful(message: Message) -> Self {
        Self(message)
    }

    /// Its serial.
    #[must_use]
    pub fn serial(&self) -> NonZeroU32 {
        self.0.primary_header().serial_num()
    }
}

impl Deref for Outgoing {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0
    }
}

/// Sends messages in this order.
///
/// # Errors
/// The connection is lost.
pub async fn send_all(connection: &Connection, messages: Vec<Outgoing>) -> zbus::Result<()> {
    let messages: Vec<Message> = messages.into_iter().map(|message| message.0).collect();
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    connection.send_all(&messages).await
}

/// The octets of a message that every bus accepts.
#[derive(Debug, Clone)]
pub struct Octets {
    octets: Bytes,
    /// Has the descriptors that belong to it, if there are any.
    holder: Option<Message>,
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Octets {}

impl Octets {
    /// Wraps the octets of a message whose header was checked by zbus, and whose body was checked by a bus or
    /// [`zbus::message::Body::validate`]. The caller must say in a comment why that is so.
    #[must_use]
    pub fn of_checked(octets: Bytes) -> Self {
        let holder = None;
        Self { octets, holder }
    }

    /// The same with the descriptors of another message, as many as the header of this one declares.
    #[must_use]
    pub fn with_descriptors_of(mut self, other: &Message) -> Self {
        self.holder = (!other.data().fds().is_empty()).then(|| other.clone());
        self
    }

    /// The octets, as they are sent over the mesh.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.octets
    }

    /// The octets, and the message that has their descriptors.
    pub(crate) fn into_parts(self) -> (Bytes, Option<Message>) {
        (self.octets, self.holder)
    }
}

impl Deref for Octets {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.octets
    }
}

/// Without copying.
impl From<Outgoing> for Octets {
    fn from(message: Outgoing) -> Self {
        struct MessageOwner(Message);
        impl AsRef<[u8]> for MessageOwner {
            fn as_ref(&self) -> &[u8] {
                self.0.data().bytes()
            }
        }
        let holder = (!message.data().fds().is_empty()).then(|| message.0.clone());
        let octets = Bytes::from_owner(MessageOwner(message.0));
        Self { octets, holder }
    }
}

/// Builds a message with these arguments, which may be empty.
///
/// # Errors
/// As [`Outgoing::build`].
pub fn with_arguments(
    builder: Builder<'_>,
    arguments: Vec<Variant<'static>>,
) -> zbus::Result<Outgoing> {
    if arguments.is_empty() {
        return Outgoing::build(builder, &());
    }
    let body = arguments
        .into_iter()
        .fold(StructureBuilder::new(), StructureBuilder::append_field);
    Outgoing::build(builder, &body.build()?)
}

/// Rejects signatures that are too long for the header; those of many arguments add up.
fn check_signature(signature: &Signature) -> zbus::Result<()> {
    // The signature in the header omits the parentheses of the structure.
    let parentheses = match signature {
        Signature::Structure(_) => 2,
        _ => 0,
    };
    if signature.string_len() - parentheses > SIGNATURE_LEN_MAX {
        return Err(zbus::Error::ExcessData);
    }
    Ok(())
}

/// Whether a message has the path or the interface that is reserved for libraries; a bus disconnects a client that
/// sends one.
#[must_use]
pub fn is_reserved(header: &Header<'_>) -> bool {
    let path = header.path().map(|path| path.as_str());
    let interface = header.interface().map(|interface| interface.as_str());
    path == Some("/org/freedesktop/DBus/Local") || interface == Some("org.freedesktop.DBus.Local")
}

fn check_reserved(message: &Message) -> zbus::Result<()> {
    match is_reserved(&message.header()) {
        true => Err(zbus::Error::InvalidField),
        false => Ok(()),
    }
}

/// The longest signature: its length is one octet.
const SIGNATURE_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests;

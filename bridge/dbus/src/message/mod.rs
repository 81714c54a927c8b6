//! Messages that every bus takes.
//!
//! Model: a bus ends the connection of who sends a message that it cannot take. So what goes to a bus is
//! an [`Outgoing`], or the [`Octets`] of one, and [`Outgoing::build`] is the only way to make one of
//! values: it lets strings through as [`Text`] alone, and then checks the message as a bus does. What is
//! refused is an error for who makes the message; the connection never sees it. Messages that are passed
//! on with the body that they came with become [`Octets`] by [`Octets::of_checked`].
//! Invariants: MSG-1. No string, path, signature or name is in an `Outgoing` that a bus, sd-bus, GLib or
//! libdbus refuses. MSG-2. The body of an `Outgoing` is what its signature says, with arrays of at most
//! 64 MiB and no more than 64 containers in each other. MSG-3. Nothing else makes an `Outgoing` or sends a
//! message: `clippy.toml` of this crate lists what zbus has for that.
//! Limits: those of D-Bus; the bus may take less (`crate::objects`).
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

/// A message that every bus takes. See the [module](self).
#[derive(Debug, Clone)]
pub struct Outgoing(Message);

impl Outgoing {
    /// A message with these values in its body.
    ///
    /// # Errors
    /// Something in the header is not what it is to be, or the body is not one that D-Bus knows: types of
    /// more than 255 characters, too many containers in each other, more than 64 MiB in an array, more
    /// than 128 MiB in all.
    pub fn build<B>(builder: Builder<'_>, body: &B) -> zbus::Result<Self>
    where
        B: Serialize + DynamicType,
    {
        Self::build_exact(builder, &Legal(body))
    }

    /// A message with values that came over D-Bus, in which texts stay as they came.
    ///
    /// # Errors
    /// As [`Outgoing::build`]; also when a text has a NUL, which cannot come over D-Bus.
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

    /// A message that no bus may take.
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

/// The octets of a message that every bus takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Octets(Bytes);

impl Octets {
    /// The octets of a message whose header holds what zbus has checked, and whose body a bus or
    /// [`zbus::message::Body::validate`] has checked. Whoever calls this says why that is so.
    #[must_use]
    pub fn of_checked(octets: Bytes) -> Self {
        Self(octets)
    }

    /// As they are on the mesh.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Octets {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

/// Without a copy.
impl From<Outgoing> for Octets {
    fn from(message: Outgoing) -> Self {
        struct MessageOwner(Message);
        impl AsRef<[u8]> for MessageOwner {
            fn as_ref(&self) -> &[u8] {
                self.0.data().bytes()
            }
        }
        Self(Bytes::from_owner(MessageOwner(message.0)))
    }
}

/// A message with these arguments, which may be none.
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

/// Refuses types that the header has no room for: many arguments have a long signature together.
fn check_signature(signature: &Signature) -> zbus::Result<()> {
    // The header has the arguments without the parentheses of the structure that they are here.
    let parentheses = match signature {
        Signature::Structure(_) => 2,
        _ => 0,
    };
    if signature.string_len() - parentheses > SIGNATURE_LEN_MAX {
        return Err(zbus::Error::ExcessData);
    }
    Ok(())
}

/// Whether a message has the path or the interface that libraries keep for themselves: a bus hangs up on
/// whoever sends them.
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

/// What the length of a signature, an octet, can say.
const SIGNATURE_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests;

//! Changes of properties that wait for a line that does not carry them all: the newest value of each is sent.
//!
//! Model: a [`Changes`] is a `PropertiesChanged` to all that waits. One that comes later, of the same object and interface
//! and for the same subscription, is merged into it.
//! Invariants: CHANGES-1. After the merged one a receiver has what it would have after both.
//! Limits: a merged one is at most [`MERGED_LEN`] octets; else both are sent.
//! Spec: D-Bus specification, "org.freedesktop.DBus.Properties"

use std::{collections::BTreeMap, num::NonZeroU32};

use bytes::Bytes;
use zbus::{Message, OwnedVariant, message::Type};

use super::{has_descriptors, pace::Pace, read, with_body};
use zocp_dbus::message::Outgoing;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Changes {
    packet: Message,
    subscription: Option<NonZeroU32>,
    path: String,
    body: Body,
}

/// The interface, the new values, and the properties that have others which are not told.
type Body = (String, BTreeMap<String, OwnedVariant>, Vec<String>);

impl Changes {
    /// What a packet changes, if it is of this kind.
    pub(super) fn of(packet: &Bytes) -> Option<Self> {
        // D-Bus specification, "Message Format": the second octet is the type.
        if packet.get(1) != Some(&(Type::Signal as u8)) {
            return None;
        }
        let packet = read(packet, MERGED_LEN).ok()?;
        let header = packet.header();
        let is_it = header.interface().is_some_and(|it| *it == PROPERTIES)
            && header.member().is_some_and(|it| *it == "PropertiesChanged")
            && header.destination().is_none()
            && !has_descriptors(&packet);
        if !is_it {
            return None;
        }
        let (subscription, path) = (header.reply_serial(), header.path()?.to_string());
        let body = packet.body().deserialize::<Body>().ok()?;
        Some(Self {
            subscription,
            path,
            body,
            packet,
        })
    }

    /// This one and a later one as one, if they may be, and as a packet.
    pub(super) fn merged(&self, later: &Self) -> Option<(Self, Bytes)> {
        let (interface, values, untold) = &self.body;
        let (later_interface, later_values, later_untold) = &later.body;
        let is_same = self.subscription == later.subscription
            && self.path == later.path
            && interface == later_interface;
        if !is_same {
            return None;
        }
        let (mut values, mut untold) = (values.clone(), untold.clone());
        for name in later_untold {
            values.remove(name);
            if !untold.contains(name) {
                untold.push(name.clone());
            }
        }
        untold.retain(|name| !later_values.contains_key(name));
        values.extend(later_values.clone());
        let body: Body = (interface.clone(), values, untold);
        let signal = Message::signal(self.path.as_str(), PROPERTIES, "PropertiesChanged");
        let signal = Outgoing::build(signal, &body).ok()?;
        let signal = read(signal.data(), MERGED_LEN).ok()?;
        let packet = with_body(&self.packet, &signal)?;
        let octets = Bytes::copy_from_slice(packet.data());
        let merged = Self {
            packet,
            subscription: self.subscription,
            path: self.path.clone(),
            body,
        };
        (octets.len() <= MERGED_LEN).then_some((merged, octets))
    }
}

/// Less than a fragment, so that what is merged is not sent yet.
const MERGED_LEN: usize = Pace::FAR.fragment_len;
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

#[cfg(test)]
pub(super) mod tests {
    use zbus::Variant;

    use super::*;
    use crate::transport::outgoing_signal;

    /// A packet with changes of properties.
    pub(in crate::transport) fn packet(
        path: &str,
        values: &[(&str, u32)],
        untold: &[&str],
        subscription: u32,
    ) -> Bytes {
        let values: BTreeMap<&str, Variant<'_>> = values
            .iter()
            .map(|(name, value)| (*name, Variant::new(*value)))
            .collect();
        let signal = Message::signal(path, PROPERTIES, "PropertiesChanged");
        let signal = Outgoing::build(signal, &("org.a.A", values, untold)).expect("a signal");
        let signal = read(signal.data(), MERGED_LEN).expect("a signal");
        let subscription = NonZeroU32::new(subscription).expect("a number");
        outgoing_signal(&signal, subscription, None).expect("a packet")
    }

    fn changes(path: &str, values: &[(&str, u32)], untold: &[&str], subscription: u32) -> Changes {
        Changes::of(&packet(path, values, untold, subscription)).expect("changes")
    }

    #[test]
    fn the_newest_of_each_property_is_what_is_told() {
        let one = changes("/a", &[("X", 1), ("Y", 1), ("Z", 1)], &["U", "V"], 5);
        let other = changes("/a", &[("X", 2), ("U", 2)], &["Y", "V"], 5);
        let (_, merged) = one.merged(&other).expect("one");
        let merged = Changes::of(&merged).expect("changes");
        assert_eq!(merged.subscription, NonZeroU32::new(5));
        assert_eq!(merged.path, "/a");
        let (interface, values, untold) = merged.body;
        assert_eq!(interface, "org.a.A");
        let values: Vec<(&str, u32)> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.downcast_ref::<u32>().expect("u32")))
            .collect();
        assert_eq!(values, [("U", 2), ("X", 2), ("Z", 1)]);
        assert_eq!(untold, ["V", "Y"]);
    }

    #[test]
    fn only_changes_of_one_object_for_one_subscription_are_merged() {
        let one = changes("/a", &[("X", 1)], &[], 5);
        for other in [
            changes("/b", &[("X", 2)], &[], 5),
            changes("/a", &[("X", 2)], &[], 6),
        ] {
            assert!(one.merged(&other).is_none());
        }
        let signal = Message::signal("/a", "org.a.A", "PropertiesChanged");
        let signal = Outgoing::build(signal, &1u32).expect("a signal");
        assert!(Changes::of(&Bytes::copy_from_slice(signal.data())).is_none());
        for octets in [&b""[..], b"l", b"l\x04", b"l\x04\0\x01"] {
            assert!(Changes::of(&Bytes::from_static(octets)).is_none());
        }
    }
}

//! The identity of a connection.

use std::num::NonZeroU32;

/// A connection of a bus; never used again for another.
///
/// The upper half is one less than the number of the bus, the lower half counts its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

impl ConnectionId {
    /// The first connection of the bus with this number.
    pub(crate) fn first_of(bus: NonZeroU32) -> Self {
        Self(u64::from(bus.get() - 1) << COUNT_BITS)
    }

    /// The name that it has when it has said Hello.
    #[must_use]
    pub fn unique_name(self) -> String {
        let (bus, count) = (self.0 >> COUNT_BITS, self.0 & COUNT_MASK);
        format!(":{}.{count}", bus + 1)
    }

    /// The connection that has this unique name, if it may be one's.
    pub(crate) fn of_unique_name(name: &str) -> Option<Self> {
        let (bus, count) = name.strip_prefix(':')?.split_once('.')?;
        let (bus, count): (u32, u32) = (bus.parse().ok()?, count.parse().ok()?);
        Some(Self(
            (u64::from(bus.checked_sub(1)?) << COUNT_BITS) | u64::from(count),
        ))
    }
}

const COUNT_BITS: u32 = 32;
const COUNT_MASK: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_connection_of_which_bus_it_is() {
        for (bus, count, name) in [
            (1, 1, ":1.1"),
            (1, u32::MAX, ":1.4294967295"),
            (7, 3, ":7.3"),
        ] {
            let first = ConnectionId::first_of(NonZeroU32::new(bus).unwrap());
            let id = ConnectionId(first.0 + u64::from(count));
            assert_eq!(id.unique_name(), name);
            assert_eq!(ConnectionId::of_unique_name(name), Some(id));
        }
        for name in [":0.1", ":1", "1.1", ":1.x", ":1.1.1", ":-1.1"] {
            assert_eq!(ConnectionId::of_unique_name(name), None, "{name}");
        }
    }
}

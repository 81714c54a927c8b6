//! Messages of MIDI, as far as they are values.
//!
//! Model: a message is about a [`Control`] of a channel, and has a value. Everything else (clocks, system exclusive) is none.
//! Spec: MIDI 1.0 detailed specification, channel messages.

use std::fmt;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Control {
    /// 0 to 15.
    pub(crate) channel: u8,
    pub(crate) kind: Kind,
}

/// What of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A controller of 7 bits.
    Controller(u8),
    /// A controller of 14 bits: this one and the one 32 above it.
    Wide(u8),
    /// A key: its velocity, 0 when it is released.
    Note(u8),
    Program,
    Pressure,
    /// From -8192 to 8191.
    Bend,
}

impl Kind {
    /// The least and the greatest value.
    pub(crate) fn range(self) -> (i32, i32) {
        match self {
            Self::Wide(_) => (0, 16_383),
            Self::Bend => (-8192, 8191),
            _ => (0, 127),
        }
    }

    /// Whether it is something that happens, and not something that is.
    pub(crate) fn is_event(self) -> bool {
        matches!(self, Self::Note(_) | Self::Program)
    }
}

/// Understands a message.
pub(crate) fn decode(octets: &[u8]) -> Option<(Control, i32)> {
    let (status, data) = octets.split_first()?;
    if data.iter().any(|octet| *octet > 127) {
        return None;
    }
    let first = *data.first()?;
    let second = || data.get(1).copied();
    let (kind, value) = match status & 0xf0 {
        0x80 => (Kind::Note(first), second().map(|_| 0)?),
        0x90 => (Kind::Note(first), i32::from(second()?)),
        0xb0 => (Kind::Controller(first), i32::from(second()?)),
        0xc0 => (Kind::Program, i32::from(first)),
        0xd0 => (Kind::Pressure, i32::from(first)),
        0xe0 => (
            Kind::Bend,
            (i32::from(second()?) << 7 | i32::from(first)) - 8192,
        ),
        _ => return None,
    };
    let channel = status & 0x0f;
    Some((Control { channel, kind }, value))
}

/// Writes the messages of a value, which is kept in its range.
pub(crate) fn encode(control: Control, value: i32) -> Vec<Vec<u8>> {
    let (least, greatest) = control.kind.range();
    let value = value.clamp(least, greatest);
    let seven = |bits: i32| u8::try_from(bits & 0x7f).unwrap_or(0);
    let status = |kind: u8| kind | (control.channel & 0x0f);
    match control.kind {
        Kind::Controller(number) => vec![vec![status(0xb0), number, seven(value)]],
        Kind::Wide(number) => vec![
            vec![status(0xb0), number, seven(value >> 7)],
            vec![status(0xb0), number + LOW, seven(value)],
        ],
        Kind::Note(key) => vec![vec![status(0x90), key, seven(value)]],
        Kind::Program => vec![vec![status(0xc0), seven(value)]],
        Kind::Pressure => vec![vec![status(0xd0), seven(value)]],
        Kind::Bend => {
            let bits = value + 8192;
            vec![vec![status(0xe0), seven(bits), seven(bits >> 7)]]
        }
    }
}

/// The name of its capability, without that of its channel.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller(number) | Self::Wide(number) => write!(f, "cc{number}"),
            Self::Note(key) => write!(f, "note{key}"),
            Self::Program => f.write_str("program"),
            Self::Pressure => f.write_str("pressure"),
            Self::Bend => f.write_str("bend"),
        }
    }
}

/// From a controller of 14 bits to the one with its lower 7 bits.
pub(crate) const LOW: u8 = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            (0_u8..128).prop_map(Kind::Controller),
            (0_u8..128).prop_map(Kind::Note),
            Just(Kind::Program),
            Just(Kind::Pressure),
            Just(Kind::Bend),
        ]
    }

    #[test]
    fn messages_are_what_the_specification_says() {
        let of = |channel, kind| Control { channel, kind };
        assert_eq!(
            decode(&[0xb2, 7, 100]),
            Some((of(2, Kind::Controller(7)), 100))
        );
        assert_eq!(decode(&[0x90, 60, 0]), Some((of(0, Kind::Note(60)), 0)));
        assert_eq!(decode(&[0x80, 60, 64]), Some((of(0, Kind::Note(60)), 0)));
        assert_eq!(decode(&[0xe0, 0, 64]), Some((of(0, Kind::Bend), 0)));
        assert_eq!(encode(of(0, Kind::Bend), 9000), [vec![0xe0, 127, 127]]);
        assert_eq!(
            encode(of(1, Kind::Wide(1)), 8192),
            [vec![0xb1, 1, 64], vec![0xb1, 33, 0]]
        );
        for none in [&[0xf8][..], &[0xb0, 7], &[0xb0, 200, 1], &[], &[7, 7, 7]] {
            assert_eq!(decode(none), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(channel in 0_u8..16, kind in kind(), share in 0.0..=1.0) {
            let (least, greatest) = kind.range();
            let value = least + (f64::from(greatest - least) * share) as i32;
            let control = Control { channel, kind };
            prop_assert_eq!(decode(&encode(control, value)[0]), Some((control, value)));
        }

        #[test]
        fn no_octets_do_any_harm(octets in proptest::collection::vec(any::<u8>(), 0..5)) {
            let _ = decode(&octets);
        }
    }
}

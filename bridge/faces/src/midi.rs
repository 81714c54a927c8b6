//! MIDI by JACK or by ALSA's sequencer: controllers, notes and programs as capabilities, both ways.
//!
//! # Layout
//!
//! Pure: `message` (octets), `map` (which is which), `controls` (what is known and learned). With a system: `port`, of
//! `jack` or of `alsa`, and `run`.
//! Spec: MIDI 1.0, docs/reference/midi.md

#[cfg(feature = "midi")]
mod alsa;
mod controls;
#[cfg(feature = "midi")]
mod jack;
mod map;
mod message;
mod port;
mod run;

pub use port::MidiSystem;
pub use run::{MidiOptions, MidiReady, run};

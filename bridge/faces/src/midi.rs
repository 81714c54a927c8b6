//! MIDI by JACK: controllers, notes and programs as capabilities, both ways.
//!
//! # Layout
//!
//! Pure: `message` (octets), `map` (which is which), `controls` (what is known and learned). With JACK: `jack`, `run`.
//! Not here: ALSA's sequencer. Its ports are ports of JACK by `a2jmidid -e` or PipeWire.
//! Spec: MIDI 1.0, docs/reference/midi.md

mod controls;
mod jack;
mod map;
mod message;
mod run;

pub use run::{MidiOptions, MidiReady, run};

//! JSON as the mesh writes it: Python's, with bare `NaN` and `Infinity`.
//!
//! Model: values are [`serde_json::Value`]; numbers keep the digits that they came with.
//! The decoder is the model's own, because it must keep the order of the verbs,
//! accept Python's three extra numbers without touching string contents, and refuse
//! depth and size before memory is taken. It never recurses.
//! Invariants: JSON-1. What [`decode`] returns nests at most three deeper than `depth_max`, so that
//! printing, comparing and dropping it (which recurse) are harmless.
//! Not here: what a message means: [`crate::message`].

mod decode;
mod measure;
mod number;

pub(crate) use decode::{Decoded, decode, starts_with_key};
pub use decode::{Flaws, JsonError};
pub(crate) use measure::{Measure, NODE_LEN, NODE_SIZE, VALUE_SIZE, equal, measure, merge};
pub(crate) use number::{compare, raw_number};
pub use number::{float, number};

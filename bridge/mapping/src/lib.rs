//! The mapping of the mesh to D-Bus: names to labels, values to D-Bus values.
//!
//! Model: functions and tables without I/O. [`label`] converts a name to a form that is valid in bus names and paths,
//! and [`directory`] assigns each peer a unique label. [`types`] decides the D-Bus type of a member, [`convert`]
//! converts values that clients send.
//! Not here: the objects of a node (`zocp-daemon`), the encoding of messages (`zocp-dbus`).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod convert;
pub mod directory;
pub mod label;
pub mod types;

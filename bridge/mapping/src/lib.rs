//! How the mesh looks on D-Bus: names become labels, values become D-Bus values.
//!
//! Model: functions and tables without input or output. [`label`] makes a name legal in bus names and paths, and
//! [`directory`] gives each peer a label that no other has. [`types`] decides the D-Bus type of a member, [`convert`]
//! converts what has no declared type.
//! Not here: which objects a node has (`zocp-daemon`), how messages are written (`zocp-dbus`).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod convert;
pub mod directory;
pub mod label;
pub mod types;

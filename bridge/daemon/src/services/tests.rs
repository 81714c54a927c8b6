//! Two buses, two bridges, a mesh of the loopback: services as their users see them.

mod service;
mod stage;

mod calls;
mod learning;
mod memory;
mod presence;
mod reloading;

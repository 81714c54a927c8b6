//! Two buses, two bridges, a mesh of the loopback: services as their users see them.

mod service;
mod stage;

mod activation;
mod call_back;
mod calls;
mod learning;
mod limits;
mod memory;
mod origin;
mod presence;
mod reloading;
mod waiting;

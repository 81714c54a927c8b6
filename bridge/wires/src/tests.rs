//! The registry of wires on a virtual clock, and its limits.

mod limits;
mod services;
mod simulation;

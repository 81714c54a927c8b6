//! Whole bridges between buses and nodes of a test's own.

mod services;
mod wires;

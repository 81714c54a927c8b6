//! Programs on a real bus, a hub, and a peer of its node on the loopback.

mod lasting;
mod methods;
mod stage;
mod values;

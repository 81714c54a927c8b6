//! Peers that DNS names: `srv:_zocp._tcp.venue.example`.
//!
//! Model: a [`SrvName`] is what a user writes. [`follow`] looks each name up, again when its records are out of date, and
//! tells the node which endpoints to meet and which no longer. `names` decides that without sockets and clocks, `lookup`
//! asks systemd-resolved where it runs, else the name servers of /etc/resolv.conf.
//! Invariants: SRV-1. Nobody is asked but systemd-resolved and the name servers of this machine's configuration. SRV-2. A
//! lookup that fails changes nothing; only an answer takes an endpoint away. SRV-3. An endpoint that the configuration
//! names itself, or another name, is not taken away.
//! Limits: [`NAMES_MAX`] names, [`RECORDS_MAX`] records of a name, [`LOOKUP_MAX`] for an answer.
//! Not here: the addresses of the hosts that records name, which the node looks up when it dials.
//! Spec: RFC 2782; docs/reference/protocol.md §1.12.

mod follower;
mod lookup;
mod name;
mod names;
mod records;
mod resolved;

pub use self::{
    follower::follow,
    lookup::{LOOKUP_MAX, look_up},
    name::{NAMES_MAX, SrvName, SrvNameError},
    names::{INTERVAL_MAX, INTERVAL_MIN, PAUSE_MAX, RECORDS_MAX},
    records::{LookupError, Records, SrvRecord},
};

//! Long runs of several real bridges under churn, and a table of attacks on them.
//!
//! `zocp-soak soak` lets peers, services, links, bridges and clients come and go at random, and counts at quiet moments
//! whether everything is as it was. `zocp-soak attacks` attacks two bridges in every way it knows, one after the other.
//!
//! Model: a *world* of sites, each a machine with a bus and a bridge; *actors* that stir it; a *ledger* of all calls; a
//! *census* at quiet moments; *streams* of numbers between ends that nobody disturbs.
//! Not here: what single faults do, step by step (`tests/*.rs` of the workspace), and malformed input (`tests/fuzz`).

mod attacks;
mod caller;
mod census;
mod churn;
mod ledger;
mod peer;
mod report;
mod service;
mod soak;
mod standing;
mod stream;
mod world;

pub use attacks::{Options as AttackOptions, attacks};
pub use soak::{Options, soak};

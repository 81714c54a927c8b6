//! Faces: nodes of a ZOCP mesh that speak other protocols of the stage.
//!
//! Model: each face is a node of its own and runs until it is told to end ([`osc::run`], …). Its core is pure: it is
//! told what packets come and what happens on the mesh, and says what is to be sent and set; around it is a loop with
//! sockets and time.
//! Invariants of absence: no face knows the bridge or its bus; nothing of a packet is trusted before it is checked; no
//! queue is unbounded, and of what can be read the newest value is never the one that is dropped.
//!
//! # Layout
//!
//! `mesh` is the only place that knows `zocp-node`; `worker` gives it orders; `sets` is what waits for it; `counts` tells
//! what was counted; `allow` says who may send; `file` reads and writes maps. [`osc`] is OSC, [`dmx`] is sACN
//! and Art-Net, [`midi`] is MIDI by JACK.

mod allow;
mod counts;
pub mod dmx;
mod file;
mod mesh;
pub mod midi;
mod name;
pub mod osc;
mod sets;
mod worker;

pub use allow::{Allow, AllowError};
pub use file::FileError;
pub use mesh::MeshOptions;

/// Why a face could not begin or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// The mesh cannot be reached.
    #[error(transparent)]
    Mesh(#[from] zocp_node::StartError),
    /// A socket could not be opened.
    #[error("{what} {address}: {error}")]
    Socket {
        /// What it is for.
        what: &'static str,
        /// Where.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// What it speaks with cannot be used, or has gone.
    #[error("{0}")]
    Device(String),
    /// The node of the face has ended by itself.
    #[error("the node of the face has ended")]
    Ended,
}

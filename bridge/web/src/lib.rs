//! A page to see and patch a mesh, served over HTTP by a client of the bridge.
//!
//! Model: a [`Server`] listens, shows the [`Followed`] model to each *tab*, a browser's WebSocket, and does for it what
//! its role allows. Scenes and the doctor are those of the command line: [`Tools`] runs the same program.
//! Invariants: WEB-1. who has no session is served the empty page and nothing of the mesh. WEB-2. a request whose `Host` is
//! not on the list is refused before anything else, and a WebSocket or a login from another origin too. WEB-3. nothing of
//! a tab makes the bridge or another tab wait.
//! Limits: in `limits`.
//!
//! # Layout
//!
//! - `access`: hosts, origins, roles, secrets, sessions; pure. `guess`: the throttle of the login
//! - `listen` and `tls`: connections; `server`: routes; `app`: what they share; `tab`: one WebSocket; `message`: what is told on it
//! - `assets`: the page itself, part of the program

mod access;
mod app;
mod assets;
mod guess;
mod limits;
mod listen;
mod message;
mod server;
mod tab;
mod tls;
mod tools;

pub use access::{Role, Secret, SecretError, secrets};
pub use server::{Options, Server, StartError};
pub use tools::Tools;
pub use zocp_client::{Actions, Followed, follow};

//! Parts that only the bridge needs: no other program should depend on them, and they may change at any time.
//!
//! Model: the bridge observes all messages ([`TraceHook`]), keeps the order of operations of several tasks ([`Permit`]),
//! and declares counters of its own (the macro `kinds`). Fuzzing tries what linked peers tell ([`PassedNodes`]). Hidden operations of [`Node`](crate::Node) belong to
//! them: `set_through`, `receive`, `emit_from`, `subscribe_with`, `mark`, `reserve` and `try_reserve`.

pub use zocp_zre::Header;

pub use crate::channel::Request as WireRequest;
pub use crate::kinds;
pub use crate::passing::{PassedNodes, PassedStep, passed_whisper};
pub use crate::permit::{PendingOperation, Permit, Setting};
pub use crate::tickets::Tickets;
pub use crate::trace::{Direction, TraceEvent, TraceHook, TraceSink, TracedMessage};

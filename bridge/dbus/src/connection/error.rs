//! Why there is no connection to a bus.

use std::io;

/// Why there is no connection to a bus.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none: the configuration's fault.
    #[error("the address of the bus: {0}")]
    Address(zbus::Error),
    /// Nobody is there, or it hung up.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// What is there does not want us, or is no bus.
    #[error("the bus refuses us: {0}")]
    Refused(String),
    /// What is there says nothing.
    #[error("the bus does not answer")]
    Silent,
}

//! The errors of connecting to a bus.

use std::io;

/// Why a connection to a bus could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is malformed: the configuration must be corrected.
    #[error("the address of the bus is invalid: {0}")]
    Address(zbus::Error),
    /// No process listens at the address, or it closed the connection.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The bus rejected the authentication or `Hello`, or the process at the address is not a bus.
    #[error("the bus rejected the connection: {0}")]
    Refused(String),
    /// The process at the address did not complete the handshake in time.
    #[error("the bus did not answer in time")]
    Silent,
}

//! The choice of the bus, and its address.
//!
//! Model: a [`BusChoice`] is the setting of the user; [`Bus::open`] turns it into a [`Bus`]: an address that does not
//! change while the bridge runs and, for `embedded`, the bus itself. Other modules make the connections, one for each
//! remote peer or service, all to this address.
//! Invariants: DBUSBUS-1. An opened bus has answered one `Hello`. DBUSBUS-2. An embedded bus ends with its [`Bus`].
//! Not here: reconnecting and bus names (`crate::server`).
//! Spec: docs/reference/dbus.md, "Connections and names".

mod descriptors;
mod embedded;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use zbus::Address;

use crate::{connection, report::Report};

pub use crate::connection::Ready;
pub use descriptors::raise_descriptor_limit;
pub use embedded::Embedded;

/// A bus that has answered.
#[derive(Debug)]
pub struct Bus {
    address: String,
    kind: BusKind,
    /// Dropped with this value; all connections should be closed before.
    _embedded: Option<Embedded>,
}

impl Bus {
    /// Connects to the chosen bus once, or starts it.
    ///
    /// # Errors
    /// No bus could be reached; [`BusError`] names the addresses that were tried.
    pub async fn open(choice: &BusChoice) -> Result<Self, BusError> {
        match choice {
            BusChoice::Session => Self::reach(BusKind::Session, &session_addresses()).await,
            BusChoice::System => Self::reach(BusKind::System, &[system_address()?]).await,
            BusChoice::Address(address) => {
                // The address of the system bus is the system bus, also if it is configured as an address.
                let is_system = system_address().is_ok_and(|system| system == *address);
                let kind = match is_system {
                    true => BusKind::System,
                    false => BusKind::Address,
                };
                Self::reach(kind, std::slice::from_ref(address)).await
            }
            BusChoice::Embedded => Self::embed().await,
            BusChoice::Auto => match Self::reach(BusKind::Session, &session_addresses()).await {
                Ok(bus) => Ok(bus),
                Err(error) => {
                    tracing::debug!(%error, "no session bus: starting an embedded one");
                    Self::embed().await
                }
            },
        }
    }

    /// The address to which all connections are made.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The kind of the bus.
    #[must_use]
    pub fn kind(&self) -> BusKind {
        self.kind
    }

    async fn reach(kind: BusKind, addresses: &[String]) -> Result<Self, BusError> {
        let mut failure = None;
        for address in addresses {
            match say_hello(address).await {
                Ok(()) => {
                    return Ok(Self {
                        address: address.clone(),
                        kind,
                        _embedded: None,
                    });
                }
                Err(reason) => failure = Some((address.clone(), reason)),
            }
        }
        let (address, reason) = failure.unwrap_or_default();
        Err(BusError::Unreachable {
            kind,
            address,
            reason,
        })
    }

    async fn embed() -> Result<Self, BusError> {
        let embedded = Embedded::start()?;
        let address = embedded.address().to_owned();
        say_hello(&address)
            .await
            .map_err(|reason| BusError::Embedded(format!("it does not answer: {reason}")))?;
        Ok(Self {
            address,
            kind: BusKind::Embedded,
            _embedded: Some(embedded),
        })
    }
}

/// The setting of the user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BusChoice {
    /// The session bus if it can be reached, else an embedded one.
    #[default]
    Auto,
    /// The session bus.
    Session,
    /// The system bus.
    System,
    /// The bus at this D-Bus address.
    Address(String),
    /// A bus within the bridge.
    Embedded,
}

impl FromStr for BusChoice {
    type Err = BusChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "session" => Ok(Self::Session),
            "system" => Ok(Self::System),
            "embedded" => Ok(Self::Embedded),
            address => match Address::from_str(address) {
                Ok(_) => Ok(Self::Address(address.to_owned())),
                Err(_) => Err(BusChoiceError {
                    text: address.to_owned(),
                }),
            },
        }
    }
}

/// The setting is neither one of the words nor an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no bus: say session, system, embedded or a D-Bus address such as unix:path=/run/user/1000/bus"
)]
pub struct BusChoiceError {
    text: String,
}

/// The kind of a bus that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BusKind {
    /// The user's session bus.
    #[default]
    Session,
    /// The machine's system bus.
    System,
    /// A bus named by its address.
    Address,
    /// The embedded bus.
    Embedded,
}

impl fmt::Display for BusKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session bus",
            Self::System => "system bus",
            Self::Address => "bus",
            Self::Embedded => "embedded bus",
        })
    }
}

/// Why no bus could be opened.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No bus answers at the address. The user must choose another bus or start this one.
    #[error("no {kind} at {address}: {reason}")]
    Unreachable {
        /// The kind of the bus.
        kind: BusKind,
        /// The address; of several, the last one.
        address: String,
        /// The error.
        reason: String,
    },
    /// The embedded bus did not start: a problem of the environment, or a bug.
    #[error("cannot start an embedded bus: {0}")]
    Embedded(String),
    /// The directory for the socket of an embedded bus could not be made.
    #[error("cannot make {path} for the socket of an embedded bus")]
    Place {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
}

/// The possible addresses of the session bus, as libdbus searches for it.
#[must_use]
pub fn session_addresses() -> Vec<String> {
    match std::env::var("DBUS_SESSION_BUS_ADDRESS") {
        // The specification allows a list; zbus accepts one address.
        Ok(list) if !list.is_empty() => list.split(';').map(str::to_owned).collect(),
        _ => Address::session()
            .map(|address| address.to_string())
            .into_iter()
            .collect(),
    }
}

/// The address of the system bus.
///
/// # Errors
/// The environment variable does not contain a valid address.
pub fn system_address() -> Result<String, BusError> {
    Address::system()
        .map(|address| address.to_string())
        .map_err(|error| BusError::Unreachable {
            kind: BusKind::System,
            address: String::from("$DBUS_SYSTEM_BUS_ADDRESS"),
            reason: error.to_string(),
        })
}

/// Connects to the bus at an address and returns a socket for zbus. No received message ends the connection.
///
/// # Errors
/// No bus listens at the address, or it rejects the connection.
pub async fn connect(address: &str) -> zbus::Result<Ready> {
    connection::ready(address, connection::Descriptors::Keep, Report::default()).await
}

/// Connects once and disconnects.
async fn say_hello(address: &str) -> Result<(), String> {
    let connect = async { connect(address).await?.connection().await?.close().await };
    match tokio::time::timeout(HELLO_MAX, connect).await {
        Ok(Ok(())) => Ok(()),
        // The address is part of the message already.
        Ok(Err(zbus::Error::Connection(error, _))) => Err(error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", HELLO_MAX.as_secs())),
    }
}

/// How long a bus may take for its first reply.
const HELLO_MAX: Duration = Duration::from_secs(5);

//! Which bus the bridge lives on, and how it is reached.
//!
//! Model: a [`BusChoice`] is what the user says; [`Bus::open`] makes a [`Bus`] of it: an address that
//! stays the same for as long as the bridge runs, and for `embedded` the bus itself. Connections are
//! made elsewhere, one for each remote thing, all to this address.
//! Invariants: DBUSBUS-1. an opened bus has answered one `Hello`. DBUSBUS-2. an embedded bus ends with its
//! [`Bus`].
//! Not here: reconnecting (each connection's owner does it), bus names (`served`).
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

/// A bus that answers.
#[derive(Debug)]
pub struct Bus {
    address: String,
    kind: BusKind,
    /// Ends with this. Every connection should be closed before.
    _embedded: Option<Embedded>,
}

impl Bus {
    /// Reaches the bus that was chosen, or starts it.
    ///
    /// # Errors
    /// When there is none; [`BusError`] says what was tried.
    pub async fn open(choice: &BusChoice) -> Result<Self, BusError> {
        match choice {
            BusChoice::Session => Self::reach(BusKind::Session, &session_addresses()).await,
            BusChoice::System => Self::reach(BusKind::System, &[system_address()?]).await,
            BusChoice::Address(address) => {
                // Under whichever name, it is the machine's and not one user's.
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

    /// The address that every connection of the bridge goes to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What kind of bus it is.
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

/// What the user says about the bus.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BusChoice {
    /// The session bus if one is to be reached, else an embedded one.
    #[default]
    Auto,
    /// The session bus.
    Session,
    /// The system bus.
    System,
    /// The bus at this D-Bus address.
    Address(String),
    /// A bus of the bridge's own.
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

/// What was said about the bus is neither one of the words nor an address.
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
    /// The bridge's own.
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

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody answers there. The environment's fault; choose another bus or start this one.
    #[error("no {kind} at {address}: {reason}")]
    Unreachable {
        /// What was looked for.
        kind: BusKind,
        /// Where, the last place of several.
        address: String,
        /// What happened.
        reason: String,
    },
    /// An embedded bus could not be started. The environment's fault, or ours.
    #[error("cannot start an embedded bus: {0}")]
    Embedded(String),
    /// There is no place for the socket of an embedded bus.
    #[error("cannot make {path} for the socket of an embedded bus")]
    Place {
        /// The place that was tried.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// The places where the session bus may be, as libdbus looks for it.
#[must_use]
pub fn session_addresses() -> Vec<String> {
    match std::env::var("DBUS_SESSION_BUS_ADDRESS") {
        // A list by the specification; zbus takes one.
        Ok(list) if !list.is_empty() => list.split(';').map(str::to_owned).collect(),
        _ => Address::session()
            .map(|address| address.to_string())
            .into_iter()
            .collect(),
    }
}

/// Where the system bus is.
///
/// # Errors
/// When the environment names a place that is no address.
pub fn system_address() -> Result<String, BusError> {
    Address::system()
        .map(|address| address.to_string())
        .map_err(|error| BusError::Unreachable {
            kind: BusKind::System,
            address: String::from("$DBUS_SYSTEM_BUS_ADDRESS"),
            reason: error.to_string(),
        })
}

/// Connects to the bus at an address, for zbus to go on with. No message that comes ends the connection.
///
/// # Errors
/// Nobody is there, or it is no bus that wants us.
pub async fn connect(address: &str) -> zbus::Result<Ready> {
    connection::ready(address, connection::Descriptors::Keep, Report::default()).await
}

/// Connects once and leaves again.
async fn say_hello(address: &str) -> Result<(), String> {
    let connect = async { connect(address).await?.connection().await?.close().await };
    match tokio::time::timeout(HELLO_MAX, connect).await {
        Ok(Ok(())) => Ok(()),
        // The address is told beside the reason.
        Ok(Err(zbus::Error::Connection(error, _))) => Err(error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", HELLO_MAX.as_secs())),
    }
}

/// How long a bus may take for its first answer.
const HELLO_MAX: Duration = Duration::from_secs(5);

//! Checks of single values, and the host's name as the default of the bridge's.

use std::{net::SocketAddr, time::Duration};

use zocp_node::PublicKey;

use super::{ConfigError, invalid};

/// Names of nodes and groups travel with one octet for their length.
pub(super) fn checked_name(key: &'static str, name: String) -> Result<String, ConfigError> {
    match name.len() {
        0 => Err(invalid(key, &"must not be empty")),
        // zyre would cut the name there, and then differ from the rest.
        _ if name.contains('\0') => Err(invalid(key, &"must not have U+0000 in it")),
        1..=NAME_LEN_MAX => Ok(name),
        length => Err(invalid(
            key,
            &format!("{length} octets are more than {NAME_LEN_MAX}"),
        )),
    }
}

pub(super) fn checked_endpoint(
    name: &'static str,
    endpoint: String,
) -> Result<String, ConfigError> {
    // On a secure mesh, the key.
    let (place, key) = match endpoint.split_once('|') {
        Some((place, key)) => (place, Some(key)),
        None => (endpoint.as_str(), None),
    };
    if let Some(Err(error)) = key.map(str::parse::<PublicKey>) {
        return Err(invalid(name, &format!("\"{endpoint}\": {error}")));
    }
    let place = place
        .strip_prefix("tcp://")
        .and_then(|rest| rest.rsplit_once(':'));
    match place {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0) => {
            Ok(endpoint)
        }
        _ => Err(invalid(
            name,
            &format!("\"{endpoint}\" is not tcp://HOST:PORT"),
        )),
    }
}

/// Counters are for this machine: a port that others reach would tell them who is on the mesh.
pub(super) fn loopback(address: String) -> Result<SocketAddr, ConfigError> {
    match address.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() != 0 => Ok(address),
        _ => Err(invalid(
            "statistics.prometheus",
            &format!("\"{address}\" is not 127.0.0.1:PORT or [::1]:PORT"),
        )),
    }
}

pub(super) fn checked_seconds(key: &'static str, seconds: f64) -> Result<Duration, ConfigError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= SILENCE_MAX => Ok(duration),
        _ => {
            let most = SILENCE_MAX.as_secs();
            Err(invalid(
                key,
                &format!("{seconds} is not a number of seconds from 0 to {most}"),
            ))
        }
    }
}

/// The host's name, as far as it fits a node's.
pub(super) fn host_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if host.is_empty() || host.len() > NAME_LEN_MAX {
        String::from("zocp")
    } else {
        host
    }
}

/// 36/ZRE: `string` is at most 255 octets.
const NAME_LEN_MAX: usize = 255;

/// A day; more is a mistake.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

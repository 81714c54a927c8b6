//! The key of the bridge and the keys that it trusts, from files and texts.

use std::path::Path;

use zocp_node::{FirstUse, KeyError, Security};

use super::{ConfigError, invalid, key};

/// What makes the mesh a secure one: the file with the own key, the trusted keys, and whether a key is trusted from its
/// first use on. None without a key.
///
/// # Errors
/// When the file has no key, a trusted key is none, or keys are trusted without an own one.
pub fn security(
    key: Option<&Path>,
    trusted: Option<Vec<String>>,
    first_use: Option<bool>,
) -> Result<Option<Security>, ConfigError> {
    if key.is_none() && trusted.is_none() && first_use == Some(true) {
        return Err(invalid("mesh.first_use", &NO_KEY));
    }
    let made = keys_of(("mesh.key", key), ("mesh.trusted", trusted))?;
    Ok(made.map(|security| {
        security.with_first_use(if first_use.unwrap_or_default() {
            FirstUse::Trust
        } else {
            FirstUse::Refuse
        })
    }))
}

/// The own key, and the keys that are trusted; each with the name that it has in the file.
pub(super) fn keys_of(
    (key_name, key): (&'static str, Option<&Path>),
    (trusted_name, trusted): (&'static str, Option<Vec<String>>),
) -> Result<Option<Security>, ConfigError> {
    let Some(path) = key else {
        return match trusted {
            Some(_) => Err(invalid(trusted_name, &NO_KEY)),
            None => Ok(None),
        };
    };
    let keys = key::read(path)
        .map_err(|error| invalid(key_name, &format!("{}: {error}", path.display())))?;
    let trusted = trusted.unwrap_or_default().into_iter().map(|text| {
        let parsed = text.parse();
        parsed.map_err(|error: KeyError| invalid(trusted_name, &format!("\"{text}\": {error}")))
    });
    let trusted = trusted.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Security::new(keys).with_trusted(trusted)))
}

pub(super) const NO_KEY: &str = "there is no `key` of our own";

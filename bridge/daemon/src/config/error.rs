//! What is wrong with what the bridge was told.

use std::path::PathBuf;

use super::hint;

/// What is wrong with what the bridge was told. The user's fault; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration. The text names line, column and what was expected.
    #[error("{}: {}{}", file.display(), error.to_string().trim_end(), hint::of(error))]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Where, and what is wrong.
        error: Box<toml::de::Error>,
    },
    /// A value of the file that cannot be meant.
    #[error("{}:{line}: {key}: {reason}", file.display())]
    InFile {
        /// Which file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that cannot be meant.
    #[error("{key}: {reason}")]
    Invalid {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

pub(super) fn invalid(key: &'static str, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Invalid {
        key,
        reason: reason.to_string(),
    }
}

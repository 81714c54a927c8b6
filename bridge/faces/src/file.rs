//! Files in TOML: the maps and patches that a user writes, and the maps that a face has learned.
//!
//! Model: [`read`] reads a file up to a bound, also one whose length the system does not know, such as a pipe. A learned
//! map is written beside its place and renamed, so that it is always whole.
//! Limits: [`FILE_LEN_MAX`] octets of a file.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use zocp_mapping::label::label;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system cannot read it.
    #[error("{0}: {1}")]
    Read(String, io::Error),
    /// It has more than it may.
    #[error("{file}: more than {max} {what}")]
    TooLong {
        /// The file.
        file: String,
        /// How many there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// It is no TOML, or not of the form that is wanted.
    #[error("{0}: {1}")]
    Toml(String, Box<toml::de::Error>),
    /// A part of it is not possible; the text says which and why.
    #[error("{0}: {1}")]
    Invalid(String, String),
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<String, FileError> {
    let name = || file.display().to_string();
    let failed = |error| FileError::Read(name(), error);
    let mut text = String::new();
    let bounded = File::open(file)
        .map_err(failed)?
        .take(FILE_LEN_MAX as u64 + 1);
    io::BufReader::new(bounded)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() > FILE_LEN_MAX {
        return Err(FileError::TooLong {
            file: name(),
            max: FILE_LEN_MAX,
            what: "octets",
        });
    }
    Ok(text)
}

/// Parses the text of a file of this name.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| FileError::Toml(file.to_owned(), Box::new(error)))
}

/// The file with what a face of this kind and name has learned; none without a directory.
pub(crate) fn learned_path(folder: Option<&Path>, kind: &str, name: &str) -> Option<PathBuf> {
    Some(folder?.join(format!("{kind}-{}.toml", label(name))))
}

/// What a face learned in an earlier run. A file that cannot be used is logged, and the face starts anew.
pub(crate) fn learned<T: Default>(
    file: Option<&Path>,
    read: impl FnOnce(&Path) -> Result<T, FileError>,
) -> T {
    let Some(file) = file.filter(|file| file.exists()) else {
        return T::default();
    };
    read(file).unwrap_or_else(|error| {
        tracing::warn!(%error, "the learned map cannot be read: learning starts anew");
        T::default()
    })
}

/// Writes a learned map in the place of its file. A failure is logged.
pub(crate) fn save(file: &Path, text: &str) {
    if let Err(error) = replace(file, text) {
        tracing::warn!(file = %file.display(), %error, "the learned map cannot be saved");
    }
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("toml.new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

const FILE_LEN_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_read_up_to_the_bound() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert!(
            matches!(
                error,
                FileError::TooLong {
                    max: FILE_LEN_MAX,
                    ..
                }
            ),
            "{error}"
        );
    }
}

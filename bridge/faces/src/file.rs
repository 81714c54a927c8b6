//! Files in TOML: the maps and patches that a user writes, and the maps that a face has learned.
//!
//! Model: [`read`] reads a file up to a bound, also one whose length the system does not know, such as a pipe. A learned
//! map is written and synced beside its place and renamed, so that it is always whole. One that cannot be used is renamed
//! as well, so that nothing that its user may have edited is overwritten.
//! Limits: [`FILE_LEN_MAX`] octets of a file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
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

/// What a face learned in an earlier run. A file that cannot be used is put aside and logged, and the face starts anew.
pub(crate) fn learned<T: Default>(
    file: Option<&Path>,
    read: impl FnOnce(&Path) -> Result<T, FileError>,
) -> T {
    let Some(file) = file.filter(|file| file.exists()) else {
        return T::default();
    };
    read(file).unwrap_or_else(|error| {
        let aside = file.with_extension("toml.malformed");
        match fs::rename(file, &aside) {
            Ok(()) => {
                let aside = aside.display();
                tracing::warn!(%error, %aside, "the learned map was put aside: learning starts anew");
            }
            Err(renaming) => {
                tracing::warn!(%error, %renaming, "the learned map cannot be used or put aside");
            }
        }
        T::default()
    })
}

/// Writes a learned map in the place of its file, on a thread that may block. A failure is logged.
pub(crate) async fn save(file: PathBuf, text: String) {
    let saving = tokio::task::spawn_blocking(move || {
        if let Err(error) = replace(&file, &text) {
            tracing::warn!(file = %file.display(), %error, "the learned map cannot be saved");
        }
    });
    // It ends in no other way than by its end.
    saving.await.ok();
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Two faces of one name on one machine write their own.
    let new = file.with_extension(format!("toml.new-{}", std::process::id()));
    let mut beside = File::create(&new)?;
    beside.write_all(text.as_bytes())?;
    beside.sync_all()?;
    fs::rename(new, file)
}

const FILE_LEN_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_map_that_cannot_be_used_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("osc-desk.toml");
        replace(&file, "learn = ").unwrap();
        let parsed = |file: &Path| parse::<String>("f", &read(file)?);
        assert_eq!(learned(Some(&file), parsed), String::new());
        assert!(!file.exists());
        let aside = fs::read_to_string(folder.path().join("osc-desk.toml.malformed"));
        assert_eq!(aside.unwrap(), "learn = ");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

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

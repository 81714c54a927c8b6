//! The file with a bridge's key, and what makes its mesh a secure one.
//!
//! Model: the file is TOML, `public` and `secret`, each a key in KEY-1. It is made once, whole, by
//! [`make`], and read by [`read`].
//! Invariants: the file is for its owner alone: it is made with mode 0600, never written over, and not read
//! if others may read or write it. What is read of it is zeroed when it is dropped.
//! Limits: `LEN_MAX` octets.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use zeroize::Zeroizing;
use zocp_node::{KeyPair, PublicKey};

/// Why there is no key. The user's fault, or the system's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The system does not let us, or there is such a file already.
    #[error("{0}")]
    System(#[from] io::Error),
    /// There is no such file.
    #[error("there is no such file; make a key with `zocp key new {}`", path.display())]
    Missing {
        /// Where it was to be.
        path: PathBuf,
    },
    /// Somebody else may read or write the file.
    #[error(
        "others may read or change it (its mode is {mode:o}): chmod 600, and make a new key if they did"
    )]
    Open {
        /// The permissions of the file.
        mode: u32,
    },
    /// The file is no key file. Nothing of what is in it is told.
    #[error("it is no key file: {0}")]
    Malformed(&'static str),
}

/// What is in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    public: String,
    secret: String,
}

/// Reads a key pair.
///
/// # Errors
/// When the file cannot be read, is not for its owner alone, or is no key file.
pub fn read(path: &Path) -> Result<KeyPair, KeyFileError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing {
            path: path.to_owned(),
        },
        _ => error.into(),
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(KeyFileError::Malformed("not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(KeyFileError::Open { mode });
    }
    // As much at once: a string that grew would leave copies of its beginning.
    let mut text = Zeroizing::new(String::with_capacity(LEN_MAX));
    file.take(LEN_MAX as u64).read_to_string(&mut text)?;
    let key: KeyFile = toml::from_str(&text).map_err(|_| {
        KeyFileError::Malformed(
            "it has to have `public` and `secret`, each as text, and nothing else",
        )
    })?;
    let secret = Zeroizing::new(key.secret);
    let pair = KeyPair::from_secret_text(&secret)
        .map_err(|_| KeyFileError::Malformed("`secret` is no key"))?;
    if key.public.parse() != Ok(pair.public()) {
        return Err(KeyFileError::Malformed(
            "`public` does not belong to `secret`",
        ));
    }
    Ok(pair)
}

/// Draws a key pair and writes it to a file that is not there yet. A directory that is missing is made, for its owner
/// alone.
///
/// # Errors
/// When the file is there, or cannot be written; or when the system has no randomness.
pub fn make(path: &Path) -> Result<PublicKey, KeyFileError> {
    let pair =
        KeyPair::draw(getrandom::fill).map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let secret = pair.secret_text();
    let text = Zeroizing::new(format!(
        "# The key of this machine on the mesh. Who has `secret` is this machine.\n\
         public = \"{}\"\nsecret = \"{}\"\n",
        pair.public(),
        *secret
    ));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(pair.public())
}

/// Far above what a key file has.
const LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_again_and_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/inner/key");
        assert!(matches!(read(&path), Err(KeyFileError::Missing { .. })));
        let public = make(&path).unwrap();
        let inner = path.parent().unwrap().metadata().unwrap();
        assert_eq!(inner.mode() & 0o777, 0o700);
        assert_eq!(read(&path).unwrap().public(), public);
        let mode = path.metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = make(&path).unwrap_err();
        assert!(
            matches!(again, KeyFileError::System(error) if error.kind() == io::ErrorKind::AlreadyExists)
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        make(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o777] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let open = read(&path).unwrap_err();
            assert!(matches!(open, KeyFileError::Open { mode: found } if found == mode));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        make(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let pair = read(&path).unwrap();
        let secret = pair.secret_text();
        let other = KeyPair::from_secret(&[7; 32]).public().to_string();
        for wrong in [
            text.replace("secret", "sekret"),
            text.replace(secret.as_str(), &secret[1..]),
            text.replace(&pair.public().to_string(), &other),
            String::from("\0"),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed(_)));
            assert!(!error.to_string().contains(&secret[1..20]));
        }
    }
}

//! The files of what was learned.

use std::path::{Path, PathBuf};

use zocp_mapping::label::label;

/// The file for a face of this kind and name; none without a directory.
pub(crate) fn file(folder: Option<&Path>, kind: &str, name: &str) -> Option<PathBuf> {
    Some(folder?.join(format!("{kind}-{}.toml", label(name))))
}

/// Puts a text in the place of a file, as a whole; says in the log when it cannot.
pub(crate) fn write(file: &Path, text: &str) {
    if let Err(error) = replace(file, text) {
        tracing::warn!(file = %file.display(), %error, "what was learned is not kept");
    }
}

fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("toml.new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}

//! The programs that tests need, and where they come from.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The full path of `program`: itself if it is a path already, else found in `PATH` or where Debian has it.
///
/// # Panics
/// When it is not there, naming the package that has it.
pub(crate) fn find(program: &str) -> PathBuf {
    if program.contains('/') {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "`{program}` is missing, from the Debian package {}. `tests/run` installs it",
            package(program)
        )
    })
}

/// The Python that has what `tests/peers/requirements.txt` names.
///
/// # Panics
/// When nobody has made it yet.
pub(crate) fn python() -> PathBuf {
    if let Some(python) = env::var_os("ZOCP_TEST_PYTHON") {
        return python.into();
    }
    let python = repository().join("target/venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: `tests/run` makes it, with the PyPI packages zeromq-pyre and pyzmq",
        python.display()
    );
    python
}

/// The folder `tests/peers`.
pub(crate) fn peers() -> PathBuf {
    repository().join("tests/peers")
}

fn repository() -> &'static Path {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    testkit.ancestors().nth(2).unwrap_or(testkit)
}

fn package(program: &str) -> &'static str {
    PACKAGES
        .iter()
        .find(|(tool, _)| *tool == program)
        .map_or("of that name", |(_, package)| package)
}

/// Kept like the list in `tests/run`.
const PACKAGES: [(&str, &str); 9] = [
    ("busctl", "systemd"),
    ("bridge", "iproute2"),
    ("dbus-daemon", "dbus-daemon"),
    ("gdbus", "libglib2.0-bin"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("qdbus", "qdbus-qt5"),
    ("unshare", "util-linux"),
];

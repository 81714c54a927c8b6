//! What other programs print.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Why a program printed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unprinted {
    /// It is not installed, or cannot be run.
    Absent,
    /// It ended with this status, if it was not a signal.
    Failed(Option<i32>),
}

/// What a program of the system prints in plain English.
pub(super) fn printed(program: &str, arguments: &[&str]) -> Result<String, Unprinted> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let mut places = places.iter().map(|place| Path::new(place).join(program));
    let place = places.find(|file| file.exists());
    let mut command = Command::new(place.ok_or(Unprinted::Absent)?);
    command.args(arguments).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|_| Unprinted::Absent)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Unprinted::Failed(output.status.code())),
    }
}

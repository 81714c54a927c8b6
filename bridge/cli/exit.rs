//! How a command ends: the exit codes, and the one error that every command has.
//!
//! Model: a [`Failure`] is an exit code, a sentence that says what is wrong, and often one that says
//! what to do. The table in `--help` and in the manual page is made from [`Exit`].
//! Invariants: EXIT-1. a code never changes its meaning; new ones are added at the end.

use std::{ffi::OsStr, fmt, io, process::ExitCode};

use zbus::fdo;
use zocp_interfaces::errors;

use crate::output::{printable, printable_lines};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something that has no code of its own.
    Failure = 1,
    /// The command line or the configuration cannot be meant. Clap's code, too.
    Usage = 2,
    /// No bus is to be reached.
    NoBus = 3,
    /// The bridge is not running on the bus.
    NoBridge = 4,
    /// No such node.
    NoNode = 5,
    /// The node has no such capability.
    NoCapability = 6,
    /// The value was refused: its type, its range, or it cannot be written.
    Refused = 7,
    /// The node went, or does not answer, or a queue is full: try again.
    Unavailable = 8,
    /// A bridge is running on the bus already.
    NameTaken = 9,
    /// The mesh cannot be reached: no such network interface, or the port is taken.
    NoMesh = 10,
    /// Parts of a scene could not be restored, or are not so.
    Incomplete = 11,
    /// `zocp doctor` found a problem.
    Unhealthy = 12,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table as it is printed.
pub(crate) const EXIT_TABLE: &str = "\
Exit codes:
   0  done
   1  something that has no code of its own
   2  the command line or the configuration cannot be meant
   3  no bus is to be reached
   4  the bridge is not running on the bus
   5  no such node
   6  the node has no such capability
   7  the value was refused: its type, its range, or it cannot be written
   8  the node went, does not answer, or a queue is full: try again
   9  a bridge is running on the bus already
  10  the mesh cannot be reached: no such interface, or the port is taken
  11  parts of a scene could not be restored, or are not so
  12  `zocp doctor` found a problem";

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<String>,
    /// The reader of our output is gone: the end of the command, and nothing to tell.
    pub(crate) quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            quiet: false,
        }
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds to what is wrong.
    pub(crate) fn behind(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// Adds what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure {
    /// Adds what the user can do instead, behind what was said already.
    pub(crate) fn or(mut self, other: &str) -> Self {
        self.hint = Some(match self.hint {
            Some(hint) => format!("{hint}\n  {other}"),
            None => other.to_owned(),
        });
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What peers named and said is quoted in it.
        write!(f, "zocp: {}", printable_lines(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {}", printable_lines(hint)),
            None => Ok(()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self {
            quiet,
            ..Self::new(Exit::Failure, error.to_string())
        }
    }
}

/// What the bridge or the bus answered, by the error's name.
impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        let (name, text) = match &error {
            zbus::Error::MethodError(name, text, _) => (name.to_string(), text.clone()),
            zbus::Error::FDO(error) => (
                zbus::DBusError::name(&**error).to_string(),
                described(error),
            ),
            zbus::Error::InputOutput(source) => {
                return Self::new(Exit::NoBus, format!("the bus is gone: {source}"));
            }
            _ => return Self::new(Exit::Failure, error.to_string()),
        };
        let text = text
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| name.clone());
        if let Some(denied) = denied(&name, &text) {
            return denied;
        }
        // In one line, so that nobody who is asked can answer in our name.
        Self::new(exit_of(&name), printable(&text))
    }
}

/// A refusal by the policy of the bus or by polkit, with who may instead. The texts are those of dbus-daemon, of
/// dbus-broker, and of the bridge.
fn denied(name: &str, text: &str) -> Option<Failure> {
    let is_challenge = name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
    if name != errors::ACCESS_DENIED && !is_challenge {
        return None;
    }
    if ["Rejected send message", "Sender is not authorized"]
        .iter()
        .any(|begin| text.starts_with(begin))
    {
        let user = std::env::var("USER").unwrap_or_else(|_| String::from("USER"));
        let failure = Failure::new(
            Exit::Failure,
            "the policy of this bus does not let you do that: members of the group zocp may",
        );
        let user = printable(&user);
        return Some(failure.hint(format!("`sudo adduser {user} zocp`, then log in again")));
    }
    let action = text
        .strip_prefix("the action ")?
        .strip_suffix(" is not authorized")?;
    let failure = Failure::new(
        Exit::Failure,
        format!("polkit does not let you do that: {}", printable(action)),
    );
    Some(failure.hint(format!(
        "run it with sudo, or let a group do it with a rule for {} in /etc/polkit-1/rules.d, see docs/how-to/polkit.md",
        printable(action)
    )))
}

impl From<fdo::Error> for Failure {
    fn from(error: fdo::Error) -> Self {
        match error {
            fdo::Error::ZBus(error) => error.into(),
            error => zbus::Error::FDO(Box::new(error)).into(),
        }
    }
}

fn described(error: &fdo::Error) -> Option<String> {
    zbus::DBusError::description(error).map(str::to_owned)
}

fn exit_of(name: &str) -> Exit {
    match name {
        errors::INVALID_ARGS | errors::OUT_OF_RANGE | errors::PROPERTY_READ_ONLY => Exit::Refused,
        errors::UNKNOWN_PROPERTY | errors::UNKNOWN_OBJECT => Exit::NoCapability,
        errors::NODE_GONE
        | errors::BUSY
        | errors::TIMEOUT
        | "org.freedesktop.DBus.Error.NoReply"
        | "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => Exit::Unavailable,
        _ => Exit::Failure,
    }
}

/// Says why a program was not started. The status is as shells and `env` have it: 127 for a program that is not there,
/// 126 for one that cannot be run.
pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> u8 {
    let program = program.to_string_lossy();
    let failure = Failure::new(Exit::Failure, format!("cannot run {program}: {error}"));
    eprintln!("{failure}");
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_on_the_system_bus_is_told_as_the_page_has_it() {
        let page = include_str!("../../docs/how-to/polkit.md");
        let rejected = "Rejected send message, 1 matched rules; type=\"method_call\"";
        let failure = denied(errors::ACCESS_DENIED, rejected).expect("it is a refusal");
        let user = std::env::var("USER").unwrap_or_else(|_| "USER".to_owned());
        let said = failure.message;
        let hint = failure
            .hint
            .expect("a hint")
            .replace(&format!("adduser {user}"), "adduser ada");
        assert!(
            page.contains(&format!("\nzocp: {said}\n  {hint}\n")),
            "{said} {hint}"
        );
    }

    #[test]
    fn every_code_is_in_the_table() {
        let all = [
            Exit::Failure,
            Exit::Usage,
            Exit::NoBus,
            Exit::NoBridge,
            Exit::NoNode,
            Exit::NoCapability,
            Exit::Refused,
            Exit::Unavailable,
            Exit::NameTaken,
            Exit::NoMesh,
            Exit::Incomplete,
            Exit::Unhealthy,
        ];
        let codes: Vec<u8> = all.iter().map(|exit| *exit as u8).collect();
        let listed: Vec<u8> = EXIT_TABLE
            .lines()
            .filter_map(|line| line.get(..4)?.trim().parse().ok())
            .filter(|code| *code != 0)
            .collect();
        assert_eq!(codes, listed);
    }

    #[test]
    fn an_error_of_the_bridge_becomes_its_code() {
        assert_eq!(exit_of("org.z25.Zocp1.Error.OutOfRange"), Exit::Refused);
        assert_eq!(exit_of("org.z25.Zocp1.Error.NodeGone"), Exit::Unavailable);
        assert_eq!(exit_of("org.example.Error.Other"), Exit::Failure);
    }

    #[test]
    fn a_refusal_by_the_bus_or_by_polkit_says_who_may() {
        let rejected =
            "Rejected send message, 1 matched rules; type=\"method_call\", sender=\":1.7\"";
        for text in [rejected, "Sender is not authorized to send message"] {
            let failure = denied(errors::ACCESS_DENIED, text).unwrap().to_string();
            assert!(
                failure.contains("group zocp") && failure.contains("sudo adduser"),
                "{failure}"
            );
            assert!(!failure.contains("matched rules"), "{failure}");
        }
        let text = "the action org.z25.Zocp1.export is not authorized";
        let failure = denied(errors::ACCESS_DENIED, text).unwrap().to_string();
        assert!(failure.contains("rules.d") && failure.contains("org.z25.Zocp1.export"));
        // What a service answers is its own.
        assert!(denied(errors::ACCESS_DENIED, "not today").is_none());
        assert!(denied(errors::OUT_OF_RANGE, rejected).is_none());
    }

    #[test]
    fn a_reader_that_is_gone_is_nothing_to_tell() {
        assert!(Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).quiet);
    }
}

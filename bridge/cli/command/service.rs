//! `zocp service install|remove`: the bridge as a service of systemd, for those who have no package.
//!
//! Model: a [`Plan`] is files with their texts and commands that make the system read them. The texts are those of
//! `dbus-policy/`, with the path of this program. `--dry-run` prints the plan, else it is carried out.
//! Invariants: UNITFILE-1. what a package has installed is left to the package. UNITFILE-2. `remove` takes away the files
//! of `install` and no other; the user `zocp` and the state of the bridge stay.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    args::{ServiceArgs, ServiceCommand},
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(output: &Output, command: &ServiceCommand) -> Result<(), Failure> {
    let (args, is_install) = match command {
        ServiceCommand::Install(args) => (args, true),
        ServiceCommand::Remove(args) => (args, false),
    };
    let places = Places::here()?;
    let plan = match (args.system, is_install) {
        (false, true) => places.session(),
        (true, true) => places.system()?,
        (false, false) => places.session().undone(SESSION_END),
        (true, false) => places.system_files().undone(SYSTEM_END),
    };
    refuse_packaged(args)?;
    if args.dry_run {
        return plan.show(output);
    }
    plan.carry_out(args.system)
}

/// Files and the commands that make the system read them.
#[derive(Debug, Default)]
struct Plan {
    /// Before the files.
    before: Vec<&'static str>,
    /// Each with its text; without one it is taken away.
    files: Vec<(PathBuf, Option<String>)>,
    /// Behind the files.
    after: Vec<&'static str>,
}

impl Plan {
    /// The plan that takes the files away again.
    fn undone(
        mut self,
        (before, after): (&'static [&'static str], &'static [&'static str]),
    ) -> Self {
        for (_, text) in &mut self.files {
            *text = None;
        }
        Self {
            before: before.to_vec(),
            after: after.to_vec(),
            ..self
        }
    }

    fn show(&self, output: &Output) -> Result<(), Failure> {
        for command in &self.before {
            output.line(&format!("# {command}"))?;
        }
        for (path, text) in &self.files {
            match text {
                Some(text) => output.text(&format!("==> {} <==\n{text}\n", path.display()))?,
                None => output.line(&format!("# rm -f {}", path.display()))?,
            }
        }
        for command in &self.after {
            output.line(&format!("# {command}"))?;
        }
        Ok(())
    }

    fn carry_out(&self, is_system: bool) -> Result<(), Failure> {
        for command in &self.before {
            // What does not run cannot be stopped.
            run_command(command, is_system).ok();
        }
        for (path, text) in &self.files {
            let failed = |error: std::io::Error| {
                let failure = Failure::new(Exit::Failure, format!("{}: {error}", path.display()));
                match error.kind() {
                    ErrorKind::PermissionDenied if is_system => {
                        failure.hint("run it as root: sudo zocp service … --system")
                    }
                    _ => failure,
                }
            };
            match text {
                Some(text) => {
                    if let Some(directory) = path.parent() {
                        fs::create_dir_all(directory).map_err(failed)?;
                    }
                    fs::write(path, text).map_err(failed)?;
                    eprintln!("zocp: wrote {}", path.display());
                }
                None => match fs::remove_file(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                    Ok(()) => eprintln!("zocp: removed {}", path.display()),
                },
            }
        }
        self.after
            .iter()
            .try_for_each(|command| run_command(command, is_system))
    }
}

fn run_command(line: &str, is_system: bool) -> Result<(), Failure> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    eprintln!("zocp: {line}");
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(Exit::Failure, format!("`{line}`: {status}"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let failure = Failure::new(Exit::Failure, format!("there is no {program} here"));
            let with = if is_system { "machine" } else { "session" };
            Err(failure.hint(format!(
                "without systemd, start `zocp bridge` with the {with} by other means"
            )))
        }
        Err(error) => Err(Failure::new(Exit::Failure, format!("{program}: {error}"))),
    }
}

/// What the files contain that differs from machine to machine, and where they go.
#[derive(Debug)]
struct Places {
    program: String,
    config: PathBuf,
    data: PathBuf,
}

impl Places {
    fn here() -> Result<Self, Failure> {
        let place = |variable: &str| env::var_os(variable).map(PathBuf::from);
        let home = place("HOME").filter(|path| path.is_absolute());
        let below = |variable: &str, below: &str| {
            let set = place(variable).filter(|path| path.is_absolute());
            let set = set.or_else(|| Some(home.as_ref()?.join(below)));
            let text = format!("neither {variable} nor HOME is set");
            set.ok_or_else(|| Failure::new(Exit::Usage, text))
        };
        Ok(Self {
            program: program(&env::current_exe()?)?,
            config: below("XDG_CONFIG_HOME", ".config")?,
            data: below("XDG_DATA_HOME", ".local/share")?,
        })
    }

    /// A text of `dbus-policy/` with this program in it.
    fn text(&self, text: &str) -> Option<String> {
        Some(text.replace("/usr/bin/zocp", &self.program))
    }

    fn session(&self) -> Plan {
        let unit = self.config.join("systemd/user/zocp-bridge.service");
        let activation = self.data.join("dbus-1/services/org.z25.Zocp1.service");
        Plan {
            before: Vec::new(),
            files: vec![
                (unit, self.text(SESSION_UNIT)),
                (activation, self.text(SESSION_ACTIVATION)),
            ],
            after: vec![
                "systemctl --user daemon-reload",
                "systemctl --user enable --now zocp-bridge.service",
            ],
        }
    }

    fn system(&self) -> Result<Plan, Failure> {
        let is_home = ["/home", "/root", "/run/user"]
            .iter()
            .any(|home| Path::new(&self.program).starts_with(home));
        if is_home {
            let program = &self.program;
            let text = format!(
                "{program} is in a home directory, which a service of the system does not see"
            );
            let hint = format!(
                "sudo install {program} /usr/local/bin/ && sudo /usr/local/bin/zocp service install --system"
            );
            return Err(Failure::new(Exit::Usage, text).hint(hint));
        }
        Ok(self.system_files())
    }

    fn system_files(&self) -> Plan {
        let files = [
            ("/etc/sysusers.d/zocp.conf", SYSUSERS),
            ("/etc/dbus-1/system.d/org.z25.Zocp1.conf", POLICY),
            ("/usr/share/polkit-1/actions/org.z25.Zocp1.policy", ACTIONS),
            ("/etc/systemd/system/zocp-bridge.service", SYSTEM_UNIT),
            (
                "/usr/local/share/dbus-1/system-services/org.z25.Zocp1.service",
                SYSTEM_ACTIVATION,
            ),
        ];
        Plan {
            before: Vec::new(),
            files: files
                .into_iter()
                .map(|(path, text)| (PathBuf::from(path), self.text(text)))
                .collect(),
            after: vec![
                "systemd-sysusers /etc/sysusers.d/zocp.conf",
                "systemctl daemon-reload",
                "systemctl reload dbus.service",
                "systemctl enable --now zocp-bridge.service",
            ],
        }
    }
}

/// This program as it is written into files of systemd, which breaks a line at spaces and replaces what follows a %.
fn program(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| {
        let is_special = |c: char| c.is_whitespace() || c.is_control() || "%\"'\\".contains(c);
        !text.contains(is_special)
    });
    text.map(str::to_owned).ok_or_else(|| {
        let text = format!(
            "{}: systemd does not take a path with spaces or %",
            path.display()
        );
        Failure::new(Exit::Usage, text).hint("install it elsewhere")
    })
}

/// A package brings the same files, in the places of packages.
fn refuse_packaged(args: &ServiceArgs) -> Result<(), Failure> {
    let (kind, option) = match args.system {
        true => ("system", ""),
        false => ("user", "--user "),
    };
    let unit = format!("/usr/lib/systemd/{kind}/zocp-bridge.service");
    if !Path::new(&unit).exists() {
        return Ok(());
    }
    let failure = Failure::new(Exit::Usage, format!("a package has installed {unit}"));
    Err(failure.hint(format!(
        "systemctl {option}enable --now zocp-bridge, or disable"
    )))
}

const SESSION_UNIT: &str = include_str!("../../../dbus-policy/session/zocp-bridge.service");
const SESSION_ACTIVATION: &str = include_str!("../../../dbus-policy/session/org.z25.Zocp1.service");
const SYSTEM_UNIT: &str = include_str!("../../../dbus-policy/system/zocp-bridge.service");
const SYSTEM_ACTIVATION: &str = include_str!("../../../dbus-policy/system/org.z25.Zocp1.service");
const POLICY: &str = include_str!("../../../dbus-policy/system/org.z25.Zocp1.conf");
const ACTIONS: &str = include_str!("../../../dbus-policy/system/org.z25.Zocp1.policy");
const SYSUSERS: &str = include_str!("../../../dbus-policy/system/zocp.sysusers");
/// Before and behind the files that `remove` takes away.
const SESSION_END: (&[&str], &[&str]) = (
    &["systemctl --user disable --now zocp-bridge.service"],
    &["systemctl --user daemon-reload"],
);
const SYSTEM_END: (&[&str], &[&str]) = (
    &["systemctl disable --now zocp-bridge.service"],
    &["systemctl daemon-reload", "systemctl reload dbus.service"],
);

#[cfg(test)]
mod tests {
    use super::*;

    fn places(program: &str) -> Places {
        Places {
            program: program.to_owned(),
            config: PathBuf::from("/c"),
            data: PathBuf::from("/d"),
        }
    }

    #[test]
    fn every_file_has_the_path_of_this_program() {
        let places = places("/opt/zocp/bin/zocp");
        for plan in [places.session(), places.system().unwrap()] {
            let texts = plan.files.iter().filter_map(|(_, text)| text.as_deref());
            let all: String = texts.collect();
            assert!(all.contains("ExecStart=/opt/zocp/bin/zocp bridge"), "{all}");
            assert!(all.contains("Exec=/opt/zocp/bin/zocp bridge"), "{all}");
            assert!(!all.contains("/usr/bin/zocp"), "{all}");
        }
    }

    #[test]
    fn what_is_removed_is_what_was_installed() {
        let places = places("/opt/zocp");
        let paths = |plan: &Plan| -> Vec<PathBuf> {
            plan.files.iter().map(|(path, _)| path.clone()).collect()
        };
        let undone = places.session().undone(SESSION_END);
        assert_eq!(paths(&undone), paths(&places.session()));
        assert!(undone.files.iter().all(|(_, text)| text.is_none()));
    }

    #[test]
    fn a_path_that_systemd_would_read_otherwise_is_refused() {
        assert_eq!(program(Path::new("/opt/zocp")).unwrap(), "/opt/zocp");
        for path in ["/my programs/zocp", "/opt/100%/zocp"] {
            let failure = program(Path::new(path)).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.to_string().contains(path), "{failure}");
        }
    }

    #[test]
    fn a_program_in_a_home_directory_is_no_service_of_the_system() {
        let failure = places("/home/ada/.cargo/bin/zocp").system().unwrap_err();
        assert!(failure.to_string().contains("/usr/local/bin"), "{failure}");
    }
}

//! A command about to run on a host, and how it ended.

use std::{
    ffi::OsStr,
    process::{ExitStatus, Stdio},
};

use tokio::process::Command;

use crate::{Bus, Program, in_time, tools};

/// A command that is being put together. Ends with [`run`](Self::run), [`outcome`](Self::outcome) or
/// [`start`](Self::start).
pub struct Cmd {
    label: String,
    command: Command,
    /// Whether it takes as long as the machine needs for its work.
    works: bool,
}

/// How a command ended, and all it said.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Cmd {
    /// `program` where the test itself is: outside all hosts.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self {
            label: label(program),
            command: Command::new(tools::find(program)),
            works: false,
        }
    }

    /// Debian's Python, which has `module` from a Debian package.
    #[must_use]
    pub fn python(module: &str) -> Self {
        Self::new(tools::SYSTEM_PYTHON).needs(&format!("/usr/lib/python3/dist-packages/{module}"))
    }

    /// The Python that has what `tests/peers/requirements.txt` names.
    #[must_use]
    pub fn pypi_python() -> Self {
        Self::new(&tools::python().to_string_lossy())
    }

    /// Node.js, with the modules that `tests/clients/package.json` names.
    #[must_use]
    pub fn node() -> Self {
        Self::new("node").env("NODE_PATH", tools::node_modules())
    }

    /// Compiles `source`, in C, to `program`, with sd-bus.
    ///
    /// # Panics
    /// When it does not compile without a warning.
    pub async fn cc(source: &str, program: &str) {
        let header = "/usr/include/systemd/sd-bus.h";
        Self::compile("cc", &[source, "-o", program], ("libsystemd", header)).await;
    }

    /// Compiles with a library that pkg-config knows, and a file that the library's package has.
    ///
    /// # Panics
    /// When it does not compile without a warning.
    pub async fn compile(compiler: &str, args: &[&str], (library, file): (&str, &str)) {
        let flags = Self::new("pkg-config").args(["--cflags", "--libs", library]);
        let flags = flags.needs(file).run().await;
        let compiler = Self::new(compiler).args(["-Wall", "-Wextra", "-Werror"]);
        let compiler = compiler.args(args).args(flags.split_whitespace());
        compiler.that_works().run().await;
    }

    /// `program` in the network namespace `namespace`.
    pub(crate) fn on_host(namespace: &str, program: &str) -> Self {
        let mut command = Command::new(tools::find("nsenter"));
        command
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg("--")
            .arg(tools::find(program));
        Self {
            label: format!("{namespace} {}", label(program)),
            command,
            works: false,
        }
    }

    /// Says that it cannot do without `file` of the system, whose package a panic names.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn needs(self, file: &str) -> Self {
        tools::need(file);
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Makes `bus` the command's session bus.
    #[must_use]
    pub fn on(self, bus: &Bus) -> Self {
        self.env("DBUS_SESSION_BUS_ADDRESS", bus.address())
    }

    /// Has `starter` start it: its program and arguments are the last arguments of that, its environment is added.
    #[must_use]
    pub fn through(self, mut starter: Self) -> Self {
        let own = self.command.as_std();
        starter.command.arg(own.get_program()).args(own.get_args());
        for (name, value) in own.get_envs() {
            starter.command.env(name, value.unwrap_or_default());
        }
        starter
    }

    /// The name under which what it says is printed.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    /// Says that it waits for nothing and only works, as compilers do: it has no deadline but the test's.
    #[must_use]
    pub fn that_works(mut self) -> Self {
        self.works = true;
        self
    }

    /// Runs to the end and gives back standard output.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(self) -> String {
        let shown = self.shown();
        let outcome = self.outcome().await;
        assert!(
            outcome.status.success(),
            "{shown}: {}\n{}{}",
            outcome.status,
            outcome.out,
            outcome.err
        );
        outcome.out
    }

    /// Runs to the end, well or not.
    pub async fn outcome(mut self) -> Outcome {
        let shown = self.shown();
        self.command.stdin(Stdio::null()).kill_on_drop(true);
        let output = match self.works {
            true => self.command.output().await,
            false => in_time(&shown, self.command.output()).await,
        };
        let output = output.unwrap_or_else(|error| panic!("{shown}: {error}"));
        Outcome {
            status: output.status,
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts it and lets it run.
    #[must_use]
    pub fn start(self) -> Program {
        Program::start(self.label, self.command)
    }

    fn shown(&self) -> String {
        let args = self.command.as_std().get_args().map(OsStr::to_string_lossy);
        format!("{}: {}", self.label, args.collect::<Vec<_>>().join(" "))
    }
}

fn label(program: &str) -> String {
    program.rsplit('/').next().unwrap_or(program).to_owned()
}

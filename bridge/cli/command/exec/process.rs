//! The program: its environment, the signals that it gets, and its exit status.
//!
//! Model: the terminal sends its own signals to the whole group of processes, to which both belong; what is sent to this
//! process alone is passed on.
//! Spec: POSIX, "General Terminal Interface"

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    pin::pin,
    process::{ExitCode, ExitStatus},
};

use futures_util::{FutureExt, future::FusedFuture};
use rustix::process::{Pid, getpgrp, kill_process};
use tokio::{
    process::Command,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::exit::{Exit, Failure, not_started};

/// See the [module](self).
pub(super) struct Child {
    program: OsString,
    command: Command,
    signals: Signals,
}

/// A signal that is passed on.
type Passed = (rustix::process::Signal, Signal);

struct Signals {
    /// Those of which the terminal tells the program itself.
    of_terminal: Vec<Passed>,
    others: Vec<Passed>,
}

impl Child {
    /// What is to run. From now on no signal ends this process.
    pub(super) fn new(words: &[OsString]) -> Result<Self, Failure> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| Failure::new(Exit::Usage, "there is no program to run"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        for name in STARTER {
            command.env_remove(name);
        }
        Ok(Self {
            program: program.clone(),
            command,
            signals: Signals::new()?,
        })
    }

    /// Which bus it finds.
    pub(super) fn set_bus(&mut self, address: &str, is_system: bool) {
        if is_system {
            self.command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
            return;
        }
        self.command.env("DBUS_SESSION_BUS_ADDRESS", address);
        for name in ["DBUS_SESSION_BUS_PID", "DBUS_SESSION_BUS_WINDOWID"] {
            self.command.env_remove(name);
        }
    }

    /// Where commands of `zocp` in it find the bridge.
    pub(super) fn set_bridge(&mut self, address: &str) {
        self.command.env("ZOCP_BUS", address);
    }

    /// Runs it to its end, and does something else meanwhile.
    pub(super) async fn run(
        mut self,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<ExitCode, Failure> {
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(not_started(&self.program, &error).into()),
        };
        let process = child.id().and_then(|id| i32::try_from(id).ok());
        let process = process.and_then(Pid::from_raw);
        let mut meanwhile = pin!(meanwhile.fuse());
        loop {
            tokio::select! {
                () = &mut meanwhile, if !meanwhile.is_terminated() => {}
                status = child.wait() => return Ok(code(status?)),
                // Cancel safe: a signal that is not taken stays.
                signal = self.signals.next() => {
                    if let Some(process) = process {
                        // It may have ended; then that is what comes next.
                        kill_process(process, signal).ok();
                    }
                }
            }
        }
    }
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        use rustix::process::Signal as Number;
        let follow = |kind: SignalKind, number: Number| -> Result<Passed, Failure> {
            Ok((number, signal(kind)?))
        };
        Ok(Self {
            of_terminal: vec![
                follow(SignalKind::interrupt(), Number::INT)?,
                follow(SignalKind::quit(), Number::QUIT)?,
            ],
            others: vec![
                follow(SignalKind::terminate(), Number::TERM)?,
                follow(SignalKind::hangup(), Number::HUP)?,
                follow(SignalKind::user_defined1(), Number::USR1)?,
                follow(SignalKind::user_defined2(), Number::USR2)?,
            ],
        })
    }

    /// The next signal that is to be passed on.
    async fn next(&mut self) -> rustix::process::Signal {
        loop {
            let (number, is_of_terminal) = std::future::poll_fn(|context| {
                for (signals, is_of_terminal) in
                    [(&mut self.of_terminal, true), (&mut self.others, false)]
                {
                    for (number, signal) in signals {
                        if signal.poll_recv(context).is_ready() {
                            return std::task::Poll::Ready((*number, is_of_terminal));
                        }
                    }
                }
                std::task::Poll::Pending
            })
            .await;
            // The terminal has sent it to the program, too.
            if !(is_of_terminal && is_foreground()) {
                return number;
            }
        }
    }
}

/// Whether this process and the program are what the terminal interrupts.
fn is_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return false;
    };
    rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp())
}

/// As shells have it: the status, or 128 and the number of the signal that ended it.
fn code(status: ExitStatus) -> ExitCode {
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1).into()
}

/// What a bus says to programs that it starts: of another bus.
const STARTER: [&str; 2] = ["DBUS_STARTER_ADDRESS", "DBUS_STARTER_BUS_TYPE"];

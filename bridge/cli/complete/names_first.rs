//! Names before options, in each shell.

use std::{
    ffi::OsString,
    io::{Error, Write},
    path::Path,
};

use clap::Command;
use clap_complete::env::EnvCompleter;

/// A shell to which options are offered only where no name is, or where one is being written.
#[derive(Debug)]
pub(super) struct NamesFirst<S> {
    pub(super) shell: S,
    /// Whether an option is being written.
    pub(super) is_option: fn() -> bool,
}

impl<S: EnvCompleter> EnvCompleter for NamesFirst<S> {
    fn name(&self) -> &'static str {
        self.shell.name()
    }

    fn is(&self, name: &str) -> bool {
        self.shell.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        bin: &str,
        completer: &str,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        self.shell
            .write_registration(variable, name, bin, completer, to)
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        if !(self.is_option)() {
            *command = without_options(command.clone());
        }
        self.shell.write_complete(command, words, directory, to)
    }
}

/// Options are hidden: what is hidden is offered where there is nothing else.
fn without_options(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let is_option = !arg.is_positional();
            arg.hide(is_option)
        })
        .mut_subcommands(without_options)
}

//! `zocp completions SHELL`: what a shell needs to complete our command line.

use clap_complete::Shell;

use crate::{complete::script, exit::Failure, output::Output};

pub(crate) fn run(output: &Output, shell: Shell) -> Result<(), Failure> {
    Ok(output.text(&script(&shell.to_string())?)?)
}

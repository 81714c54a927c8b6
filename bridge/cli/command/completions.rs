//! `zocp completions SHELL`: what a shell needs to complete our command line.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{args::Args, exit::Failure, output::Output};

pub(crate) fn run(output: &Output, shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    generate(shell, &mut Args::command(), "zocp", &mut text);
    Ok(output.text(&String::from_utf8_lossy(&text))?)
}

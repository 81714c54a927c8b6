//! `zocp completions SHELL`: what a shell needs to complete our command line.
//!
//! Not here: what that is, see `complete`.

use crate::{exit::Failure, output::Output};

pub(crate) fn run(output: &Output, script: &str) -> Result<(), Failure> {
    Ok(output.text(script)?)
}

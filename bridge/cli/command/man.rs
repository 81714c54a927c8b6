//! `zocp man`: the manual page, for `man -l -`.
//!
//! All of it is one page: the commands' own pages follow the first as sections.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{args::Args, exit::Failure, output::Output};

pub(crate) fn run(output: &Output) -> Result<(), Failure> {
    let mut command = Args::command().disable_help_flag(true);
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_uppercase();
        page.extend_from_slice(format!(".SH \"ZOCP {name}\"\n").as_bytes());
        let man = Man::new(subcommand.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    Ok(output.text(&String::from_utf8_lossy(&page))?)
}

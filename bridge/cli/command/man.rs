//! `zocp man`: the manual page, for `man -l -`.
//!
//! All of it is one page: each command is a section, and the exit codes come last.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{
    args::Args,
    exit::{EXIT_TABLE, Failure},
    output::Output,
};

pub(crate) fn run(output: &Output) -> Result<(), Failure> {
    let mut command = Args::command().disable_help_flag(true);
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_uppercase();
        page.extend_from_slice(format!(".SH \"ZOCP {name}\"\n").as_bytes());
        // What every command takes is told once, above.
        let own = subcommand.clone().mut_args(|arg| {
            let is_global = arg.is_global_set();
            arg.hide(is_global)
        });
        let section = Man::new(own);
        section.render_synopsis_section(&mut page)?;
        section.render_description_section(&mut page)?;
        section.render_options_section(&mut page)?;
    }
    let codes = EXIT_TABLE
        .split_once('\n')
        .map_or(EXIT_TABLE, |(_, codes)| codes);
    page.extend_from_slice(format!(".SH \"EXIT STATUS\"\n.nf\n{codes}\n.fi\n").as_bytes());
    Ok(output.text(&String::from_utf8_lossy(&page))?)
}

//! `zocp man`: the manual page, for `man -l -`; with `--directory` a page for each command as well.
//!
//! All of it is one page: each command is a section, and the exit codes come last. The page of a command has its
//! own commands as sections, and what all commands take at the end.

use std::{fs, path::Path};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::{
    args::Args,
    exit::{EXIT_TABLE, Exit, Failure},
    output::Output,
};

pub(crate) fn run(output: &Output, directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        return Ok(output.text(&String::from_utf8_lossy(&whole()?))?);
    };
    let written = |name: &str, page: Vec<u8>| {
        let file = directory.join(format!("{name}.1"));
        let failed = |error| Failure::new(Exit::Failure, format!("{}: {error}", file.display()));
        fs::write(&file, page).map_err(failed)
    };
    written("zocp", whole()?)?;
    for command in all().get_subcommands() {
        let name = format!("zocp-{}", command.get_name());
        written(&name, of_command(command)?)?;
    }
    Ok(())
}

/// The commands, with all that is derived.
fn all() -> Command {
    let mut command = Args::command().disable_help_flag(true);
    command.build();
    command
}

/// Everything in one page.
fn whole() -> Result<Vec<u8>, Failure> {
    let command = all();
    let mut page = Vec::new();
    head(&mut page, command.clone())?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_uppercase();
        section(&mut page, &format!("ZOCP {name}"), subcommand)?;
    }
    exit_codes(&mut page);
    Ok(page)
}

/// The page of a command.
fn of_command(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    head(&mut page, without_common(command))?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_uppercase();
        section(&mut page, &name, subcommand)?;
    }
    if let Some(examples) = examples(command) {
        page.extend_from_slice(format!(".SH EXAMPLES\n{examples}").as_bytes());
    }
    page.extend_from_slice(
        b".SH \"OPTIONS OF ALL COMMANDS\"\n--json, --bus, --verbose: see\n.BR zocp (1).\n",
    );
    exit_codes(&mut page);
    page.extend_from_slice(b".SH \"SEE ALSO\"\n.BR zocp (1)\n");
    Ok(page)
}

/// What stands at the beginning of each page.
fn head(page: &mut Vec<u8>, command: Command) -> Result<(), Failure> {
    let man = Man::new(command);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    Ok(())
}

/// The examples of a command, as they are written.
fn examples(command: &Command) -> Option<String> {
    let help = command.get_after_help()?.to_string();
    let lines = help.strip_prefix("Examples:\n")?.lines();
    // A backslash, a dash, and what begins with a dot or an apostrophe mean something to man.
    let lines = lines.map(|line| line.replace('\\', "\\e").replace('-', "\\-"));
    let text: String = lines.map(|line| format!("\\&{line}\n")).collect();
    Some(format!(".nf\n{text}.fi\n"))
}

fn section(page: &mut Vec<u8>, heading: &str, command: &Command) -> Result<(), Failure> {
    page.extend_from_slice(format!(".SH \"{heading}\"\n").as_bytes());
    let section = Man::new(without_common(command));
    section.render_synopsis_section(page)?;
    section.render_description_section(page)?;
    section.render_options_section(page)?;
    if let Some(examples) = examples(command) {
        page.extend_from_slice(format!(".PP\nExamples:\n.PP\n{examples}").as_bytes());
    }
    Ok(())
}

/// What every command takes is told once.
fn without_common(command: &Command) -> Command {
    command.clone().mut_args(|arg| {
        let is_global = arg.is_global_set();
        arg.hide(is_global)
    })
}

fn exit_codes(page: &mut Vec<u8>) {
    let codes = EXIT_TABLE
        .split_once('\n')
        .map_or(EXIT_TABLE, |(_, codes)| codes);
    page.extend_from_slice(format!(".SH \"EXIT STATUS\"\n.nf\n{codes}\n.fi\n").as_bytes());
}

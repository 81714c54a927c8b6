//! The command line of the soak.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zocp_soak::{AttackOptions, Options, attacks, soak};
use zocp_testkit::isolated_program;

/// Long runs under churn. What the programs say goes to standard error, the report to standard output.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lets everything come and go at random and counts what is left at quiet moments.
    Soak(Options),
    /// Attacks two bridges, and tells what an honest pair has of it.
    Attacks(AttackOptions),
}

fn main() -> ExitCode {
    let args = Args::parse();
    isolated_program(async move |lab| {
        let (report, well) = match args.command {
            Command::Soak(options) => soak(lab, &options).await,
            Command::Attacks(options) => attacks(lab, &options).await,
        };
        println!("{report}");
        if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

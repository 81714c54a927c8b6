//! `zocp`: the bridge, and the commands that talk to it.
//!
//! Model: [`args`] says what there is to say; each command is a file in [`command`]; all but `bridge`
//! and `demo` are clients of a running bridge, over D-Bus alone.
//! Invariants: CLI-1. stdout is the result, stderr is everything else. CLI-2. the exit codes are those of
//! [`exit`].
//!
//! # Layout
//!
//! - [`args`], [`exit`], [`output`]: in and out
//! - [`client`]: the bridge and its nodes as a client finds them; [`view`]: what it found; [`wiring`]: wires;
//!   [`listener`]: signals that a command waits for
//! - [`links`]: the links that the bridge dials
//! - [`scene`]: files with values and wires
//! - [`streams`]: the streams of nodes
//! - [`value`]: D-Bus values as text and JSON, and back; [`near`]: names that may have been meant
//! - [`complete`]: completion of command lines by the running bridge
//! - [`notify`]: what is told to a service manager

mod args;
mod client;
mod command;
mod complete;
mod exit;
mod keys;
mod links;
mod listener;
mod methods;
mod near;
mod notify;
mod output;
mod scene;
mod streams;
mod view;
mod wiring;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use zocp_client::value;

use crate::{
    args::{Args, Command, Common, LinkCommand},
    exit::Failure,
    output::{OneLine, Output},
};

fn main() -> ExitCode {
    complete::answer_shell(Args::command);
    let args = Args::parse();
    start_log(&args.common);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return end(&Failure::from(error)),
    };
    // A task like any other: the future that the runtime itself waits for is looked after last, with a
    // look at all sockets before.
    let running = runtime.spawn(run(args));
    match runtime.block_on(running) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => end(&failure),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { common, command } = args;
    let output = Output::new(common.json);
    // An empty variable is as one that is not set.
    let bus = common.bus.filter(|bus| !bus.is_empty());
    let done: Result<(), Failure> = match command {
        Command::Exec(args) => return Box::pin(command::exec::run(bus, args)).await,
        Command::Bridge(args) => Box::pin(command::bridge::run(args, bus)).await,
        Command::Demo => Box::pin(command::demo::run(bus)).await,
        Command::List => command::list::run(&output, bus).await,
        Command::Link { change } => match change {
            None => command::link::run(&output, bus).await,
            Some(LinkCommand::Add {
                to,
                relay,
                relay_certificate,
            }) => {
                let carriage = command::link::change::Carriage {
                    relays: relay,
                    certificate: relay_certificate,
                };
                command::link::change::add(&output, bus, &to, carriage).await
            }
            Some(LinkCommand::Remove { to }) => {
                command::link::change::remove(&output, bus, &to).await
            }
        },
        Command::Tree { node } => command::tree::run(&output, bus, node.as_deref()).await,
        Command::Get { node, name } => {
            command::get::run(&output, bus, &node, name.as_deref()).await
        }
        Command::Set { node, name, value } => {
            command::set::run(&output, bus, &node, &name, &value).await
        }
        Command::Call { node, method, arg } => {
            command::call::run(&output, bus, &node, &method, &arg).await
        }
        Command::Publish(args) => {
            if let Some(stream) = args.offer.stream() {
                let object = args.object.as_deref();
                return command::offer::run(bus, &args.offer, stream, object).await;
            }
            command::publish::run(&output, bus, &args).await
        }
        Command::Unpublish { name } => command::publish::undo(bus, &name).await,
        Command::Streams { node } => command::streams::run(&output, bus, node.as_deref()).await,
        Command::Stream(args) => command::stream::run(bus, args).await,
        Command::Watch { node, name, until } => {
            command::watch::run(&output, bus, (node, name), until).await
        }
        Command::Export(args) => command::export::run(&output, bus, &args).await,
        Command::Doctor(args) => command::doctor::run(&output, bus, args).await,
        Command::Monitor(args) => command::monitor::run(&output, bus, &args).await,
        Command::Web(args) => Box::pin(command::web::run(&output, bus, args)).await,
        Command::Top => Box::pin(command::top::run(bus)).await,
        Command::Wires { watch } => command::wires::run(&output, bus, watch).await,
        Command::Wire(args) => command::wire::run(&output, bus, &args).await,
        Command::Unwire { from, to } => command::wire::undo(bus, &from, &to).await,
        Command::Scene(command) => command::scene::run(&output, bus, &command).await,
        Command::Dmx(args) => command::dmx::run(args).await,
        Command::Midi(args) => command::midi::run(args).await,
        Command::Osc(args) => command::osc::run(args).await,
        Command::Key(command) => command::key::run(&output, &command),
        Command::Trust { who, yes } => command::trust::run(&output, bus, who.as_deref(), yes).await,
        Command::Distrust { who } => command::trust::undo(&output, bus, &who).await,
        Command::Completions { shell } => complete::script(&shell.to_string())
            .and_then(|script| command::completions::run(&output, &script)),
        Command::Service(command) => command::service::run(&output, &command),
        Command::Man { directory } => command::man::run(&output, directory.as_deref()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn end(failure: &Failure) -> ExitCode {
    if failure.quiet {
        return ExitCode::SUCCESS;
    }
    eprintln!("{failure}");
    failure.exit.into()
}

/// Tracing goes to stderr; `ZOCP_LOG` is the filter, `-v` is more than the default.
fn start_log(common: &Common) {
    let level = match common.verbose {
        0 => "warn",
        1 => "info,zbus=warn",
        2 => "debug,zbus=info",
        _ => "trace,zbus=debug",
    };
    let filter = EnvFilter::try_from_env("ZOCP_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| OneLine(std::io::stderr()))
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

//! `zocp stream NODE NAME [-- CMD…]`: a stream of a node, for shells.
//!
//! Model: the bridge gives a descriptor. Without a command it is copied to standard output, or from standard input. With
//! one this process becomes that command, which has the stream as descriptor 3: whoever has the descriptor holds it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use command_fds::{CommandFdExt, FdMapping};
use zbus::{OwnedVariant, Variant};
use zocp_interfaces::STREAMS_INTERFACE;
use zocp_node::{PIECE_MAX, model::stream::Direction};

use crate::{
    args::StreamArgs,
    client::Client,
    exit::{Exit, Failure, not_started},
    near::suggestion,
    streams::{StreamView, streams_of},
};

pub(crate) async fn run(bus: Option<String>, args: StreamArgs) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let peer = client.node(&args.node).await?;
    let tree = client.tree(&peer.bus_name).await?;
    let streams = streams_of(&peer.name, &tree);
    let stream = find(&streams, &args, &peer.name)?;
    let fd = acquire(&client, &peer.bus_name, stream, &args).await?;
    let Some((program, rest)) = args.command.split_first() else {
        let direction = stream.direction;
        let copied = tokio::task::spawn_blocking(move || copy(fd, direction)).await;
        return Ok(copied.unwrap_or_else(|error| Err(io::Error::other(error)))?);
    };
    let mut command = Command::new(program);
    command.args(rest);
    hand_over(&mut command, fd)?;
    let error = command.exec();
    // Descriptor 3 is the stream now, and may have been one of the runtime: nothing but the end may follow.
    std::process::exit(not_started(program, &error).into())
}

/// Gives a command the stream as descriptor 3.
pub(super) fn hand_over(command: &mut Command, fd: OwnedFd) -> Result<(), Failure> {
    let mapping = FdMapping {
        parent_fd: fd,
        child_fd: DESCRIPTOR,
    };
    let mapped = command.fd_mappings(vec![mapping]);
    mapped.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    Ok(())
}

fn find<'a>(
    streams: &'a [StreamView],
    args: &StreamArgs,
    node: &str,
) -> Result<&'a StreamView, Failure> {
    let is_wanted = |stream: &&StreamView| {
        let direction = args.direction.as_deref();
        stream.dotted == args.name && direction.is_none_or(|it| it == stream.direction.name())
    };
    streams.iter().find(is_wanted).ok_or_else(|| {
        if let Some(other) = streams.iter().find(|stream| stream.dotted == args.name) {
            let message = format!(
                "\"{}\" of \"{node}\" is a {}",
                args.name,
                other.direction.name()
            );
            return Failure::new(Exit::NoCapability, message).hint("leave --direction out");
        }
        let message = format!("\"{node}\" has no stream \"{}\"", args.name);
        let failure = Failure::new(Exit::NoCapability, message);
        let names = streams.iter().map(|stream| stream.dotted.as_str());
        match suggestion(&args.name, names) {
            Some(suggestion) => failure.hint(suggestion),
            None => failure.hint("see `zocp streams` for those that there are"),
        }
    })
}

async fn acquire(
    client: &Client,
    bus_name: &str,
    stream: &StreamView,
    args: &StreamArgs,
) -> Result<OwnedFd, Failure> {
    let mut options = HashMap::from([("Direction", Variant::new(stream.direction.name()))]);
    if let Some(way) = &args.way {
        options.insert("Way", Variant::new(way.clone()));
    }
    let (interface, body) = (Some(STREAMS_INTERFACE), (&stream.name, options));
    let connection = &client.connection;
    let call = connection.call_method(Some(bus_name), &*stream.path, interface, "Acquire", &body);
    let answer = call.await?;
    let (fd, info): (zbus::OwnedFd, HashMap<String, OwnedVariant>) = answer.body().deserialize()?;
    tracing::info!(?info, "the stream is open");
    Ok(fd.into())
}

fn copy(fd: OwnedFd, direction: Direction) -> io::Result<()> {
    let standard = match direction {
        Direction::Source => io::stdout().as_fd().try_clone_to_owned()?,
        Direction::Sink => io::stdin().as_fd().try_clone_to_owned()?,
    };
    let (mut stream, mut standard) = (File::from(fd), File::from(standard));
    // Without splice(2): while it waits for a socket, nobody can read the pipe that it writes to.
    let copied = match direction {
        Direction::Source => pass(&mut stream, &mut standard),
        Direction::Sink => pass(&mut standard, &mut stream),
    };
    match copied {
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        copied => copied,
    }
}

fn pass(from: &mut File, to: &mut File) -> io::Result<()> {
    // Each read takes a packet, where it is one of packets.
    let mut octets = vec![0; PIECE_MAX];
    loop {
        match from.read(&mut octets) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(&octets[..len])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where a command has its stream.
const DESCRIPTOR: i32 = 3;

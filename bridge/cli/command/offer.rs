//! `zocp publish --source NAME …`, `zocp publish --sink NAME …`: offer a stream, until Ctrl-C or the end of a command.
//!
//! Model: the bridge shows the stream as long as this program stays on the bus. A stream at endpoints is offered again
//! to the next bridge. That of a command is a pipe, which ends with the bridge, and so does this.

use std::{
    collections::HashMap,
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Command, ExitCode, Stdio},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::Child;
use zbus::Variant;
use zocp_interfaces::LocalProxy;
use zocp_node::model::stream::Direction;

use super::{bridge::end_signals, stream::hand_over};
use crate::{
    args::OfferArgs,
    client::Client,
    exit::{Exit, Failure, not_started},
    listener::{Listener, bridge_rule, new_bridge},
};

/// Offers a stream of this name and direction.
pub(crate) async fn run(
    bus: Option<String>,
    offer: &OfferArgs,
    (name, direction): (&str, Direction),
    object: Option<&str>,
) -> Result<ExitCode, Failure> {
    // From here on Ctrl-C is our end, before anything is said about it.
    let end = end_signals(&[])?;
    if offer.command.is_empty() && offer.endpoint.is_empty() {
        let message = "a stream needs --endpoint, or a command behind --";
        return Err(Failure::new(Exit::Usage, message));
    }
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let offered = Offered {
        // Before the first offer, so that no end of the bridge is missed.
        changes: Listener::new(&client, &[bridge_rule()]).await?,
        local: LocalProxy::new(&client.connection).await?,
        offer,
        sdp: description(offer)?,
        name,
        direction,
        object,
    };
    let offered = async {
        match offer.command.is_empty() {
            true => offered.at_endpoints().await,
            false => offered.of_command().await,
        }
    };
    tokio::select! {
        ended = offered => ended,
        () = end => Ok(ExitCode::SUCCESS),
    }
}

/// A stream that is offered.
struct Offered<'a> {
    /// The bridge coming and going.
    changes: Listener,
    local: LocalProxy<'a>,
    offer: &'a OfferArgs,
    sdp: Option<String>,
    name: &'a str,
    direction: Direction,
    object: Option<&'a str>,
}

impl Offered<'_> {
    async fn at_endpoints(mut self) -> Result<ExitCode, Failure> {
        let name = self.name;
        self.publish(self.endpoints()).await?;
        eprintln!("zocp: \"{name}\" is offered until Ctrl-C");
        let mut is_offered = true;
        loop {
            let Some(owner) = new_bridge(&self.changes.next().await?)? else {
                continue;
            };
            if is_offered {
                is_offered = false;
                eprintln!(
                    "zocp: the bridge has ended: the stream is offered again when there is one"
                );
            }
            if owner.is_empty() {
                continue;
            }
            match self.publish(self.endpoints()).await {
                Ok(()) => {
                    is_offered = true;
                    eprintln!("zocp: \"{name}\" is offered again");
                }
                // It has gone again, and the bus will say so.
                Err(failure) if failure.exit == Exit::Unavailable => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    fn endpoints(&self) -> (&'static str, Variant<'static>) {
        let endpoints = self.offer.endpoint.iter().map(ToString::to_string);
        ("Endpoint", Variant::new(endpoints.collect::<Vec<_>>()))
    }

    async fn of_command(mut self) -> Result<ExitCode, Failure> {
        let Some((program, rest)) = self.offer.command.split_first() else {
            return Ok(ExitCode::SUCCESS);
        };
        let (ours, theirs) = pair(self.direction, self.offer.framing.as_deref())?;
        self.publish(("Descriptor", Variant::Fd(ours.as_fd().into())))
            .await?;
        drop(ours);
        let mut command = Command::new(program);
        command.args(rest);
        let standard = Stdio::from(copy(theirs.as_fd())?);
        match self.direction {
            Direction::Source => command.stdout(standard),
            Direction::Sink => command.stdin(standard),
        };
        hand_over(&mut command, theirs)?;
        let mut child = tokio::process::Command::from(command);
        let started = child.kill_on_drop(true).spawn();
        // What has the descriptors of the child is closed here, so that its end is the end of the stream.
        drop(child);
        let child = match started {
            Ok(child) => child,
            Err(error) => return Ok(not_started(program, &error).into()),
        };
        let program = program.to_string_lossy();
        eprintln!("zocp: \"{}\" is offered until {program} ends", self.name);
        self.follow(child, &program).await?;
        Ok(ExitCode::SUCCESS)
    }

    /// Until the command ends, or the bridge does.
    async fn follow(&mut self, mut child: Child, program: &str) -> Result<(), Failure> {
        let status = tokio::select! {
            status = child.wait() => status?,
            ended = bridge_end(&mut self.changes) => return Err(ended),
        };
        if status.success() {
            return Ok(());
        }
        // The pipe of a bridge that has ended ends the command, which may be known before the bridge's end.
        let ended = tokio::time::timeout(BRIDGE_END_WAIT, bridge_end(&mut self.changes)).await;
        let failed = Failure::new(Exit::Failure, format!("{program}: {status}"));
        Err(ended.unwrap_or(failed))
    }

    async fn publish(&self, place: (&'static str, Variant<'_>)) -> Result<(), Failure> {
        let text = |text: Option<&str>| text.map(|text| Variant::new(text.to_owned()));
        let options = [
            ("Framing", text(self.offer.framing.as_deref())),
            ("Type", text(self.offer.kind.as_deref())),
            ("Sdp", text(self.sdp.as_deref())),
            ("Mtu", self.offer.mtu.map(Variant::new)),
            ("Srtp", self.offer.srtp.then(|| Variant::new(true))),
            ("Object", text(self.object)),
        ];
        let given = options.into_iter();
        let given = given.filter_map(|(key, value)| Some((key, value?)));
        let options: HashMap<_, _> = given.chain([place]).collect();
        let direction = self.direction.name();
        let offered = self.local.publish_stream(self.name, direction, options);
        Ok(offered.await?)
    }
}

/// Why nothing is offered any more: the bridge has ended, or the bus.
async fn bridge_end(changes: &mut Listener) -> Failure {
    loop {
        match changes.next().await.and_then(|signal| new_bridge(&signal)) {
            Ok(Some(_)) => {
                let failure = Failure::new(Exit::NoBridge, "the bridge has ended");
                return failure.hint("the stream of a command ends with it: run this again");
            }
            Ok(None) => {}
            Err(failure) => return failure,
        }
    }
}

fn description(offer: &OfferArgs) -> Result<Option<String>, Failure> {
    let Some(file) = &offer.sdp else {
        return Ok(None);
    };
    let failed = |error| Failure::new(Exit::Usage, format!("{}: {error}", file.display()));
    fs::read_to_string(file).map(Some).map_err(failed)
}

/// The end for the bridge, and that for the command.
fn pair(direction: Direction, framing: Option<&str>) -> Result<(OwnedFd, OwnedFd), Failure> {
    if framing.is_some_and(|framing| framing != "octets") {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let pair = socketpair(family, SocketType::SEQPACKET, flags, None);
        return pair.map_err(|error| std::io::Error::from(error).into());
    }
    let (reader, writer) = std::io::pipe()?;
    Ok(match direction {
        Direction::Source => (reader.into(), writer.into()),
        Direction::Sink => (writer.into(), reader.into()),
    })
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    Ok(fd.try_clone_to_owned()?)
}

/// A bridge closes its pipes before it leaves the bus.
const BRIDGE_END_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

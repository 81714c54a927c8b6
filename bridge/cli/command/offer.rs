//! `zocp publish --source NAME …`, `zocp publish --sink NAME …`: offer a stream, until Ctrl-C or the end of a command.

use std::{
    collections::HashMap,
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Command, ExitCode, Stdio},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::signal::unix::{SignalKind, signal};
use zbus::Variant;
use zocp_interfaces::LocalProxy;

use super::stream::hand_over;
use crate::{
    args::OfferArgs,
    client::Client,
    exit::{Exit, Failure, not_started},
};

/// Offers a stream of this name and direction.
pub(crate) async fn run(
    bus: Option<String>,
    offer: &OfferArgs,
    (name, direction): (&str, &str),
    object: Option<&str>,
) -> Result<ExitCode, Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let local = LocalProxy::new(&client.connection).await?;
    let mut options = options(offer, object)?;
    let Some((program, rest)) = offer.command.split_first() else {
        if offer.endpoint.is_empty() {
            let message = "a stream needs --endpoint, or a command behind --";
            return Err(Failure::new(Exit::Usage, message));
        }
        options.insert("Endpoint", Variant::new(offer.endpoint.clone()));
        local.publish_stream(name, direction, options).await?;
        eprintln!("zocp: \"{name}\" is offered until Ctrl-C");
        until_interrupted(std::future::pending()).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let (ours, theirs) = pair(direction, offer.framing.as_deref())?;
    options.insert("Descriptor", Variant::Fd(ours.as_fd().into()));
    local.publish_stream(name, direction, options).await?;
    drop(ours);
    let mut command = Command::new(program);
    command.args(rest);
    let standard = Stdio::from(copy(theirs.as_fd())?);
    match direction {
        "source" => command.stdout(standard),
        _ => command.stdin(standard),
    };
    hand_over(&mut command, theirs)?;
    let mut child = tokio::process::Command::from(command);
    let started = child.kill_on_drop(true).spawn();
    // What has the descriptors of the child is closed here, so that its end is the end of the stream.
    drop(child);
    let mut started = match started {
        Ok(started) => started,
        Err(error) => return Ok(not_started(program, &error).into()),
    };
    let program = program.to_string_lossy();
    eprintln!("zocp: \"{name}\" is offered until {program} ends");
    until_interrupted(async {
        match started.wait().await {
            Ok(status) if !status.success() => {
                Err(Failure::new(Exit::Failure, format!("{program}: {status}")))
            }
            ended => Ok(ended.map(drop)?),
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

async fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = work => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

fn options<'a>(
    offer: &OfferArgs,
    object: Option<&str>,
) -> Result<HashMap<&'static str, Variant<'a>>, Failure> {
    let text = |text: Option<&str>| text.map(|text| Variant::new(text.to_owned()));
    let sdp =
        match &offer.sdp {
            Some(file) => Some(fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::Usage, format!("{}: {error}", file.display()))
            })?),
            None => None,
        };
    let options = [
        ("Framing", text(offer.framing.as_deref())),
        ("Type", text(offer.kind.as_deref())),
        ("Sdp", text(sdp.as_deref())),
        ("Mtu", offer.mtu.map(Variant::new)),
        ("Srtp", offer.srtp.then(|| Variant::new(true))),
        ("Object", text(object)),
    ];
    let given = options.into_iter();
    Ok(given
        .filter_map(|(key, value)| Some((key, value?)))
        .collect())
}

/// The end for the bridge, and that for the command.
fn pair(direction: &str, framing: Option<&str>) -> Result<(OwnedFd, OwnedFd), Failure> {
    if framing.is_some_and(|framing| framing != "octets") {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let pair = socketpair(family, SocketType::SEQPACKET, flags, None);
        return pair.map_err(|error| std::io::Error::from(error).into());
    }
    let (reader, writer) = std::io::pipe()?;
    Ok(match direction {
        "source" => (reader.into(), writer.into()),
        _ => (writer.into(), reader.into()),
    })
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    Ok(fd.try_clone_to_owned()?)
}

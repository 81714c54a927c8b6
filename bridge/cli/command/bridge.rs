//! `zocp bridge`: run the bridge until it is told to end.
//!
//! Model: flags and environment are laid over the file, the rest is `zocp_daemon::run`. SIGINT and
//! SIGTERM end it in order; at SIGHUP the file is read again (`reading`).

mod reading;

use std::path::PathBuf;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use zocp_daemon::{
    config::ConfigError,
    run::{RunError, Status, run as run_bridge},
};
use zocp_dbus::bus::{BusError, BusKind};
use zocp_node::{Network, PublicKey, StartError};

use self::reading::Reading;
use crate::{
    args::{BridgeArgs, of_flag},
    exit::{Exit, Failure},
    notify::notify,
};

pub(crate) async fn run(args: BridgeArgs, bus: Option<String>) -> Result<(), Failure> {
    let place = args.config.clone();
    let said = args.into_config(bus);
    said.clone().check().map_err(of_flag)?;
    let reading = Reading::new(place, said)?;
    let settings = reading.settings()?;
    let key = settings.key();
    let hangup = signal(SignalKind::hangup())?;
    let shutdown = end_signals(&[])?;
    let about = about(key, settings.has_key_for_links(), reading.file());
    let told = move |status| {
        let is_ready = matches!(status, Status::Ready { .. });
        told(status);
        if is_ready {
            eprintln!("zocp: {about}");
        }
    };
    // One is enough: who is faster than the bridge waits.
    let (reload, reloads) = mpsc::channel(1);
    tokio::select! {
        outcome = run_bridge(settings, reloads, shutdown, told) => Ok(outcome?),
        () = reading.follow(hangup, key, reload) => Ok(()),
    }
}

/// Done at the first SIGINT or SIGTERM, or other one of these.
///
/// # Errors
/// When the system does not let us listen for signals.
pub(crate) fn end_signals(
    others: &[SignalKind],
) -> Result<impl Future<Output = ()> + use<>, Failure> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    let signals = kinds.iter().chain(others).map(|kind| signal(*kind));
    let mut signals = signals.collect::<Result<Vec<_>, _>>()?;
    Ok(async move {
        let ends = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(ends).await;
    })
}

/// The version, the kind of mesh, and the file that was read.
fn about(key: Option<PublicKey>, is_for_links: bool, file: Option<PathBuf>) -> String {
    let mesh = match key {
        Some(key) if is_for_links => {
            format!(
                "open mesh, links with the fingerprint {}",
                key.fingerprint()
            )
        }
        Some(key) => format!("secure mesh, fingerprint {}", key.fingerprint()),
        None => String::from("open mesh"),
    };
    let file = match file {
        Some(file) => format!("configuration {}", file.display()),
        None => String::from("no configuration file"),
    };
    format!("version {}, {mesh}, {file}", env!("CARGO_PKG_VERSION"))
}

fn told(status: Status) {
    match status {
        Status::Ready {
            name,
            port,
            networks,
            kind,
            address,
        } => {
            let networks = listed(&networks);
            eprintln!("zocp: bridge \"{name}\" on {address}, mesh port {port} on {networks}");
            if kind == BusKind::Embedded {
                eprintln!("zocp: this is a bus of its own; to use it from another shell:");
                eprintln!("  export DBUS_SESSION_BUS_ADDRESS='{address}'");
            }
            notify(&format!(
                "READY=1\nSTATUS=\"{name}\" on the {kind}, mesh port {port}\n"
            ));
        }
        Status::Reloaded => notify("READY=1\n"),
        Status::Lost(reason) => {
            eprintln!("zocp: off the bus: {reason}; trying again");
            notify(&format!("STATUS=off the bus: {reason}\n"));
        }
        Status::Stopping => notify("STOPPING=1\n"),
        _ => {}
    }
}

/// `eth0 10.0.0.1, wlan0 192.168.1.4`. That of IPv6 is named where a link has no other.
fn listed(networks: &[Network]) -> String {
    let has_ipv4 = |index| {
        networks
            .iter()
            .any(|it| it.index == index && it.address.is_ipv4())
    };
    let list = networks
        .iter()
        .filter(|network| network.address.is_ipv4() || !has_ipv4(network.index))
        .map(|network| format!("{} {}", network.name, network.address));
    match list.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => String::from("no network"),
        list => list,
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let text = format!("{error}{}", cause.unwrap_or_default());
        Self::new(Exit::Usage, text.trim_end())
    }
}

fn is_taken(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrInUse
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let text = error.to_string();
        match error {
            RunError::Bus(BusError::Unreachable {
                kind: BusKind::Session,
                ..
            }) => Self::new(Exit::NoBus, text)
                .hint("start a session, or give the bridge a bus of its own: --bus embedded"),
            RunError::Bus(_) => Self::new(Exit::NoBus, text),
            RunError::NameTaken { .. } => Self::new(Exit::NameTaken, text)
                .hint("end that one, or run this one on another bus: --bus embedded"),
            RunError::NameDenied {
                kind: BusKind::System,
                ..
            } => Self::new(Exit::NoBus, text).hint(
                "install dbus-policy/system/org.z25.Zocp1.conf to /usr/share/dbus-1/system.d",
            ),
            RunError::Mesh(StartError::Beacon { port, error }) if is_taken(&error) => {
                Self::new(Exit::NoMesh, text).hint(format!(
                    "see who has it: ss -lunp sport = :{port}; or move all nodes: --port"
                ))
            }
            RunError::Mesh(StartError::MailboxPorts { error, .. }) if is_taken(&error) => {
                Self::new(Exit::NoMesh, text).hint(
                    "see who has it: ss -ltnp; or choose another, or a range for several bridges: \
                     --mailbox-port 49152-49160",
                )
            }
            RunError::Mesh(_) => Self::new(Exit::NoMesh, text),
            _ => Self::new(Exit::Failure, text),
        }
    }
}

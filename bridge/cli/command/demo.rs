//! `zocp demo`: the whole thing on this machine alone.
//!
//! Model: two nodes of ours, a fader that moves by itself and a lamp that can be set, and a bridge, on a
//! mesh of the loopback without beacons: nothing leaves the machine, and it works without any network.
//! The bus is the session bus, or an embedded one where there is none or a bridge has it already.

mod lamp;

use std::{env, f64::consts::TAU, fmt::Write as _, time::Duration};

use tokio::{
    signal::unix::SignalKind,
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, timeout},
};
use zocp_daemon::{
    config::{Beacon, BusConfig, Config, MeshConfig},
    run::{RunError, Status, run as run_bridge},
};
use zocp_dbus::bus::BusKind;
use zocp_node::{Access, BeaconMode, Capability, Events, Node, NodeError, StartError};

use super::bridge::end_signals;
use crate::{
    client::Client,
    exit::{Exit, Failure},
};

pub(crate) async fn run(bus: Option<String>) -> Result<(), Failure> {
    // A closed terminal ends it too.
    let mut end = std::pin::pin!(end_signals(&[SignalKind::hangup()])?);
    let (fader, _) = start("fader").await?;
    let (lamp, at_lamp) = start("lamp").await?;
    publish(&fader, &lamp).await?;
    let nodes = async {
        tokio::select! {
            () = move_fader(&fader) => {}
            () = lamp::run(&lamp, at_lamp) => {}
        }
    };
    let peers = [&fader, &lamp].map(|node| format!("tcp://127.0.0.1:{}", node.port()));
    let mut failed = None;
    let bridges = async {
        match bridge(bus.clone(), &peers, &mut end, &mut failed).await {
            Err(RunError::NameTaken { .. }) if bus.is_none() => {
                println!("A bridge is running here already: the demo takes a bus of its own.\n");
                bridge(
                    Some(String::from("embedded")),
                    &peers,
                    &mut end,
                    &mut failed,
                )
                .await
            }
            outcome => outcome,
        }
    };
    let outcome = tokio::select! {
        outcome = bridges => outcome,
        () = nodes => Err(RunError::MeshEnded),
    };
    fader.shutdown().await;
    lamp.shutdown().await;
    outcome?;
    failed.map_or(Ok(()), Err)
}

/// Runs a bridge that meets these peers, and tells what to do when all is there.
async fn bridge(
    bus: Option<String>,
    peers: &[String],
    end: impl Future<Output = ()>,
    failed: &mut Option<Failure>,
) -> Result<(), RunError> {
    let mesh = MeshConfig {
        name: Some(String::from("demo")),
        beacon: Some(Beacon::Off),
        peers: Some(peers.to_vec()),
        loopback: Some(true),
        ..MeshConfig::default()
    };
    let config = Config {
        mesh,
        bus: BusConfig { address: bus },
        ..Config::default()
    };
    let settings = config
        .check()
        .map_err(|error| StartError::Config(error.to_string()))?;
    let (told, status) = watch::channel(None);
    let tell = move |status| {
        told.send_replace(Some(status));
    };
    let (_, never) = mpsc::channel(1);
    tokio::select! {
        outcome = run_bridge(settings, never, end, tell) => outcome,
        failure = greet_when_ready(status) => {
            *failed = Some(failure);
            Ok(())
        }
    }
}

/// Tells what to do as soon as all is there, unless the end comes first; then pends. Returns why that failed.
async fn greet_when_ready(mut status: watch::Receiver<Option<Status>>) -> Failure {
    let ready = status
        .wait_for(|status| matches!(status, Some(Status::Ready { .. })))
        .await;
    let place = ready.ok().and_then(|ready| match &*ready {
        Some(Status::Ready { kind, address, .. }) => Some((*kind, address.clone())),
        _ => None,
    });
    if let Some((kind, address)) = place {
        tokio::select! {
            greeted = greet(kind, &address) => if let Err(failure) = greeted {
                return failure.hint("is the loopback up? `ip link set lo up`");
            },
            _ = status.wait_for(|status| matches!(status, Some(Status::Stopping))) => {}
        }
    }
    std::future::pending().await
}

async fn start(name: &str) -> Result<(Node, Events), Failure> {
    let config = zocp_node::Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    Node::start(config)
        .await
        .map_err(|error| Failure::new(Exit::NoMesh, error.to_string()))
}

async fn publish(fader: &Node, lamp: &Node) -> Result<(), Failure> {
    let level = Capability::new(Access::READ | Access::EMIT, 0.5).with_range(0.0, 1.0);
    let outcome: Result<(), NodeError> = async {
        fader.publish("level", level).await?;
        lamp::publish(lamp).await
    }
    .await;
    outcome.map_err(|error| Failure::new(Exit::Failure, error.to_string()))
}

/// Up and down, once in ten seconds, until the node ends.
async fn move_fader(fader: &Node) {
    let start = Instant::now();
    let mut ticks = interval(FADER_STEP);
    loop {
        ticks.tick().await;
        let phase = start.elapsed().as_secs_f64() / FADER_PERIOD.as_secs_f64();
        let level = ((0.5 - 0.5 * (phase * TAU).cos()) * 1000.0).round() / 1000.0;
        if fader.emit("level", level).await.is_err() {
            return;
        }
    }
}

/// Waits until both nodes are on the bus, and tells what to type.
async fn greet(kind: BusKind, address: &str) -> Result<(), Failure> {
    let client = Client::open(Some(address)).await?;
    let appeared = async {
        loop {
            let peers = client.peers().await?;
            if peers
                .iter()
                .filter(|peer| !peer.bus_name.is_empty())
                .count()
                >= 2
            {
                return Ok::<_, Failure>(peers);
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let peers = match timeout(APPEAR_MAX, appeared).await {
        Ok(peers) => peers?,
        Err(_) => {
            return Err(Failure::new(
                Exit::Failure,
                "the nodes do not appear on the bus",
            ));
        }
    };
    let mut text =
        String::from("Two nodes are on the mesh, and the bridge shows them on D-Bus:\n\n");
    for peer in peers {
        let _ = writeln!(text, "  {:<7} {}", peer.name, peer.bus_name);
    }
    text.push_str("\nNow, in another shell:\n\n");
    let unsearched = unsearched();
    if let Some(directory) = &unsearched {
        let _ = writeln!(text, "  export PATH='{directory}':\"$PATH\"");
    }
    if kind != BusKind::Session {
        let _ = writeln!(text, "  export DBUS_SESSION_BUS_ADDRESS='{address}'");
    }
    if unsearched.is_some() || kind != BusKind::Session {
        text.push('\n');
    }
    text.push_str(NEXT);
    println!("{text}");
    Ok(())
}

/// Where this program is, if a shell would not find it: as after `cargo run`.
fn unsearched() -> Option<String> {
    let program = env::current_exe().ok()?;
    let directory = program.parent()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let is_searched = env::split_paths(&path).any(|searched| searched.join("zocp").is_file());
    (!is_searched).then(|| directory.display().to_string())
}

const NEXT: &str = "  zocp tree                                # what is there
  zocp set lamp brightness 0.8             # the lamp says so here
  zocp wire fader:level lamp:brightness    # and now it follows the fader
  zocp wires                               # all wires
  zocp watch lamp brightness               # its values, until Ctrl-C
  zocp unwire fader:level lamp:brightness
  zocp call lamp blink 3                   # a method
  zocp set lamp brightness 2               # out of range: refused

And with any D-Bus tool:

  busctl --user introspect org.z25.Zocp1.Node.lamp /org/z25/Zocp1/Node \\
         org.z25.Zocp1.Values
  busctl --user set-property org.z25.Zocp1.Node.lamp /org/z25/Zocp1/Node \\
         org.z25.Zocp1.Values brightness d 0.5
  gdbus monitor --session --dest org.z25.Zocp1.Node.fader

Ctrl-C ends the demo.";

const FADER_STEP: Duration = Duration::from_millis(100);
const FADER_PERIOD: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const APPEAR_MAX: Duration = Duration::from_secs(10);

//! Benchmarks of a running bridge, seen from its bus.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use zbus::Connection;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zocp_node::{Access, BeaconMode, Capability, Config, Events, Node};

use crate::Reflector;

/// How long each node takes from its start to its name on the bus.
pub(crate) async fn appear(bus: &str, program: Option<String>, times: usize) -> Result<()> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let mut taken = Vec::with_capacity(times);
    for number in 0..times {
        let name = format!("appear{number}");
        let mut changes = changes(&connection).await?;
        let start = Instant::now();
        let node = Started::new(&name, program.as_deref()).await?;
        until(&mut changes, &name, true).await?;
        taken.push(start.elapsed().as_secs_f64() * 1e3);
        node.end().await;
        until(&mut changes, &name, false).await?;
    }
    taken.sort_by(f64::total_cmp);
    let what = program.as_deref().unwrap_or("a node of ours");
    println!("{what}: start to name on the bus, {times} times, in ms:");
    println!(
        "least {:.1}  median {:.1}  most {:.1}",
        taken[0],
        taken[times / 2],
        taken[times - 1]
    );
    Ok(())
}

/// A node, either of ours in this process or another program.
enum Started {
    Ours(
        Node,
        #[expect(dead_code, reason = "the node is blocked without its reader")] Events,
    ),
    Program(Reflector),
}

impl Started {
    async fn new(name: &str, program: Option<&str>) -> Result<Self> {
        if let Some(program) = program {
            let child = Command::new(program)
                .args(["zocp", name])
                .stdout(Stdio::null())
                .spawn();
            let child = child.with_context(|| format!("cannot run {program}"))?;
            return Ok(Self::Program(Reflector(child)));
        }
        let (node, events) = Node::start(Config::new(name)).await?;
        node.publish(
            "level",
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5),
        )
        .await?;
        Ok(Self::Ours(node, events))
    }

    async fn end(self) {
        match self {
            Self::Ours(node, _) => node.shutdown().await,
            Self::Program(child) => drop(child),
        }
    }
}

/// Many nodes for one bridge: time until all are on the bus, its memory for each, its rest.
pub(crate) async fn swarm(bus: &str, pid: u32, count: usize, capabilities: usize) -> Result<()> {
    let connection = zbus::connection::Builder::address(bus).build().await?;
    let endpoint = endpoint(&connection).await?;
    let mut changes = changes(&connection).await?;
    let before = Usage::of(pid)?;
    let start = Instant::now();
    let mut nodes = Vec::with_capacity(count);
    for number in 0..count {
        let config = Config::new(format!("swarm{number}"))
            .with_beacon(BeaconMode::Off)
            .without_following();
        let (node, mut events) = Node::start(config).await?;
        for capability in 0..capabilities {
            let described = Capability::new(Access::READ | Access::WRITE | Access::EMIT, 0.5)
                .with_range(0.0, 1.0);
            node.publish(format!("value{capability}").as_str(), described)
                .await?;
        }
        // Each node's events are taken, so that none is blocked.
        tokio::spawn(async move { while events.next().await.is_some() {} });
        nodes.push(node);
    }
    let made = start.elapsed();
    for node in &nodes {
        node.connect(&endpoint).await?;
    }
    for _ in 0..count {
        until(&mut changes, "swarm", true).await?;
    }
    println!(
        "{count} nodes with {capabilities} capabilities: on the bus {:.2} s after the first greeting",
        (start.elapsed() - made).as_secs_f64()
    );
    tokio::time::sleep(SETTLE).await;
    let after = Usage::of(pid)?;
    println!(
        "memory of the bridge: {:.0} KB a node ({} MB before, {} MB after)",
        (after.resident - before.resident) as f64 / 1e3 / count as f64,
        before.resident / 1_000_000,
        after.resident / 1_000_000
    );
    tokio::time::sleep(REST).await;
    let rest = Usage::of(pid)?.busy - after.busy;
    println!(
        "processor of the bridge at rest: {:.2} %",
        100.0 * rest / REST.as_secs_f64()
    );
    Ok(())
}

/// What a process has taken so far.
struct Usage {
    /// Octets of memory in use.
    resident: u64,
    /// Seconds of processor.
    busy: f64,
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line
            .and_then(|line| line.split_whitespace().nth(1))
            .context("no VmRSS")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').context("no name in stat")?.1;
        let mut times = fields.split_whitespace().skip(11).take(2);
        let mut ticks = || {
            times
                .next()
                .context("no times")?
                .parse::<f64>()
                .map_err(anyhow::Error::from)
        };
        Ok(Self {
            resident: kilobytes.parse::<u64>()? * 1024,
            busy: (ticks()? + ticks()?) / TICKS_PER_S,
        })
    }
}

async fn endpoint(connection: &Connection) -> Result<String> {
    let bridge = zbus::proxy::Builder::<zbus::Proxy<'_>>::new(connection)
        .destination("org.z25.Zocp1")
        .path("/org/z25/Zocp1")
        .interface("org.z25.Zocp1.Bridge")
        .build()
        .await?;
    Ok(bridge.get_property("Endpoint").await?)
}

async fn changes(connection: &Connection) -> Result<NameOwnerChangedStream> {
    Ok(DBusProxy::new(connection)
        .await?
        .receive_name_owner_changed()
        .await?)
}

/// Waits until a node whose label starts with this came to the bus, or left it.
async fn until(changes: &mut NameOwnerChangedStream, label: &str, came: bool) -> Result<()> {
    let wanted = format!("org.z25.Zocp1.Node.{label}");
    let wait = async {
        while let Some(change) = changes.next().await {
            let change = change.args()?;
            if change.name().starts_with(&wanted) && change.new_owner().is_some() == came {
                return Ok(());
            }
        }
        anyhow::bail!("the bus is gone")
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .with_context(|| format!("waiting for {wanted}"))?
}

/// Kernel's unit in /proc, the same on every Linux of today.
const TICKS_PER_S: f64 = 100.0;
const SETTLE: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

//! Benchmarks of the mesh and of the bridge.
//!
//! Model: `compare` is two processes that whisper to each other, ours beside rivals: a *driver* meets a *reflector* by its name and measures round trips, then a flood in one
//! direction. Each contender is a pair of commands with these two roles; `compare` runs their
//! drivers in turns, batch by batch, and prints medians and ratios, which alone count. `appear` and
//! `swarm` (`bridge.rs`) are about a bridge: how soon nodes are on its bus, and how many. `codec`
//! (`codec.rs`) is what CURVE costs, `tap` what counting and listening cost, `emission` how long one takes over two bridges, `services`
//! (`services.rs`) is about services of another bus, `show` makes values that change.

mod bridge;
mod codec;
mod emission;
mod large;
mod services;
mod show;
mod tap;
mod wires;

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use zocp_node::{Config, Content, Event, Events, Node, PeerId};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Echo whispers; count those that begin with '#', and answer "END" with the count
    Reflect { name: String },
    /// Measure against the reflector `peer`; print one line of JSON
    Drive {
        name: String,
        peer: String,
        trips: usize,
        flood: usize,
        size: usize,
    },
    /// Time from the start of a node to its name on the bus of a running bridge
    Appear {
        /// The bus of the bridge
        bus: String,
        /// A program that takes the role `zocp NAME`, such as zyre_peer; without it: a node of ours
        #[arg(long)]
        program: Option<String>,
        #[arg(long, default_value_t = 20)]
        times: usize,
    },
    /// On a bus with a bridge: what a wire costs, alone and beside others, and whether many emissions
    /// arrive in order
    Wires {
        /// The bus's address
        bus: String,
        /// Wires beside the one that is measured
        #[arg(long, default_value_t = 999)]
        others: usize,
        /// Emissions at once
        #[arg(long, default_value_t = 50_000)]
        count: i64,
    },
    /// On a bus with a bridge: what a node of many objects and what many wires cost
    Large {
        /// The bus's address
        bus: String,
        #[arg(long, default_value_t = 4000)]
        objects: usize,
        #[arg(long, default_value_t = 1000)]
        wires: usize,
    },
    /// Be many nodes, that meet nobody but the bridge whose bus this is, and measure it
    Swarm {
        /// The bus of the bridge
        bus: String,
        /// Process id of the bridge
        pid: u32,
        #[arg(long, default_value_t = 200)]
        nodes: usize,
        #[arg(long, default_value_t = 50)]
        capabilities: usize,
    },
    /// Be many nodes whose values change
    Show {
        /// The endpoint of the bridge that they meet
        peer: String,
        #[arg(long, default_value_t = 200)]
        nodes: usize,
        #[arg(long, default_value_t = 5)]
        capabilities: usize,
        /// Changes a second, of all nodes together
        #[arg(long, default_value_t = 1000)]
        rate: usize,
    },
    /// What CURVE costs beside NULL: the codec alone
    Codec {
        #[arg(long, default_value_t = 501)]
        batches: usize,
        /// In a batch, which should be over before another program gets the processor
        #[arg(long, default_value_t = 200)]
        messages: usize,
        #[arg(long, default_values_t = [100, 1000, 10_000])]
        size: Vec<usize>,
    },
    /// What counting a message costs, and a tap that is closed or open
    Tap {
        #[arg(long, default_value_t = 15)]
        batches: usize,
        #[arg(long, default_value_t = 100_000)]
        messages: usize,
    },
    /// Time from setting a value on the bus of one bridge to its signal on the bus of another
    Emission {
        /// The bus of the program that emits
        near: String,
        /// The bus of the listener
        far: String,
        #[arg(long, default_value_t = 5)]
        batches: usize,
        #[arg(long, default_value_t = 2000)]
        count: usize,
    },
    /// Be a service on a bus, for `services` to call
    Serve {
        /// The bus
        bus: String,
    },
    /// Calls, signals and properties of a service on its bus and through bridges
    Services {
        /// `label|bus|name`; the first is what the others are compared with
        #[arg(long = "target")]
        targets: Vec<String>,
        /// Only figures whose titles begin so
        #[arg(long, default_value = "")]
        only: String,
        #[arg(long, default_value_t = 9)]
        batches: usize,
        #[arg(long, default_value_t = 400)]
        calls: usize,
    },
    /// Run contenders in turns
    Compare {
        /// `label=command`: a program that takes the roles `reflect` and `drive` as this one does.
        /// This program itself is always the first contender
        #[arg(long = "rival")]
        rivals: Vec<String>,
        #[arg(long, default_value_t = 7)]
        batches: usize,
        #[arg(long, default_value_t = 3000)]
        trips: usize,
        #[arg(long, default_value_t = 200_000)]
        flood: usize,
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
}

/// One of the figures of a batch.
type Figure = fn(&Figures) -> f64;

#[derive(Serialize, Deserialize, Clone, Copy)]
struct Figures {
    p50_us: f64,
    p99_us: f64,
    per_s: f64,
}

fn main() -> Result<()> {
    match Cli::parse().role {
        Role::Compare {
            rivals,
            batches,
            trips,
            flood,
            size,
        } => compare(&rivals, batches, &[trips, flood, size]),
        Role::Codec {
            batches,
            messages,
            size,
        } => {
            codec::run(batches, messages, &size);
            Ok(())
        }
        role => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(take(role))
        }
    }
}

async fn take(role: Role) -> Result<()> {
    match role {
        Role::Reflect { name } => reflect(&name).await,
        Role::Drive {
            name,
            peer,
            trips,
            flood,
            size,
        } => {
            let figures = drive(&name, &peer, trips, flood, size).await?;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
        Role::Appear {
            bus,
            program,
            times,
        } => bridge::appear(&bus, program, times).await,
        Role::Emission {
            near,
            far,
            batches,
            count,
        } => emission::emission(&near, &far, batches, count).await,
        Role::Tap { batches, messages } => tap::run(batches, messages).await,
        Role::Wires { bus, others, count } => wires::wires(&bus, others, count).await,
        Role::Large {
            bus,
            objects,
            wires,
        } => large::large(&bus, objects, wires).await,
        Role::Swarm {
            bus,
            pid,
            nodes,
            capabilities,
        } => bridge::swarm(&bus, pid, nodes, capabilities).await,
        Role::Show {
            peer,
            nodes,
            capabilities,
            rate,
        } => show::show(&peer, nodes, capabilities, rate).await,
        Role::Serve { bus } => services::serve(&bus).await,
        Role::Services {
            targets,
            only,
            batches,
            calls,
        } => services::compare(&targets, &only, batches, calls).await,
        Role::Compare { .. } | Role::Codec { .. } => Ok(()),
    }
}

async fn start(name: &str) -> Result<(Node, Events)> {
    Ok(Node::start(Config::new(name).without_following()).await?)
}

async fn reflect(name: &str) -> Result<()> {
    let (node, mut events) = start(name).await?;
    let mut counted = 0_u64;
    while let Some((peer, content)) = next_whisper(&mut events).await {
        let first = &content[0];
        if first.first() == Some(&b'#') {
            counted += 1;
        } else if &first[..] == b"END" {
            node.whisper(peer, one(counted.to_string().into())).await?;
            counted = 0;
        } else {
            node.whisper(peer, content).await?;
        }
    }
    Ok(())
}

async fn drive(name: &str, peer: &str, trips: usize, flood: usize, size: usize) -> Result<Figures> {
    let (node, mut events) = start(name).await?;
    let peer = loop {
        match events.next().await.context("the node ended")? {
            Event::Entered(info) if info.name == peer => break info.id,
            _ => {}
        }
    };
    let payload = Bytes::from(vec![b'x'; size]);
    let mut taken = Vec::with_capacity(trips);
    for _ in 0..trips {
        let start = Instant::now();
        node.whisper(peer, one(payload.clone())).await?;
        next_whisper(&mut events).await.context("the node ended")?;
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    let mut payload = vec![b'x'; size];
    payload[0] = b'#';
    let start = Instant::now();
    for _ in 0..flood {
        // As a program would: each message has octets of its own.
        node.whisper(peer, one(Bytes::copy_from_slice(&payload)))
            .await?;
    }
    node.whisper(peer, one(Bytes::from_static(b"END"))).await?;
    let (_, count) = next_whisper(&mut events).await.context("the node ended")?;
    let per_s = flood as f64 / start.elapsed().as_secs_f64();
    if count[0] != flood.to_string() {
        bail!("{:?} of {flood} arrived", count[0]);
    }
    node.shutdown().await;
    Ok(Figures {
        p50_us: taken[trips / 2],
        p99_us: taken[trips * 99 / 100],
        per_s,
    })
}

async fn next_whisper(events: &mut Events) -> Option<(PeerId, Content)> {
    loop {
        if let Event::Whispered { peer, content } = events.next().await? {
            return Some((peer, content));
        }
    }
}

fn one(octets: Bytes) -> Content {
    Content::from_iter([octets])
}

struct Contender {
    label: String,
    command: String,
    reflector: Reflector,
    figures: Vec<Figures>,
}

/// A running reflector, ended when dropped.
pub(crate) struct Reflector(pub(crate) Child);

impl Drop for Reflector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Contender {
    fn new(label: &str, command: &str) -> Result<Self> {
        let name = format!("reflector-{label}");
        let child = Command::new(command)
            .args(["reflect", &name])
            .stdout(Stdio::null())
            .spawn();
        let reflector = Reflector(child.with_context(|| format!("cannot run {command}"))?);
        let (label, command) = (label.to_owned(), command.to_owned());
        Ok(Self {
            label,
            command,
            reflector,
            figures: Vec::new(),
        })
    }

    fn batch(&mut self, sizes: &[usize; 3]) -> Result<()> {
        let (driver, peer) = (
            format!("driver-{}", self.label),
            format!("reflector-{}", self.label),
        );
        let output = Command::new(&self.command)
            .args(["drive", &driver, &peer])
            .args(sizes.map(|n| n.to_string()))
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            bail!(
                "{} failed; its reflector is {:?}",
                self.label,
                self.reflector.0.try_wait()
            );
        }
        self.figures.push(serde_json::from_slice(&output.stdout)?);
        Ok(())
    }

    fn median(&self, figure: Figure) -> f64 {
        let mut all: Vec<f64> = self.figures.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }
}

fn compare(rivals: &[String], batches: usize, sizes: &[usize; 3]) -> Result<()> {
    let ours = std::env::current_exe()?;
    let ours = ours
        .to_str()
        .context("the path of this program is not UTF-8")?;
    let mut contenders = vec![Contender::new("zocp", ours)?];
    for rival in rivals {
        let (label, command) = rival
            .split_once('=')
            .context("--rival takes label=command")?;
        contenders.push(Contender::new(label, command)?);
    }
    for _ in 0..batches {
        for contender in &mut contenders {
            contender.batch(sizes)?;
        }
    }
    let figures: [(&str, Figure); 3] = [
        ("p50 µs", |f| f.p50_us),
        ("p99 µs", |f| f.p99_us),
        ("msgs/s", |f| f.per_s),
    ];
    println!(
        "{} octets, median of {batches} alternating batches",
        sizes[2]
    );
    for (what, figure) in figures {
        let base = contenders[0].median(figure);
        for contender in &contenders {
            let value = contender.median(figure);
            let label = &contender.label;
            println!(
                "{what:8} {label:12} {value:12.0}   zocp is {:.2} of it",
                base / value
            );
        }
    }
    Ok(())
}

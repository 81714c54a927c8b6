//! Nodes whose values change, for measuring what follows them: each value is the time at which it was emitted.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};
use zocp_node::{Access, BeaconMode, Capability, Config, Node};

/// Runs until it is killed. The nodes meet nobody but the peer at this endpoint. In turn, each emits from its capability
/// `fast` the milliseconds since 1970, so that all of them together change `rate` times a second; the others stay as they
/// are.
pub(crate) async fn show(peer: &str, nodes: usize, capabilities: usize, rate: usize) -> Result<()> {
    let mut all = Vec::with_capacity(nodes);
    for number in 0..nodes {
        let config = Config::new(format!("show{number}"))
            .with_beacon(BeaconMode::Off)
            .without_following();
        let (node, mut events) = Node::start(config).await?;
        let access = Access::READ | Access::WRITE | Access::EMIT;
        node.publish("fast", Capability::new(access, now())).await?;
        for capability in 1..capabilities {
            let described = Capability::new(access, 0.5).with_range(0.0, 1.0);
            let name = format!("value{capability}");
            node.publish(name.as_str(), described).await?;
        }
        // Each node's events are taken, so that none is blocked.
        tokio::spawn(async move { while events.next().await.is_some() {} });
        node.connect(peer).await?;
        all.push(node);
    }
    println!("ready");
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = 0;
    loop {
        tick.tick().await;
        for _ in 0..(rate * usize::try_from(TICK.as_millis())?).div_ceil(1000) {
            all[next].emit("fast", now()).await?;
            next = (next + 1) % all.len();
        }
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1e3
}

const TICK: Duration = Duration::from_millis(10);

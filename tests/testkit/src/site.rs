//! Venues, each with a mesh of its own behind a router, and a bridge that is linked with those of others.
//!
//! The lab's network is the one between the routers. A router translates addresses, lets no connection in, and forwards
//! TCP 5671 to the bridge if others link to it.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::Value;

use crate::{Bridge, Cmd, Gate, Host, Lab, Nat, in_time};

/// What a venue is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'p> {
    /// Its name.
    pub name: &'p str,
    /// The name of its bridge as a node.
    pub bridge: &'p str,
    /// The venues before it that its bridge dials.
    pub dials: &'p [&'p str],
    /// The venues whose bridges it trusts; those that it dials are trusted by that.
    pub trusts: &'p [&'p str],
    /// Rules, as in the file.
    pub rules: &'p str,
}

/// A venue.
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its bridge.
    pub bridge: Bridge,
    /// The machine of its bridge.
    pub host: Host,
    /// The machine between its network and the others, and its network.
    pub gate: Gate,
    /// The configuration of its bridge.
    pub config: String,
    /// The public key of its bridge.
    pub key: String,
    /// Its address for the others.
    pub outside: String,
}

impl Site {
    /// Opens venues, in order.
    ///
    /// # Panics
    /// When one does not come up.
    pub async fn open_all(lab: &Lab, zocp: &str, plans: &[Plan<'_>]) -> Vec<Self> {
        let mut keys = Vec::new();
        for plan in plans {
            let file = lab.path(&format!("{}.key", plan.name));
            let made = Cmd::new(zocp)
                .args(["key", "new", &file, "--json"])
                .run()
                .await;
            let made: Value = serde_json::from_str(&made).expect("JSON");
            let key = made["key"].as_str().expect("a key").to_owned();
            keys.push((plan.name, file, key));
        }
        let mut sites: Vec<Self> = Vec::new();
        for (plan, (_, file, key)) in plans.iter().zip(&keys) {
            let mut text = format!(
                "[venue]\nname = '{}'\nkey = '{file}'\nlisten = '0.0.0.0:5671'\n",
                plan.name
            );
            let trusted = keys.iter().filter(|(name, ..)| plan.trusts.contains(name));
            let trusted: Vec<&str> = trusted.map(|(.., key)| key.as_str()).collect();
            text += &format!("trusted = {trusted:?}\n");
            for to in plan.dials {
                let to = sites.iter().find(|site| site.name == *to);
                let to = to.expect("a venue before it");
                text += &format!("[[link]]\nto = 'tcp://{}:5671|{}'\n", to.outside, to.key);
            }
            text += plan.rules;
            sites.push(Self::open(lab, zocp, plan, (key, &text)).await);
        }
        sites
    }

    async fn open(lab: &Lab, zocp: &str, plan: &Plan<'_>, (key, text): (&str, &str)) -> Self {
        let name = plan.name;
        let gate = Gate::open(lab, &format!("{name}-gate"), Nat::Cone).await;
        let host = gate.machine(lab, &format!("{name}-{}", plan.bridge)).await;
        gate.forward(5671, &host.address_on(&gate.network)).await;
        let config = lab.file(&format!("{name}.toml"), text);
        let options = ["--config", config.as_str()];
        let bridge = Bridge::start(zocp, &host, plan.bridge, &options).await;
        let outside = gate.router.address_on(&lab.network);
        Self {
            name: name.to_owned(),
            bridge,
            host,
            gate,
            config,
            key: key.to_owned(),
            outside,
        }
    }

    /// One more machine of the venue.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn machine(&self, lab: &Lab, name: &str) -> Host {
        self.gate.machine(lab, name).await
    }

    /// Nothing passes the router any more, and nobody is told.
    ///
    /// # Panics
    /// When the rule is refused.
    pub async fn cut(&self) {
        self.gate.cut().await;
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Panics
    /// When the rules are refused.
    pub async fn restore(&self) {
        self.gate.restore().await;
    }

    /// A command of `zocp` on the bus of the bridge.
    #[must_use]
    pub fn zocp(&self, zocp: &str, args: &[&str]) -> Cmd {
        self.bridge.bus.command(zocp).args(args)
    }

    /// A script of the shell on the host, which finds `zocp` as `$ZOCP`.
    #[must_use]
    pub fn shell(&self, zocp: &str, script: &str) -> Cmd {
        let command = self.host.command("sh").args(["-c", script]);
        command.env("ZOCP", zocp).on(&self.bridge.bus)
    }

    /// Waits until a stream of a node is listed.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn lists_stream(&self, zocp: &str, node: &str, stream: &str) {
        let listed = async {
            let args = ["streams", node];
            while !self.zocp(zocp, &args).outcome().await.out.contains(stream) {}
        };
        in_time(&format!("{stream} of {node} to be listed"), listed).await;
    }
}

//! Venues, each with a mesh of its own behind a router, and a bridge that is linked with those of others.
//!
//! The lab's network is the one between the routers. A router translates addresses, lets no connection in, and forwards
//! TCP 5671 to the bridge if others link to it.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::Value;

use crate::{Bridge, Cmd, Host, Lab, Network};

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
    /// The machine between its network and the others.
    pub router: Host,
    /// Its network.
    pub network: Network,
    /// The configuration of its bridge.
    pub config: String,
    key: String,
    outside: String,
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
        let router = lab.host(&format!("{name}-gate")).await;
        let network = lab.new_network().await;
        router.plug(&network).await;
        let host = machine(lab, &format!("{name}-{}", plan.bridge), &router, &network).await;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        router.command("sh").args(["-c", forward]).run().await;
        let rules = rules(&host.address_on(&network));
        router.command("nft").arg(rules).run().await;
        let config = lab.file(&format!("{name}.toml"), text);
        let options = ["--config", config.as_str()];
        let bridge = Bridge::start(zocp, &host, plan.bridge, &options).await;
        let outside = router.address_on(&lab.network);
        Self {
            name: name.to_owned(),
            bridge,
            host,
            router,
            network,
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
        machine(lab, name, &self.router, &self.network).await
    }

    /// Nothing passes the router any more, and nobody is told.
    ///
    /// # Panics
    /// When the rule is refused.
    pub async fn cut(&self) {
        let first = "insert rule inet gate forward counter drop";
        self.router.command("nft").arg(first).run().await;
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Panics
    /// When the rules are refused.
    pub async fn restore(&self) {
        let rules = format!("delete table inet gate\n{FILTER}");
        self.router.command("nft").arg(rules).run().await;
    }

    /// A command of `zocp` on the bus of the bridge.
    #[must_use]
    pub fn zocp(&self, zocp: &str, args: &[&str]) -> Cmd {
        self.bridge.bus.command(zocp).args(args)
    }
}

async fn machine(lab: &Lab, name: &str, router: &Host, network: &Network) -> Host {
    let host = lab.bare_host(name).await;
    host.plug(network).await;
    let gate = router.address_on(network);
    let route = ["route", "add", "default", "via", &gate];
    host.command("ip").args(route).run().await;
    host
}

fn rules(bridge: &str) -> String {
    format!(
        "table ip nat {{
            chain in {{
                type nat hook prerouting priority -100;
                iifname eth0 tcp dport 5671 dnat to {bridge}:5671
            }}
            chain out {{
                type nat hook postrouting priority 100;
                oifname eth0 masquerade
            }}
        }}
        {FILTER}"
    )
}

const FILTER: &str = "table inet gate {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ct status dnat accept
        iifname eth1 accept
    }
}";

//! A router between the lab's network and one of its own, which translates addresses and lets nothing in that was not
//! asked for.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use crate::{Host, Lab, Network};

/// How a router gives ports to what goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// The same port for the same sender, whoever is addressed.
    Cone,
    /// Another one for each whom it addresses.
    Symmetric,
}

/// A router and the network behind it.
pub struct Gate {
    /// The machine, whose `eth0` is in the lab's network, and `eth1` in its own.
    pub router: Host,
    /// Its network.
    pub network: Network,
}

impl Gate {
    /// Makes both.
    ///
    /// # Panics
    /// When they cannot be made.
    pub async fn open(lab: &Lab, name: &str, nat: Nat) -> Self {
        let router = lab.host(name).await;
        let network = lab.new_network().await;
        router.plug(&network).await;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        router.command("sh").args(["-c", forward]).run().await;
        let random = match nat {
            Nat::Cone => "",
            Nat::Symmetric => "fully-random",
        };
        let rules = RULES.replace("RANDOM", random).replace("GATE", FILTER);
        router.command("nft").arg(rules).run().await;
        Self { router, network }
    }

    /// One more machine behind it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn machine(&self, lab: &Lab, name: &str) -> Host {
        let host = lab.bare_host(name).await;
        host.plug(&self.network).await;
        let gate = self.router.address_on(&self.network);
        let route = ["route", "add", "default", "via", &gate];
        host.command("ip").args(route).run().await;
        host
    }

    /// What comes to a TCP port of the router goes to a machine behind it.
    ///
    /// # Panics
    /// When the rule is refused.
    pub async fn forward(&self, port: u16, to: &str) {
        let rule = format!("add rule ip nat in iifname eth0 tcp dport {port} dnat to {to}:{port}");
        self.router.command("nft").arg(rule).run().await;
    }

    /// A rule before all others for what is forwarded.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn rule(&self, rule: &str) {
        let rule = format!("insert rule inet gate forward {rule}");
        self.router.command("nft").arg(rule).run().await;
    }

    /// Nothing passes any more, and nobody is told.
    ///
    /// # Panics
    /// When the rule is refused.
    pub async fn cut(&self) {
        self.rule("counter drop").await;
    }

    /// Undoes [`Self::cut`] and [`Self::rule`].
    ///
    /// # Panics
    /// When the rules are refused.
    pub async fn restore(&self) {
        let rules = format!("delete table inet gate\n{FILTER}");
        self.router.command("nft").arg(rules).run().await;
    }
}

const RULES: &str = "table ip nat {
    chain in {
        type nat hook prerouting priority -100;
    }
    chain out {
        type nat hook postrouting priority 100;
        oifname eth0 masquerade RANDOM
    }
}
GATE";

const FILTER: &str = "table inet gate {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ct status dnat accept
        iifname eth1 accept
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iifname != eth0 accept
    }
}";

//! Bridges of two venues, each behind a router that translates addresses and lets nothing in: they meet at a relay.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Client, Cmd, Host, Lab, Network, Program, error_name, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
const LAMP_OF_NORTH: &str = "org.example.Lamp.north.stage";
const LAMP_OF_SOUTH: &str = "org.example.Lamp.south.foh";

/// How a router gives ports to what goes out.
#[derive(Clone, Copy)]
enum Nat {
    /// The same port for the same sender, whoever is addressed.
    Cone,
    /// Another one for each whom it addresses.
    Symmetric,
}

/// One venue: a host and its router.
struct Site {
    host: Host,
    router: Host,
    inner: Network,
}

struct Venues {
    relay: Host,
    relay_program: Program,
    sites: [Site; 2],
    bridges: [Bridge; 2],
    configs: [String; 2],
    _lamps: [Program; 2],
}

impl Venues {
    async fn open(lab: &Lab, nats: [Nat; 2]) -> Self {
        Self::open_with(lab, nats, "").await
    }

    /// With one more rule for what the routers forward.
    async fn open_with(lab: &Lab, nats: [Nat; 2], rule: &str) -> Self {
        let relay = lab.host("relay").await;
        let address = relay.address_on(&lab.network);
        let certificate = lab.path("relay.pem");
        let relay_program = relay
            .command(&relay_path())
            .args([&address, &certificate])
            .start();
        relay_program.says("ready").await;
        let sites = [
            site(lab, "north", nats[0]).await,
            site(lab, "south", nats[1]).await,
        ];
        for site in sites.iter().filter(|_| !rule.is_empty()) {
            let rule = format!("insert rule inet gate forward {rule}");
            site.router.command("nft").arg(rule).run().await;
        }
        let keys = [key(lab, "north").await, key(lab, "south").await];
        let configs = [0, 1].map(|at| {
            let (own, other) = (&keys[at], &keys[1 - at]);
            let names = ["north", "south"];
            // The mesh of the north is open, and its links alone are encrypted; that of the south is a secure one.
            let section = ["", "[mesh]\n"][at];
            let text = format!(
                "[venue]\nname = '{}'\n{}key = '{}'\n\
                 [[link]]\nto = 'iroh:{}|{}'\nrelay = ['https://{address}']\nrelay_certificate = '{certificate}'\n\
                 [[export]]\nservice = '{LAMP}'\ntalk = true\nvenues = ['{}']\n",
                names[at], section, own.file, other.id, other.key, names[1 - at],
            );
            lab.file(&format!("{}.toml", names[at]), text)
        });
        let start = async |at: usize| {
            let options = ["--config", configs[at].as_str(), "-v"];
            Bridge::start(ZOCP, &sites[at].host, NODES[at], &options).await
        };
        let bridges = [start(0).await, start(1).await];
        let lamps = [
            bridges[0].bus.serve("lamp_service.py", LAMP).await,
            bridges[1].bus.serve("lamp_service.py", LAMP).await,
        ];
        Self {
            relay,
            relay_program,
            sites,
            bridges,
            configs,
            _lamps: lamps,
        }
    }

    /// That each venue has the lamp of the other, and that it answers.
    async fn are_linked(&self) {
        for (bridge, lamp) in self.bridges.iter().zip([LAMP_OF_SOUTH, LAMP_OF_NORTH]) {
            bridge.bus.appears(lamp).await;
            let mut client = Client::on(&bridge.bus).await;
            let answer = client.call((lamp, LAMP_PATH, LAMP1), "Blink", &3_u32).await;
            assert_eq!(error_name(&answer), None, "{answer:?}");
        }
    }

    async fn are_apart(&self) {
        for (bridge, lamp) in self.bridges.iter().zip([LAMP_OF_SOUTH, LAMP_OF_NORTH]) {
            bridge.bus.vanishes(lamp).await;
        }
    }
}

/// A key of CURVE, and the id for iroh that belongs to it.
struct Key {
    file: String,
    key: String,
    id: String,
}

async fn key(lab: &Lab, name: &str) -> Key {
    let file = lab.path(&format!("{name}.key"));
    let made = Cmd::new(ZOCP).args(["key", "new", &file, "--json"]);
    let made: Json = serde_json::from_str(&made.run().await).expect("JSON");
    let text = |key: &str| made[key].as_str().expect("a text").to_owned();
    Key {
        key: text("key"),
        id: text("iroh"),
        file,
    }
}

async fn site(lab: &Lab, name: &str, nat: Nat) -> Site {
    let router = lab.host(&format!("{name}-router")).await;
    let inner = lab.new_network().await;
    let host = lab.bare_host(name).await;
    router.plug(&inner).await;
    host.plug(&inner).await;
    let gate = router.address_on(&inner);
    let route = ["route", "add", "default", "via", &gate];
    host.command("ip").args(route).run().await;
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    router.command("sh").args(["-c", forward]).run().await;
    let random = match nat {
        Nat::Cone => "",
        Nat::Symmetric => "fully-random",
    };
    router
        .command("nft")
        .arg(RULES.replace("RANDOM", random).replace("GATE", GATE))
        .run()
        .await;
    Site {
        host,
        router,
        inner,
    }
}

#[test]
fn two_venues_behind_routers_meet_at_the_relay_and_go_on_directly() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab, [Nat::Cone, Nat::Cone]).await;
        venues.are_linked().await;
        for bridge in &venues.bridges {
            bridge.program.says("goes directly").await;
        }
        // The relay is not needed any more.
        venues.relay_program.kill().await;
        venues.are_linked().await;
        drop(venues.relay);
    });
}

#[test]
fn where_routers_permit_no_direct_path_the_relay_carries_the_link() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab, [Nat::Symmetric, Nat::Symmetric]).await;
        venues.are_linked().await;
        // Both directions, so that the relay is what carries them.
        venues.relay_program.kill().await;
        venues.are_apart().await;
    });
}

#[test]
fn where_udp_is_blocked_the_relay_carries_the_link_over_https() {
    isolated(async |lab: Lab| {
        let venues = Venues::open_with(&lab, [Nat::Cone, Nat::Cone], "meta l4proto udp drop").await;
        venues.are_linked().await;
        venues.bridges[0].program.says("goes by a relay").await;
    });
}

#[test]
fn nothing_is_sent_to_anybody_who_is_not_configured_for_a_minute() {
    isolated(async |lab: Lab| {
        // No resolver: the servers of somebody else must not take its place.
        let nothing = lab.file("resolv.conf", "");
        let mount = ["--bind", &nothing, "/etc/resolv.conf"];
        Cmd::new("mount").args(mount).run().await;
        let venues = Venues::open(&lab, [Nat::Cone, Nat::Cone]).await;
        let [north, south] = &venues.sites;
        let relay = venues.relay.address_on(&lab.network);
        let host = &north.host;
        let allowed = [
            relay.as_str(),
            &south.router.address_on(&lab.network),
            // Both tell each other their own addresses, and try them.
            &south.host.address_on(&south.inner),
            &format!(
                "{}.255",
                host.address_on(&north.inner)
                    .rsplit_once('.')
                    .expect("an address")
                    .0
            ),
        ]
        .join(", ");
        let watch = format!(
            "table inet watch {{
                chain out {{
                    type filter hook output priority 0
                    oif lo accept
                    ip daddr {{ {allowed} }} accept
                    ip protocol igmp accept
                    ip6 daddr ff00::/8 accept
                    counter
                }}
            }}"
        );
        host.command("nft").arg(watch).run().await;
        venues.are_linked().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        venues.are_linked().await;
        let counted = async || host.command("nft").arg("list table inet watch").run().await;
        let count = counted().await;
        assert!(count.contains("packets 0 "), "{count}");
        // It counts.
        let send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))";
        host.command("python3").args(["-c", send]).run().await;
        let count = counted().await;
        assert!(count.contains("packets 1 "), "{count}");
    });
}

#[test]
fn a_killed_end_is_noticed_within_3_s_and_a_silent_cut_within_10() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab, [Nat::Cone, Nat::Symmetric]).await;
        venues.are_linked().await;
        for at in [0, 1] {
            let since = Instant::now();
            venues.bridges[at].program.kill().await;
            let lamp = [LAMP_OF_NORTH, LAMP_OF_SOUTH][at];
            venues.bridges[1 - at].bus.vanishes(lamp).await;
            let noticed = since.elapsed();
            assert!(noticed < Duration::from_millis(3500), "{noticed:?}");
            let options = ["--config", venues.configs[at].as_str()];
            let (host, bus) = (&venues.sites[at].host, &venues.bridges[at].bus);
            let started = Bridge::start_on(bus, ZOCP, host, NODES[at], &options).await;
            venues.bridges[at].program = started;
            let since = Instant::now();
            venues.are_linked().await;
            eprintln!(
                "{}: noticed after {noticed:?}, back after {:?}",
                NODES[at],
                since.elapsed()
            );
        }
        let router = &venues.sites[0].router;
        let since = Instant::now();
        router
            .command("nft")
            .arg("insert rule inet gate forward counter drop")
            .run()
            .await;
        venues.are_apart().await;
        let noticed = since.elapsed();
        assert!(noticed < Duration::from_secs(10), "{noticed:?}");
        router
            .command("nft")
            .arg(format!("delete table inet gate\n{GATE}"))
            .run()
            .await;
        let since = Instant::now();
        venues.are_linked().await;
        eprintln!(
            "cut: noticed after {noticed:?}, back after {:?}",
            since.elapsed()
        );
    });
}

/// The names of the two nodes.
const NODES: [&str; 2] = ["stage", "foh"];

fn relay_path() -> String {
    let path = std::path::Path::new(ZOCP).with_file_name("zocp-test-relay");
    assert!(
        path.exists(),
        "{} is missing: cargo build -p zocp-test-relay",
        path.display()
    );
    path.display().to_string()
}

/// What a router at home does: what was asked for comes in, and nothing else, to itself neither.
const RULES: &str = "table ip nat {
    chain out {
        type nat hook postrouting priority 100;
        oifname eth0 masquerade RANDOM
    }
}
GATE";

const GATE: &str = "table inet gate {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname eth1 accept
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iifname != eth0 accept
    }
}";

//! Bridges of two venues, of which only one can be dialed: the other is behind a router that translates addresses and
//! lets no connection in.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use zocp_testkit::{
    Bridge, Client, Cmd, Gate, Host, Lab, Nat, Program, error_name, in_time, isolated, message,
};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
/// The lamp of each venue in the other one.
const LAMP_OF_NORTH: &str = "org.example.Lamp.north.stage";
const LAMP_OF_SOUTH: &str = "org.example.Lamp.south.foh";

/// A venue that can be dialed, one that cannot, and the router between.
struct Venues {
    north: Bridge,
    north_host: Host,
    south: Bridge,
    south_host: Host,
    gate: Gate,
    configs: [String; 2],
    _lamps: [Program; 2],
}

impl Venues {
    async fn open(lab: &Lab) -> Self {
        let north_host = lab.host("north").await;
        let gate = Gate::open(lab, "gate", Nat::Cone).await;
        let south_host = gate.machine(lab, "south").await;

        let mut keys = Vec::new();
        for name in ["north", "south"] {
            let file = lab.path(&format!("{name}.key"));
            let made = Cmd::new(ZOCP)
                .args(["key", "new", &file, "--json"])
                .run()
                .await;
            let made: Json = serde_json::from_str(&made).expect("JSON");
            keys.push((file, made["key"].as_str().expect("a key").to_owned()));
        }
        let config = |at: usize, name: &str, more: &str| {
            let other = ["south", "north"][at];
            let text = format!(
                "[venue]\nname = '{name}'\n[mesh]\nkey = '{}'\n{more}\n\
                 [[export]]\nservice = '{LAMP}'\ntalk = true\nvenues = ['{other}']\n\
                 [[export]]\nservice = 'org.example.Room'\ntalk = true\n",
                keys[at].0
            );
            lab.file(&format!("{name}.toml"), text)
        };
        let trusted = format!("trusted = ['{}']\nmailbox_port = 5671", keys[1].1);
        let to = format!(
            "tcp://{}:5671|{}",
            north_host.address_on(&lab.network),
            keys[0].1
        );
        let configs = [
            config(0, "north", &trusted),
            config(1, "south", &format!("[[link]]\nto = '{to}'")),
        ];
        let [at_north, at_south] = configs.each_ref().map(|file| ["--config", file.as_str()]);
        let north = Bridge::start(ZOCP, &north_host, "stage", &at_north).await;
        let south = Bridge::start(ZOCP, &south_host, "foh", &at_south).await;
        let lamps = [
            north.bus.serve("lamp_service.py", LAMP).await,
            south.bus.serve("lamp_service.py", LAMP).await,
        ];
        Self {
            north,
            north_host,
            south,
            south_host,
            gate,
            configs,
            _lamps: lamps,
        }
    }

    /// Each bridge, with the node and the lamp that it has of the other venue.
    fn ends(&self) -> [(&Bridge, &'static str, &'static str); 2] {
        [
            (&self.south, "org.z25.Zocp1.Node.north.stage", LAMP_OF_NORTH),
            (&self.north, "org.z25.Zocp1.Node.south.foh", LAMP_OF_SOUTH),
        ]
    }

    /// That each venue has the node and the lamp of the other, and that they answer.
    async fn are_linked(&self) {
        for (bridge, node, lamp) in self.ends() {
            bridge.bus.appears(node).await;
            bridge.bus.appears(lamp).await;
            let mut client = Client::on(&bridge.bus).await;
            let answer = client.call((lamp, LAMP_PATH, LAMP1), "Blink", &3_u32).await;
            assert_eq!(error_name(&answer), None, "{answer:?}");
        }
    }

    /// That each venue has lost what is of the other.
    async fn are_apart(&self) {
        for (bridge, node, lamp) in self.ends() {
            bridge.bus.vanishes(node).await;
            bridge.bus.vanishes(lamp).await;
        }
    }
}

#[test]
fn services_and_nodes_of_each_venue_are_in_the_other_over_one_connection() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        venues.are_linked().await;
        // One connection, which the one that cannot be dialed has opened.
        let sockets = venues
            .north_host
            .command("ss")
            .args(["-Htn", "state", "established"]);
        let sockets = sockets.run().await;
        let gate = venues.gate.router.address_on(&lab.network);
        let mesh: Vec<&str> = sockets
            .lines()
            .filter(|line| line.contains(&gate))
            .collect();
        assert_eq!(mesh.len(), 1, "{sockets}");
        assert!(mesh[0].contains(":5671"), "{sockets}");

        let link = venues.south.bus.command(ZOCP).args(["link", "--json"]);
        let link: Json = serde_json::from_str(&link.run().await).expect("JSON");
        let shown = |key: &str| link[0][key].as_str().expect("a text").to_owned();
        assert_eq!(shown("name"), "north/stage", "{link}");
        assert_eq!(shown("venue"), "north");
        assert_eq!(shown("way"), "ours");
        assert!(
            link[0]["round_trip"]
                .as_f64()
                .is_some_and(|time| time > 0.0),
            "{link}"
        );
        let way = venues.north.bus.peer("south_2ffoh");
        assert_eq!(way.shown("org.z25.Zocp1.Peer", "Way").await, "s \"theirs\"");

        // By the names that people write.
        for (bridge, node) in [(&venues.south, "north/stage"), (&venues.north, "south/foh")] {
            let ping = bridge
                .bus
                .command(ZOCP)
                .args(["list", "--json"])
                .run()
                .await;
            let list: Json = serde_json::from_str(&ping).expect("JSON");
            assert_eq!(list[0]["name"], node, "{list}");
        }
        let there = venues
            .north
            .bus
            .command(ZOCP)
            .args(["publish", "level", "0.5", "--access", "rwe"]);
        let _there = there.start();
        let set = ["set", "north/stage", "level", "0.75"];
        in_time("the value to be set", async {
            while !venues
                .south
                .bus
                .command(ZOCP)
                .args(set)
                .outcome()
                .await
                .status
                .success()
            {}
        })
        .await;
        let get = ["get", "north/stage", "level"];
        assert_eq!(
            venues.south.bus.command(ZOCP).args(get).run().await.trim(),
            "0.75"
        );

        // What is exported to the own venue alone is not seen, though it was there before the lamp is seen again.
        let room = venues.north.bus.connect().await;
        room.request_name("org.example.Room").await.expect("free");
        let late = venues.north.bus.connect().await;
        venues.south.bus.appears(LAMP_OF_NORTH).await;
        drop(late);
        assert!(!venues.south.bus.has("org.example.Room.north.stage").await);
    });
}

#[test]
fn a_cut_is_noticed_in_time_each_call_is_answered_once_and_the_names_come_back() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        venues.are_linked().await;
        let (north, south) = (&venues.north.bus, &venues.south.bus);
        let mut waiting = [Client::on(south).await, Client::on(north).await];
        let calls = [LAMP_OF_NORTH, LAMP_OF_SOUTH].map(|lamp| {
            message(lamp, LAMP_PATH, LAMP1, "Wait")
                .build(&())
                .expect("a call")
        });
        for (client, call) in waiting.iter().zip(&calls) {
            client.send(call).await;
        }
        venues.are_linked().await;
        let cut = Instant::now();
        venues.gate.cut().await;
        venues.are_apart().await;
        let noticed = cut.elapsed();
        assert!(noticed < Duration::from_secs(12), "{noticed:?}");
        for (client, call) in waiting.iter_mut().zip(&calls) {
            let answer = client.answer(call).await;
            assert!(error_name(&answer).is_some(), "{answer:?}");
        }
        let restored = Instant::now();
        venues.gate.restore().await;
        venues.are_linked().await;
        eprintln!(
            "noticed after {noticed:?}, back after {:?}",
            restored.elapsed()
        );
    });
}

#[test]
fn either_end_that_is_killed_is_gone_at_once_and_comes_back() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        venues.are_linked().await;
        for at in [0, 1] {
            let (killed, other, node) = match at {
                0 => (
                    &mut venues.north,
                    &venues.south,
                    "org.z25.Zocp1.Node.north.stage",
                ),
                _ => (
                    &mut venues.south,
                    &venues.north,
                    "org.z25.Zocp1.Node.south.foh",
                ),
            };
            let since = Instant::now();
            killed.program.kill().await;
            other.bus.vanishes(node).await;
            assert!(
                since.elapsed() < Duration::from_secs(3),
                "{:?}",
                since.elapsed()
            );
            let (host, name) = match at {
                0 => (&venues.north_host, "stage"),
                _ => (&venues.south_host, "foh"),
            };
            let options = ["--config", venues.configs[at].as_str()];
            killed.program = Bridge::start_on(&killed.bus, ZOCP, host, name, &options).await;
            venues.are_linked().await;
        }
    });
}

#[test]
fn a_bridge_that_cannot_be_dialed_is_answered_on_its_own_connection_without_a_link() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        // No connection comes in at the front of house.
        let rules = "table inet wall {\n chain in {\n type filter hook input priority 0;\n \
                     tcp flags & (syn | ack) == syn iif != lo drop\n }\n}";
        foh.command("nft").arg(rules).run().await;
        let export = lab.file(
            "lamp.toml",
            format!("[[export]]\nservice = '{LAMP}'\ntalk = true\n"),
        );
        let options = ["--config", export.as_str()];
        let stage = Bridge::start(ZOCP, &stage, "stage", &options).await;
        let foh = Bridge::start(ZOCP, &foh, "foh", &options).await;
        for (bridge, lamp) in [
            (&stage, "org.example.Lamp.foh"),
            (&foh, "org.example.Lamp.stage"),
        ] {
            let other = if lamp.ends_with("foh") { &foh } else { &stage };
            let _lamp = other.bus.serve("lamp_service.py", LAMP).await;
            bridge.bus.appears(lamp).await;
            let mut client = Client::on(&bridge.bus).await;
            let answer = client.call((lamp, LAMP_PATH, LAMP1), "Blink", &3_u32).await;
            assert_eq!(error_name(&answer), None, "{answer:?}");
        }
    });
}

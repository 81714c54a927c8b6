//! The two venues, their routers, and the relay.

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Client, Cmd, Gate, Host, Lab, Nat, Program, error_name};

pub(crate) const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
pub(crate) const LAMP_OF_NORTH: &str = "org.example.Lamp.north.stage";
pub(crate) const LAMP_OF_SOUTH: &str = "org.example.Lamp.south.foh";
/// The names of the two nodes.
pub(crate) const NODES: [&str; 2] = ["stage", "foh"];

/// One venue: a host and its router.
pub(crate) struct Site {
    pub(crate) host: Host,
    pub(crate) gate: Gate,
}

pub(crate) struct Venues {
    pub(crate) relay: Host,
    pub(crate) relay_program: Program,
    /// The address of the relay.
    pub(crate) url: String,
    pub(crate) certificate: String,
    pub(crate) sites: [Site; 2],
    pub(crate) bridges: [Bridge; 2],
    pub(crate) configs: [String; 2],
    pub(crate) keys: [Key; 2],
    _lamps: [Program; 2],
}

/// How the venues are linked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// By their configurations.
    Configured,
    /// Not at first.
    No,
}

impl Venues {
    pub(crate) async fn open(lab: &Lab, nats: [Nat; 2]) -> Self {
        Self::open_with(lab, nats, "", Linked::Configured).await
    }

    /// With one more rule for what the routers forward.
    pub(crate) async fn open_with(lab: &Lab, nats: [Nat; 2], rule: &str, linked: Linked) -> Self {
        let relay = lab.host("relay").await;
        let address = relay.address_on(&lab.network);
        let url = format!("https://{address}");
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
            site.gate.rule(rule).await;
        }
        let keys = [key(lab, "north").await, key(lab, "south").await];
        let configs = [0, 1].map(|at| {
            let (own, other) = (&keys[at], &keys[1 - at]);
            let names = ["north", "south"];
            // The mesh of the north is open, and its links alone are encrypted; that of the south is a secure one.
            let section = ["", "[mesh]\n"][at];
            let link = match linked {
                Linked::Configured => format!(
                    "[[link]]\nto = '{}'\nrelay = ['{url}']\nrelay_certificate = '{certificate}'\n",
                    other.link()
                ),
                Linked::No => String::new(),
            };
            let text = format!(
                "[venue]\nname = '{}'\n{section}key = '{}'\n{link}\
                 [[export]]\nservice = '{LAMP}'\ntalk = true\nvenues = ['{}']\n",
                names[at],
                own.file,
                names[1 - at],
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
            url,
            certificate,
            sites,
            bridges,
            configs,
            keys,
            _lamps: lamps,
        }
    }

    /// That each venue has the lamp of the other, and that it answers.
    pub(crate) async fn are_linked(&self) {
        for (bridge, lamp) in self.bridges.iter().zip([LAMP_OF_SOUTH, LAMP_OF_NORTH]) {
            bridge.bus.appears(lamp).await;
            let mut client = Client::on(&bridge.bus).await;
            let answer = client.call((lamp, LAMP_PATH, LAMP1), "Blink", &3_u32).await;
            assert_eq!(error_name(&answer), None, "{answer:?}");
        }
    }

    pub(crate) async fn are_apart(&self) {
        for (bridge, lamp) in self.bridges.iter().zip([LAMP_OF_SOUTH, LAMP_OF_NORTH]) {
            bridge.bus.vanishes(lamp).await;
        }
    }

    /// A command of `zocp` at one of the two.
    pub(crate) fn zocp(&self, at: usize, args: &[&str]) -> Cmd {
        self.bridges[at].bus.command(ZOCP).args(args)
    }

    /// The only link of one of the two, as `zocp link` shows it.
    pub(crate) async fn link(&self, at: usize) -> Json {
        let links = self.zocp(at, &["link", "--json"]).run().await;
        let links: Vec<Json> = serde_json::from_str(&links).expect("JSON");
        assert_eq!(links.len(), 1, "{links:?}");
        links.into_iter().next().expect("a link")
    }

    /// Starts a bridge that was killed again.
    pub(crate) async fn start_again(&mut self, at: usize) {
        let options = ["--config", self.configs[at].as_str(), "-v"];
        let (host, bus) = (&self.sites[at].host, &self.bridges[at].bus);
        let started = Bridge::start_on(bus, ZOCP, host, NODES[at], &options).await;
        self.bridges[at].program = started;
    }
}

/// A key of CURVE, and the id for iroh that belongs to it.
pub(crate) struct Key {
    pub(crate) file: String,
    pub(crate) key: String,
    pub(crate) id: String,
}

impl Key {
    /// What a link to the bridge with this key is.
    pub(crate) fn link(&self) -> String {
        format!("iroh:{}|{}", self.id, self.key)
    }
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
    let gate = Gate::open(lab, &format!("{name}-router"), nat).await;
    let host = gate.machine(lab, name).await;
    Site { host, gate }
}

fn relay_path() -> String {
    let path = std::path::Path::new(ZOCP).with_file_name("zocp-test-relay");
    assert!(
        path.exists(),
        "{} is missing: cargo build -p zocp-test-relay",
        path.display()
    );
    path.display().to_string()
}

//! Links that are added and removed by command, and exports to one venue.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Client, Cmd, Host, Lab, error_name, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const NORTH: &str = "org.z25.Zocp1.Node.north.stage";
const SOUTH: &str = "org.z25.Zocp1.Node.south.foh";

/// Two venues on two networks with a router between, neither of which has a link.
struct Venues {
    north: Bridge,
    south: Bridge,
    south_host: Host,
    /// What the south links to.
    to: String,
    _router: Host,
}

async fn key(lab: &Lab, name: &str) -> (String, String) {
    let file = lab.path(&format!("{name}.key"));
    let made = Cmd::new(ZOCP)
        .args(["key", "new", &file, "--json"])
        .run()
        .await;
    let made: Json = serde_json::from_str(&made).expect("JSON");
    (file, made["key"].as_str().expect("a key").to_owned())
}

impl Venues {
    async fn open(lab: &Lab) -> Self {
        let (north_host, router) = (lab.host("north").await, lab.host("router").await);
        let (inner, south_host) = (lab.new_network().await, lab.bare_host("south").await);
        router.plug(&inner).await;
        south_host.plug(&inner).await;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        router.command("sh").args(["-c", forward]).run().await;
        let ways = [
            (&south_host, router.address_on(&inner)),
            (&north_host, router.address_on(&lab.network)),
        ];
        for (host, gate) in ways {
            let route = host
                .command("ip")
                .args(["route", "add", "default", "via", &gate]);
            route.run().await;
        }
        let (at_north, at_south) = (key(lab, "north").await, key(lab, "south").await);
        let north = format!(
            "[venue]\nname = 'north'\n[mesh]\nkey = '{}'\ntrusted = ['{}']\nmailbox_port = 5671\n",
            at_north.0, at_south.1
        );
        let south = format!("[venue]\nname = 'south'\n[mesh]\nkey = '{}'\n", at_south.0);
        let north = lab.file("north.toml", north);
        let south = lab.file("south.toml", south);
        let to = format!(
            "tcp://{}:5671|{}",
            north_host.address_on(&lab.network),
            at_north.1
        );
        let north = Bridge::start(ZOCP, &north_host, "stage", &["--config", &north]).await;
        let south = Bridge::start(ZOCP, &south_host, "foh", &["--config", &south]).await;
        Self {
            north,
            south,
            south_host,
            to,
            _router: router,
        }
    }

    fn zocp(&self, args: &[&str]) -> Cmd {
        self.south.bus.command(ZOCP).args(args)
    }

    /// The only link, as the command shows it.
    async fn link(&self) -> Json {
        let links = self.zocp(&["link", "--json"]).run().await;
        let links: Vec<Json> = serde_json::from_str(&links).expect("JSON");
        assert_eq!(links.len(), 1, "{links:?}");
        links.into_iter().next().expect("a link")
    }
}

#[test]
fn a_link_that_is_added_lasts_says_how_it_is_and_ends_when_it_is_removed() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let none = venues.zocp(&["link"]).outcome().await;
        assert!(
            none.err.contains("there is no link; `zocp link add`"),
            "{none:?}"
        );
        let added = venues.zocp(&["link", "add", &venues.to]).outcome().await;
        assert!(added.status.success(), "{added:?}");
        assert!(
            added.err.contains("must trust this one: `zocp trust"),
            "{added:?}"
        );
        venues.south.bus.appears(NORTH).await;
        venues.north.bus.appears(SOUTH).await;
        let up = venues.link().await;
        assert_eq!(
            (&up["source"], &up["way"], &up["why"]),
            (&"hand".into(), &"ours".into(), &Json::Null)
        );
        assert_eq!(up["to"], venues.to.as_str(), "{up}");

        // It is tried again, and what went wrong is shown.
        venues.north.program.kill().await;
        venues.south.bus.vanishes(NORTH).await;
        let why = async {
            loop {
                let down = venues.link().await;
                let is_refused = down["why"]
                    .as_str()
                    .is_some_and(|why| why.contains("refused"));
                if is_refused && down["next"].as_f64().is_some() {
                    return down;
                }
            }
        };
        let down = in_time("the reason", why).await;
        assert_eq!(down["state"], "down", "{down}");
        assert!(
            down["since"].as_f64().is_some_and(|since| since > 0.0),
            "{down}"
        );
        let shown = venues.zocp(&["link"]).run().await;
        assert!(
            shown.contains("  down  ") && shown.contains("refused"),
            "{shown}"
        );
        // As the page shows it.
        let page = include_str!("../docs/how-to/venues.md");
        let (_, on_page) = page.split_once("\n$ zocp link\n").expect("a transcript");
        let on_page = on_page.lines().next().expect("a line");
        assert_eq!(shape(shown.trim_end()), shape(on_page));

        // After a restart it is there, also without the configuration naming it.
        venues.south.program.kill().await;
        let config = lab.path("south.toml");
        let options = ["--config", config.as_str()];
        venues.south.program =
            Bridge::start_on(&venues.south.bus, ZOCP, &venues.south_host, "foh", &options).await;
        assert_eq!(venues.link().await["state"], "down");
        let words = ["--", "zocp", "link", "remove", "tcp"];
        let offered = venues.zocp(&words).env("ZOCP_COMPLETE", "bash").run().await;
        assert!(
            venues.to.starts_with(offered.trim()) && !offered.is_empty(),
            "{offered}"
        );
        let none = venues
            .zocp(&["link", "remove", "tcp://10.99.0.99:1"])
            .outcome()
            .await;
        assert!(
            none.err.contains("there is no link to tcp://10.99.0.99:1"),
            "{none:?}"
        );
        let endpoint = venues.to.split_once('|').expect("a key").0.to_owned();
        let removed = venues.zocp(&["link", "remove", &endpoint]).run().await;
        assert_eq!(removed.trim(), format!("removed  {endpoint}"));
        let none = venues.zocp(&["link", "--json"]).run().await;
        assert_eq!(none.trim(), "[]");
        let keys = venues.zocp(&["trust", "--json"]).run().await;
        assert!(keys.contains("\"trusted\": []"), "{keys}");
    });
}

#[test]
fn removing_a_link_that_is_up_takes_the_nodes_away_at_both_ends() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        let wrong = venues
            .zocp(&["link", "add", "tcp://10.0.0.1:5671"])
            .outcome()
            .await;
        assert!(
            wrong.err.contains("has no key: write tcp://HOST:PORT|KEY"),
            "{wrong:?}"
        );
        venues.zocp(&["link", "add", &venues.to]).run().await;
        venues.south.bus.appears(NORTH).await;
        venues.north.bus.appears(SOUTH).await;
        venues.zocp(&["link", "remove", &venues.to]).run().await;
        venues.south.bus.vanishes(NORTH).await;
        venues.north.bus.vanishes(SOUTH).await;
        // And again.
        venues.zocp(&["link", "add", &venues.to]).run().await;
        venues.south.bus.appears(NORTH).await;
        venues.north.bus.appears(SOUTH).await;
    });
}

#[test]
fn a_program_exports_to_the_venue_that_it_names() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        venues.zocp(&["link", "add", &venues.to]).run().await;
        venues.south.bus.appears(NORTH).await;
        let _lamp = venues.north.bus.serve("lamp_service.py", LAMP).await;
        // The own venue alone, as without a word; then the south.
        let own = venues
            .north
            .bus
            .command(ZOCP)
            .args(["export", LAMP])
            .start();
        own.says(LAMP).await;
        let south = ["export", "org.example.Other", "--venue", "south"];
        let other = venues.north.bus.command(ZOCP).args(south).start();
        other.says("org.example.Other").await;
        let connection = venues.north.bus.connect().await;
        connection
            .request_name("org.example.Other")
            .await
            .expect("free");
        venues
            .south
            .bus
            .appears("org.example.Other.north.stage")
            .await;
        assert!(!venues.south.bus.has("org.example.Lamp.north.stage").await);
        let all = ["export", LAMP, "--venue", "*"];
        let _all = venues.north.bus.command(ZOCP).args(all).start();
        let lamp = "org.example.Lamp.north.stage";
        venues.south.bus.appears(lamp).await;
        let mut client = Client::on(&venues.south.bus).await;
        let at = (lamp, "/org/example/lamp", "org.example.Lamp1");
        let answer = client.call(at, "Blink", &3_u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
    });
}

/// A line with `#` for each number.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            c => shape.push(c),
        }
    }
    shape
}

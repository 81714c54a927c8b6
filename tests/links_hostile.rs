//! A link whose octets pass somebody who reads, changes, loses, withholds and repeats them.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::time::Duration;

use serde_json::Value as Json;
use zocp_testkit::{
    Client, HostileRelay, Lab, Plan, Program, Site, error_name, in_time, isolated, message,
};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STAGE: &str = "org.z25.Zocp1.Node.north.stage";
const FOH: &str = "org.z25.Zocp1.Node.south.foh";
const LAMP: &str = "org.example.Lamp.north.stage";
const LAMP_PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";
/// What is looked for in what was recorded.
const MARKER: &str = "a-text-that-only-the-two-ends-read";

const NORTH: Plan<'_> = Plan {
    name: "north",
    bridge: "stage",
    dials: &[],
    trusts: &["south"],
    rules: "[[export]]\nservice = 'org.example.Lamp'\ntalk = true\nvenues = ['south']\n",
};
const SOUTH: Plan<'_> = Plan {
    name: "south",
    bridge: "foh",
    dials: &[],
    trusts: &[],
    rules: "",
};

struct Venues {
    north: Site,
    south: Site,
    relay: HostileRelay,
    _lamp: Program,
}

impl Venues {
    /// Two venues that are linked by the relay.
    async fn open(lab: &Lab) -> Self {
        let sites = Site::open_all(lab, ZOCP, &[NORTH, SOUTH]).await;
        let [north, south] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let host = lab.host("relay").await;
        let relay = HostileRelay::start(lab, &host, 5671, &north.outside).await;
        let to = format!("tcp://{}:5671|{}", host.address_on(&lab.network), north.key);
        south.zocp(ZOCP, &["link", "add", &to]).run().await;
        let bus = &north.bridge.bus;
        let lamp = bus.serve("lamp_service.py", "org.example.Lamp").await;
        let venues = Self {
            north,
            south,
            relay,
            _lamp: lamp,
        };
        venues.are_linked().await;
        venues
    }

    async fn are_linked(&self) {
        self.south.bridge.bus.appears(STAGE).await;
        self.north.bridge.bus.appears(FOH).await;
        self.south.bridge.bus.appears(LAMP).await;
        let mut client = Client::on(&self.south.bridge.bus).await;
        let answer = client.call((LAMP, LAMP_PATH, LAMP1), "Blink", &3_u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
    }

    async fn becomes(&self, wanted: &str) {
        in_time("the value at the other end", async {
            let get = ["get", "north/stage", "note"];
            while !self
                .south
                .zocp(ZOCP, &get)
                .outcome()
                .await
                .out
                .contains(wanted)
            {}
        })
        .await;
    }
}

/// Whether a text is somewhere in octets.
fn has(octets: &[u8], text: &str) -> bool {
    octets
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn nothing_of_what_passes_can_be_read() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        let note = ["publish", "note", MARKER, "--access", "rw"];
        let _note = venues.north.zocp(ZOCP, &note).start();
        venues.becomes(MARKER).await;
        let other = format!("{MARKER} 2");
        let set = ["set", "north/stage", "note", &other];
        venues.south.zocp(ZOCP, &set).run().await;
        venues.becomes(&other).await;
        let recorded = venues.relay.recorded();
        // That is what it is, and all of it.
        assert!(has(&recorded, "CURVE") && recorded.len() > 2000);
        for secret in [
            MARKER,
            "note",
            "stage",
            "org.example",
            "X-ZOCP",
            "north",
            "south",
        ] {
            assert!(!has(&recorded, secret), "{secret} was on the way");
        }
    });
}

#[test]
fn what_is_changed_on_the_way_ends_the_connection_each_call_is_answered_once_and_the_link_resumes()
{
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let note = ["publish", "note", "x", "--access", "rw"];
        let _note = venues.north.zocp(ZOCP, &note).start();
        venues.becomes("x").await;
        for trick in ["flip", "drop", "swap", "double", "cut", "hold"] {
            let mut client = Client::on(&venues.south.bridge.bus).await;
            let wait = message(LAMP, LAMP_PATH, LAMP1, "Wait")
                .build(&())
                .expect("a call");
            client.send(&wait).await;
            venues.are_linked().await;
            // What is tricked is what these send; they get an error, or an answer before.
            let set = "while :; do $ZOCP set north/stage note x; $ZOCP set north/stage note y; sleep 0.05; done";
            let sets = venues.south.host.command("sh").args(["-c", set]);
            let mut sets = sets.env("ZOCP", ZOCP).on(&venues.south.bridge.bus).start();
            venues.relay.tricks(trick).await;
            let answer = client.answer(&wait).await;
            assert!(error_name(&answer).is_some(), "{trick}: {answer:?}");
            sets.kill().await;
            if trick == "hold" {
                // Nobody was told.
                venues.south.bridge.bus.vanishes(STAGE).await;
            }
            venues.are_linked().await;
            // Behind this nothing comes of the call any more.
            let serial = wait.primary_header().serial_num();
            let blink = message(LAMP, LAMP_PATH, LAMP1, "Blink")
                .build(&3_u32)
                .expect("a call");
            client.send(&blink).await;
            let marker = blink.primary_header().serial_num();
            client
                .find("the answer of the marker", |message| {
                    let of = message.header().reply_serial();
                    assert_ne!(of, Some(serial), "{trick}: a second answer");
                    of == Some(marker)
                })
                .await;
            eprintln!("{trick}: resumed");
        }
    });
}

#[test]
fn a_connection_that_is_repeated_opens_nothing() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let before = turned_away(&venues.north).await;
        for _ in 0..3 {
            venues.relay.program.tell("replay 0").await;
            venues.relay.program.says("replay ended").await;
        }
        in_time("the refusals to be counted", async {
            while turned_away(&venues.north).await < before + 3 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        // The link is what it was: no second peer, and the first is not disturbed.
        venues.are_linked().await;
        let list = venues.north.zocp(ZOCP, &["list", "--json"]).run().await;
        let peers: Json = serde_json::from_str(&list).expect("JSON");
        let peers = peers.as_array().expect("a list").iter();
        assert_eq!(peers.filter(|it| it["own"] == false).count(), 1, "{list}");
    });
}

/// Connections and messages that a bridge has refused so far.
async fn turned_away(site: &Site) -> u64 {
    let command = site.bridge.bus.command("busctl");
    let counted = command
        .args([
            "--user",
            "--json=short",
            "get-property",
            "org.z25.Zocp1",
            "/org/z25/Zocp1",
        ])
        .args(["org.z25.Zocp1.Statistics", "Counts"])
        .run()
        .await;
    let counted: Json = serde_json::from_str(&counted).expect("JSON");
    let kinds = counted["data"]["turned away"].as_object().expect("kinds");
    kinds.values().filter_map(Json::as_u64).sum()
}

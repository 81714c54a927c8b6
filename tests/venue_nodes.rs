//! Nodes of one venue in another: nodes in Python as they are, and bridges that publish, by way of two linked bridges.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Lab, Plan, PyPeer, Site, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const FADER_OF_NORTH: &str = "org.z25.Zocp1.Node.north.fader";
const LAMP_OF_SOUTH: &str = "org.z25.Zocp1.Node.south.lamp";

const NORTH: Plan<'_> = Plan {
    name: "north",
    bridge: "stage",
    dials: &[],
    trusts: &["south", "east"],
    rules: "[[pass]]\nnodes = ['fader', 'booth']\n",
};
const SOUTH: Plan<'_> = Plan {
    name: "south",
    bridge: "foh",
    dials: &["north"],
    trusts: &["east"],
    rules: "[[pass]]\nnodes = ['lamp*']\n",
};

/// Two venues, a fader in Python in the north, a lamp in Python in the south.
struct Venues {
    north: Site,
    south: Site,
    fader: PyPeer,
    lamp: PyPeer,
}

impl Venues {
    async fn open(lab: &Lab) -> Self {
        let sites = Site::open_all(lab, ZOCP, &[NORTH, SOUTH]).await;
        let [north, south] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let fader = fader(lab, &north, "fader").await;
        let lamp = lamp(lab, &south).await;
        south.bridge.bus.appears(FADER_OF_NORTH).await;
        north.bridge.bus.appears(LAMP_OF_SOUTH).await;
        Self {
            north,
            south,
            fader,
            lamp,
        }
    }
}

async fn fader(lab: &Lab, site: &Site, name: &str) -> PyPeer {
    let host = site.machine(lab, &format!("{}-{name}", site.name)).await;
    let level = json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwe",
        "min": 0.0, "max": 1.0}});
    PyPeer::start(&host, name, &[level]).await
}

async fn lamp(lab: &Lab, site: &Site) -> PyPeer {
    let host = site.machine(lab, &format!("{}-grid", site.name)).await;
    let brightness = json!({"register": {"name": "brightness", "value": 0.0, "typeHint": "flt",
        "access": "rwes", "max": 1.0}});
    PyPeer::start(&host, "lamp", &[brightness]).await
}

/// Waits until a command says something.
async fn says(site: &Site, args: &[&str], wanted: &str) {
    in_time(&format!("{args:?} to say {wanted}"), async {
        while site.zocp(ZOCP, args).outcome().await.out.trim() != wanted {}
    })
    .await;
}

async fn modified(lamp: &PyPeer, value: f64) {
    lamp.event("modified", |event| {
        event["data"]["brightness"]["value"] == json!(value)
    })
    .await;
}

#[test]
fn nodes_in_python_are_in_the_other_venue_and_are_read_set_and_followed_there() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let (north, south) = (&venues.north, &venues.south);
        says(south, &["get", "north/fader", "level"], "0.5").await;
        says(north, &["get", "south/lamp", "brightness"], "0.0").await;
        let watch = south.zocp(ZOCP, &["watch", "north/fader", "level"]).start();
        watch.says("0.5").await;
        for value in [0.25, 0.75, 0.125] {
            let emit = json!({"emit": ["level", value]});
            venues.fader.command(emit).await;
            watch.says(&value.to_string()).await;
        }
        let set = ["set", "south/lamp", "brightness", "0.75"];
        north.zocp(ZOCP, &set).run().await;
        modified(&venues.lamp, 0.75).await;
        let list: Json =
            serde_json::from_str(&south.zocp(ZOCP, &["list", "--json"]).run().await).expect("JSON");
        let mut names: Vec<&str> = list
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|peer| peer["name"].as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["lamp", "north/fader", "north/stage"], "{list}");
        venues.fader.is_unharmed().await;
        venues.lamp.is_unharmed().await;
        // It goes, and its name with it.
        venues.fader.leave().await;
        south.bridge.bus.vanishes(FADER_OF_NORTH).await;
        let _again = fader(&lab, north, "fader2").await;
    });
}

#[test]
fn a_wire_from_venue_to_venue_is_made_at_either_end() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab).await;
        let ends = ["north/fader:level", "south/lamp:brightness"];
        for (at, value) in [(0, 0.25), (1, 0.75)] {
            let site = [&venues.north, &venues.south][at];
            let [from, to] = ends;
            says(site, &["get", "north/fader", "level"], "0.5").await;
            site.zocp(ZOCP, &["wire", from, to]).run().await;
            // A new wire brings the present value.
            modified(&venues.lamp, 0.5).await;
            let emit = json!({"emit": ["level", value]});
            venues.fader.command(emit).await;
            modified(&venues.lamp, value).await;
            let site = [&venues.north, &venues.south][at];
            site.zocp(ZOCP, &["unwire", from, to]).run().await;
            // What comes after the wire is gone does not reach the lamp; the marker does.
            venues.fader.command(json!({"emit": ["level", 0.5]})).await;
            says(&venues.south, &["get", "north/fader", "level"], "0.5").await;
            says(&venues.north, &["get", "fader", "level"], "0.5").await;
            let marker = ["set", "lamp", "brightness", "0.125"];
            venues.south.zocp(ZOCP, &marker).run().await;
            let next = venues.lamp.event("modified", |_| true).await;
            assert_eq!(next["data"]["brightness"]["value"], json!(0.125));
        }
        venues.fader.is_unharmed().await;
        venues.lamp.is_unharmed().await;
    });
}

#[test]
fn in_a_triangle_each_node_is_seen_once_and_a_third_bridge_wires_the_two_others() {
    isolated(async |lab: Lab| {
        let east = Plan {
            name: "east",
            bridge: "desk",
            dials: &["north", "south"],
            trusts: &[],
            rules: "",
        };
        let sites = Site::open_all(&lab, ZOCP, &[NORTH, SOUTH, east]).await;
        let [north, south, east] = sites.try_into().unwrap_or_else(|_| panic!("three"));
        let mut fader = fader(&lab, &north, "fader").await;
        let lamp = lamp(&lab, &south).await;
        for name in [FADER_OF_NORTH, LAMP_OF_SOUTH] {
            east.bridge.bus.appears(name).await;
        }
        south.bridge.bus.appears(FADER_OF_NORTH).await;
        north.bridge.bus.appears(LAMP_OF_SOUTH).await;
        for (site, wanted) in [
            (&north, ["east/desk", "fader", "south/foh", "south/lamp"]),
            (&south, ["east/desk", "lamp", "north/fader", "north/stage"]),
            (
                &east,
                ["north/fader", "north/stage", "south/foh", "south/lamp"],
            ),
        ] {
            assert_eq!(peers(site).await, wanted);
        }
        let wire = ["wire", "north/fader:level", "south/lamp:brightness"];
        east.zocp(ZOCP, &wire).run().await;
        modified(&lamp, 0.5).await;
        // Each emission arrives once, in order, though the two have a way of their own.
        for value in [0.1, 0.2, 0.3] {
            fader.command(json!({"emit": ["level", value]})).await;
            let next = lamp.event("modified", |_| true).await;
            assert_eq!(next["data"]["brightness"]["value"], json!(value));
        }
        lamp_hears_no_more(&lamp, &south).await;
        fader.leave().await;
        for site in [&south, &east] {
            site.bridge.bus.vanishes(FADER_OF_NORTH).await;
        }
    });
}

/// What comes next is what is set now.
async fn lamp_hears_no_more(lamp: &PyPeer, south: &Site) {
    let marker = ["set", "lamp", "brightness", "0.875"];
    south.zocp(ZOCP, &marker).run().await;
    let next = lamp.event("modified", |_| true).await;
    assert_eq!(next["data"]["brightness"]["value"], json!(0.875));
}

/// The names of the peers of a bridge, sorted.
async fn peers(site: &Site) -> Vec<String> {
    let list = site.zocp(ZOCP, &["list", "--json"]).run().await;
    let list: Json = serde_json::from_str(&list).expect("JSON");
    let names = list.as_array().expect("a list").iter();
    let names = names.filter_map(|peer| peer["name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn what_another_bridge_of_the_venue_publishes_passes_too_and_what_no_rule_names_does_not() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        let (north, south) = (&venues.north, &venues.south);
        let secret = fader(&lab, north, "secret").await;
        north.bridge.bus.appears("org.z25.Zocp1.Node.secret").await;
        let host = north.machine(&lab, "north-booth").await;
        let booth = Bridge::start(ZOCP, &host, "booth", &[]).await;
        let publish = booth.bus.command(ZOCP);
        let publish = publish.args(["publish", "gain", "0.25", "--access", "rwe"]);
        let _gain = publish.start();
        says(south, &["get", "north/booth", "gain"], "0.25").await;
        let set = ["set", "north/booth", "gain", "0.75"];
        south.zocp(ZOCP, &set).run().await;
        let get = ["get", "booth", "gain"];
        says(north, &get, "0.75").await;
        assert_eq!(
            peers(south).await,
            ["lamp", "north/booth", "north/fader", "north/stage"]
        );
        assert!(
            !south
                .bridge
                .bus
                .has("org.z25.Zocp1.Node.north.secret")
                .await
        );
        // The rules are read again while the bridge runs.
        let text = std::fs::read_to_string(&north.config).expect("its file");
        let text = text.replace("'fader', 'booth'", "'s*', 'booth'");
        std::fs::write(&north.config, text).expect("written");
        north.bridge.program.signal(rustix::process::Signal::HUP);
        let bus = &south.bridge.bus;
        bus.appears("org.z25.Zocp1.Node.north.secret").await;
        bus.vanishes(FADER_OF_NORTH).await;
        drop(secret);
    });
}

#[test]
fn a_bridge_that_is_not_trusted_sees_nobody_and_is_seen_by_nobody() {
    isolated(async |lab: Lab| {
        let west = Plan {
            name: "west",
            bridge: "spy",
            dials: &["north"],
            trusts: &[],
            rules: "[[pass]]\nnodes = ['*']\n",
        };
        let sites = Site::open_all(&lab, ZOCP, &[NORTH, west]).await;
        let [north, west] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let _fader = fader(&lab, &north, "fader").await;
        let _lamp = lamp(&lab, &west).await;
        north.bridge.bus.appears("org.z25.Zocp1.Node.fader").await;
        west.bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        // It has asked to be let in.
        in_time("the stranger", async {
            let trust = ["trust", "--json"];
            while !north.zocp(ZOCP, &trust).run().await.contains("stranger") {}
        })
        .await;
        assert_eq!(peers(&north).await, ["fader"]);
        assert_eq!(peers(&west).await, ["lamp"]);
        assert!(!west.bridge.bus.has(FADER_OF_NORTH).await);
    });
}

#[test]
fn names_of_another_venue_go_when_the_line_is_silent_and_come_back_with_it() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        let cut = std::time::Instant::now();
        venues.north.cut().await;
        venues.south.bridge.bus.vanishes(FADER_OF_NORTH).await;
        venues.north.bridge.bus.vanishes(LAMP_OF_SOUTH).await;
        let noticed = cut.elapsed();
        assert!(noticed < std::time::Duration::from_secs(12), "{noticed:?}");
        venues.north.restore().await;
        let restored = std::time::Instant::now();
        venues.south.bridge.bus.appears(FADER_OF_NORTH).await;
        venues.north.bridge.bus.appears(LAMP_OF_SOUTH).await;
        says(&venues.south, &["get", "north/fader", "level"], "0.5").await;
        eprintln!(
            "noticed after {noticed:?}, back after {:?}",
            restored.elapsed()
        );
    });
}

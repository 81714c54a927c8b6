//! A link between two venues over a line on which an answer takes 1.5 s, as by a satellite and a relay.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Client, Lab, Plan, Site, Weather, error_name, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STAGE: &str = "org.z25.Zocp1.Node.north.stage";
const FOH: &str = "org.z25.Zocp1.Node.south.foh";
const LAMP: &str = "org.example.Lamp.north.stage";
const ROUND_TRIP: Duration = Duration::from_millis(1500);

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
    dials: &["north"],
    trusts: &[],
    rules: "",
};

/// The state of the only peer of a bridge.
async fn state(site: &Site) -> String {
    let list = site.zocp(ZOCP, &["list", "--json"]).run().await;
    let list: Json = serde_json::from_str(&list).expect("JSON");
    list[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_link_comes_up_stays_up_and_carries_calls_and_streams_where_an_answer_takes_1_5_s() {
    isolated(async |lab: Lab| {
        let sites = Site::open_all(&lab, ZOCP, &[NORTH, SOUTH]).await;
        let [north, mut south] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let _lamp = north
            .bridge
            .bus
            .serve("lamp_service.py", "org.example.Lamp")
            .await;
        south.bridge.bus.appears(STAGE).await;
        north.bridge.bus.appears(FOH).await;
        south.bridge.program.kill().await;
        north.bridge.bus.vanishes(FOH).await;
        let weather = Weather {
            lost: 0,
            doubled: 0,
            late: 0,
            delay: 750,
            seed: 7,
        };
        let link = south.gate.router.link(0);
        let _weather = link.weather(&lab.network, &weather).await;
        let begin = Instant::now();
        let options = ["--config", south.config.as_str(), "-v"];
        south.bridge.program =
            Bridge::start_on(&south.bridge.bus, ZOCP, &south.host, "foh", &options).await;
        for (site, node) in [(&south, STAGE), (&north, FOH)] {
            site.bridge.bus.appears(node).await;
        }
        eprintln!("up after {:?}", begin.elapsed());

        // Longer than the silence after which each asks the other.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(15) {
            for site in [&north, &south] {
                assert_eq!(state(site).await, "ready", "{}", site.name);
            }
        }
        south.bridge.bus.appears(LAMP).await;
        let mut client = Client::on(&south.bridge.bus).await;
        let begin = Instant::now();
        let lamp = (LAMP, "/org/example/lamp", "org.example.Lamp1");
        let answer = client.call(lamp, "Blink", &3_u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
        let took = begin.elapsed();
        assert!(took >= ROUND_TRIP && took < ROUND_TRIP * 3, "{took:?}");

        let shell = |site: &Site, script: &str| site.shell(ZOCP, script).start();
        let _source = shell(&north, "$ZOCP publish --source zeros -- cat /dev/zero");
        south.lists_stream(ZOCP, "north/stage", "zeros").await;
        let script = "$ZOCP stream north/stage zeros | (head -c 1000 >/dev/null; echo flows; cat >/dev/null)";
        let reader = shell(&south, script);
        reader.says("flows").await;

        // A cut is noticed as on any line.
        let cut = Instant::now();
        north.cut().await;
        south.bridge.bus.vanishes(STAGE).await;
        north.bridge.bus.vanishes(FOH).await;
        let noticed = cut.elapsed();
        assert!(noticed < Duration::from_secs(14), "{noticed:?}");
        eprintln!("a call takes {took:?}; a cut is noticed after {noticed:?}");
    });
}

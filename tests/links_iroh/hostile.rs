//! Links by iroh whose packets somebody records, loses, doubles, reorders, changes and repeats.

use serde_json::Value as Json;
use zocp_testkit::{Lab, Nat, Weather, in_time, isolated};

use crate::venues::Venues;

/// What is looked for in what was recorded.
const MARKER: &str = "a-text-that-only-the-two-ends-read";

const BAD: Weather = Weather {
    lost: 1,
    doubled: 5,
    late: 5,
    delay: 0,
    seed: 7,
};

fn has(octets: &[u8], text: &str) -> bool {
    octets
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

async fn becomes(venues: &Venues, wanted: &str) {
    in_time("the value at the other end", async {
        let get = ["get", "north/stage", "note"];
        while !venues.zocp(1, &get).outcome().await.out.contains(wanted) {}
    })
    .await;
}

async fn check(lab: &Lab, nat: Nat, way: &str) {
    let venues = Venues::open(lab, [nat, nat]).await;
    venues.are_linked().await;
    let record = lab.path("record");
    let router = &venues.sites[0].gate.router;
    let link = router.link(0);
    let mut between = link.hostile(&lab.network, &BAD, (2, &record)).await;
    let note = ["publish", "note", MARKER, "--access", "rw"];
    let _note = venues.zocp(0, &note).start();
    becomes(&venues, MARKER).await;
    let other = format!("{MARKER} 2");
    let set = ["set", "north/stage", "note", &other];
    in_time("the set", async {
        while !venues.zocp(1, &set).outcome().await.status.success() {}
    })
    .await;
    becomes(&venues, &other).await;
    in_time("the way", async {
        while venues.link(0).await["way"] != way {}
    })
    .await;
    let recorded = || std::fs::read(&record).unwrap_or_default();
    assert!(recorded().len() > 2000);
    for secret in [MARKER, "note", "org.example", "X-ZOCP"] {
        assert!(!has(&recorded(), secret), "{secret} was on the way");
    }
    // What is not encrypted is found there.
    let send = format!(
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'{MARKER}', ('{}', 9))",
        venues.relay.address_on(&lab.network)
    );
    in_time("the marker", async {
        while !has(&recorded(), MARKER) {
            let host = &venues.sites[0].host;
            host.command("python3").args(["-c", &send]).run().await;
        }
    })
    .await;
    // All that passed comes once more.
    between.tell("replay").await;
    between.says("replays").await;
    venues.are_linked().await;
    for at in [0, 1] {
        let list = venues.zocp(at, &["list", "--json"]).run().await;
        let peers: Json = serde_json::from_str(&list).expect("JSON");
        let peers = peers.as_array().expect("a list").iter();
        assert_eq!(peers.filter(|it| it["own"] == false).count(), 1, "{list}");
    }
    becomes(&venues, &other).await;
}

#[test]
fn directly_nothing_is_read_and_what_is_changed_or_repeated_does_nothing() {
    isolated(async |lab: Lab| check(&lab, Nat::Cone, "direct").await);
}

#[test]
fn by_the_relay_nothing_is_read_and_what_is_changed_or_repeated_does_nothing() {
    isolated(async |lab: Lab| check(&lab, Nat::Symmetric, "relay").await);
}

//! Links by iroh that are added and removed by command, and what `zocp link` shows of them.

use serde_json::Value as Json;
use zocp_testkit::{Lab, Nat, in_time, isolated};

use crate::venues::{Linked, Venues};

const NATS: [Nat; 2] = [Nat::Cone, Nat::Cone];

/// Waits until the link of one of the two is as wanted.
async fn becomes(venues: &Venues, at: usize, what: &str, is_it: impl Fn(&Json) -> bool) -> Json {
    let wait = async {
        loop {
            let link = venues.link(at).await;
            if is_it(&link) {
                return link;
            }
        }
    };
    in_time(what, wait).await
}

fn is_up(link: &Json) -> bool {
    link["state"] == "ready"
}

#[test]
fn a_link_by_iroh_is_added_lasts_shows_its_way_and_is_removed() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open_with(&lab, NATS, "", Linked::No).await;
        let to = [venues.keys[1].link(), venues.keys[0].link()];
        let without = venues.zocp(0, &["link", "add", &to[0]]).outcome().await;
        assert!(without.err.contains("--relay https://HOST"), "{without:?}");
        let (url, certificate) = (venues.url.clone(), venues.certificate.clone());
        let by = ["--relay", &url, "--relay-certificate", &certificate];
        for (at, to) in to.iter().enumerate() {
            let add = venues.zocp(at, &["link", "add", to]).args(by);
            let added = add.outcome().await;
            assert!(added.status.success(), "{added:?}");
            assert!(
                added.err.contains("must have a link to this one"),
                "{added:?}"
            );
        }
        venues.are_linked().await;
        for (at, to) in to.iter().enumerate() {
            let link = becomes(&venues, at, "the direct way", |it| it["way"] == "direct").await;
            let id = to.split_once('|').expect("a key").0;
            let shown = (
                &link["endpoint"],
                &link["to"],
                &link["source"],
                &link["relay"],
            );
            let wanted = (&id.into(), &to.as_str().into(), &"hand".into(), &Json::Null);
            assert_eq!(shown, wanted, "{link}");
            assert!(
                link["round_trip"].as_f64().is_some_and(|it| it > 0.0),
                "{link}"
            );
            let text = venues.zocp(at, &["link"]).run().await;
            assert!(text.contains("  direct  iroh:"), "{text}");
        }

        // The way changes while it runs. To which relay is shown.
        for site in &venues.sites {
            site.gate.rule("udp dport != 7842 drop").await;
        }
        for at in [0, 1] {
            let link = becomes(&venues, at, "the way by the relay", |it| {
                it["way"] == "relay"
            })
            .await;
            let relay = link["relay"].as_str().unwrap_or_default();
            assert!(relay.starts_with(&venues.url), "{link}");
        }
        venues.are_linked().await;

        // After a restart it is there, and what is wrong is shown at both ends.
        venues.bridges[0].program.kill().await;
        let down = becomes(&venues, 1, "the end of the link", |it| !is_up(it)).await;
        assert_eq!(
            down["endpoint"],
            to[1].split_once('|').expect("a key").0,
            "{down}"
        );
        assert!(
            down["why"].as_str().is_some_and(|why| !why.is_empty()),
            "{down}"
        );
        venues.start_again(0).await;
        venues.are_linked().await;

        let none = venues
            .zocp(0, &["link", "remove", "iroh:7"])
            .outcome()
            .await;
        assert!(none.err.contains("there is no link to iroh:7"), "{none:?}");
        let words = ["--", "zocp", "link", "remove", "iroh"];
        let offered = venues
            .zocp(0, &words)
            .env("ZOCP_COMPLETE", "bash")
            .run()
            .await;
        assert!(
            to[0].starts_with(offered.trim()) && !offered.is_empty(),
            "{offered}"
        );
        let id = to[0].split_once('|').expect("a key").0;
        venues.zocp(0, &["link", "remove", id]).run().await;
        venues.are_apart().await;
        assert_eq!(venues.zocp(0, &["link", "--json"]).run().await.trim(), "[]");
        // And again.
        venues
            .zocp(0, &["link", "add", &to[0]])
            .args(by)
            .run()
            .await;
        venues.are_linked().await;
    });
}

//! Bridges that export everything to each other: what is imported is not exported, so names stay bounded.

use zocp_testkit::{Bridge, Bus, Client, Lab, isolated};

use super::ZOCP;

const EVERYTHING: &str = "[[export]]\nservice = '*'\ntalk = true\n";
const BUS: (&str, &str, &str) = (
    "org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus",
);

/// Bridges on hosts of their own that export all they have, each with a service of its own.
async fn meet(lab: &Lab, names: &[&str]) -> Vec<(Bridge, Client)> {
    let config = lab.file("everything.toml", EVERYTHING);
    let mut bridges = Vec::new();
    for name in names {
        let host = lab.host(name).await;
        let bridge = Bridge::start(ZOCP, &host, name, &["--config", &config]).await;
        let service = Client::on(&bridge.bus).await;
        own(service.connection(), &format!("org.example.Of{name}")).await;
        bridges.push((bridge, service));
    }
    bridges
}

async fn own(connection: &zbus::Connection, name: &str) {
    connection.request_name(name).await.expect("a free name");
}

/// What is called `org.example.…` on a bus, sorted.
async fn examples(bus: &Bus) -> Vec<String> {
    let names = Client::on(bus).await.call(BUS, "ListNames", &()).await;
    let names: Vec<String> = names.body().deserialize().expect("names");
    let mut names: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with("org.example."))
        .collect();
    names.sort();
    names
}

/// Where `all` have met and export everything, each sees its own and one of every other, and no more.
async fn assert_bounded(lab: &Lab, all: &[&str]) {
    let bridges = meet(lab, all).await;
    // What comes last is seen everywhere: so is all that came before, and what that led to.
    own(bridges[0].1.connection(), "org.example.Xlast").await;
    for (bridge, _) in &bridges[1..] {
        let last = format!("org.example.Xlast.{}", all[0]);
        bridge.bus.appears(&last).await;
    }
    for ((bridge, _), here) in bridges.iter().zip(all) {
        let mut wanted = Vec::new();
        for there in all {
            let name = format!("org.example.Of{there}");
            wanted.push(match there == here {
                true => name,
                false => format!("{name}.{there}"),
            });
        }
        for name in &wanted {
            bridge.bus.appears(name).await;
        }
        wanted.push(match *here == all[0] {
            true => "org.example.Xlast".to_owned(),
            false => format!("org.example.Xlast.{}", all[0]),
        });
        assert_eq!(examples(&bridge.bus).await, wanted, "at {here}");
    }
}

#[test]
fn two_bridges_that_export_everything_show_each_service_once() {
    isolated(async |lab: Lab| assert_bounded(&lab, &["a", "b"]).await);
}

#[test]
fn three_bridges_that_export_everything_show_each_service_once() {
    isolated(async |lab: Lab| assert_bounded(&lab, &["a", "b", "c"]).await);
}

//! Bridges of two venues, each behind a router that translates addresses and lets nothing in: they meet at a relay.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod command;
mod hostile;
mod venues;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use zocp_testkit::{Cmd, Lab, Nat, isolated};

use crate::venues::{LAMP_OF_NORTH, LAMP_OF_SOUTH, Linked, NODES, Venues};

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
        let venues = Venues::open_with(
            &lab,
            [Nat::Cone, Nat::Cone],
            "meta l4proto udp drop",
            Linked::Configured,
        )
        .await;
        venues.are_linked().await;
        venues.bridges[0].program.says("goes by the relay").await;
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
            &south.gate.router.address_on(&lab.network),
            // Both tell each other their own addresses, and try them.
            &south.host.address_on(&south.gate.network),
            &format!(
                "{}.255",
                host.address_on(&north.gate.network)
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
        let calls = lab.path("calls");
        let pid = venues.bridges[0].program.pid().expect("it runs");
        let pid = pid.as_raw_nonzero().to_string();
        let sends = "trace=connect,sendto,sendmsg,sendmmsg";
        let strace = Cmd::new("strace").args(["-f", "-v", "-e", sends, "-o", &calls, "-p", &pid]);
        let mut strace = strace.start();
        strace.says("attached").await;
        venues.are_linked().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        venues.are_linked().await;
        strace.interrupt();
        strace.ended().await;
        let calls = std::fs::read_to_string(&calls).expect("the calls");
        let reached: BTreeSet<&str> = calls.lines().flat_map(addresses).collect();
        assert!(reached.contains(relay.as_str()), "it counts: {reached:?}");
        let own = host.address_on(&north.gate.network);
        let is_allowed = |address: &&str| {
            // With a packet goes the address that it is to have come from, too: ours, or any of ours.
            let is_own = [own.as_str(), "0.0.0.0", "ff02::1", "::1"].contains(address);
            is_own || address.starts_with("127.") || allowed.split(", ").any(|it| it == *address)
        };
        let others: Vec<&&str> = reached.iter().filter(|it| !is_allowed(it)).collect();
        assert!(others.is_empty(), "{others:?}");
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

/// The addresses of IP in a line of strace.
fn addresses(line: &str) -> impl Iterator<Item = &str> {
    let before = ["inet_addr(\"", "inet_pton(AF_INET6, \""];
    let found = before
        .into_iter()
        .flat_map(|before| line.split(before).skip(1));
    found.filter_map(|rest| rest.split('"').next())
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
            venues.start_again(at).await;
            let since = Instant::now();
            venues.are_linked().await;
            eprintln!(
                "{}: noticed after {noticed:?}, back after {:?}",
                NODES[at],
                since.elapsed()
            );
        }
        let gate = &venues.sites[0].gate;
        let since = Instant::now();
        gate.cut().await;
        venues.are_apart().await;
        let noticed = since.elapsed();
        assert!(noticed < Duration::from_secs(10), "{noticed:?}");
        gate.restore().await;
        let since = Instant::now();
        venues.are_linked().await;
        eprintln!(
            "cut: noticed after {noticed:?}, back after {:?}",
            since.elapsed()
        );
    });
}

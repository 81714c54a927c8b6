//! `zocp doctor` beside bridges that are well, and that are not.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use serde_json::Value;
use zocp_testkit::{Bridge, Bus, Cmd, Host, Lab, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// What the doctor finds on a bus: its exit code, and each check with its verdict.
async fn findings(bus: &Bus) -> (Option<i32>, Vec<(String, String)>) {
    found(Cmd::new(ZOCP), bus).await
}

/// The same, on a host.
async fn findings_at(host: &Host, bus: &Bus) -> (Option<i32>, Vec<(String, String)>) {
    found(host.command(ZOCP), bus).await
}

async fn found(zocp: Cmd, bus: &Bus) -> (Option<i32>, Vec<(String, String)>) {
    let outcome = zocp.args(["--json", "doctor"]).on(bus).outcome().await;
    let findings: Vec<Value> = serde_json::from_str(&outcome.out).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = findings
        .iter()
        .map(|finding| (text(finding, "check"), text(finding, "verdict")));
    (outcome.status.code(), findings.collect())
}

fn verdict<'f>(findings: &'f [(String, String)], check: &str) -> &'f str {
    let found = findings.iter().find(|(name, _)| name == check);
    found.map_or("", |(_, verdict)| verdict)
}

#[test]
fn a_bridge_that_is_well_has_no_problem() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let bridge = Bridge::start(ZOCP, &host, "stage", &[]).await;
        let (code, findings) = findings(&bridge.bus).await;
        assert_eq!(code, Some(0), "{findings:?}");
        for check in [
            "configuration",
            "bus",
            "bridge",
            "network",
            "beacons",
            "names",
        ] {
            assert_eq!(verdict(&findings, check), "ok", "{check}: {findings:?}");
        }
    });
}

#[test]
fn two_bridges_of_one_name_are_warned_of() {
    isolated(async |lab: Lab| {
        let (one, other) = (lab.host("one").await, lab.host("other").await);
        let bridge = Bridge::start(ZOCP, &one, "stage", &[]).await;
        let bus = Bus::start("other").await;
        let _other = Bridge::start_on(&bus, ZOCP, &other, "stage", &[]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.stage").await;
        let (code, findings) = findings(&bridge.bus).await;
        assert_eq!(verdict(&findings, "names"), "warning", "{findings:?}");
        assert_eq!(code, Some(0), "a warning is no problem");
    });
}

#[test]
fn a_firewall_before_the_beacons_is_a_problem_with_what_to_do() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let rules = "table inet closed { chain input { type filter hook input priority 0; policy accept; \
                     udp dport 5670 drop; }; }";
        let nft = host.command("nft").arg(rules).outcome().await;
        assert!(nft.status.success(), "{}", nft.err);
        let bridge = Bridge::start(ZOCP, &host, "stage", &[]).await;
        let doctor = Cmd::new(ZOCP).arg("doctor").on(&bridge.bus).outcome().await;
        assert_eq!(doctor.status.code(), Some(12), "{}", doctor.out);
        let problem = doctor.out.lines().find(|line| line.starts_with("problem"));
        assert!(problem.unwrap().contains("beacons"), "{}", doctor.out);
        assert!(doctor.out.contains("UDP port 5670"), "{}", doctor.out);
    });
}

/// Adds a rule to a chain of a host, which comes in or goes out.
async fn rule(host: &Host, hook: &str, rule: &str) {
    let rules = format!(
        "table inet closed {{ chain {hook} {{ type filter hook {hook} priority 0; policy accept; {rule}; }}; }}"
    );
    host.command("nft").arg(&rules).run().await;
}

#[test]
fn a_firewall_that_comes_while_the_bridge_runs_is_found() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let bridge = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let _foh = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.foh").await;
        let (_, found) = findings_at(&stage, &bridge.bus).await;
        for check in ["beacons", "tcp", "nodes", "firewall"] {
            assert_eq!(verdict(&found, check), "ok", "{check}: {found:?}");
        }
        rule(&stage, "input", "udp dport 5670 drop").await;
        let (code, found) = findings_at(&stage, &bridge.bus).await;
        assert_eq!(verdict(&found, "beacons"), "problem", "{found:?}");
        assert_eq!(verdict(&found, "firewall"), "warning", "{found:?}");
        assert_eq!(code, Some(12));
    });
}

#[test]
fn tcp_that_is_dropped_is_found_which_way_ever_it_goes() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let at_stage = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let at_foh = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        at_stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        at_foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        // Those that are met stay; the next time they would not be.
        rule(&stage, "output", "oif != lo tcp flags syn / syn,ack drop").await;
        let (code, found) = findings_at(&stage, &at_stage.bus).await;
        assert_eq!(verdict(&found, "tcp"), "problem", "{found:?}");
        assert_eq!(verdict(&found, "beacons"), "ok", "{found:?}");
        assert_eq!(code, Some(12));
        rule(&foh, "input", "tcp dport 1024-65535 ct state new drop").await;
        let doctor = foh.command(ZOCP).arg("doctor").on(&at_foh.bus);
        let doctor = doctor.outcome().await;
        assert!(doctor.out.contains("nobody can dial it"), "{}", doctor.out);
    });
}

#[test]
fn a_port_of_beacons_that_is_taken_is_found_without_a_bridge() {
    isolated(async |lab: Lab| {
        let host = lab.host("stage").await;
        let taking = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                      s.bind(('0.0.0.0', 5670)); print('taken', flush=True); sys.stdin.read()";
        let taker = host.command("python3").args(["-c", taking]).start();
        taker.says("taken").await;
        let bus = Bus::start("stage").await;
        let (code, found) = findings_at(&host, &bus).await;
        assert_eq!(verdict(&found, "port"), "problem", "{found:?}");
        assert_eq!(code, Some(12));
        drop(taker);
    });
}

#[test]
fn without_a_bridge_the_rest_is_looked_at_all_the_same() {
    isolated(async |_: Lab| {
        let bus = Bus::start("stage").await;
        let (code, findings) = findings(&bus).await;
        assert_eq!(code, Some(12));
        assert_eq!(verdict(&findings, "bridge"), "problem", "{findings:?}");
        assert_eq!(verdict(&findings, "configuration"), "ok", "{findings:?}");
    });
}

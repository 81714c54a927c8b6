//! `zocp doctor` beside bridges that are well, and that are not.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use serde_json::Value;
use zocp_testkit::{Bridge, Bus, Cmd, Lab, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// What the doctor finds on a bus: its exit code, and each check with its verdict.
async fn findings(bus: &Bus) -> (Option<i32>, Vec<(String, String)>) {
    let doctor = Cmd::new(ZOCP).args(["--json", "doctor"]).on(bus);
    let outcome = doctor.outcome().await;
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

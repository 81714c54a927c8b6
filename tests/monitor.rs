//! `zocp monitor` beside two bridges, and Wireshark with what it writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail like the test"
)]

use serde_json::Value;
use zocp_testkit::{Client, Cmd, Lab, Program, Venue, error_name, isolated, message};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const RULE: &str = "[[export]]\nservice = \"org.example.*\"\ntalk = true\n";
const SERVICE: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const INTERFACE: &str = "org.example.Every1";
const PATH: &str = "/a/path";

/// A service on stage, and a client at front of house, where somebody watches.
struct Watched {
    client: Client,
    venue: Venue,
    _service: Program,
}

impl Watched {
    async fn start(lab: &Lab) -> Self {
        let venue = Venue::open(lab, ZOCP, RULE, "").await;
        let service = venue.stage.bus.serve("every_service.py", SERVICE).await;
        venue.foh.bus.appears(THERE).await;
        Self {
            client: Client::on(&venue.foh.bus).await,
            venue,
            _service: service,
        }
    }

    fn monitor(&self, options: &[&str]) -> Program {
        let monitor = Cmd::new(ZOCP).arg("monitor").args(options);
        monitor.on(&self.venue.foh.bus).label("monitor").start()
    }

    async fn call(&mut self, method: &str) {
        self.call_of(SERVICE, method).await;
    }

    /// Calls the service until something is seen.
    async fn until<T>(&mut self, seen: impl Future<Output = T>) -> T {
        self.until_of(SERVICE, seen).await
    }

    async fn until_of<T>(&mut self, service: &str, seen: impl Future<Output = T>) -> T {
        let mut seen = std::pin::pin!(seen);
        loop {
            self.call_of(service, "Cases").await;
            let pause = std::time::Duration::from_millis(200);
            if let Ok(seen) = tokio::time::timeout(pause, &mut seen).await {
                return seen;
            }
        }
    }

    async fn call_of(&mut self, service: &str, method: &str) {
        let there = format!("{service}.stage");
        let call = message(&there, PATH, INTERFACE, method);
        let call = call.build(&()).expect("a call");
        let answer = self.client.ask(&call).await;
        assert_eq!(error_name(&answer), None, "{method}");
    }
}

/// The first line that holds, as JSON.
async fn event(monitor: &Program, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let pick = |line: &str| serde_json::from_str(line).ok().filter(&holds);
    monitor.says_like(what, pick).await
}

#[test]
fn a_call_is_shown_with_how_long_it_took_and_other_services_are_not() {
    isolated(async |lab: Lab| {
        let mut watched = Watched::start(&lab).await;
        let all = watched.monitor(&["--json"]);
        let one = watched.monitor(&["--json", "--service", SERVICE]);
        let other = watched.monitor(&["--json", "--service", "org.example.Other"]);
        let text = watched.monitor(&["--verb", "call"]);
        // Each watches from the moment at which the bridge answered it, so each needs calls until it has seen one.
        let is_done = |line: &Value| line["event"] == "done";
        let done = watched
            .until(event(&one, "a call that is done", is_done))
            .await;
        assert_eq!(done["member"], "org.example.Every1.Cases");
        assert_eq!(
            (&done["service"], &done["peer"]),
            (&SERVICE.into(), &"stage".into())
        );
        assert!(done["microseconds"].as_u64().unwrap() > 0);
        let is_return = |line: &Value| line["packet"] == "return";
        watched.until(event(&all, "a packet", is_return)).await;
        watched.until(text.says("Every1.Cases took")).await;
        // What passes the filter comes behind what did not.
        let name = "org.example.Other";
        let _service = watched
            .venue
            .stage
            .bus
            .serve("every_service.py", name)
            .await;
        watched
            .venue
            .foh
            .bus
            .appears(&format!("{name}.stage"))
            .await;
        let seen = event(&other, "a call of its service", is_done);
        watched.until_of(name, seen).await;
        let said = other.unmatched();
        let is_other = |line: &String| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["service"] == name
        };
        assert!(said.iter().all(is_other), "{said:?}");
    });
}

#[test]
fn wireshark_opens_what_is_written() {
    isolated(async |lab: Lab| {
        let mut watched = Watched::start(&lab).await;
        let file = lab.path("show.pcapng");
        let mut monitor = watched.monitor(&["--json", "--beacons", "--write", &file]);
        // The capture has the call that the lines have, for it was opened first or at the same time.
        let has_call = || {
            let written = std::fs::read(&file).unwrap_or_default();
            let member = b"Cases";
            written.windows(member.len()).any(|part| part == member)
        };
        while !has_call() {
            watched.call("Cases").await;
        }
        watched.call("Cases").await;
        event(&monitor, "a beacon", |line| line["event"] == "beacon").await;
        monitor.interrupt();
        assert!(monitor.ended().await.success());

        let read = |filter: &str, field: &str| {
            let shark = Cmd::new("tshark").args(["-r", &file, "-Y", filter]);
            shark.args(["-T", "fields", "-e", field]).run()
        };
        let calls = read("dbus.message_type == 1", "dbus.member").await;
        assert!(calls.lines().any(|member| member == "Cases"), "{calls}");
        let services = read("dbus.message_type == 1", "dbus.destination").await;
        assert!(services.lines().any(|name| name == SERVICE), "{services}");
        // The answer is understood as the answer to that call.
        let answered = read("dbus.message_type == 2", "frame.comment").await;
        assert!(answered.contains("return from stage"), "{answered}");
        let streams = read("tcp.len > 0", "tcp.dstport").await;
        assert!(!streams.is_empty());
        let broken =
            "tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.analysis.lost_segment";
        let flaws = Cmd::new("tshark").args(["-r", &file, "-o", "tcp.check_checksum:TRUE"]);
        let flaws = flaws
            .args(["-o", "ip.check_checksum:TRUE", "-Y", broken])
            .run()
            .await;
        assert_eq!(flaws, "", "packets that are not as they should be");
        let malformed = read("_ws.malformed", "frame.number").await;
        assert_eq!(malformed, "");
        let beacons = read("udp.port == 5670", "udp.length").await;
        assert!(
            beacons.lines().all(|len| len == "30") && !beacons.is_empty(),
            "{beacons}"
        );
    });
}

#[test]
fn the_end_of_the_bridge_is_the_end_of_the_watching() {
    isolated(async |lab: Lab| {
        let mut watched = Watched::start(&lab).await;
        let mut monitor = watched.monitor(&[]);
        while monitor.unmatched().is_empty() {
            watched.call("Cases").await;
        }
        watched.venue.foh.program.interrupt();
        monitor.says("the bridge has ended").await;
        assert_eq!(monitor.ended().await.code(), Some(4));
    });
}

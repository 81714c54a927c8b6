//! Peers that DNS names by SRV records, with dnsmasq as the name server.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::Value as Json;
use zocp_testkit::{Bridge, Cmd, Host, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const RESOLVED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/resolved.py");
const NAME: &str = "srv:_zocp._tcp.venue.example";

/// The name server of all hosts.
struct Names<'l> {
    host: Host,
    lab: &'l Lab,
    running: Option<Program>,
}

impl<'l> Names<'l> {
    /// The machine's configuration names it, though it does not run yet.
    async fn at(lab: &'l Lab) -> Self {
        let host = lab.host("names").await;
        let address = host.address_on(&lab.network);
        let conf = format!("nameserver {address}\noptions timeout:1 attempts:1\n");
        let conf = lab.file("resolv.conf", conf);
        let mount = Cmd::new("mount").args(["--bind", &conf, "/etc/resolv.conf"]);
        mount.run().await;
        Self {
            host,
            lab,
            running: None,
        }
    }

    /// These are at port 5671 from now on.
    async fn say(&mut self, records: &[&Host]) {
        self.fall_silent().await;
        let records = records.iter().map(|host| {
            let (name, address) = (host.name(), host.address_on(&self.lab.network));
            format!(
                "srv-host=_zocp._tcp.venue.example,{name}.venue.example,5671,1,1\n\
                 host-record={name}.venue.example,{address}\n"
            )
        });
        let config: String = records.collect();
        let config = format!("local=/example/\nlocal-ttl=1\n{config}");
        let config = self.lab.file("dnsmasq.conf", config);
        let dnsmasq = self.host.command("dnsmasq").args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--log-facility=-",
            "--log-queries",
            &format!("--conf-file={config}"),
            "--pid-file=",
        ]);
        let dnsmasq = dnsmasq.start();
        dnsmasq.says("started, version").await;
        self.running = Some(dnsmasq);
    }

    async fn fall_silent(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().await;
        }
    }
}

/// A bridge without beacons at port 5671.
async fn bridge(lab: &Lab, host: &Host, name: &str, more: &str) -> Bridge {
    let config = format!("[mesh]\nbeacon = 'off'\nmailbox_port = 5671\n{more}\n");
    let config = lab.file(&format!("{name}.toml"), &config);
    Bridge::start(ZOCP, host, name, &["-v", "--config", &config]).await
}

fn node(name: &str) -> String {
    format!("org.z25.Zocp1.Node.{name}")
}

#[test]
fn peers_of_records_are_met_and_those_of_records_that_go_are_not_met_again() {
    isolated(async |lab: Lab| {
        let mut names = Names::at(&lab).await;
        let (desk, stage, foh) = (
            lab.host("desk").await,
            lab.host("stage").await,
            lab.host("foh").await,
        );
        let mut at_stage = bridge(&lab, &stage, "stage", "").await;
        let at_foh = bridge(&lab, &foh, "foh", "").await;
        // The desk itself is among them, as in a list that all have.
        names.say(&[&stage, &desk]).await;
        let desk = bridge(&lab, &desk, "desk", &format!("peers = ['{NAME}']")).await;
        desk.bus.appears(&node("stage")).await;
        at_stage.bus.appears(&node("desk")).await;

        names.say(&[&foh]).await;
        desk.bus.appears(&node("foh")).await;
        desk.program
            .says("DNS does not name this peer any more")
            .await;
        // Who is there stays.
        assert!(desk.bus.has(&node("stage")).await);
        // Who comes again is not dialed.
        at_stage.program.kill().await;
        desk.bus.vanishes(&node("stage")).await;
        let config = lab.path("stage.toml");
        let options = ["--config", config.as_str()];
        at_stage.program = Bridge::start_on(&at_stage.bus, ZOCP, &stage, "stage", &options).await;
        names.say(&[]).await;
        desk.program
            .says("DNS has no SRV records of this name")
            .await;
        assert!(!desk.bus.has(&node("stage")).await);
        assert!(desk.bus.has(&node("foh")).await);
        names.say(&[&stage, &foh]).await;
        desk.bus.appears(&node("stage")).await;
        at_foh.bus.appears(&node("desk")).await;
    });
}

#[test]
fn a_name_server_that_does_not_answer_takes_nobody_away_and_is_asked_again() {
    isolated(async |lab: Lab| {
        let mut names = Names::at(&lab).await;
        let (desk, stage) = (lab.host("desk").await, lab.host("stage").await);
        let at_stage = bridge(&lab, &stage, "stage", "").await;
        let at_desk = bridge(&lab, &desk, "desk", &format!("peers = ['{NAME}']")).await;
        at_desk.program.says("cannot look up this name").await;
        let doctor = desk.command(ZOCP).args(["--json", "doctor", "--config"]);
        let doctor = doctor.arg(lab.path("desk.toml")).on(&at_desk.bus);
        let said = doctor.outcome().await.out;
        let findings: Vec<Json> = serde_json::from_str(&said).expect("JSON");
        let names_of = findings.iter().find(|it| it["check"] == "peers by DNS");
        assert_eq!(names_of.expect("a finding")["verdict"], "problem", "{said}");

        names.say(&[&stage]).await;
        at_desk.bus.appears(&node("stage")).await;
        names.fall_silent().await;
        at_desk.program.says("cannot look up this name").await;
        assert!(at_desk.bus.has(&node("stage")).await);
        names.say(&[&stage]).await;
        at_desk.program.says("DNS names peers").await;
        assert!(at_stage.bus.has(&node("desk")).await);
    });
}

#[test]
fn a_face_meets_peers_by_name_and_systemd_resolved_is_asked_where_it_runs() {
    isolated(async |lab: Lab| {
        // The name servers of the machine know nothing; systemd-resolved does.
        let mut names = Names::at(&lab).await;
        names.say(&[]).await;
        let (desk, stage) = (lab.host("desk").await, lab.host("stage").await);
        let at_stage = bridge(&lab, &stage, "stage", "").await;
        let bus = zocp_testkit::Bus::start("system").await;
        let resolved = Cmd::python("gi").args([RESOLVED, "org.freedesktop.resolve1"]);
        let resolved = resolved.env("RESOLVED_HOST", stage.address_on(&lab.network));
        let resolved = resolved.on(&bus).label("resolved").start();
        resolved.says("ready").await;
        let face = desk
            .command(ZOCP)
            .args(["osc", "--name", "knobs", "--peer", NAME]);
        let face = face.args(["--listen", "127.0.0.1:9000"]);
        let _face = face.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).start();
        at_stage.bus.appears(&node("knobs")).await;
    });
}

#[test]
fn a_name_that_is_none_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let desk = lab.host("desk").await;
        let start = desk.command(ZOCP).args(["bridge", "--bus", "embedded"]);
        let wrong = start.args(["--peer", "srv:venue.example"]).outcome().await;
        let said = "mesh.peers (--peer): \"srv:venue.example\" is not srv:_SERVICE._tcp.DOMAIN, such as \
                    srv:_zocp._tcp.venue.example";
        assert!(wrong.err.contains(said), "{wrong:?}");
    });
}

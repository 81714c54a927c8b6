//! Clients of the kind that people write, in every D-Bus library there is, and the tools that they use: at front of
//! house each says of a service on stage what it says there.
//!
//! The programs beside this file are examples too.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod tools;

use zocp_testkit::{Bus, Cmd, Lab, Program, Venue, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const EXPORTS: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
/// The lamp on stage, and at front of house.
const HERE: &str = "org.example.Desk";
const THERE: &str = "org.example.Desk.stage";

/// What each client says: values, a set one among them, introspection data, an answer, signals, an error.
const SAID: [&str; 9] = [
    "level is 0.25",
    "kind is halogen",
    "properties: Kind Level Reads",
    "methods: Blink Count Counted Fail Sender Wait Whisper",
    "blinked 3 times",
    "signal 0",
    "signal 1",
    "signal 2",
    "org.example.Lamp.Error.Broken: the lamp is out",
];

/// Two machines with a lamp on stage.
async fn lit(lab: &Lab) -> (Venue, Program) {
    let venue = Venue::open(lab, ZOCP, EXPORTS, "").await;
    let lamp = venue.stage.bus.serve("lamp_service.py", HERE).await;
    venue.foh.bus.appears(THERE).await;
    (venue, lamp)
}

/// That a client says the same on both buses.
async fn assert_said(lab: Lab, client: impl Fn() -> Cmd) {
    let (venue, _lamp) = lit(&lab).await;
    for (bus, name) in [(&venue.stage.bus, HERE), (&venue.foh.bus, THERE)] {
        assert_eq!(run(client(), bus, name).await, SAID, "{name}");
    }
}

/// The lines that a client says; names in a list have no order.
async fn run(client: Cmd, bus: &Bus, name: &str) -> Vec<String> {
    let said = client.arg(name).on(bus).run().await;
    let sorted = |line: &str| match line.split_once(": ") {
        Some((head @ ("methods" | "properties"), names)) => {
            let mut names: Vec<&str> = names.split(' ').collect();
            names.sort_unstable();
            format!("{head}: {}", names.join(" "))
        }
        _ => line.to_owned(),
    };
    said.lines().map(sorted).collect()
}

fn script(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

#[test]
fn dasbus_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        assert_said(lab, || Cmd::python("dasbus").arg(script("lamp_dasbus.py"))).await;
    });
}

#[test]
fn dbus_python_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let client = || Cmd::python("dbus").arg(script("lamp_dbus_python.py"));
        assert_said(lab, client).await;
    });
}

#[test]
fn dbus_fast_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let client = || Cmd::pypi_python().arg(script("lamp_dbus_fast.py"));
        assert_said(lab, client).await;
    });
}

#[test]
fn dbus_next_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        assert_said(lab, || Cmd::node().arg(script("lamp_dbus_next.js"))).await;
    });
}

#[test]
fn sd_bus_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let program = lab.path("lamp_sd_bus");
        Cmd::cc(&script("lamp_sd_bus.c"), &program).await;
        assert_said(lab, || Cmd::new(&program)).await;
    });
}

//! Clients of the kind that people write, in every D-Bus library there is, and the tools that they use: at front of
//! house each says of a service on stage what it says there, on the session bus and in a view (`zocp exec`).
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

/// That a client says the same on both buses, and in a view.
async fn assert_said(lab: Lab, client: impl Fn() -> Cmd) {
    let (venue, _lamp) = lit(&lab).await;
    let (stage, foh) = (&venue.stage.bus, &venue.foh.bus);
    for (bus, name) in [(stage, HERE), (foh, THERE)] {
        assert_eq!(run(client(), bus, name).await, SAID, "{name}");
    }
    let exec = foh.command(ZOCP).args(["exec", "stage", "--"]);
    let said = run(client().through(exec), foh, HERE).await;
    assert_eq!(said, SAID, "in a view");
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

#[test]
fn gdbus_of_glib_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let (source, program) = (script("lamp_gdbus.c"), lab.path("lamp_gdbus"));
        let glib = ("gio-2.0", "/usr/include/glib-2.0/gio/gio.h");
        Cmd::compile("cc", &[&source, "-o", &program], glib).await;
        assert_said(lab, || Cmd::new(&program)).await;
    });
}

#[test]
fn qt_talks_with_a_service_of_another_machine() {
    const PACKAGE: &str = "/usr/share/qt5/doc/config/exampleurl-qtbase.qdocconf";
    isolated(async |lab: Lab| {
        let (source, program) = (script("lamp_qt.cpp"), lab.path("lamp_qt"));
        let moc = Cmd::new("/usr/lib/qt5/bin/moc").needs(PACKAGE);
        moc.args(["-o", &lab.path("lamp_qt.moc"), &source])
            .run()
            .await;
        let folder = format!("-I{}", lab.path("."));
        let args = ["-fPIC", &folder, &source, "-o", &program];
        Cmd::compile("g++", &args, ("Qt5DBus", PACKAGE)).await;
        assert_said(lab, || Cmd::new(&program)).await;
    });
}

#[test]
fn perl_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let perl = || Cmd::new("/usr/bin/perl").needs("/usr/share/doc/libnet-dbus-perl");
        assert_said(lab, || perl().arg(script("lamp_net_dbus.pl"))).await;
    });
}

#[test]
fn ruby_talks_with_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let ruby = || Cmd::new("/usr/bin/ruby").needs("/usr/share/doc/ruby-dbus");
        assert_said(lab, || ruby().arg(script("lamp_ruby_dbus.rb"))).await;
    });
}

//! gdbus, qdbus and busctl: what they show of a service on stage at front of house is what they show there.

use zocp_testkit::{Bus, Lab, isolated};

use super::{HERE, THERE, lit};

const PATH: &str = "/org/example/lamp";
const LAMP1: &str = "org.example.Lamp1";

/// That a tool ends alike and says the same on both buses, `NAME` being the service's name; gives back what it says.
async fn same(buses: (&Bus, &Bus), tool: &str, args: &[&str]) -> String {
    let outcome = async |bus: &Bus, name: &str| {
        let args = args
            .iter()
            .map(|arg| if *arg == "NAME" { name } else { arg });
        let outcome = bus.command(tool).args(args).outcome().await;
        let said = (outcome.out + &outcome.err).replace(name, "NAME");
        // Counts how often it was asked for.
        let said = said
            .lines()
            .filter(|line| !line.contains("readonly u Reads ="));
        (outcome.status.code(), said.collect::<Vec<_>>().join("\n"))
    };
    let (stage, foh) = buses;
    let (there, here) = (outcome(stage, HERE).await, outcome(foh, THERE).await);
    assert_eq!(there, here, "{tool} {args:?}");
    here.1
}

#[track_caller]
fn assert_contains(said: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(said.contains(wanted), "no {wanted} in: {said}");
    }
}

#[test]
fn gdbus_shows_a_service_of_another_machine_as_it_is() {
    isolated(async |lab: Lab| {
        let (venue, _lamp) = lit(&lab).await;
        let foh = &venue.foh.bus;
        let gdbus = async |args: &[&str]| same((&venue.stage.bus, foh), "gdbus", args).await;
        let object = ["--session", "--dest", "NAME", "--object-path", PATH];
        let call = |method: &'static str, args: &[&'static str]| {
            [&["call"], &object[..], &["--method", method], args].concat()
        };
        let set = "org.freedesktop.DBus.Properties.Set";
        gdbus(&call(set, &[LAMP1, "Level", "<0.75>"])).await;
        let shown = gdbus(&[&["introspect"], &object[..], &["--only-properties"]].concat()).await;
        assert_contains(&shown, &["readwrite d Level = 0.75", "Kind = 'halogen'"]);
        let tree = ["introspect", "--session", "--dest", "NAME", "--recurse"];
        let tree = gdbus(&[&tree[..], &["--object-path", "/"]].concat()).await;
        assert_contains(&tree, &["Blink(in  u times,", "/org/example/rack"]);
        let answer = gdbus(&call("org.example.Lamp1.Blink", &["2"])).await;
        assert_contains(&answer, &["('blinked 2 times',)"]);
        let error = gdbus(&call("org.example.Lamp1.Fail", &[])).await;
        assert_contains(&error, &["org.example.Lamp.Error.Broken: the lamp is out"]);

        let monitor = ["monitor", "--session", "--dest", THERE];
        let monitor = foh.command("gdbus").args(monitor).start();
        monitor.says("is owned by").await;
        gdbus(&call("org.example.Lamp1.Blink", &["2"])).await;
        for signal in ["Lamp1.Blinked (uint32 0,)", "Lamp1.Blinked (uint32 1,)"] {
            monitor.says(signal).await;
        }
    });
}

#[test]
fn busctl_shows_a_service_of_another_machine_as_it_is() {
    isolated(async |lab: Lab| {
        let (venue, _lamp) = lit(&lab).await;
        let foh = &venue.foh.bus;
        let busctl = async |args: &[&str]| {
            let args = [&["--user", "--no-pager"], args].concat();
            same((&venue.stage.bus, foh), "busctl", &args).await
        };
        busctl(&["set-property", "NAME", PATH, LAMP1, "Level", "d", "0.75"]).await;
        let shown = busctl(&["get-property", "NAME", PATH, LAMP1, "Level", "Kind"]).await;
        assert_eq!(shown, "d 0.75\ns \"halogen\"");
        let tree = busctl(&["tree", "--list", "NAME"]).await;
        assert_contains(&tree, &[PATH, "/org/example/rack"]);
        let call = ["call", "NAME", PATH, LAMP1];
        let answer = busctl(&[&call[..], &["Blink", "u", "2"]].concat()).await;
        assert_eq!(answer, "s \"blinked 2 times\"");
        let error = busctl(&[&call[..], &["Fail"]].concat()).await;
        assert_eq!(error, "Call failed: the lamp is out");
        let rack = ["call", THERE, "/org/example/rack", "org.example.Rack1"];
        let add = [&rack[..], &["Add", "su", "spot", "60"]].concat();
        foh.busctl(&add).await;
        let bulb = ["introspect", "NAME", "/org/example/rack/spot"];
        assert_contains(&busctl(&bulb).await, &[".Watts", "60"]);

        let monitor = ["--user", "monitor", THERE];
        let monitor = foh.command("busctl").args(monitor).start();
        monitor.says("Monitoring bus message stream").await;
        busctl(&[&call[..], &["Blink", "u", "1"]].concat()).await;
        monitor.says("Member=Blinked").await;
    });
}

#[test]
fn qdbus_shows_a_service_of_another_machine_as_it_is() {
    isolated(async |lab: Lab| {
        let (venue, _lamp) = lit(&lab).await;
        let foh = &venue.foh.bus;
        let qdbus = async |args: &[&str]| same((&venue.stage.bus, foh), "qdbus", args).await;
        assert_contains(&qdbus(&["NAME"]).await, &[PATH, "/org/example/rack"]);
        let shown = qdbus(&["NAME", PATH]).await;
        assert_contains(
            &shown,
            &["property readwrite double org.example.Lamp1.Level"],
        );
        // It can set texts only, on any bus.
        qdbus(&["NAME", PATH, "org.example.Lamp1.Level", "0.75"]).await;
        let level = qdbus(&["NAME", PATH, "org.example.Lamp1.Level"]).await;
        assert_eq!(level, "0.5");
        let answer = qdbus(&["NAME", PATH, "org.example.Lamp1.Blink", "2"]).await;
        assert_eq!(answer, "blinked 2 times");
        let error = qdbus(&["NAME", PATH, "org.example.Lamp1.Fail"]).await;
        assert_contains(&error, &["org.example.Lamp.Error.Broken"]);
    });
}

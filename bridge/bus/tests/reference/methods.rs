//! The methods of the bus, with right and wrong arguments, at right and wrong places.

use super::{
    harness::same,
    message::{Draft, Read},
};

const BUS: &str = "org.freedesktop.DBus";

#[test]
fn questions_about_names_that_are_there_and_that_are_not() {
    same(|stage| {
        let mut a = stage.client("a");
        stage.ask(&mut a, "name", Draft::bus("RequestName").s("org.x.a").u(0));
        let unique = a.unique.clone();
        for name in [
            BUS,
            "org.x.a",
            &unique,
            ":1.999",
            ":1.01",
            "org.x.nobody",
            "",
            "not a name",
        ] {
            for member in [
                "NameHasOwner",
                "GetNameOwner",
                "ListQueuedOwners",
                "GetConnectionUnixUser",
            ] {
                let shown = if name == unique { "unique" } else { name };
                stage.ask(
                    &mut a,
                    &format!("{member} {shown}"),
                    Draft::bus(member).s(name),
                );
            }
            for member in [
                "GetConnectionUnixProcessID",
                "GetConnectionCredentials",
                "GetAdtAuditSessionData",
                "GetConnectionSELinuxSecurityContext",
            ] {
                let answer = a.ask(Draft::bus(member).s(name));
                stage.say(format!("{member} {} {}", answer.kind, answer.field(4)));
            }
        }
        let user = rustix::process::geteuid().as_raw().to_string();
        for (member, wanted) in [
            ("GetConnectionUnixUser", user.clone()),
            ("GetConnectionUnixProcessID", std::process::id().to_string()),
        ] {
            assert_eq!(a.ask(Draft::bus(member).s("org.x.a")).body, wanted);
        }
        let credentials = a
            .ask(Draft::bus("GetConnectionCredentials").s("org.x.a"))
            .body;
        assert!(
            credentials.contains(&format!("\"UnixUserID\" {user}")),
            "{credentials}"
        );
        assert!(
            credentials.contains(&format!("\"ProcessID\" {}", std::process::id())),
            "{credentials}"
        );
    });
}

#[test]
fn lists_of_names() {
    same(|stage| {
        let mut a = stage.client("a");
        let _b = stage.client("b");
        stage.ask(&mut a, "name", Draft::bus("RequestName").s("org.x.a").u(0));
        let sorted = |read: Read| {
            let mut names: Vec<String> = read
                .body
                .split([' ', '[', ']'])
                .map(str::to_owned)
                .collect();
            names.sort_unstable();
            names.retain(|name| !name.is_empty());
            names
        };
        for name in sorted(a.ask(Draft::bus("ListNames"))) {
            stage.say(name);
        }
        for name in sorted(a.ask(Draft::bus("ListActivatableNames"))) {
            stage.say(name);
        }
    });
}

#[test]
fn the_environment_of_services_may_be_set() {
    same(|stage| {
        let mut a = stage.client("a");
        let draft = Draft::bus("UpdateActivationEnvironment").body("a{ss}", &[0; 8]);
        stage.ask(&mut a, "set", draft);
    });
}

#[test]
fn nothing_is_started() {
    same(|stage| {
        let mut a = stage.client("a");
        for name in [BUS, "org.x.nobody", ":1.0", ":1.99"] {
            stage.ask(&mut a, name, Draft::bus("StartServiceByName").s(name).u(0));
        }
        stage.ask(&mut a, "call", Draft::call("org.x.nobody", "Do"));
        stage.ask(&mut a, "call", Draft::call(":1.99", "Do"));
        stage.ask(
            &mut a,
            "not to be started",
            Draft::call("org.x.nobody", "Do").flags(2),
        );
        stage.ask(
            &mut a,
            "not to be started",
            Draft::call(":1.99", "Do").flags(2),
        );
    });
}

#[test]
fn methods_and_interfaces_that_are_not_there() {
    same(|stage| {
        let mut a = stage.client("a");
        let calls: [(&str, &str, &str, &str); 14] = [
            (BUS, "/org/freedesktop/DBus", BUS, "NoSuchMethod"),
            (BUS, "/org/freedesktop/DBus", "org.x.No", "Hello"),
            (
                BUS,
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus.Peer",
                "NoSuchMethod",
            ),
            (BUS, "/", BUS, "GetId"),
            (BUS, "/any/where", BUS, "ListActivatableNames"),
            (BUS, "/any/where", "org.freedesktop.DBus.Peer", "Ping"),
            (
                BUS,
                "/any/where",
                "org.freedesktop.DBus.Properties",
                "GetAll",
            ),
            (
                BUS,
                "/any/where",
                "org.freedesktop.DBus.Monitoring",
                "BecomeMonitor",
            ),
            (BUS, "/any/where", BUS, "UpdateActivationEnvironment"),
            (BUS, "/org/freedesktop/DBus", BUS, "RequestName"),
            (
                BUS,
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus.Properties",
                "Get",
            ),
            (
                BUS,
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus.Monitoring",
                "BecomeMonitor",
            ),
            ("", "/x", "org.freedesktop.DBus.Peer", "NoSuchMethod"),
            ("", "/x", "org.x.y", "Do"),
        ];
        for (destination, path, interface, member) in calls {
            let draft = Draft::new(1)
                .field(1, "o", path)
                .field(2, "s", interface)
                .field(3, "s", member);
            let draft = if destination.is_empty() {
                draft
            } else {
                draft.to(destination)
            };
            let answer = a.ask(draft);
            let body = if member == "GetId" {
                "an id"
            } else {
                &answer.body
            };
            let body = if answer.kind == 3 { "" } else { body };
            stage.say(format!(
                "{path} {interface}.{member}: {} {} {body}",
                answer.kind,
                answer.field(4)
            ));
        }
        for member in [
            "Ping",
            "GetId",
            "Introspect",
            "GetMachineId",
            "NoSuchMethod",
            "GetAll",
        ] {
            let draft = Draft::new(1)
                .field(1, "o", "/x")
                .field(3, "s", member)
                .to(BUS);
            let answer = a.ask(draft);
            stage.say(format!(
                "without an interface, {member}: {} {}",
                answer.kind,
                answer.field(4)
            ));
        }
    });
}

#[test]
fn arguments_of_wrong_types() {
    same(|stage| {
        let mut a = stage.client("a");
        for member in [
            "Hello",
            "ListNames",
            "GetId",
            "ReloadConfig",
            "ListActivatableNames",
        ] {
            stage.ask(&mut a, member, Draft::bus(member).s("one too many"));
        }
        for member in [
            "ReleaseName",
            "NameHasOwner",
            "AddMatch",
            "GetNameOwner",
            "StartServiceByName",
            "RequestName",
        ] {
            stage.ask(&mut a, member, Draft::bus(member));
            stage.ask(&mut a, member, Draft::bus(member).u(1));
            stage.ask(&mut a, member, Draft::bus(member).s("a").s("b"));
        }
    });
}

#[test]
fn peer_identity_and_reload() {
    same(|stage| {
        let mut a = stage.client("a");
        stage.ask(
            &mut a,
            "Ping",
            Draft::bus_of("org.freedesktop.DBus.Peer", "Ping"),
        );
        stage.ask(
            &mut a,
            "GetMachineId",
            Draft::bus_of("org.freedesktop.DBus.Peer", "GetMachineId"),
        );
        stage.ask(&mut a, "ReloadConfig", Draft::bus("ReloadConfig"));
        let id = a.ask(Draft::bus("GetId")).body;
        assert_eq!(id.len(), 34, "{id}");
        stage.say(format!(
            "the same: {}",
            a.ask(Draft::bus("GetId")).body == id
        ));
    });
}

#[test]
fn properties_of_the_bus() {
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
    same(|stage| {
        let mut a = stage.client("a");
        for (interface, name) in [
            (BUS, "Features"),
            (BUS, "Interfaces"),
            (BUS, "No"),
            ("org.x.No", "Features"),
            (PROPERTIES, "X"),
        ] {
            let answer = a.ask(Draft::bus_of(PROPERTIES, "Get").s(interface).s(name));
            stage.say(format!(
                "Get {interface} {name}: {} {}",
                answer.kind,
                answer.field(4)
            ));
            let set = Draft::bus_of(PROPERTIES, "Set").s(interface).s(name);
            let answer = a.ask(set.clone());
            stage.say(format!(
                "Set without a value: {} {}",
                answer.kind,
                answer.field(4)
            ));
        }
        for interface in [BUS, "org.x.No", "org.freedesktop.DBus.Peer", PROPERTIES] {
            let answer = a.ask(Draft::bus_of(PROPERTIES, "GetAll").s(interface));
            stage.say(format!(
                "GetAll {interface}: {} {}",
                answer.kind,
                answer.field(4)
            ));
        }
        let features = a
            .ask(Draft::bus_of(PROPERTIES, "Get").s(BUS).s("Features"))
            .body;
        assert!(features.contains("HeaderFiltering"), "{features}");
        let interfaces = a
            .ask(Draft::bus_of(PROPERTIES, "Get").s(BUS).s("Interfaces"))
            .body;
        assert!(
            interfaces.contains("org.freedesktop.DBus.Monitoring"),
            "{interfaces}"
        );
    });
}

/// The names in introspection data, in order.
fn described(xml: &str, tag: &str) -> Vec<String> {
    let start = format!("<{tag} name=\\\"");
    let parts = xml.split(&start).skip(1);
    let mut names: Vec<String> = parts
        .map(|part| part.split('\\').next().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn it_describes_itself() {
    same(|stage| {
        let mut a = stage.client("a");
        for path in ["/org/freedesktop/DBus", "/", "/x"] {
            let draft = Draft::new(1).field(1, "o", path).field(
                2,
                "s",
                "org.freedesktop.DBus.Introspectable",
            );
            let xml = a.ask(draft.field(3, "s", "Introspect").to(BUS)).body;
            for tag in ["interface", "method", "signal", "property", "node"] {
                let mut names = described(&xml, tag);
                // Debug builds of the reference have more.
                names.retain(|name| {
                    !name.contains("Debug")
                        && !name.contains("Stats")
                        && !name.contains("Verbose")
                        && !name.contains("MatchRules")
                });
                stage.say(format!("{path} {tag}: {names:?}"));
            }
        }
    });
}

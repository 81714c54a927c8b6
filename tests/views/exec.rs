//! `zocp exec`: the program, its environment, its end.

use rustix::process::Signal;
use zocp_testkit::{Lab, Venue, isolated};

use super::{EXAMPLES, LAMP, LAMP_THERE, ZOCP, exec, shown};

#[test]
fn a_service_of_the_stage_has_its_own_name_and_answers() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let blink = ["busctl", "--user", "call", LAMP, "/org/example/lamp"];
        let blink = [&blink[..], &["org.example.Lamp1", "Blink", "u", "2"]].concat();
        assert_eq!(
            shown(&venue, &blink).await.trim_end(),
            "s \"blinked 2 times\""
        );
        let list = shown(&venue, &["busctl", "--user", "--no-pager", "list"]).await;
        let has = |name: &str| {
            list.lines()
                .any(|line| line.split(' ').next() == Some(name))
        };
        assert!(has(LAMP) && has("org.z25.Zocp1.Node.stage"), "{list}");
        assert!(
            !has("org.example.Lamp.stage") && !has("org.z25.Zocp1"),
            "{list}"
        );
    });
}

#[test]
fn the_exit_status_is_that_of_the_program() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        for (command, wanted) in [
            (&["true"][..], 0),
            (&["sh", "-c", "exit 37"], 37),
            (&["sh", "-c", "kill -TERM $$"], 128 + 15),
            (&["no-such-program"], 127),
            (&["/etc/passwd"], 126),
        ] {
            let outcome = exec(&venue, &["stage"], command).outcome().await;
            assert_eq!(
                outcome.status.code(),
                Some(wanted),
                "{command:?} {}",
                outcome.err
            );
        }
    });
}

#[test]
fn the_end_of_the_bridge_is_told_and_the_program_goes_on() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let script = "echo ready; read word; exit 5";
        let mut program = exec(&venue, &["stage"], &["sh", "-c", script]).start();
        program.says("ready").await;
        venue.foh.program.kill().await;
        program.says("the bridge has ended").await;
        program.tell("go").await;
        assert_eq!(program.ended().await.code(), Some(5));
    });
}

#[test]
fn signals_reach_the_program() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let script = "for s in INT TERM HUP USR1; do trap \"echo got $s\" $s; done; trap 'exit 3' USR2; \
                      echo ready; while :; do sleep 0.05; done";
        let mut program = exec(&venue, &["stage"], &["sh", "-c", script]).start();
        program.says("ready").await;
        for (signal, name) in [
            (Signal::INT, "got INT"),
            (Signal::TERM, "got TERM"),
            (Signal::HUP, "got HUP"),
            (Signal::USR1, "got USR1"),
        ] {
            program.signal(signal);
            program.says(name).await;
        }
        program.signal(Signal::USR2);
        assert_eq!(program.ended().await.code(), Some(3));
    });
}

#[test]
fn the_environment_names_the_view_and_no_other_bus() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let env = |options: &'static [&'static str]| {
            let program = exec(&venue, options, &["env"]);
            let program = program.env("DBUS_STARTER_ADDRESS", "unix:path=/x");
            let program = program.env("DBUS_STARTER_BUS_TYPE", "session");
            program
                .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/system")
                .run()
        };
        let value = |said: &str, name: &str| {
            let lines = said.lines();
            let found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).next()
        };
        let said = env(&["stage"]).await;
        let session = value(&said, "DBUS_SESSION_BUS_ADDRESS").expect("an address");
        assert_ne!(session, venue.foh.bus.address());
        assert_eq!(
            value(&said, "DBUS_SYSTEM_BUS_ADDRESS").as_deref(),
            Some("unix:path=/system")
        );
        assert_eq!(
            value(&said, "ZOCP_BUS").as_deref(),
            Some(venue.foh.bus.address())
        );
        assert!(!said.contains("DBUS_STARTER"), "{said}");
        let said = env(&["stage", "--system"]).await;
        let session = value(&said, "DBUS_SESSION_BUS_ADDRESS");
        assert_eq!(session.as_deref(), Some(venue.foh.bus.address()));
        let system = value(&said, "DBUS_SYSTEM_BUS_ADDRESS").expect("an address");
        assert_ne!(system, "unix:path=/system");
    });
}

#[test]
fn a_node_that_is_not_there_is_named_or_waited_for() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let outcome = exec(&venue, &["stgae"], &["true"]).outcome().await;
        assert_eq!(outcome.status.code(), Some(5));
        assert!(
            outcome.err.contains("no node is called \"stgae\""),
            "{}",
            outcome.err
        );
        assert!(
            outcome.err.contains("did you mean \"stage\"?"),
            "{}",
            outcome.err
        );
        venue.stage.program.kill().await;
        venue.foh.bus.vanishes(LAMP_THERE).await;
        let outcome = exec(&venue, &["stage", "--timeout", "0.2"], &["true"])
            .outcome()
            .await;
        assert_eq!(outcome.status.code(), Some(5), "{}", outcome.err);
        let command = [
            "busctl",
            "--user",
            "call",
            LAMP,
            "/org/example/lamp",
            "org.example.Lamp1",
            "Count",
        ];
        let mut waiting = exec(&venue, &["stage", "--timeout", "1e19"], &command).start();
        let config = lab.file("again.toml", EXAMPLES);
        venue.restart_stage(&["--config", &config]).await;
        assert!(waiting.ended().await.success());
    });
}

#[test]
fn where_nothing_may_be_seen_the_lines_for_the_configuration_are_printed() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, "", "").await;
        venue.foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        let outcome = exec(&venue, &["stage"], &["true"]).outcome().await;
        assert_eq!(outcome.status.code(), Some(8));
        let lines = "[[export]]
  service = \"org.example.Service\"
  talk = true
  peers = [\"foh\"]";
        assert!(
            outcome.err.contains("stage exports no service"),
            "{}",
            outcome.err
        );
        assert!(outcome.err.contains(lines), "{}", outcome.err);
        let outcome = exec(&venue, &["foh"], &["true"]).outcome().await;
        assert!(
            outcome.err.contains("\"foh\" is this machine"),
            "{}",
            outcome.err
        );
    });
}

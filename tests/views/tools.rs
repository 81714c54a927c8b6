//! Programs that know nothing of this, on the services of the stage.

use zocp_testkit::{Cmd, Lab, Venue, isolated};

use super::{EXAMPLES, LAMP, LAMP_THERE, PAGE, ZOCP, exec, shown};

const OBJECT: [&str; 2] = ["--object-path", "/org/example/lamp"];

#[test]
fn gdbus_dbus_send_and_dbus_monitor_find_the_service_under_its_name() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let gdbus = ["gdbus", "call", "--session", "--dest", LAMP];
        let blink = [
            &gdbus[..],
            &OBJECT,
            &["--method", "org.example.Lamp1.Blink", "2"],
        ]
        .concat();
        assert_eq!(
            shown(&venue, &blink).await.trim_end(),
            "('blinked 2 times',)"
        );
        let introspect = [
            "gdbus",
            "introspect",
            "--session",
            "--dest",
            LAMP,
            "--recurse",
        ];
        let introspect = [&introspect[..], &["--object-path", "/"]].concat();
        let there = venue
            .stage
            .bus
            .command("gdbus")
            .args(&introspect[1..])
            .run()
            .await;
        let here = shown(&venue, &introspect).await;
        // Counts how often it was asked for.
        let same = |said: &str| -> Vec<String> {
            let lines = said.lines().filter(|line| !line.contains("Reads ="));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(same(&here), same(&there));
        let send = [
            "dbus-send",
            "--print-reply",
            "--dest=org.example.Lamp",
            "/org/example/lamp",
        ];
        let send = [&send[..], &["org.example.Lamp1.Blink", "uint32:2"]].concat();
        let said = shown(&venue, &send).await;
        assert!(said.contains("string \"blinked 2 times\""), "{said}");
        // A shell in the view, and in it a monitor that sees what another program of it does.
        let script = "dbus-monitor --session interface=org.example.Lamp1 & monitor=$!\n\
                      until gdbus call --session --dest org.freedesktop.DBus --object-path /org/freedesktop/DBus \
                        --method org.freedesktop.DBus.ListNames > /dev/null; do :; done\n\
                      gdbus call --session --dest org.example.Lamp --object-path /org/example/lamp \
                        --method org.example.Lamp1.Blink 1; read stop; kill $monitor";
        let monitor = exec(&venue, &["stage"], &["sh", "-c", script]).start();
        monitor.says("member=Blinked").await;
        let wait = ["gdbus", "wait", "--session", LAMP];
        shown(&venue, &wait).await;
    });
}

#[test]
fn playerctl_needs_no_special_name() {
    const PLUGIN: &str = "/usr/lib/mpv-mpris/mpris.so";
    const PLAYERS: &str = "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        let mpv = venue.stage_host.command("mpv").needs(PLUGIN);
        let mpv = mpv
            .args(["--no-config", "--ao=null", "--vo=null", "--video=no"])
            .args(["--msg-level=all=warn", "--idle"])
            .arg(format!("--script={PLUGIN}"));
        let _mpv = mpv.on(&venue.stage.bus).start();
        venue
            .foh
            .bus
            .appears("org.mpris.MediaPlayer2.stage.mpv")
            .await;
        assert_eq!(shown(&venue, &["playerctl", "-l"]).await, "mpv\n");
        let there = venue.stage.bus.command("playerctl");
        let there = there.args(["-p", "mpv", "status"]).outcome().await;
        let here = exec(&venue, &["stage"], &["playerctl", "-p", "mpv", "status"]);
        assert_eq!(here.outcome().await.out, there.out);
        let volume = ["playerctl", "-p", "mpv", "volume", "0.25"];
        shown(&venue, &volume).await;
        let there = venue.stage.bus.command("playerctl");
        let there = there.args(["-p", "mpv", "volume"]).run().await;
        assert!(there.starts_with("0.25"), "{there}");
    });
}

#[test]
fn nmcli_shows_the_networks_of_the_stage_as_its_own() {
    const NETWORK: &str = "[[export]]\nservice = 'org.freedesktop.NetworkManager'\ntalk = true\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, NETWORK, "").await;
        let (stage, manager) = (&venue.stage.bus, "org.freedesktop.NetworkManager");
        let mock = Cmd::python("dbusmock").args(["-m", "dbusmock", "--template", "networkmanager"]);
        let mock = mock
            .on(stage)
            .env("DBUS_SYSTEM_BUS_ADDRESS", stage.address());
        let _mock = mock.label("NetworkManager").start();
        stage.appears(manager).await;
        let add = [
            "call",
            manager,
            "/org/freedesktop/NetworkManager",
            "org.freedesktop.DBus.Mock",
        ];
        let ethernet = ["AddEthernetDevice", "ssi", "mock_eth", "eth7", "100"];
        stage.busctl(&[&add[..], &ethernet].concat()).await;
        venue
            .foh
            .bus
            .appears("org.freedesktop.NetworkManager.stage")
            .await;
        let terse = [
            "nmcli",
            "--terse",
            "--fields",
            "DEVICE,TYPE,STATE",
            "device",
        ];
        let there = stage.command("nmcli").args(&terse[1..]);
        let there = there
            .env("DBUS_SYSTEM_BUS_ADDRESS", stage.address())
            .run()
            .await;
        assert_eq!(there, "eth7:ethernet:connected\n");
        let here = exec(&venue, &["stage", "--system"], &terse).run().await;
        assert_eq!(here, there);
        // What the page shows of it.
        let table = exec(&venue, &["stage", "--system"], &["nmcli", "device"])
            .run()
            .await;
        let table: Vec<&str> = table.lines().map(str::trim_end).collect();
        let shown = format!(
            "$ zocp exec stage --system -- nmcli device\n{}\n",
            table.join("\n")
        );
        assert!(PAGE.contains(&shown), "{shown}");
    });
}

#[test]
fn notify_send_reaches_the_daemon_of_this_machine_where_that_is_let_in() {
    const SERVICE: &str = "org.freedesktop.Notifications";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let foh = &venue.foh.bus;
        let mock = Cmd::python("dbusmock").args(["-m", "dbusmock", "--session"]);
        let mock = mock.args(["--template", "notification_daemon"]).on(foh);
        let daemon = mock.label("notifications").start();
        foh.appears(SERVICE).await;
        foh.appears(LAMP_THERE).await;
        let command = ["notify-send", "from the view", "a text"];
        exec(&venue, &["stage", "--also", SERVICE], &command)
            .run()
            .await;
        daemon.says("from the view").await;
        let outcome = exec(&venue, &["stage"], &command).outcome().await;
        assert!(!outcome.status.success(), "nothing is let in by itself");
    });
}

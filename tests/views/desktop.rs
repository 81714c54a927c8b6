//! Programs of a desktop in a view: services of the stage that they expect, windows, and names that they own themselves.

use zbus::fdo::DBusProxy;
use zocp_testkit::{Cmd, Lab, Program, Venue, isolated};

use super::{EXAMPLES, LAMP, LAMP_THERE, PAGE, ZOCP, exec, shown, view::connect};

#[test]
fn qdbus_of_both_generations_and_busctl_show_the_service_under_its_name() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        for qdbus in ["qdbus", "/usr/lib/qt6/bin/qdbus"] {
            let names = shown(&venue, &[qdbus]).await;
            assert!(names.lines().any(|line| line.trim() == LAMP), "{names}");
            let paths = shown(&venue, &[qdbus, LAMP]).await;
            assert!(paths.contains("/org/example/rack"), "{paths}");
            let blink = [qdbus, LAMP, "/org/example/lamp", "org.example.Lamp1.Blink"];
            let blink = [&blink[..], &["2"]].concat();
            assert_eq!(shown(&venue, &blink).await, "blinked 2 times\n");
        }
        let busctl = async |args: &[&str]| {
            let args = [&["busctl", "--user", "--no-pager"], args].concat();
            shown(&venue, &args).await
        };
        let lamp1 = [LAMP, "/org/example/lamp", "org.example.Lamp1"];
        let set = [&["set-property"], &lamp1[..], &["Level", "d", "0.75"]].concat();
        busctl(&set).await;
        let get = [&["get-property"], &lamp1[..], &["Level", "Kind"]].concat();
        assert_eq!(busctl(&get).await, "d 0.75\ns \"halogen\"\n");
        let tree = busctl(&["tree", "--list", LAMP]).await;
        assert!(tree.contains("/org/example/lamp\n"), "{tree}");
        let status = busctl(&["status", LAMP]).await;
        assert!(status.contains("UniqueName=:"), "{status}");
    });
}

#[test]
fn upower_shows_the_battery_of_the_stage() {
    const POWER: &str = "[[export]]\nservice = 'org.freedesktop.UPower'\ntalk = true\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, POWER, "").await;
        let (stage, name) = (&venue.stage.bus, "org.freedesktop.UPower");
        let on_stage = |cmd: Cmd| cmd.env("DBUS_SYSTEM_BUS_ADDRESS", stage.address());
        let mock = Cmd::python("dbusmock").args(["-m", "dbusmock", "--template", "upower"]);
        let _mock = on_stage(mock.on(stage)).label("UPower").start();
        stage.appears(name).await;
        let add = ["call", name, "/org/freedesktop/UPower"];
        let add = [&add[..], &["org.freedesktop.DBus.Mock"]].concat();
        let battery = [
            "AddDischargingBattery",
            "ssdx",
            "BAT7",
            "Mock",
            "30",
            "1200",
        ];
        stage.busctl(&[&add[..], &battery].concat()).await;
        venue.foh.bus.appears("org.freedesktop.UPower.stage").await;
        let battery = "/org/freedesktop/UPower/devices/BAT7";
        for args in [&["-e"][..], &["-i", battery]] {
            let there = on_stage(stage.command("upower")).args(args).run().await;
            let command = [&["upower"], args].concat();
            let here = exec(&venue, &["stage", "--system"], &command).run().await;
            // Says how many seconds ago it was updated.
            let same = |said: &str| -> Vec<String> {
                let lines = said.lines().filter(|line| !line.contains("updated:"));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(same(&here), same(&there));
            assert!(there.contains("BAT7") || there.contains("30%"), "{there}");
        }
    });
}

#[test]
fn secret_tool_keeps_a_secret_in_the_keyring_of_the_stage() {
    const SECRETS: &str = "[[export]]\nservice = 'org.freedesktop.secrets'\ntalk = true\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, SECRETS, "").await;
        let folder = lab.path("keyring");
        std::fs::create_dir_all(&folder).expect("a folder");
        let daemon = "printf password | exec \"$0\" --foreground --unlock --components=secrets";
        let keyring = Cmd::new("sh").args(["-c", daemon, "/usr/bin/gnome-keyring-daemon"]);
        let keyring = keyring.needs("/usr/bin/gnome-keyring-daemon");
        let keyring = ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"]
            .into_iter()
            .fold(keyring, |keyring, name| keyring.env(name, &folder));
        let _keyring = keyring.on(&venue.stage.bus).label("keyring").start();
        venue.stage.bus.appears("org.freedesktop.secrets").await;
        let there = "org.freedesktop.secrets.stage";
        venue.foh.bus.appears(there).await;
        let store = "printf 'open sesame' | secret-tool store --label=Lamp where stage";
        shown(&venue, &["sh", "-c", store]).await;
        let lookup = ["secret-tool", "lookup", "where", "stage"];
        let secret = shown(&venue, &lookup).await;
        assert_eq!(secret, "open sesame");
        let command = lookup.join(" ");
        assert!(PAGE.contains(&format!("$ zocp exec stage -- {command}\n{secret}\n")));
        let beside = venue.stage.bus.command("secret-tool").args(&lookup[1..]);
        assert_eq!(beside.run().await, "open sesame");
    });
}

/// A screen that nobody sees.
struct Screen {
    display: String,
    _server: Program,
}

impl Screen {
    async fn start() -> Self {
        let server = Cmd::new("Xvfb").args(["-displayfd", "1", "-screen", "0", "1100x700x24"]);
        let server = server.args(["-nolisten", "tcp"]).start();
        let is_number = |line: &str| line.trim().parse::<u32>().ok();
        let number = server.says_like("a number", is_number).await;
        Self {
            display: format!(":{number}"),
            _server: server,
        }
    }

    /// Waits until a window is shown, by its name or class.
    async fn shows(&self, by: &str, wanted: &str) {
        let search = Cmd::new("xdotool").args(["search", "--sync", "--onlyvisible", by, wanted]);
        search.env("DISPLAY", &self.display).run().await;
    }
}

/// A program in a view, after the address of its bus.
async fn windowed(venue: &Venue, screen: &Screen, script: &str) -> (Program, String) {
    let script = format!("echo bus=$DBUS_SESSION_BUS_ADDRESS; {script}");
    let program = exec(venue, &["stage"], &["sh", "-c", &script]);
    let program = program
        .env("DISPLAY", &screen.display)
        .env("NO_AT_BRIDGE", "1")
        .start();
    let address = program.says("bus=").await;
    (program, address["bus=".len()..].to_owned())
}

#[test]
fn a_gtk_program_starts_and_has_its_own_name_in_the_view_alone() {
    const NAME: &str = "org.gnome.dfeet";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let screen = Screen::start().await;
        // Of the second one only the first one's window is left: it ends at once, well.
        let script = "d-feet & first=$!; read go; d-feet; echo second=$?; read end; kill $first";
        let (mut program, address) = windowed(&venue, &screen, script).await;
        screen.shows("--name", "d-feet").await;
        let inside = DBusProxy::new(&connect(&address).await)
            .await
            .expect("a proxy");
        let name = zbus::names::BusName::try_from(NAME).expect("a name");
        assert_eq!(inside.name_has_owner(name).await, Ok(true));
        for bus in [&venue.foh.bus, &venue.stage.bus] {
            assert!(!bus.has(NAME).await, "the name stays in the view");
        }
        program.tell("go").await;
        program.says("second=0").await;
        program.tell("end").await;
    });
}

#[test]
fn a_qt_program_starts_in_the_view() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let screen = Screen::start().await;
        let script = "exec /usr/lib/qt5/bin/qdbusviewer";
        let (_program, _) = windowed(&venue, &screen, script).await;
        screen.shows("--class", "qdbusviewer").await;
    });
}

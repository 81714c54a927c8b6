//! The examples that users copy: they do what they say, with the nodes of the demo.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use zocp_testkit::{Bus, Cmd, Lab, Venue, demo, in_time, isolated, silence};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Reads, is refused, and follows three signals.
fn assert_followed(out: &str) {
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(
        lines[0].starts_with("brightness is ") && lines[0].ends_with("0.2"),
        "{out}"
    );
    assert!(lines[1].starts_with("refused"), "{out}");
    assert!(
        lines[2..]
            .iter()
            .all(|line| line.starts_with("brightness is now ")),
        "{out}"
    );
}

/// Runs an example beside the demo.
async fn run(follow: Cmd) {
    let (bus, _demo) = demo(ZOCP).await;
    assert_followed(&follow.arg("3").on(&bus).run().await);
}

fn example(name: &str) -> String {
    format!("{EXAMPLES}/{name}")
}

#[test]
fn the_lamp_follows_the_fader_from_a_shell() {
    isolated(async |_: Lab| run(Cmd::new("bash").arg(example("follow.sh"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_python() {
    isolated(async |_: Lab| run(Cmd::python("dasbus").arg(example("follow.py"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_python_with_asyncio() {
    isolated(async |_: Lab| run(Cmd::pypi_python().arg(example("follow_fast.py"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_cpp() {
    isolated(async |lab: Lab| {
        let (moc, program) = (lab.path("follow.moc"), lab.path("follow"));
        let source = example("follow.cpp");
        let flags = ["--variable=host_bins", "Qt5Core"];
        let tools = Cmd::new("pkg-config").args(flags).run().await;
        let tool = Cmd::new(&format!("{}/moc", tools.trim()));
        tool.args([&source, "-o", &moc]).run().await;
        let flags = Cmd::new("pkg-config").args(["--cflags", "--libs", "Qt5DBus"]);
        let flags = flags.run().await;
        let compiler = Cmd::new("g++").args(["-Wall", "-Wextra", "-Werror", "-fPIC", "-o"]);
        let compiler = compiler.args([&program, &source, "-I", &lab.path("")]);
        let compiler = compiler.args(flags.split_whitespace());
        compiler.that_works().run().await;
        run(Cmd::new(&program)).await;
    });
}

#[test]
fn the_lamp_follows_the_fader_from_javascript() {
    isolated(async |_: Lab| run(Cmd::node().arg(example("follow.js"))).await);
}

#[test]
fn the_lamp_follows_the_fader_from_c() {
    isolated(async |lab: Lab| {
        let program = lab.path("follow");
        Cmd::cc(&example("follow.c"), &program).await;
        run(Cmd::new(&program)).await;
    });
}

#[test]
fn the_lamp_follows_the_fader_from_rust() {
    isolated(async |_: Lab| {
        // target/debug/deps/examples-…; cargo builds examples beside tests, though not for `--test` alone.
        let tests = std::env::current_exe().expect("a path");
        let built = tests.ancestors().nth(2).expect("target/debug");
        let follow = built.join("examples/follow");
        assert!(follow.exists(), "first: cargo build --example follow");
        run(Cmd::new(&follow.to_string_lossy())).await;
    });
}

/// An example that is a script and calls `zocp`.
fn script(bus: &Bus, name: &str) -> Cmd {
    let zocp = std::path::Path::new(ZOCP).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let script = Cmd::new("bash").arg(example(name)).label(name);
    script
        .env("PATH", format!("{}:{path}", zocp.display()))
        .on(bus)
}

/// The bridge of the demo is a node too.
fn set(bus: &Bus, name: &str, value: &str) -> Cmd {
    Cmd::new(ZOCP).args(["set", "demo", name, value]).on(bus)
}

#[test]
fn a_value_of_the_mesh_sets_the_volume() {
    isolated(async |lab: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let runtime = lab.path("runtime");
        let sound = Cmd::new("pulseaudio").args(["-n", "--exit-idle-time=-1", "--use-pid-file=no"]);
        let sound = sound.args([
            "-L",
            "module-null-sink",
            "-L",
            "module-native-protocol-unix",
        ]);
        let _sound = sound.env("XDG_RUNTIME_DIR", &runtime).on(&bus).start();
        let server = format!("unix:{runtime}/pulse/native");
        let runs = async || {
            let info = Cmd::new("pactl").arg("info").env("PULSE_SERVER", &server);
            info.outcome().await.status.success()
        };
        in_time("pulseaudio to run", async { while !runs().await {} }).await;
        let volume = script(&bus, "volume.sh")
            .env("PULSE_SERVER", &server)
            .start();
        volume.says("is published").await;
        set(&bus, "volume", "0.25").run().await;
        volume.says("volume: 25 %").await;
        let shown = Cmd::new("pactl").args(["get-sink-volume", "@DEFAULT_SINK@"]);
        let shown = shown.env("PULSE_SERVER", &server).run().await;
        assert!(shown.contains(" 25% "), "{shown}");
    });
}

#[test]
fn a_value_of_the_mesh_plays_and_pauses_a_player() {
    isolated(async |lab: Lab| {
        let (bus, _demo) = demo(ZOCP).await;
        let mpv = Cmd::new("mpv").args(["--no-config", "--ao=null", "--idle", "--pause"]);
        let plugin = "--script=/usr/lib/mpv-mpris/mpris.so";
        let _mpv = mpv
            .arg(plugin)
            .arg(lab.file("film.wav", silence()))
            .on(&bus)
            .start();
        bus.appears("org.mpris.MediaPlayer2.mpv").await;
        let remote = script(&bus, "remote.sh").arg("mpv").start();
        remote.says("is published").await;
        for (playing, status) in [("true", "Playing"), ("false", "Paused")] {
            set(&bus, "playing", playing).run().await;
            remote.says(&format!("playing: {playing}")).await;
            let follow = Cmd::new("playerctl").args(["-p", "mpv", "status", "-F"]);
            follow.on(&bus).start().says(status).await;
        }
    });
}

#[test]
fn cues_are_notifications_on_another_desktop() {
    isolated(async |lab: Lab| {
        const SERVICE: &str = "org.freedesktop.Notifications";
        let export = format!("[[export]]\nservice = '{SERVICE}'\ntalk = true\n");
        let venue = Venue::open(&lab, ZOCP, &export, "").await;
        let mock = Cmd::python("dbusmock").args(["-m", "dbusmock", "--session"]);
        let mock = mock.args(["--template", "notification_daemon"]);
        let desktop = mock.on(&venue.stage.bus).label("desktop").start();
        let foh = &venue.foh.bus;
        foh.appears("org.freedesktop.Notifications.stage").await;
        let desk =
            Cmd::new(ZOCP).args(["publish", "go", "-", "--hint", "string", "--access", "re"]);
        let mut desk = desk.on(foh).start();
        desk.tell("house lights down").await;
        desk.says("is published").await;
        let cue = script(foh, "cue.sh")
            .args(["foh", "go", "stage", "2"])
            .start();
        // The value that is there, and the next one.
        cue.says("cue: house lights down").await;
        desk.tell("curtain up").await;
        desktop.says("curtain up").await;
        cue.says("cue: curtain up").await;
    });
}

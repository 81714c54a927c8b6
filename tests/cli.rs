//! How the command line ends, and what it says, without any bus: manual page, completions, exit codes.
//!
//! Not here: what each help says (docs/reference/cli.md, which `tests/docs` compares).
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::{
    fs,
    io::{ErrorKind, Read},
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// `zocp` in an environment of which nothing is ours.
fn zocp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zocp"));
    command.args(args).env_clear().stdin(Stdio::null());
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    command
}

fn outcome(args: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = zocp(args).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_manual_page_has_each_command_and_the_exit_codes() {
    let (code, page, _) = outcome(&["man"]);
    assert_eq!(code, Some(0));
    for part in [
        ".TH zocp",
        "ZOCP BRIDGE",
        "ZOCP WATCH",
        "EXIT STATUS",
        "ZOCP_PEER",
        "cam.zoom",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    assert_eq!(outcome(&["man", "--directory", path]).0, Some(0));
    let page = fs::read_to_string(directory.path().join("zocp-wire.1")).unwrap();
    let (_, examples) = page.split_once(".SH EXAMPLES\n").unwrap();
    assert!(examples.contains("zocp wire fader:level lamp:on \\-\\-expr"));
}

#[test]
fn each_shell_has_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = outcome(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        // The script asks the program itself, at each Tab.
        assert!(out.contains("ZOCP_COMPLETE"), "{shell}: {out}");
        let ask = |words: &[&str]| {
            let mut zocp = zocp(&[&["--", "zocp"], words].concat());
            zocp.env("ZOCP_COMPLETE", shell);
            zocp.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
            zocp.env("_CLAP_IFS", "\n");
            let output = zocp.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(ask(&["wat"]).starts_with("watch"), "{shell}");
        assert!(ask(&["bridge", "--bea"]).starts_with("--beacon"), "{shell}");
        assert!(
            ask(&["bridge", "--beacon", "multi"]).starts_with("multicast"),
            "{shell}"
        );
        // Without a bus no name is there, and nothing is said.
        assert!(!ask(&["get", "la"]).contains("la"), "{shell}");
    }
}

#[test]
fn a_command_line_that_cannot_be_meant_ends_with_2() {
    for args in [
        &["frobnicate"][..],
        &["set", "lamp"],
        &["bridge", "--port", "many"],
        &["list", "--bus", "nowhere"],
        &["list", "--bus", "embedded"],
        &["bridge", "--bus", "nowhere"],
        &["bridge", "--config", "/nonexistent.toml"],
        &["bridge", "--peer", "10.0.0.7"],
        &["bridge", "--name", ""],
        &["export", "bad name"],
        &["exec", "stage", "--also", "bad name", "--", "true"],
        &["publish", "--source", "s", "--endpoint", "foo"],
        &["publish", "--source", "s", "--lasting"],
        &["publish", "x", "5", "--mtu", "9"],
        &["monitor", "-n", "1", "--write", "-"],
    ] {
        let (code, out, err) = outcome(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?}");
    }
}

#[test]
fn a_configuration_with_an_unknown_key_ends_with_2_and_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("zocp/bridge.toml");
    fs::create_dir(directory.path().join("zocp")).unwrap();
    fs::write(&file, "[mesh]\nname = \"a\"\nnmae = \"b\"\n").unwrap();
    let bridge = zocp(&["bridge"])
        .env("XDG_CONFIG_HOME", directory.path())
        .output()
        .unwrap();
    let err = String::from_utf8(bridge.stderr).unwrap();
    assert_eq!(bridge.status.code(), Some(2), "{err}");
    assert!(
        err.contains("bridge.toml") && err.contains("line 3"),
        "{err}"
    );
}

#[test]
fn a_configuration_in_the_wrong_form_is_answered_with_the_right_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bridge.toml");
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("[mesh]\nport = \"5670\"\n", "a number without quotes"),
        ("[export]\nservice = \"a.b\"\n", "write [[export]]"),
        (
            "[mesh]\nkey = \"/nonexistent\"\n",
            "zocp key new /nonexistent",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, _, err) = outcome(&["bridge", "--config", path]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(says), "{text}: {err}");
        // The doctor shows the same error, line by line.
        let (code, found, _) = outcome(&["doctor", "--config", path]);
        assert_eq!(code, Some(12), "{found}");
        assert!(found.contains(says), "{text}: {found}");
        assert!(!found.contains('\u{fffd}'), "{found}");
    }
}

#[test]
fn a_key_is_made_in_a_directory_that_is_not_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new/key");
    let (code, out, err) = outcome(&["key", "new", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("fingerprint"), "{out}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &file.parent().unwrap().metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn without_a_bus_a_client_ends_with_3_and_says_what_to_do() {
    for args in [
        &["list"][..],
        &["tree"],
        &["get", "a", "b"],
        &["set", "a", "b", "1"],
        &["watch"],
    ] {
        let (code, out, err) = outcome(args);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{args:?}: {err}");
        assert!(
            err.contains("/nonexistent/bus") && err.contains("--bus"),
            "{args:?}: {err}"
        );
    }
    let (code, _, err) = outcome(&["bridge", "--bus", "session"]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("embedded"), "{err}");
}

#[test]
fn an_interface_that_is_not_there_ends_with_10_and_names_those_that_are() {
    let (code, _, err) = outcome(&["bridge", "--bus", "embedded", "--interface", "nonexistent0"]);
    assert_eq!(code, Some(10), "{err}");
    assert!(
        err.contains("nonexistent0") && err.contains("lo ("),
        "{err}"
    );
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let mut child = zocp(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_bridge_tells_its_service_manager_and_ends_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let manager = Manager::in_directory(directory.path());
    let config = directory.path().join("bridge.toml");
    fs::write(&config, "[mesh]\nloopback = true\nbeacon = \"off\"\n").unwrap();
    let mut bridge = zocp(&["bridge", "--name", "stage", "--bus", "embedded"])
        .arg("--config")
        .arg(&config)
        .env("NOTIFY_SOCKET", &manager.place)
        .env("XDG_RUNTIME_DIR", directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = manager.next();
    assert!(
        ready.contains("READY=1\n") && ready.contains("\"stage\""),
        "{ready}"
    );
    let process = Pid::from_child(&bridge);
    kill_process(process, Signal::TERM).unwrap();
    assert_eq!(manager.next(), "STOPPING=1\n");
    assert!(bridge.wait().unwrap().success());
    let mut said = String::new();
    bridge
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let first = said.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("zocp: bridge \"stage\" on unix:path=")
            && first.ends_with(" on lo 127.0.0.1"),
        "{said}"
    );
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "nothing of the bus is left: {left:?}");
}

/// A service manager that a bridge talks to.
struct Manager {
    told: UnixDatagram,
    place: PathBuf,
}

impl Manager {
    fn in_directory(directory: &Path) -> Self {
        let place = directory.join("notify");
        let told = UnixDatagram::bind(&place).unwrap();
        told.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self { told, place }
    }

    fn next(&self) -> String {
        let mut octets = [0; 256];
        let length = loop {
            match self.told.recv(&mut octets) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                length => break length.unwrap(),
            }
        };
        String::from_utf8_lossy(&octets[..length]).into_owned()
    }
}

#[test]
fn a_hangup_has_the_rules_read_again_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let manager = Manager::in_directory(directory.path());
    let config = directory.path().join("bridge.toml");
    let mesh = "[mesh]\nloopback = true\nbeacon = \"off\"\n";
    fs::write(&config, mesh).unwrap();
    let mut bridge = zocp(&["bridge", "--bus", "embedded", "--export", "org.a.Flag"])
        .arg("--config")
        .arg(&config)
        .env("NOTIFY_SOCKET", &manager.place)
        .env("XDG_RUNTIME_DIR", directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(manager.next().contains("READY=1\n"));
    let process = Pid::from_child(&bridge);
    let reload = |text: &str| {
        fs::write(&config, text).unwrap();
        kill_process(process, Signal::HUP).unwrap();
        let reloading = manager.next();
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert_eq!(manager.next(), "READY=1\n");
    };
    let rule = |call: &str| format!("{mesh}[[export]]\nservice = 'org.a.B'\ncall = ['{call}']\n");
    reload(&rule("org.a.I.x"));
    reload(&rule("nonsense"));
    reload(&format!("{}[limits]\npeers_max = 7\n", rule("org.a.I.y")));
    kill_process(process, Signal::TERM).unwrap();
    assert!(bridge.wait().unwrap().success());
    let mut said = String::new();
    bridge
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let expected = [
        "zocp: + [[export]] service = \"org.a.B\", call = [\"org.a.I.x\"]\n",
        "bridge.toml: TOML parse error at line 6, column 8\n",
        "zocp: the file is not followed; all stays as it was\n",
        "zocp: - [[export]] service = \"org.a.B\", call = [\"org.a.I.x\"]\n\
         zocp: + [[export]] service = \"org.a.B\", call = [\"org.a.I.y\"]\n\
         zocp: [limits] is followed at the next start\n",
    ];
    for expected in expected {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_once_with_what_to_do() {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("bridge.toml");
    fs::write(&config, "[mesh]\nloopback = true\n").unwrap();
    let output = zocp(&["bridge", "--bus", "embedded", "--port", &port])
        .arg("--config")
        .arg(&config)
        .env("XDG_RUNTIME_DIR", directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let [what, hint] = lines[..] else {
        panic!("{said}")
    };
    assert!(
        what.starts_with(&format!("zocp: UDP port {port} ")),
        "{said}"
    );
    assert!(
        hint.contains("ss -lunp") && hint.contains("--port"),
        "{said}"
    );
}

#[test]
fn a_flag_that_cannot_be_meant_is_named_beside_its_key() {
    for (flag, value, begin) in [
        ("--peer", "10.0.0.1", "zocp: mesh.peers (--peer): "),
        ("--port", "0", "zocp: mesh.port (--port): "),
        ("--bus", "sesion", "zocp: bus.address (--bus): "),
    ] {
        let (code, _, err) = outcome(&["bridge", flag, value]);
        assert!(code == Some(2) && err.starts_with(begin), "{flag}: {err}");
    }
}

#[test]
fn the_service_of_a_user_is_installed_and_removed_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = |below: &str| directory.path().join(below);
    // A systemctl that writes down what it was asked for.
    fs::create_dir(place("bin")).unwrap();
    let script = format!("#!/bin/sh\necho \"$@\" >>{}\n", place("asked").display());
    fs::write(place("bin/systemctl"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place("bin/systemctl"), executable).unwrap();
    let path = std::env::var("PATH").unwrap();
    let run = |args: &[&str]| {
        let mut zocp = zocp(args);
        zocp.env("PATH", format!("{}:{path}", place("bin").display()));
        zocp.env("XDG_CONFIG_HOME", place("config"));
        let output = zocp.env("XDG_DATA_HOME", place("data")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let unit = place("config/systemd/user/zocp-bridge.service");
    let activation = place("data/dbus-1/services/org.z25.Zocp1.service");
    let shown = run(&["service", "install", "--dry-run"]);
    assert!(shown.contains(&*unit.to_string_lossy()) && shown.contains("enable --now"));
    assert!(
        !unit.exists() && !place("asked").exists(),
        "a dry run changes nothing"
    );

    run(&["service", "install"]);
    let program = env!("CARGO_BIN_EXE_zocp");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(
        text.contains(&format!("ExecStart={program} bridge")),
        "{text}"
    );
    let text = fs::read_to_string(&activation).unwrap();
    assert!(text.contains(&format!("Exec={program} bridge")), "{text}");
    let asked = fs::read_to_string(place("asked")).unwrap();
    assert_eq!(
        asked,
        "--user daemon-reload\n--user enable --now zocp-bridge.service\n"
    );
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--user"])
        .arg(&unit)
        .env("XDG_RUNTIME_DIR", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    // Not its exit status, which tells of the units of this machine as well.
    assert!(!said.contains("zocp-bridge.service:"), "{said}");

    run(&["service", "remove"]);
    assert!(!unit.exists() && !activation.exists());
    let asked = fs::read_to_string(place("asked")).unwrap();
    assert!(
        asked.contains("--user disable --now zocp-bridge.service\n"),
        "{asked}"
    );
    run(&["service", "remove"]);
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    for args in [&["--help"][..], &["frobnicate"], &["list"]] {
        let (_, out, err) = outcome(args);
        assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{args:?}");
    }
}

#[cfg(not(feature = "midi"))]
#[test]
fn a_program_without_midi_says_how_it_is_built_with_it() {
    let (code, _, err) = outcome(&["midi", "--state="]);
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    assert!(err.contains("built without MIDI"), "{err}");
    assert!(err.contains("--features midi"), "{err}");
}

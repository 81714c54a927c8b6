//! The tools that people use, on both buses: what they print is the same.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    harness::{Client, Stage, same},
    message::Draft,
};

/// Runs a tool on the bus of a scenario; what it prints, without what is another each time.
fn run(stage: &mut Stage, words: &[&str]) {
    let output = command(stage, words)
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    // The texts of errors are each bus's own.
    for line in text.lines().filter(|_| output.status.success()) {
        stage.say(format!("{}: {}", words[0], plain(line)));
    }
    stage.say(format!("{words:?}: {}", output.status));
}

fn command(stage: &Stage, words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("20").args(words).stdin(Stdio::null());
    command.env(
        "DBUS_SESSION_BUS_ADDRESS",
        format!("unix:path={}", stage.bus.path.display()),
    );
    command
}

/// A line without times and serials; the tool's own name is any.
fn plain(line: &str) -> String {
    let words = line.split(' ').filter(|word| {
        !word.starts_with("time=")
            && !word.starts_with("serial=")
            && !word.starts_with("reply_serial=")
    });
    words
        .map(|word| if word.contains(":1.") { "unique" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A service that a client of a test is.
fn with_service(stage: &mut Stage) -> Client {
    let mut service = stage.client("s");
    service.ask(Draft::bus("RequestName").s("org.example.Service").u(0));
    service
}

const BUS: [&str; 2] = ["org.freedesktop.DBus", "/org/freedesktop/DBus"];

#[test]
fn dbus_send_says_the_same() {
    same(|stage| {
        let _service = with_service(stage);
        let send = |stage: &mut Stage, destination: &str, words: &[&str]| {
            let to = format!("--dest={destination}");
            run(
                stage,
                &[&["dbus-send", "--session", "--print-reply", &to], words].concat(),
            );
        };
        let owner = format!("{}.NameHasOwner", BUS[0]);
        send(
            stage,
            BUS[0],
            &[BUS[1], &owner, "string:org.example.Service"],
        );
        send(
            stage,
            BUS[0],
            &[
                BUS[1],
                "org.freedesktop.DBus.ListQueuedOwners",
                "string:org.example.Service",
            ],
        );
        send(stage, "org.example.Nobody", &["/", "a.b.C"]);
        send(
            stage,
            BUS[0],
            &[
                BUS[1],
                "org.freedesktop.DBus.Properties.Set",
                "string:a",
                "string:b",
            ],
        );
    });
}

#[test]
fn gdbus_says_the_same() {
    same(|stage| {
        let _service = with_service(stage);
        let call = |stage: &mut Stage, method: &str, args: &[&str]| {
            let words = [
                "gdbus",
                "call",
                "--session",
                "-d",
                BUS[0],
                "-o",
                BUS[1],
                "-m",
                method,
            ];
            run(stage, &[&words, args].concat());
        };
        call(
            stage,
            "org.freedesktop.DBus.NameHasOwner",
            &["org.example.Service"],
        );
        call(stage, "org.freedesktop.DBus.ReloadConfig", &[]);
        call(stage, "org.freedesktop.DBus.Peer.GetMachineId", &[]);
        run(
            stage,
            &[
                "gdbus",
                "wait",
                "--session",
                "-t",
                "5",
                "org.example.Service",
            ],
        );
        run(
            stage,
            &["gdbus", "emit", "--session", "-o", "/x", "-s", "a.b.C", "1"],
        );
    });
}

#[test]
fn busctl_says_the_same() {
    same(|stage| {
        let _service = with_service(stage);
        let words = |words: &[&'static str]| [&["busctl", "--user", "--no-pager"], words].concat();
        run(stage, &words(&["tree", "org.freedesktop.DBus"]));
        run(
            stage,
            &words(&[
                "call",
                BUS[0],
                BUS[1],
                BUS[0],
                "NameHasOwner",
                "s",
                "org.example.Service",
            ]),
        );
        run(
            stage,
            &words(&["call", BUS[0], BUS[1], BUS[0], "AddMatch", "s", "nonsense"]),
        );
        run(stage, &words(&["status", "org.example.Service"]));
    });
}

#[test]
fn qdbus_says_the_same() {
    same(|stage| {
        let _service = with_service(stage);
        run(stage, &["qdbus"]);
        run(stage, &["qdbus", "org.freedesktop.DBus"]);
        run(
            stage,
            &[
                "qdbus",
                BUS[0],
                BUS[1],
                "org.freedesktop.DBus.NameHasOwner",
                "org.example.Service",
            ],
        );
    });
}

/// What a monitor prints of a signal.
fn monitored(stage: &mut Stage, sender: &mut Client, words: &[&str]) {
    // Who becomes a monitor has no name any more.
    let rule = "member='NameOwnerChanged',arg2=''";
    sender.ask(Draft::bus("AddMatch").s(rule));
    let mut monitor = command(stage, words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sender.drain_until("NameOwnerChanged");
    sender.send(Draft::signal("/a", "x.y", "Seen").s("hello").u(7));
    sender.send(Draft::signal("/a", "x.y", "Finished"));
    sender.drain();
    let mut stdout = BufReader::new(monitor.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Finished") {
        assert!(
            stdout.read_line(&mut text).unwrap() > 0,
            "{words:?} has ended"
        );
    }
    let process = Pid::from_child(&monitor);
    kill_process(process, Signal::TERM).unwrap();
    monitor.wait().unwrap();
    let from = text.find("Seen").expect("it saw the signal");
    let lines = text[from..].lines();
    for line in lines.filter(|line| !line.contains("Timestamp") && !line.contains("Cookie")) {
        stage.say(plain(line));
    }
}

#[test]
fn monitors_show_the_same() {
    same(|stage| {
        let mut sender = stage.client("x");
        monitored(
            stage,
            &mut sender,
            &["dbus-monitor", "--session", "interface='x.y'"],
        );
        monitored(
            stage,
            &mut sender,
            &["busctl", "--user", "monitor", "--match=interface='x.y'"],
        );
    });
}

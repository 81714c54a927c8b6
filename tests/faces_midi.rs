//! `zocp midi` and others at a server of JACK: its own sequencer and monitor, which have nothing of ours.

#![cfg(feature = "midi")]
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Cmd, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
/// Where programs are told which server of JACK they use.
const SERVER: &str = "JACK_DEFAULT_SERVER";

/// jackd with its dummy driver, which needs no sound card.
async fn jackd(host: &Host, server: &str) -> Program {
    // It takes away what servers have left in memory whose processes it does not see, such as those of other tests.
    let shm = Cmd::new("mount").args(["-t", "tmpfs", "shm", "/dev/shm"]);
    shm.run().await;
    let jackd = host.command("jackd").args([
        "-r", "-t", "5000", "-n", server, "-d", "dummy", "-p", "1024",
    ]);
    let jackd = jackd.start();
    host.command("jack_wait")
        .args(["-s", server, "-w", "-t", "20"])
        .run()
        .await;
    jackd
}

fn command(host: &Host, program: &str) -> Cmd {
    host.command(program).env(SERVER, host.name())
}

async fn connect(host: &Host, from: &str, to: &str) {
    let lists = format!(
        "until jack_lsp | grep -qx '{from}' && jack_lsp | grep -qx '{to}'; do sleep 0.02; done; jack_connect '{from}' '{to}'"
    );
    command(host, "sh").args(["-c", &lists]).run().await;
}

#[test]
fn notes_are_learned_wired_to_a_lamp_and_what_is_set_is_sent() {
    isolated(async |lab: Lab| {
        let studio = lab.host("studio").await;
        let _jackd = jackd(&studio, "studio").await;
        let bridge = Bridge::start(ZOCP, &lab.host("bridge").await, "bridge", &[]).await;
        let map =
            "[[capability]]\nname = \"master.volume\"\nchannel = 1\ncontroller = 7\nbits = 14\n";
        let map = lab.file("map.toml", map);
        let state = format!("--state={}", lab.path("midi"));
        let mut midi = command(&studio, ZOCP)
            .args(["midi", "--map", &map, &state])
            .start();
        midi.says("midi:in and midi:out").await;
        bridge.bus.appears("org.z25.Zocp1.Node.midi").await;

        // A note each second, for half of it.
        let seq = command(&studio, "jack_midiseq")
            .args(["seq", "48000", "0", "60", "24000"])
            .start();
        connect(&studio, "seq:out", "midi:in").await;
        let node = bridge.bus.node("midi");
        let note = node.child("channel1");
        note.becomes("note60", 64_i64).await;
        note.becomes("note60", 0_i64).await;

        let level = json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "rwes", "max": 127}});
        let lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let wire = ["wire", "midi:channel1.note60", "lamp:level"];
        bridge.bus.command(ZOCP).args(wire).run().await;
        let is_lit =
            |event: &Json| event["value"] == json!(64) && event["sensors"] == json!(["level"]);
        lamp.event("signal", is_lit).await;

        let dump = command(&studio, "jack_midi_dump").arg("dump").start();
        connect(&studio, "midi:out", "dump:input").await;
        let set = ["set", "midi", "master.volume", "8197"];
        bridge.bus.command(ZOCP).args(set).run().await;
        dump.says("b0 07 40").await;
        dump.says("b0 27 05").await;
        drop(seq);
        midi.interrupt();
        assert!(midi.ended().await.success());
        let kept =
            std::fs::read_to_string(lab.path("midi/midi-midi.toml")).expect("it was learned");
        assert!(kept.contains("channel = 1\nnote = 60"), "{kept}");
    });
}

#[test]
fn without_jack_it_says_so_and_when_jack_ends_it_ends() {
    isolated(async |lab: Lab| {
        let studio = lab.host("silent").await;
        let none = command(&studio, ZOCP).arg("midi").outcome().await;
        assert_eq!(none.status.code(), Some(1));
        assert!(
            none.err.contains("Is jackd or PipeWire running"),
            "{}",
            none.err
        );
        let mut jackd = jackd(&studio, "silent").await;
        let mut midi = command(&studio, ZOCP).args(["midi", "--state="]).start();
        midi.says("midi:in and midi:out").await;
        jackd.interrupt();
        jackd.ended().await;
        midi.says("JACK has ended").await;
        assert_eq!(midi.ended().await.code(), Some(1));
    });
}

//! `zocp dmx` and others that speak sACN and Art-Net: PyPI's sacn and stupidArtnet, OLA, and QLC+.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/dmx_peer.py");

const SPOT: &str = "[[fixture]]\nname = \"spot\"\naddress = 10\n\
    [[fixture.channel]]\nname = \"dimmer\"\n\
    [[fixture.channel]]\nname = \"pan\"\nbits = 16\nmin = -270\nmax = 270\ndefault = 0\n";

/// `zocp dmx` with the patch of a spot at slot 10.
async fn universe(lab: &Lab, host: &Host, head: &str, options: &[&str]) -> Program {
    let patch = lab.file(&format!("{}.toml", host.name()), format!("{head}\n{SPOT}"));
    let dmx = host
        .command(ZOCP)
        .arg("dmx")
        .args(options)
        .arg(&patch)
        .start();
    dmx.says("2 channels are").await;
    dmx
}

struct Peer(Program);

impl Peer {
    async fn start(host: &Host, args: &[&str]) -> Self {
        let program = host
            .pypi_python()
            .arg(PEER)
            .args(args)
            .label(args[0])
            .start();
        let peer = Self(program);
        peer.event("ready", |_| true).await;
        peer
    }

    async fn event(&self, kind: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let pick = |line: &str| {
            let event: Json = serde_json::from_str(line).ok()?;
            (event["event"] == json!(kind) && wanted(&event)).then_some(event)
        };
        self.0.says_like(kind, pick).await
    }

    /// Waits for a frame with these levels of dimmer and pan.
    async fn hears(&self, levels: [u8; 3]) -> Json {
        self.event("frame", |frame| levels_of(frame) == levels)
            .await
    }

    async fn slots(&mut self, levels: [u8; 3]) {
        let mut slots = vec![0; 9];
        slots.extend(levels);
        self.0.tell(&json!({"slots": slots}).to_string()).await;
    }
}

fn levels_of(frame: &Json) -> [u8; 3] {
    let level = |at: usize| {
        frame["slots"][at]
            .as_u64()
            .and_then(|level| u8::try_from(level).ok())
    };
    [9, 10, 11].map(|at| level(at).unwrap_or_default())
}

async fn set(desk: &mut PyPeer, name: &str, value: Json) {
    desk.command(json!({"set": ["dmx", {"objects": {"spot": {name: {"value": value}}}}]}))
        .await;
}

async fn desk(lab: &Lab) -> PyPeer {
    let desk = PyPeer::start(&lab.host("desk").await, "desk", &[]).await;
    desk.event("peer_modified", |event| {
        event["data"]["objects"]["spot"] != Json::Null
    })
    .await;
    desk
}

#[test]
fn values_are_sent_with_sacn_and_sixteen_bits_move_without_a_step() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let rack = lab.host("rack").await;
        let lamp = Peer::start(&rack, &["sacn-hear", &rack.address_on(&lab.network), "7"]).await;
        let mut dmx = universe(&lab, &foh, "priority = 150", &["--universe", "7"]).await;
        let first = lamp.hears([0, 128, 0]).await;
        assert_eq!(
            first["priority"],
            json!(150),
            "pan is in the middle by default"
        );
        let mut desk = desk(&lab).await;
        set(&mut desk, "dimmer", json!(0.5)).await;
        lamp.hears([128, 128, 0]).await;
        let mut last = 0x8000;
        for turn in 1..=5_u32 {
            for step in 0..40 {
                let pan = f64::from(turn) + f64::from(step) * 0.02;
                set(&mut desk, "pan", json!(pan)).await;
            }
            let end = if turn == 5 {
                270.0
            } else {
                f64::from(turn) + 0.8
            };
            set(&mut desk, "pan", json!(end)).await;
            // 540 degrees are 65,535 steps.
            let end = 0x8000 + (end * 65_535.0 / 540.0) as u16;
            while last < end - 1 {
                let frame = lamp.event("frame", |_| true).await;
                let [dimmer, coarse, fine] = levels_of(&frame);
                let pan = u16::from_be_bytes([coarse, fine]);
                assert!(pan >= last && dimmer == 128, "{pan:#x} after {last:#x}");
                last = pan;
            }
        }
        assert_eq!(last, 0xffff);
        dmx.interrupt();
        assert!(dmx.ended().await.success());
        lamp.event("gone", |_| true).await;
    });
}

#[test]
fn the_source_of_the_highest_priority_is_heard_and_its_loss_is_what_the_patch_says() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let (main, spare) = (lab.host("main").await, lab.host("spare").await);
        let bridge = Bridge::start(ZOCP, &lab.host("bridge").await, "bridge", &[]).await;
        let head = "direction = \"in\"\nloss = \"default\"";
        let _dmx = universe(&lab, &foh, head, &["--sacn", "--universe", "7"]).await;
        bridge.bus.appears("org.z25.Zocp1.Node.dmx").await;
        let spot = bridge.bus.node("dmx").child("spot");
        let mut low = Peer::start(
            &spare,
            &["sacn-send", &spare.address_on(&lab.network), "7", "90"],
        )
        .await;
        low.slots([51, 0, 0]).await;
        spot.becomes("dimmer", 0.2).await;
        spot.becomes("pan", -270.0).await;
        let mut high = Peer::start(
            &main,
            &["sacn-send", &main.address_on(&lab.network), "7", "120"],
        )
        .await;
        high.slots([255, 255, 255]).await;
        spot.becomes("dimmer", 1.0).await;
        spot.becomes("pan", 270.0).await;
        high.0.kill().await;
        spot.becomes("dimmer", 0.2).await;
        low.0.kill().await;
        spot.becomes("dimmer", 0.0).await;
        spot.becomes("pan", 0.0).await;
    });
}

#[test]
fn art_net_is_sent_to_who_is_named_and_heard() {
    isolated(async |lab: Lab| {
        let (foh, rack, stage) = (
            lab.host("foh").await,
            lab.host("rack").await,
            lab.host("stage").await,
        );
        let lamp = Peer::start(&rack, &["artnet-hear", "3"]).await;
        let to = rack.address_on(&lab.network);
        let options = ["--artnet", "--universe", "3", "--send", &to];
        let _out = universe(&lab, &foh, "", &options).await;
        let mut desk = desk(&lab).await;
        set(&mut desk, "dimmer", json!(1.0)).await;
        lamp.hears([255, 128, 0]).await;

        let bridge = Bridge::start(ZOCP, &lab.host("bridge").await, "bridge", &[]).await;
        let options = ["--artnet", "--universe", "4", "--name", "heard"];
        let _in = universe(&lab, &stage, "direction = \"in\"", &options).await;
        bridge.bus.appears("org.z25.Zocp1.Node.heard").await;
        let to = stage.address_on(&lab.network);
        let mut sender = Peer::start(&rack, &["artnet-send", &to, "4"]).await;
        sender.slots([51, 255, 255]).await;
        let spot = bridge.bus.node("heard").child("spot");
        spot.becomes("dimmer", 0.2).await;
        spot.becomes("pan", 270.0).await;
    });
}

/// `olad`, with a universe 1 that one of its plugins hears, and a universe 2 that the same sends.
async fn ola(lab: &Lab, host: &Host, plugin: &str) -> Program {
    let folder = lab.path("ola");
    std::fs::create_dir(&folder).expect("the test's home is writable");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777))
        .expect("the test's home is writable");
    for other in [
        "artnet",
        "dummy",
        "e131",
        "espnet",
        "ftdidmx",
        "gpio",
        "karate",
        "kinet",
        "milinst",
        "nanoleaf",
        "opendmx",
        "openpixelcontrol",
        "osc",
        "pathport",
        "renard",
        "sandnet",
        "shownet",
        "spi",
        "stageprofi",
        "uartdmx",
        "usbdmx",
        "usbserial",
    ] {
        let ports =
            "input_ports = 1\noutput_ports = 1\ncid = 6f6c6100-0000-4000-8000-000000000001\n";
        let config = format!(
            "enabled = {}\n{}",
            other == plugin,
            if other == "e131" { ports } else { "" }
        );
        let file = lab.file(&format!("ola/ola-{other}.conf"), config);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))
            .expect("the test's home is writable");
    }
    // It does not run as root.
    let olad =
        host.command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "olad"]);
    let olad = olad
        .args(["-c", &folder, "--no-register-with-dns-sd", "-l", "3"])
        .start();
    olad.says("Installed device").await;
    host.command("ola_patch")
        .args(["-d", "1", "-p", "0", "-u", "1", "-i"])
        .run()
        .await;
    host.command("ola_patch")
        .args(["-d", "1", "-p", "0", "-u", "2"])
        .run()
        .await;
    olad
}

/// Waits until OLA has these levels at slot 10 of its universe 1, as its web page has them.
async fn ola_has(host: &Host, levels: &str) {
    let asks = format!(
        "import requests, time\n\
         while requests.get('http://127.0.0.1:9090/get_dmx?u=1').json()['dmx'][9:12] != {levels}: time.sleep(0.02)"
    );
    host.pypi_python().args(["-c", &asks]).run().await;
}

#[test]
fn ola_shows_a_wired_fader_with_sacn_and_its_levels_are_heard() {
    isolated(async |lab: Lab| ola_both_ways(&lab, "e131", "--sacn").await);
}

#[test]
fn ola_asks_for_art_net_and_is_sent_it_and_its_levels_are_heard() {
    isolated(async |lab: Lab| ola_both_ways(&lab, "artnet", "--artnet").await);
}

async fn ola_both_ways(lab: &Lab, plugin: &str, protocol: &str) {
    let (foh, stage, rack) = (
        lab.host("foh").await,
        lab.host("stage").await,
        lab.host("rack").await,
    );
    let bridge = Bridge::start(ZOCP, &lab.host("bridge").await, "bridge", &[]).await;
    let _ola = ola(lab, &rack, plugin).await;
    let _out = universe(lab, &foh, "", &[protocol, "--universe", "1"]).await;
    let fader = json!({"register": {"name": "fader", "value": 0.1, "typeHint": "flt", "access": "re", "max": 1}});
    let mut desk = PyPeer::start(&lab.host("desk").await, "desk", &[fader]).await;
    bridge.bus.appears("org.z25.Zocp1.Node.dmx").await;
    bridge.bus.appears("org.z25.Zocp1.Node.desk").await;
    let wire = bridge
        .bus
        .command(ZOCP)
        .args(["wire", "desk:fader", "dmx:spot.dimmer"]);
    wire.run().await;
    desk.command(json!({"emit": ["fader", 0.2]})).await;
    ola_has(&rack, "[51, 128, 0]").await;

    let options = [protocol, "--universe", "2", "--name", "heard"];
    let _in = universe(lab, &stage, "direction = \"in\"", &options).await;
    bridge.bus.appears("org.z25.Zocp1.Node.heard").await;
    let levels = "0,0,0,0,0,0,0,0,0,102,255,255";
    // OLA sends to those nodes of Art-Net alone that it has heard of.
    let sets = format!("while ola_set_dmx -u 2 -d {levels}; do sleep 0.02; done");
    let _sets = rack.command("sh").args(["-c", &sets]).start();
    let spot = bridge.bus.node("heard").child("spot");
    spot.becomes("dimmer", 0.4).await;
    spot.becomes("pan", 270.0).await;
}

/// A show of QLC+ that sends what it hears of universe 1 on as universe 2.
const SHOW: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE Workspace>
<Workspace xmlns="http://www.qlcplus.org/Workspace" CurrentWindow="SimpleDesk">
 <Creator><Name>Q Light Controller Plus</Name><Version>4.12.6</Version><Author/></Creator>
 <Engine>
  <InputOutputMap>
   <Universe Name="through" ID="0" Passthrough="True">
    <Input Plugin="E1.31" Line="0"/>
    <Output Plugin="E1.31" Line="0"><PluginParameters mcastIP="2" universe="2"/></Output>
   </Universe>
  </InputOutputMap>
 </Engine>
</Workspace>
"#;

/// Moves a fader of the simple desk of QLC+, by its web interface.
const DESK: &str = "import time, websocket\n\
    while True:\n\
    \x20   try: desk = websocket.create_connection('ws://127.0.0.1:9999/qlcplusWS', timeout=5)\n\
    \x20   except OSError: time.sleep(0.05)\n\
    \x20   else: break\n\
    desk.send('CH|11|255')\n\
    desk.close()\n";

#[test]
fn qlc_plus_hears_a_wired_fader_and_its_desk_is_heard() {
    isolated(async |lab: Lab| {
        let (foh, stage, rack) = (
            lab.host("foh").await,
            lab.host("stage").await,
            lab.host("rack").await,
        );
        let bridge = Bridge::start(ZOCP, &lab.host("bridge").await, "bridge", &[]).await;
        let show = lab.file("show.qxw", SHOW);
        let qlc = rack.command("qlcplus").args(["-w", "-m", "-o", &show]);
        let _qlc = qlc
            .env("HOME", lab.path("home"))
            .env("QT_QPA_PLATFORM", "offscreen")
            .start();
        let _out = universe(&lab, &foh, "", &["--sacn", "--universe", "1"]).await;
        let options = ["--sacn", "--universe", "2", "--name", "heard"];
        let _in = universe(&lab, &stage, "direction = \"in\"", &options).await;
        let fader = json!({"register": {"name": "fader", "value": 0.1, "typeHint": "flt", "access": "re", "max": 1}});
        let mut desk = PyPeer::start(&lab.host("desk").await, "desk", &[fader]).await;
        for name in ["dmx", "heard", "desk"] {
            bridge
                .bus
                .appears(&format!("org.z25.Zocp1.Node.{name}"))
                .await;
        }
        let wire = bridge
            .bus
            .command(ZOCP)
            .args(["wire", "desk:fader", "dmx:spot.dimmer"]);
        wire.run().await;
        desk.command(json!({"emit": ["fader", 0.2]})).await;
        let heard = bridge.bus.node("heard").child("spot");
        heard.becomes("dimmer", 0.2).await;
        rack.pypi_python().args(["-c", DESK]).run().await;
        let pan = -270.0 + 540.0 * f64::from(0xff00) / 65_535.0;
        heard.becomes("pan", pan).await;
    });
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let host = lab.host("foh").await;
        let patch = lab.file(
            "p.toml",
            "[[fixture]]\nname = \"a\"\naddress = 513\n[[fixture.channel]]\nname = \"x\"\n",
        );
        let wrong = host
            .command(ZOCP)
            .args(["dmx", "--universe", "1", &patch])
            .outcome()
            .await;
        assert_eq!(wrong.status.code(), Some(2));
        assert!(
            wrong.err.contains("a.x: a slot is from 1 to 512"),
            "{}",
            wrong.err
        );
        let patch = lab.file("q.toml", SPOT);
        let none = host
            .command(ZOCP)
            .args(["dmx", "--universe", "0", &patch])
            .outcome()
            .await;
        assert!(
            none.err.contains("from 1 to 63999 with sACN"),
            "{}",
            none.err
        );
    });
}

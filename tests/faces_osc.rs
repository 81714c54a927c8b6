//! `zocp osc` between a Python node on one host and programs that speak OSC on others: liblo's oscsend and oscdump,
//! python-osc, Pure Data, SuperCollider.

use std::time::Duration;

use serde_json::{Value as Json, json};
use zocp_testkit::{Bridge, Cmd, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/osc_peer.py");

fn lamp() -> Vec<Json> {
    let one = |name: &str, value: Json, hint: &str, access: &str| json!({"register": {"name": name, "value": value, "typeHint": hint, "access": access}});
    vec![
        json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwe", "min": 0, "max": 1}}),
        one("on", json!(true), "bool", "rwe"),
        one("label", json!("spot"), "string", "rw"),
        one("colour", json!([1, 0.5, 0]), "vec3f", "rwe"),
        one("steps", json!(3), "int", "rwe"),
        one("serial", json!("A-1"), "string", "r"),
        json!({"set_object": ["pan tilt", "motor"]}),
        one("pan", json!(0.25), "flt", "rwe"),
    ]
}

/// A lamp on stage, and `zocp osc` at front of house, which may be sent to by everybody.
struct Rig {
    lamp: PyPeer,
    osc: Program,
    foh: Host,
    /// Where OSC listens.
    address: String,
}

impl Rig {
    async fn start(lab: &Lab, options: &[&str]) -> Self {
        let foh = lab.host("foh").await;
        let address = foh.address_on(&lab.network);
        let osc = foh
            .command(ZOCP)
            .arg("osc")
            .args(["--listen", "0.0.0.0:9000"]);
        let osc = osc.args(["--allow", "10.99.0.0/16"]).args(options).start();
        osc.says("OSC at 0.0.0.0:9000").await;
        let lamp = PyPeer::start(&lab.host("stage").await, "lamp", &lamp()).await;
        lamp.event("subscribed", |_| true).await;
        Self {
            lamp,
            osc,
            foh,
            address,
        }
    }

    fn url(&self) -> String {
        format!("osc.udp://{}:9000", self.address)
    }

    /// The lamp is set. It tells of everything below the object that it made last.
    async fn is_set(&self, name: &str, value: Json) {
        let is_it = |event: &Json| {
            let object = &event["data"]["objects"]["pan tilt"];
            let wanted = json!({name: {"value": value}});
            *object == wanted || object["objects"]["pan tilt"] == wanted
        };
        self.lamp.event("modified", is_it).await;
    }

    async fn end(mut self) {
        self.lamp.is_unharmed().await;
        self.osc.interrupt();
        assert!(self.osc.ended().await.success());
        self.lamp.left("osc").await;
    }
}

/// `tests/peers/osc_peer.py`.
struct Peer(Program);

impl Peer {
    async fn start(host: &Host, port: u16) -> Self {
        let program = host
            .pypi_python()
            .arg(PEER)
            .arg(port.to_string())
            .label("python-osc");
        let peer = Self(program.start());
        peer.event("ready").await;
        peer
    }

    async fn event(&self, kind: &str) -> Json {
        let pick = |line: &str| {
            let event: Json = serde_json::from_str(line).ok()?;
            (event["event"] == json!(kind)).then_some(event)
        };
        self.0.says_like(kind, pick).await
    }

    async fn command(&mut self, command: Json) {
        self.0.tell(&command.to_string()).await;
        self.event("done").await;
    }

    /// The next message for an address.
    async fn hears(&self, address: &str) -> Json {
        let pick = |line: &str| {
            let event: Json = serde_json::from_str(line).ok()?;
            (event["address"] == json!(address)).then(|| event["values"].clone())
        };
        self.0.says_like(address, pick).await
    }
}

#[test]
fn a_message_of_oscsend_sets_a_value_of_each_type() {
    isolated(async |lab: Lab| {
        let rig = Rig::start(&lab, &[]).await;
        let tablet = lab.host("tablet").await;
        let sent: [(&[&str], &str, Json); 7] = [
            (&["/lamp/level", "f", "0.1"], "level", json!(0.1)),
            (&["/lamp/level", "d", "0.2"], "level", json!(0.2)),
            (&["/lamp/on", "F"], "on", json!(false)),
            (&["/lamp/label", "s", "wash"], "label", json!("wash")),
            (
                &["/lamp/colour", "fff", "0", "0.25", "1"],
                "colour",
                json!([0.0, 0.25, 1.0]),
            ),
            (&["/lamp/steps", "i", "7"], "steps", json!(7)),
            (&["/lamp/steps", "f", "8.4"], "steps", json!(8)),
        ];
        for (args, name, value) in sent {
            tablet
                .command("oscsend")
                .arg(rig.url())
                .args(args)
                .run()
                .await;
            rig.is_set(name, value).await;
        }
        let pattern = ["/*/l*l", "f", "0.75"];
        tablet
            .command("oscsend")
            .arg(rig.url())
            .args(pattern)
            .run()
            .await;
        rig.is_set("level", json!(0.75)).await;
        let below = ["//pan", "f", "1"];
        tablet
            .command("oscsend")
            .arg(rig.url())
            .args(below)
            .run()
            .await;
        rig.is_set("pan", json!(1.0)).await;
        // With TCP, as liblo frames it.
        let tcp = rig.url().replace("udp", "tcp");
        tablet
            .command("oscsend")
            .arg(tcp)
            .args(["/lamp/level", "f", "0.5"])
            .run()
            .await;
        rig.is_set("level", json!(0.5)).await;
        rig.end().await;
    });
}

#[test]
fn values_go_to_oscdump_with_udp_and_with_tcp() {
    isolated(async |lab: Lab| {
        let tablet = lab.host("tablet").await;
        let to = tablet.address_on(&lab.network);
        let dump = |url: &str| {
            tablet
                .command("oscdump")
                .args(["-L", url])
                .label(url)
                .start()
        };
        let (udp, tcp) = (dump("osc.udp://:9001"), dump("osc.tcp://:9002"));
        let below = dump("osc.udp://:9003");
        let options = [
            "--send",
            &format!("{to}:9001"),
            "--send",
            &format!("tcp://{to}:9002"),
            "--send",
            &format!("{to}:9003/lamp/pan_20tilt"),
        ];
        let mut rig = Rig::start(&lab, &options).await;
        for dump in [&udp, &tcp] {
            dump.says("/lamp/colour fff 1.000000 0.500000 0.000000")
                .await;
            dump.says("/lamp/label s \"spot\"").await;
            dump.says("/lamp/level f 0.500000").await;
            dump.says("/lamp/on T").await;
            dump.says("/lamp/pan_20tilt/pan f 0.250000").await;
        }
        rig.lamp.command(json!({"emit": ["level", 0.875]})).await;
        udp.says("/lamp/level f 0.875000").await;
        tcp.says("/lamp/level f 0.875000").await;
        below.says("/lamp/pan_20tilt/pan f 0.250000").await;
        // The marker: what is sent below the address after that comes, and nothing else came before it.
        let hand = lab.host("hand").await.command("oscsend").arg(rig.url());
        hand.args(["/lamp/pan_20tilt/pan", "f", "0.5"]).run().await;
        below.says("/lamp/pan_20tilt/pan f 0.500000").await;
        assert!(
            !below
                .unmatched()
                .iter()
                .any(|line| line.contains("/lamp/level"))
        );
        rig.end().await;
    });
}

#[test]
fn a_program_is_never_told_what_it_sent_itself_but_others_are() {
    isolated(async |lab: Lab| {
        let (tablet, other) = (lab.host("tablet").await, lab.host("other").await);
        let to = tablet.address_on(&lab.network);
        let to_other = other.address_on(&lab.network);
        let mut surface = Peer::start(&tablet, 9001).await;
        let second = Peer::start(&other, 9001).await;
        let options = [
            "--send",
            &format!("{to}:9001"),
            "--send",
            &format!("{to_other}:9001"),
        ];
        let mut rig = Rig::start(&lab, &options).await;
        assert_eq!(surface.hears("/lamp/level").await, json!([0.5]));
        assert_eq!(second.hears("/lamp/level").await, json!([0.5]));
        for step in 1..=20 {
            let level = f64::from(step) / 32.0;
            let send = json!({"send": [rig.address, 9000, "/lamp/level", [level]]});
            surface.command(send).await;
        }
        rig.is_set("level", json!(0.625)).await;
        let last = async { while second.hears("/lamp/level").await != json!([0.625]) {} };
        last.await;
        // What is held back for a surface is told within a third of a second: another value at another address, set
        // later than that, comes first only if nothing was held back. Nothing else shows that nothing comes.
        tokio::time::sleep(Duration::from_millis(400)).await;
        rig.lamp.command(json!({"emit": ["on", false]})).await;
        while surface.hears("/lamp/on").await != json!([false]) {}
        let told = surface.0.unmatched();
        assert!(
            !told.iter().any(|line| line.contains("/lamp/level")),
            "{told:?}"
        );
        // A value that the lamp has from somewhere else arrives at both.
        rig.lamp.command(json!({"emit": ["level", 0.25]})).await;
        assert_eq!(surface.hears("/lamp/level").await, json!([0.25]));
        assert_eq!(second.hears("/lamp/level").await, json!([0.25]));
        rig.end().await;
    });
}

#[test]
fn a_bundle_is_applied_at_its_time_and_refusals_are_answered_in_both_framings() {
    isolated(async |lab: Lab| {
        let rig = Rig::start(&lab, &[]).await;
        let bridge = Bridge::start(ZOCP, &lab.host("desk").await, "desk", &[]).await;
        let mut surface = Peer::start(&lab.host("tablet").await, 9001).await;
        let address = rig.address.clone();
        let bundle = json!([["/lamp/level", [0.125]], ["/lamp/on", [false]]]);
        surface
            .command(json!({"bundle": [address, 9000, 1.5, bundle]}))
            .await;
        surface
            .command(json!({"send": [address, 9000, "/lamp/level", [0.75]]}))
            .await;
        rig.is_set("level", json!(0.75)).await;
        rig.is_set("level", json!(0.125)).await;
        rig.is_set("on", json!(false)).await;

        let table = [
            ("1.0", "/lamp/level", json!([7.5]), "out of range"),
            (
                "1.1",
                "/lamp/level",
                json!(["full"]),
                "wrong type: it takes a number",
            ),
            ("1.0", "/lamp/serial", json!(["B"]), "it cannot be set"),
            (
                "1.1",
                "/lamp/nothing",
                json!([1]),
                "there is no such address",
            ),
        ];
        for (mode, name, values, reason) in table {
            surface
                .0
                .tell(&json!({"tcp": [address, 9000, mode, name, values]}).to_string())
                .await;
            let answer = surface.hears("/error").await;
            assert_eq!(answer[0], json!(name));
            let told = answer[1].as_str().unwrap_or_default();
            assert!(told.contains(reason), "{told}");
        }
        // What was refused is counted, and shown by everything that shows a node.
        bridge.bus.appears("org.z25.Zocp1.Node.osc").await;
        let counts = bridge.bus.node("osc").child("counts");
        counts.becomes("refused", 4_i64).await;
        rig.end().await;
    });
}

#[test]
fn hostile_packets_end_nothing_and_strangers_are_not_heard() {
    isolated(async |lab: Lab| {
        let rig = Rig::start(&lab, &["--name", "face"]).await;
        let bridge = Bridge::start(ZOCP, &lab.host("desk").await, "desk", &[]).await;
        let mut surface = Peer::start(&lab.host("tablet").await, 9001).await;
        let address = rig.address.clone();
        let mut nested = b"/go\0,\0\0\0".to_vec();
        for _ in 0..3200 {
            let mut around = b"#bundle\0\0\0\0\0\0\0\0\x01".to_vec();
            around.extend(
                u32::try_from(nested.len())
                    .unwrap_or_default()
                    .to_be_bytes(),
            );
            around.extend(&nested);
            nested = around;
        }
        let mut brackets = b"/go\0,".to_vec();
        brackets.extend(std::iter::repeat_n(b'[', 60_000));
        brackets.extend([0; 3]);
        for octets in [
            nested,
            brackets,
            b"#bundle\0".to_vec(),
            b"/a\0\0,b\0\0\xff\xff\xff\xff".to_vec(),
            vec![0],
        ] {
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            surface.command(json!({"raw": [address, 9000, hex]})).await;
        }
        surface
            .command(json!({"send": [address, 9000, "/lamp/level", [0.75]]}))
            .await;
        rig.is_set("level", json!(0.75)).await;
        bridge.bus.appears("org.z25.Zocp1.Node.face").await;
        bridge
            .bus
            .node("face")
            .child("counts")
            .becomes("refused", 5_i64)
            .await;

        // Another network, which --allow does not name.
        let far = lab.new_network().await;
        let stranger = lab.bare_host("stranger").await;
        rig.foh.plug(&far).await;
        rig.foh.link(1).up().await;
        rig.foh.link(1).add_address("192.168.7.1/24").await;
        let link = stranger.plug(&far).await;
        link.add_address("192.168.7.2/24").await;
        let to = ["osc.udp://192.168.7.1:9000", "/lamp/level", "f", "0.1"];
        stranger.command("oscsend").args(to).run().await;
        bridge
            .bus
            .node("face")
            .child("counts")
            .becomes("refused", 6_i64)
            .await;
        surface
            .command(json!({"send": [address, 9000, "/lamp/level", [0.25]]}))
            .await;
        rig.is_set("level", json!(0.25)).await;
    });
}

#[test]
fn pure_data_moves_a_lamp() {
    isolated(async |lab: Lab| {
        let rig = Rig::start(&lab, &[]).await;
        let desk = lab.host("desk").await;
        let patch = format!(
            "#N canvas 0 0 450 300 10;\n#X obj 10 10 loadbang;\n#X msg 10 40 connect {} 9000;\n\
             #X obj 10 130 netsend -u -b;\n#X obj 10 100 oscformat lamp level;\n#X msg 60 70 0.625;\n\
             #X obj 60 40 delay 500;\n#X obj 10 115 list prepend send;\n#X obj 10 122 list trim;\n\
             #X connect 0 0 1 0;\n#X connect 1 0 2 0;\n#X connect 0 0 5 0;\n#X connect 5 0 4 0;\n\
             #X connect 4 0 3 0;\n#X connect 3 0 6 0;\n#X connect 6 0 7 0;\n#X connect 7 0 2 0;\n",
            rig.address
        );
        let patch = lab.file("lamp.pd", patch);
        let _pd = desk
            .command("pd")
            .args(["-nogui", "-noaudio", "-nomidi", "-stderr", &patch])
            .start();
        rig.is_set("level", json!(0.625)).await;
        rig.end().await;
    });
}

#[test]
fn supercollider_moves_a_lamp_and_hears_of_it() {
    isolated(async |lab: Lab| {
        let desk = lab.host("desk").await;
        // Where its language listens.
        let to = format!("{}:57120", desk.address_on(&lab.network));
        let mut rig = Rig::start(&lab, &["--send", &to]).await;
        let script = format!(
            "OSCdef(\\level, {{ |message| (\"level\" + message[1]).postln }}, '/lamp/level');\n\
             NetAddr(\"{}\", 9000).sendMsg('/lamp/level', 0.375);\n",
            rig.address
        );
        let script = lab.file("lamp.scd", script);
        let sclang = desk.command("sclang").arg(script);
        let sclang = sclang
            .env("HOME", lab.path("home"))
            .env("QT_QPA_PLATFORM", "offscreen")
            .env("QTWEBENGINE_DISABLE_SANDBOX", "1");
        let sclang = sclang.start();
        rig.is_set("level", json!(0.375)).await;
        rig.lamp.command(json!({"emit": ["level", 0.875]})).await;
        sclang.says("level 0.875").await;
        rig.end().await;
    });
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    isolated(async |lab: Lab| {
        let host = lab.host("foh").await;
        let open = host
            .command(ZOCP)
            .args(["osc", "--listen", "0.0.0.0:9000"])
            .outcome()
            .await;
        assert_eq!(open.status.code(), Some(2));
        assert!(open.err.contains("needs --allow"), "{}", open.err);
        let wrong = host
            .command(ZOCP)
            .args(["osc", "--allow", "lamp"])
            .outcome()
            .await;
        assert_eq!(wrong.status.code(), Some(2));
        let taken = host
            .command(ZOCP)
            .args(["osc", "--allow", "10.0.0.0/8", "--listen", "192.0.2.1:9000"])
            .outcome()
            .await;
        assert_eq!(taken.status.code(), Some(1));
        assert!(
            taken.err.contains("listen with UDP at 192.0.2.1:9000"),
            "{}",
            taken.err
        );
    });
}

#[test]
fn on_a_secure_mesh_it_is_met_with_its_key_and_without_one_it_sees_nobody() {
    isolated(async |lab: Lab| {
        let (desk, foh, stage) = (
            lab.host("desk").await,
            lab.host("foh").await,
            lab.host("stage").await,
        );
        let key = async |name: &str| {
            let file = lab.path(name);
            let new = Cmd::new(ZOCP).args(["key", "new", &file]).run();
            let told = new.await;
            let key = told.split_whitespace().find(|word| word.len() == 40);
            (file, key.expect("a key").to_owned())
        };
        let ((desk_file, desk_key), (osc_file, osc_key)) = (key("desk").await, key("osc").await);
        let (lamp_file, lamp_key) = key("lamp").await;
        let trusted =
            format!("[mesh]\ntrusted = [\"{osc_key}\", \"{lamp_key}\"]\nkey = \"{desk_file}\"\n");
        let config = lab.file("bridge.toml", &trusted);
        let bridge = Bridge::start(ZOCP, &desk, "desk", &["--config", &config]).await;
        // A second face is the other node: a program of OSC that has told a value.
        let lamp =
            stage
                .command(ZOCP)
                .args(["osc", "--publish", "lamp", "--remote", "127.0.0.1:9001"]);
        let map = "[[capability]]\naddress = \"/level\"\ndirection = \"in\"\ntype = \"flt\"\n";
        let map = lab.file("map.toml", map);
        let lamp = lamp.args(["--map", &map, "--state=", "--key", &lamp_file]);
        let _lamp = lamp
            .args(["--trusted", &desk_key, "--trusted", &osc_key])
            .start();
        let at_lamp = stage
            .command("oscdump")
            .args(["-L", "9001"])
            .label("at lamp")
            .start();
        let face = [
            "osc",
            "--key",
            &osc_file,
            "--trusted",
            &desk_key,
            "--trusted",
            &lamp_key,
        ];
        let _face = foh.command(ZOCP).args(face).start();
        let _stranger = lab
            .host("stranger")
            .await
            .command(ZOCP)
            .args(["osc", "--name", "stranger"])
            .start();
        // A bridge without keys sees it.
        let open = Bridge::start(ZOCP, &lab.host("open").await, "open", &[]).await;
        open.bus.appears("org.z25.Zocp1.Node.stranger").await;
        bridge.bus.appears("org.z25.Zocp1.Node.osc").await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let url = "osc.udp://127.0.0.1:9000";
        // The face may not have met the lamp yet, and tells a program that sends to it nothing.
        let sends = async {
            loop {
                let send = foh
                    .command("oscsend")
                    .args([url, "/lamp/level", "f", "0.75"]);
                send.run().await;
            }
        };
        let lamp = bridge.bus.node("lamp");
        tokio::select! {
            () = lamp.becomes("level", 0.75) => {}
            () = sends => {}
        }
        at_lamp.says("/level f 0.750000").await;
        let nodes = bridge.bus.command(ZOCP).arg("list").run().await;
        assert!(!nodes.contains("stranger"), "{nodes}");

        let wrong = foh.command(ZOCP).args(["osc", "--key", "/nonexistent"]);
        let wrong = wrong.outcome().await;
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
        assert!(wrong.err.contains("/nonexistent"), "{wrong:?}");
    });
}

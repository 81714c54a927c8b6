//! Texts of a hostile peer on a real bus, read by everybody's tools.
//!
//! A bus ends the connection of who sends a text that it does not take; sd-bus reads nothing of an answer in
//! which there is one that it does not take; XML and terminals have opinions of their own.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod peer;

use serde_json::{Value, json};
use zocp_node::{Access, BeaconMode, Capability, Config, Node};
use zocp_testkit::{Bus, Cmd, Lab, Program, in_time, isolated};

use peer::{Hello, Peer};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const HUB: &str = "org.z25.Zocp1";
const ROOT: &str = "/org/z25/Zocp1";
const HONEST: &str = "org.z25.Zocp1.Node.honest";
const EVIL: &str = "org.z25.Zocp1.Node.evil";
const NODE: &str = "/org/z25/Zocp1/Node";

/// Texts that somebody does not take, each alone, so that one does not hide another.
const TEXTS: [&str; 10] = [
    "a\0b",
    "a\u{fffe}b",
    "\u{1ffff}",
    "\u{fdd0}\u{fdef}",
    "\u{10fffe}",
    "a\u{1}\u{1b}[31m\n\u{7f}",
    "\u{9b}2J\u{2028}\u{202e}",
    "\u{feff}",
    "/../a.b:c<&\"'>]]>",
    "",
];

/// The bridge with an honest node and a hostile one.
struct Stage<'b> {
    bus: &'b Bus,
    _honest: Node,
    mailbox: String,
    bridge: Program,
    /// The connections that have to stay.
    owners: Vec<(&'static str, String)>,
}

impl<'b> Stage<'b> {
    async fn on(bus: &'b Bus, lab: &Lab) -> Self {
        let (honest, mut events) = Node::start(
            Config::new("honest")
                .with_loopback()
                .with_beacon(BeaconMode::Off),
        )
        .await
        .expect("a node on the loopback");
        tokio::spawn(async move { while events.next().await.is_some() {} });
        let level = Capability::new(Access::READ | Access::WRITE | Access::EMIT, json!(0.5));
        honest.publish("level", level).await.expect("it is legal");
        let config = format!(
            "[mesh]\nloopback = true\nbeacon = \"off\"\npeers = [\"tcp://127.0.0.1:{}\"]\n",
            honest.port()
        );
        let config = lab.file("bridge.toml", &config);
        let command = bus.command(ZOCP);
        let bridge = command.args(["bridge", "--name", "b", "--config", &config]);
        let bridge = bridge.start();
        bus.appears(HONEST).await;
        let peers = honest.peers().await.expect("it runs");
        let mut stage = Self {
            bus,
            mailbox: peers[0].endpoint.clone(),
            _honest: honest,
            bridge,
            owners: Vec::new(),
        };
        for name in [HUB, HONEST] {
            stage.owners.push((name, stage.owner(name).await));
        }
        stage
    }

    async fn owner(&self, name: &str) -> String {
        let bus = "org.freedesktop.DBus";
        let ask = ["call", bus, "/org/freedesktop/DBus", bus, "GetNameOwner"];
        self.bus.busctl(&[&ask[..], &["s", name]].concat()).await
    }

    /// Waits until the hub shows a peer.
    async fn shows(&self, peer: &Peer) {
        in_time("the hub to show a peer", async {
            let (bridge, uuid) = (self.bus.bridge(), peer.uuid());
            let find = || bridge.call("org.z25.Zocp1.Bridge", "FindNode", &uuid);
            while find().await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Reads everything, of both connections, as everybody would.
    async fn read(&self, lab: &Lab) {
        for (name, root) in [(HUB, ROOT), (EVIL, NODE)] {
            let tree = self.bus.busctl(&["tree", "--list", name]).await;
            for (number, path) in tree.lines().enumerate() {
                self.bus.busctl(&["introspect", name, path]).await;
                let gdbus = self.bus.command("gdbus").args(["introspect", "--session"]);
                let gdbus = gdbus.args(["--dest", name, "--object-path", path]);
                gdbus.run().await;
                let xml = self
                    .call(name, path, "Introspectable", "Introspect", &())
                    .await;
                let xml: String = xml.body().deserialize().expect("XML");
                let file = lab.file(&format!("{number}.xml"), &xml);
                Cmd::pypi_python().args(["-c", EXPAT, &file]).run().await;
            }
            let managed = ["org.freedesktop.DBus.ObjectManager", "GetManagedObjects"];
            let call = [&["--json=short", "call", name, root], &managed[..]].concat();
            let read = self.bus.busctl(&call).await;
            assert!(serde_json::from_str::<Value>(&read).is_ok(), "{read}");
            let gdbus = self.bus.command("gdbus").args(["call", "--session"]);
            let gdbus = gdbus.args(["--dest", name, "--object-path", root]);
            gdbus.args(["--method", &managed.join(".")]).run().await;
        }
    }

    /// A call of a standard interface.
    async fn call<B>(
        &self,
        name: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> zbus::Message
    where
        B: zbus::export::serde::Serialize + zbus::DynamicType,
    {
        let interface = format!("org.freedesktop.DBus.{interface}");
        let object = self.bus.object(name, path);
        let answer = object.call(&interface, member, body).await;
        answer.unwrap_or_else(|error| panic!("{member} of {path}: {error}"))
    }

    /// Our own commands say nothing that steers a terminal.
    async fn commands(&self) {
        for args in [
            &["list"][..],
            &["list", "--json"],
            &["tree"],
            &["tree", "--json"],
            &["tree", "evil"],
            &["wires"],
        ] {
            let said = self.bus.command(ZOCP).args(args).run().await;
            for letter in said.chars().filter(|letter| *letter != '\n') {
                let turns = matches!(letter, '\u{2028}'..='\u{202e}');
                assert!(!letter.is_control() && !turns, "{args:?} says {letter:?}");
            }
        }
    }

    /// Whether everybody is on the bus as before.
    async fn stays(&self, after: &str) {
        for (name, owner) in &self.owners {
            assert_eq!(self.owner(name).await, *owner, "{name}, after {after:?}");
        }
    }
}

/// A tree with the text at each place.
fn tree(text: &str) -> Value {
    json!({
        text: { "value": text, "access": "rwes", "typeHint": "string", text: text },
        "named": { "value": text, "access": "rwe", "typeHint": text, "min": text, "unit": text,
                   "subscribers": [[text, text], ["00", text]] },
        "kept": { "value": [text, { text: text }], "access": text },
        "path": { "value": text, "access": "rwe", "typeHint": "signature:o" },
        "sign": { "value": text, "access": "rwe", "typeHint": "signature:g" },
        "dict": { "value": { text: [text] }, "access": "rwe", "typeHint": "signature:a{sas}" },
        "hint": { "value": 1, "access": "rwe", "typeHint": format!("signature:{text}") },
        "methods": {
            text: { "in": [{ "name": text, "typeHint": text }], "out": [], "doc": text },
            "fail": { "in": [], "out": [] },
        },
        "objects": {
            text: { "type": text, text: { "value": 1, "access": "rwe" } },
            "wires": { "objects": { "7": { "type": "wire", "from": text, "to": text } } },
            "services": { "objects": { text: { "type": "dbus-service", "origin": text,
                          "revision": 1, "introspection": { text: text } } } },
        },
        "_note": { text: [text] },
    })
}

/// As many greetings as there are places in one.
async fn greet(stage: &Stage<'_>, number: u8, text: &[u8]) -> Vec<Peer> {
    let zocp = (b"X-ZOCP".as_slice(), b"1".as_slice());
    let ours = (b"X-ZOCP-DBUS".as_slice(), b"1".as_slice());
    let name = format!("p{number}");
    let plain = || Hello {
        name: name.as_bytes(),
        endpoint: None,
        groups: &[b"ZOCP"],
        headers: &[],
    };
    let hellos = [
        Hello {
            name: text,
            headers: &[zocp, ours],
            ..plain()
        },
        Hello {
            headers: &[zocp, (text, b"value"), (b"header", text)],
            ..plain()
        },
        Hello {
            headers: &[(b"X-ZOCP", text), (b"X-ZOCP-DBUS", text)],
            ..plain()
        },
        Hello {
            groups: &[b"ZOCP", text],
            headers: &[zocp],
            ..plain()
        },
        Hello {
            endpoint: Some(text),
            headers: &[zocp],
            ..plain()
        },
    ];
    let mut peers = Vec::new();
    for (hello, place) in hellos.iter().zip(0..) {
        let mut peer = Peer::connect(&stage.mailbox, number * 8 + place).await;
        peer.hello(hello).await;
        peers.push(peer);
    }
    // Those who can be met; the last one is nowhere.
    for peer in &mut peers[..4] {
        stage.shows(peer).await;
        peer.join(text, 2).await;
        peer.shout(text, b"content").await;
        peer.shout(b"ZOCP", text).await;
        peer.whisper(text).await;
    }
    peers
}

#[test]
fn no_text_of_a_peer_ends_a_connection_or_makes_an_answer_unreadable() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let mut evil = Peer::connect(&stage.mailbox, 0xee).await;
        evil.hello(&Hello {
            name: b"evil",
            endpoint: None,
            groups: &[b"ZOCP"],
            headers: &[(b"X-ZOCP", b"1"), (b"X-ZOCP-DBUS", b"1")],
        })
        .await;
        bus.appears(EVIL).await;
        let mut owner = stage.owner(EVIL).await;
        let monitor = bus.command(ZOCP).args(["monitor", "--json"]).start();
        let mark = bus.node("evil");
        let mut present = Vec::new();
        let raw: [&[u8]; 2] = [b"a\xff\xfeb", b"a\xed\xa0\x80b"];
        let texts = TEXTS.iter().map(|text| text.as_bytes()).chain(raw);
        for (text, number) in texts.zip(1..) {
            present.extend(greet(&stage, number, text).await);
            let text = String::from_utf8_lossy(text);
            let text = text.as_ref();
            for message in [
                json!({ "MOD": tree(text) }),
                json!({ "SIG": [text, text] }),
                json!({ "SIG": ["named", text] }),
                json!({ "SIG": ["kept", { text: text }] }),
                json!({ "SET": { text: { "value": text } } }),
                json!({ "SUB": [text, text, text, text] }),
                json!({ "CALL": [text, [text], { "id": 7, "object": text }] }),
                json!({ text: 1 }),
                json!({ "MOD": { "mark": { "value": number, "access": "r", "typeHint": "int" } } }),
            ] {
                evil.whisper(message.to_string().as_bytes()).await;
            }
            mark.becomes("mark", i64::from(number)).await;
            assert_eq!(stage.owner(EVIL).await, owner, "evil, after {text:?}");
            fails(&stage, &mut evil, text).await;
            stage.stays(text).await;
            stage.commands().await;
            owner = stage.owner(EVIL).await;
        }
        stage.read(&lab).await;
        stage.stays("all").await;
        assert!(monitor.pid().is_some());
        let said = stage.bridge.unmatched();
        let off = said.iter().find(|line| line.contains("off the bus"));
        assert_eq!(off, None);
    });
}

/// The peer answers a call with an error of this name and text.
async fn fails(stage: &Stage<'_>, evil: &mut Peer, text: &str) {
    let methods = Some("org.z25.Zocp1.Methods");
    let bus = stage.bus.connection();
    let call = bus.call_method(Some(EVIL), NODE, methods, "fail", &());
    let answer = async {
        let id = evil.called().await;
        let error = json!({ "error": text, "message": format!("so: {text}") });
        let answer = json!({ "REP": [id, null, error] });
        evil.whisper(answer.to_string().as_bytes()).await;
    };
    let (answered, ()) = in_time("an answer", async { tokio::join!(call, answer) }).await;
    let refused = answered.expect_err("it fails").to_string();
    assert!(refused.contains("so: "), "{refused}");
}

/// Reads a file as expat does, which most programs leave XML to.
const EXPAT: &str =
    "import sys, xml.parsers.expat as e; e.ParserCreate().ParseFile(open(sys.argv[1], 'rb'))";

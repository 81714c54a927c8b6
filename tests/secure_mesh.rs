//! A node of a secure mesh among peers made of libzmq's own sockets, which do what zyre does with a
//! certificate: beacon with a key, HELLO both ways, PING.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use rustix::process::Signal;
use serde_json::json;
use zocp_node::{Config, Content, Event, Events, ExitReason, KeyPair, Node, PeerInfo, Security};
use zocp_testkit::{Bridge, Cmd, CurvePeer, Lab, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

#[test]
fn a_peer_of_libzmq_with_a_trusted_key_is_met_by_its_beacon_and_talks() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab, &[1]).await;
        let mut peer = Peer::start(&lab, 1).await;
        peer.beacon(peer.port(), 5669).await;

        // We greet it, with the key that its own HELLO is to be sealed for.
        let hello = peer.zmq.message("router").await;
        assert_eq!(hello[0], format!("01{}", desk.id()));
        let octets = octets(&hello[1]);
        assert!(contains(&octets, b"X-PUBLICKEY"));
        let key = pair(100).public().to_string();
        assert!(contains(&octets, key.as_bytes()));

        peer.greet(&desk).await;
        let info = entered(&mut at_desk).await;
        assert_eq!(info.key, Some(pair(1).public()));
        assert_eq!(
            (info.name.as_str(), info.endpoint.as_str()),
            ("zed", peer.zmq.endpoint())
        );

        let content = Content::from_iter(["to you".into()]);
        desk.whisper(info.id, content).await.expect("it is here");
        let whisper = peer.zmq.message("router").await;
        assert_eq!(whisper[1..], ["aaa102020002", &hex(b"to you")]);
        peer.zmq
            .command(json!({"send": ["aaa102020002", hex(b"to me")]}))
            .await;
        let whispered = until(&mut at_desk, |event| match event {
            Event::Whispered { content, .. } => Some(content[0].clone()),
            _ => None,
        });
        assert_eq!(whispered.await, "to me");

        // A goodbye that anybody could have sent is not believed.
        peer.beacon(0, 5669).await;
        peer.zmq.command(json!({"send": ["aaa106020003"]})).await;
        assert_eq!(peer.zmq.message("router").await[1], "aaa107020003");
        peer.zmq.program.kill().await;
        let left = until(&mut at_desk, |event| match event {
            Event::Exited { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(left.await, ExitReason::LinkClosed);
    });
}

#[test]
fn a_peer_of_libzmq_whose_key_is_not_trusted_is_told_so_and_gets_no_word() {
    isolated(async |lab: Lab| {
        let (desk, mut at_desk) = desk(&lab, &[2]).await;
        let mut peer = Peer::start(&lab, 1).await;
        peer.beacon(peer.port(), 5669).await;
        let stranger = until(&mut at_desk, |event| match event {
            Event::Stranger(stranger) => Some(stranger),
            _ => None,
        })
        .await;
        assert_eq!(stranger.key, pair(1).public());
        // A DEALER that was refused has nobody to send to, and would wait.
        peer.dial(&desk).await;
        let refused = peer
            .zmq
            .event("handshake", |event| event["at"] == "dealer")
            .await;
        assert_eq!(refused["what"], "FAILED_AUTH");
        assert_eq!(desk.peers().await.expect("it runs"), []);
    });
}

#[test]
fn who_has_the_key_of_another_only_by_hearsay_gets_nothing() {
    isolated(async |lab: Lab| {
        let (_desk, mut at_desk) = desk(&lab, &[2]).await;
        // It tells the trusted key of somebody else, and has its own.
        let mut peer = Peer::start(&lab, 1).await;
        peer.claims = pair(2);
        peer.beacon(peer.port(), 5669).await;
        let tried = peer
            .zmq
            .event("handshake", |event| event["at"] == "router")
            .await;
        // libzmq cannot open our HELLO.
        assert_eq!(tried["what"], "FAILED_PROTOCOL");
        while let Some(event) = at_desk.try_next() {
            assert!(!matches!(event, Event::Entered(_)), "{event:?}");
        }
    });
}

#[test]
fn bridges_that_trust_each_other_are_on_each_others_bus_and_nobody_else_is() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let mut keys = Vec::new();
        for name in ["stage", "foh", "thief"] {
            let file = format!("{}.key", lab.file(name, ""));
            let made = Cmd::new(ZOCP)
                .args(["key", "new", &file, "--json"])
                .run()
                .await;
            let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
            let shown = Cmd::new(ZOCP)
                .args(["key", "show", &file, "--json"])
                .run()
                .await;
            assert_eq!(
                made,
                serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")
            );
            keys.push((file, made["key"].as_str().expect("a key").to_owned()));
        }
        let config = |own: usize, trusted: &[usize]| {
            let trusted: Vec<&str> = trusted.iter().map(|at| keys[*at].1.as_str()).collect();
            let text = format!("[mesh]\nkey = '{}'\ntrusted = {trusted:?}\n", keys[own].0);
            lab.file(&format!("{own}.toml"), &text)
        };
        let options = |file: String| format!("--config={file}");
        let at_stage =
            Bridge::start(ZOCP, &stage, "stage", &["-v", &options(config(0, &[1]))]).await;
        let at_foh = Bridge::start(ZOCP, &foh, "foh", &[&options(config(1, &[0]))]).await;
        // One that trusts both and is trusted by none, and one without a key.
        let at_thief = Bridge::start(
            ZOCP,
            &lab.host("thief").await,
            "thief",
            &[&options(config(2, &[0, 1]))],
        )
        .await;
        let at_old = Bridge::start(ZOCP, &lab.host("old").await, "old", &[]).await;
        at_foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        at_stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        let peer = at_foh.bus.peer("stage");
        let shown = async |property| peer.shown("org.z25.Zocp1.Peer", property).await;
        assert_eq!(shown("Secure").await, "b true");
        assert_eq!(shown("Key").await, format!("s \"{}\"", keys[0].1));
        at_stage.program.says(&keys[2].1).await;
        // A node without a key that comes last is met: those that came before it would have been met by then.
        let last = lab.host("last").await;
        let _last = Bridge::start(ZOCP, &last, "last", &[]).await;
        at_old.bus.appears("org.z25.Zocp1.Node.last").await;
        for (bridge, met) in [(&at_thief, &[][..]), (&at_old, &["last"][..])] {
            let list = bridge.bus.command(ZOCP).args(["list", "--json"]);
            let list: serde_json::Value = serde_json::from_str(&list.run().await).expect("JSON");
            let list = list.as_array().expect("a list").iter();
            let names: Vec<&str> = list.filter_map(|peer| peer["name"].as_str()).collect();
            assert_eq!(names, met);
        }
        assert!(!at_stage.bus.has("org.z25.Zocp1.Node.thief").await);
    });
}

#[test]
fn a_hangup_follows_the_trusted_keys_and_no_secret_is_ever_said() {
    isolated(async |lab: Lab| {
        let (own, other) = (new_key(&lab, "stage").await, new_key(&lab, "foh").await);
        let config = |name: &str, own: &str, trusted: &[&str]| {
            let text = format!("[mesh]\nkey = '{own}'\ntrusted = {trusted:?}\n");
            format!("--config={}", lab.file(name, &text))
        };
        let at_stage = config("stage.toml", &own.0, &[]);
        let host = lab.host("stage").await;
        let stage = Bridge::start(ZOCP, &host, "stage", &["-vvv", &at_stage]).await;
        let at_foh = config("foh.toml", &other.0, &[&own.1]);
        let host = lab.host("foh").await;
        let _foh = Bridge::start(ZOCP, &host, "foh", &[&at_foh]).await;
        stage.program.says(&other.1).await;

        config("stage.toml", &own.0, &[&other.1]);
        stage.program.signal(Signal::HUP);
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        config("stage.toml", &own.0, &[]);
        stage.program.signal(Signal::HUP);
        stage.bus.vanishes("org.z25.Zocp1.Node.foh").await;
        config("stage.toml", &other.0, &[]);
        stage.program.signal(Signal::HUP);
        stage.program.says("restart the bridge").await;

        let file = std::fs::read_to_string(&own.0).expect("it is there");
        let (_, secret) = file.split_once("secret = \"").expect("a key file");
        let secret = &secret[..40];
        let said = stage.program.unmatched();
        assert!(said.iter().any(|line| line.contains(&other.1)), "{said:?}");
        let pair = KeyPair::from_secret_text(secret).expect("a key");
        assert_eq!(pair.public().to_string(), own.1);
        let leak = said.iter().find(|line| line.contains(&secret[..20]));
        assert_eq!(leak, None);
    });
}

#[test]
fn a_service_for_a_key_is_not_for_another_node_of_the_same_name() {
    isolated(async |lab: Lab| {
        let names = ["stage", "foh", "namesake"];
        let mut keys = Vec::new();
        for name in names {
            keys.push(new_key(&lab, name).await);
        }
        let all: Vec<&str> = keys.iter().map(|(_, key, _)| key.as_str()).collect();
        let config = |at: usize, rules: &str| {
            let own = &keys[at].0;
            let text = format!("[mesh]\nkey = '{own}'\ntrusted = {all:?}\n{rules}");
            format!("--config={}", lab.file(&format!("{at}.toml"), &text))
        };
        let rules = format!(
            "[[export]]\nservice = 'org.example.Lamp'\ntalk = true\npeers = ['key:{}']\n\
             [[export]]\nservice = 'org.example.Public'\ntalk = true\n",
            keys[1].2
        );
        let host = lab.host("stage").await;
        let stage = Bridge::start(ZOCP, &host, "stage", &[&config(0, &rules)]).await;
        let services = stage.bus.connect().await;
        for name in ["org.example.Lamp", "org.example.Public"] {
            services.request_name(name).await.expect("it is free");
        }
        let host = lab.host("foh").await;
        let foh = Bridge::start(ZOCP, &host, "foh", &[&config(1, "")]).await;
        foh.bus.appears("org.example.Lamp.stage").await;
        let host = lab.host("namesake").await;
        let namesake = Bridge::start(ZOCP, &host, "foh", &[&config(2, "")]).await;
        namesake.bus.appears("org.example.Public.stage").await;
        assert!(!namesake.bus.has("org.example.Lamp.stage").await);
    });
}

#[test]
fn a_stranger_is_listed_trusted_after_comparing_and_distrusted_from_the_command_line() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let (at_stage, at_foh) = (new_key(&lab, "stage").await, new_key(&lab, "foh").await);
        let config = |name: &str, own: &str, trusted: &str| {
            let text = format!("[mesh]\nkey = '{own}'\ntrusted = ['{trusted}']\n");
            format!("--config={}", lab.file(&format!("{name}.toml"), &text))
        };
        // The stage trusts itself alone so far, which the other end does not know.
        let stage_config = config("stage", &at_stage.0, &at_stage.1);
        let stage = Bridge::start(ZOCP, &stage, "stage", &["-v", &stage_config]).await;
        let foh_config = config("foh", &at_foh.0, &at_stage.1);
        let foh = Bridge::start(ZOCP, &foh, "foh", &[&foh_config]).await;
        stage.program.says(&at_foh.1).await;

        let zocp = |args: &[&str]| stage.bus.command(ZOCP).args(args);
        let listed = zocp(&["trust", "--json"]).run().await;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(listed["fingerprint"], at_stage.2);
        assert_eq!(listed["trusted"][0]["source"], "configuration");
        let stranger = &listed["strangers"][0];
        assert_eq!(stranger["fingerprint"], at_foh.2);
        assert!(stranger["times"].as_u64() > Some(0), "{stranger}");

        // Nobody answers the question: nothing is trusted.
        let unanswered = zocp(&["trust", &at_foh.2[..9]]).outcome().await;
        assert_eq!(unanswered.status.code(), Some(1));
        assert!(unanswered.err.contains(&at_foh.2), "{}", unanswered.err);
        let nobody = zocp(&["trust", "nobody"]).outcome().await;
        assert_eq!(nobody.status.code(), Some(5), "{}", nobody.err);
        let trusted = zocp(&["trust", &at_foh.2[..9], "--yes"]).run().await;
        assert_eq!(trusted.trim(), format!("trusted  {}", at_foh.2));
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        foh.bus.appears("org.z25.Zocp1.Node.stage").await;

        zocp(&["distrust", "foh"]).run().await;
        stage.bus.vanishes("org.z25.Zocp1.Node.foh").await;
        foh.bus.vanishes("org.z25.Zocp1.Node.stage").await;
        let listed = zocp(&["trust"]).run().await;
        assert!(
            listed.contains(&format!("distrusted  {}", at_foh.2)),
            "{listed}"
        );
    });
}

/// A ZRE peer made of sockets.
struct Peer {
    zmq: CurvePeer,
    /// Whose key its beacons tell.
    claims: KeyPair,
}

impl Peer {
    async fn start(lab: &Lab, number: u8) -> Self {
        let host = lab.host("zed").await;
        let address = host.address_on(&lab.network);
        let secret = pair(number).secret_text();
        Self {
            zmq: CurvePeer::start(&host, &secret, &address).await,
            claims: pair(number),
        }
    }

    fn port(&self) -> u16 {
        let (_, port) = self.zmq.endpoint().rsplit_once(':').expect("a port");
        port.parse().expect("a port")
    }

    /// Says by beacon that its mailbox is at `port`.
    async fn beacon(&mut self, port: u16, to: u16) {
        let key = self.claims.public();
        let octets = [&b"ZRE\x03"[..], &UUID, &port.to_be_bytes(), key.as_bytes()].concat();
        self.zmq
            .command(json!({"beacon": [hex(&octets), "10.99.0.255", to]}))
            .await;
    }

    /// Connects to a node as its DEALER.
    async fn dial(&mut self, node: &Node) {
        let endpoint = format!("tcp://10.99.0.254:{}", node.port());
        let key = node.key().expect("it has one").to_string();
        let identity = hex(&[&[1], &UUID[..]].concat());
        self.zmq
            .command(json!({"dial": [endpoint, key, identity]}))
            .await;
    }

    /// The same, and says HELLO.
    async fn greet(&mut self, node: &Node) {
        self.dial(node).await;
        let short = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let hello = [
            b"\xaa\xa1\x01\x02\0\x01".to_vec(),
            short(self.zmq.endpoint()),
            vec![0, 0, 0, 0, 0],
            short("zed"),
            vec![0, 0, 0, 0],
        ];
        let hello = hex(&hello.concat());
        self.zmq.command(json!({"send": [hello]})).await;
    }
}

const UUID: [u8; 16] = [0x5e; 16];

/// The node of the test itself, with key 100.
async fn desk(lab: &Lab, trusted: &[u8]) -> (Node, Events) {
    assert_eq!(lab.attach().await, "10.99.0.254");
    let trusted = trusted.iter().map(|number| pair(*number).public());
    let security = Security::new(pair(100)).with_trusted(trusted);
    let config = Config::new("desk").with_security(security);
    Node::start(config).await.expect("there is a network")
}

/// A file with a new key, the key and its fingerprint.
async fn new_key(lab: &Lab, name: &str) -> (String, String, String) {
    let file = format!("{}.key", lab.file(name, ""));
    let made = Cmd::new(ZOCP).args(["key", "new", &file, "--json"]).run();
    let made: serde_json::Value = serde_json::from_str(&made.await).expect("JSON");
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    (file, text("key"), text("fingerprint"))
}

async fn entered(events: &mut Events) -> PeerInfo {
    until(events, |event| match event {
        Event::Entered(info) => Some(info),
        _ => None,
    })
    .await
}

async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    in_time("an event of the node", async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(value) = wanted(event) {
                return value;
            }
        }
    })
    .await
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(octet).collect()
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

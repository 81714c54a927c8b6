//! The shipped policy of the system bus, on a bus that asks for one.
//!
//! A test is one user, so the roles of the policy are given to it one after the other: the text of the
//! policy is changed so that its user is the bridge's, and is or is not of the group.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use zocp_node::{Access, BeaconMode, Capability, Config, Node};
use zocp_testkit::{Cmd, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const POLICY: &str = include_str!("../dbus-policy/system/org.z25.Zocp1.conf");

/// What a system bus says before any policy of a service: nothing may be owned or called.
const SYSTEM: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>@POLICY@</include>
</busconfig>
"#;

/// A bus with the policy, a bridge on it, and a node `lamp` that the bridge meets.
struct Stage {
    address: String,
    _programs: [Program; 2],
    _lamp: Node,
}

impl Stage {
    /// `is_member`: whether the user of the test is of the group `zocp`.
    async fn start(lab: &Lab, is_member: bool) -> Self {
        let own = "<policy user=\"root\">\n    <allow own_prefix=\"org.z25.Zocp1\"/>\n  </policy>";
        let policy = section(POLICY, "context=\"default\"");
        let group = section(POLICY, "group=\"zocp\"").replace("group=\"zocp\"", "user=\"root\"");
        let group = if is_member { group } else { String::new() };
        let text = format!("<busconfig>\n{own}\n{policy}\n{group}\n</busconfig>\n");
        let policy = lab.file("policy.conf", &text);
        let socket = policy.replace("policy.conf", "system-bus");
        let system = SYSTEM
            .replace("@SOCKET@", &socket)
            .replace("@POLICY@", &policy);
        let config = lab.file("system.conf", &system);

        // The same program as everywhere.
        let program = std::env::var("ZOCP_TEST_BUS");
        let bus = Cmd::new(program.as_deref().unwrap_or("dbus-daemon"));
        let bus = bus.args(["--nofork", "--print-address"]);
        let config = format!("--config-file={config}");
        let bus = bus.arg(config).label("bus").start();
        let address = bus.says("unix:path=").await;

        let config = Config::new("lamp")
            .with_loopback()
            .with_beacon(BeaconMode::Off);
        let (lamp, mut events) = Node::start(config).await.expect("a node");
        let level = Capability::new(Access::READ | Access::WRITE, 0.5);
        lamp.publish("level", level).await.expect("a capability");
        tokio::spawn(async move { while events.next().await.is_some() {} });

        let text = format!(
            "[mesh]\nloopback = true\nbeacon = \"off\"\npeers = [\"tcp://127.0.0.1:{}\"]\n",
            lamp.port()
        );
        let config = lab.file("bridge.toml", &text);
        let bridge = Cmd::new(ZOCP).args(["-v", "bridge", "--config", &config, "--bus", &address]);
        let bridge = bridge.label("bridge").start();
        bridge.says("mesh port").await;
        let stage = Self {
            address,
            _programs: [bus, bridge],
            _lamp: lamp,
        };
        let wait = Cmd::new("gdbus").args(["wait", "--timeout", "20", "--address"]);
        wait.args([&stage.address, LAMP]).run().await;
        stage
    }

    /// Whether a program that has nothing to do with us can be called; it would not answer.
    async fn reaches_others(&self) -> bool {
        let stranger = zbus::connection::Builder::address(&*self.address);
        let stranger = stranger.build().await.expect("a connection");
        let name = stranger.unique_name().expect("a name").to_string();
        for (interface, method) in [
            ("org.freedesktop.DBus.Peer", "Ping"),
            ("org.freedesktop.DBus.Introspectable", "Introspect"),
            ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
        ] {
            let address = format!("--address={}", self.address);
            let busctl = Cmd::new("busctl").args([&address, "--timeout=5"]);
            let outcome = busctl.args(["call", &name, "/", interface, method]);
            let outcome = outcome.outcome().await;
            if !outcome.err.contains("denied") && !outcome.err.contains("policy") {
                return true;
            }
        }
        false
    }

    async fn busctl(&self, args: &[&str]) -> bool {
        let address = format!("--address={}", self.address);
        Cmd::new("busctl")
            .arg(address)
            .args(args)
            .outcome()
            .await
            .status
            .success()
    }
}

const LAMP: &str = "org.z25.Zocp1.Node.lamp";
const NODE: &str = "/org/z25/Zocp1/Node";
const VALUES: &str = "org.z25.Zocp1.Values";
const BRIDGE: &str = "org.z25.Zocp1";
const ROOT: &str = "/org/z25/Zocp1";
const PEER: &str = "/org/z25/Zocp1/nodes/lamp";

/// What everybody may do.
const LOOKING: [&[&str]; 6] = [
    &["introspect", LAMP, NODE],
    &["get-property", LAMP, NODE, VALUES, "level"],
    &["tree", LAMP],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.freedesktop.DBus.ObjectManager",
        "GetManagedObjects",
    ],
    &["call", LAMP, NODE, "org.freedesktop.DBus.Peer", "Ping"],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.z25.Zocp1.Bridge",
        "FindNode",
        "s",
        "lamp",
    ],
];

/// What only the group may do: every other member of the declared interfaces.
const DOING: [&[&str]; 7] = [
    &["set-property", LAMP, NODE, VALUES, "level", "d", "0.7"],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.z25.Zocp1.Bridge",
        "Join",
        "s",
        "lights",
    ],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.z25.Zocp1.Bridge",
        "Leave",
        "s",
        "lights",
    ],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.z25.Zocp1.Bridge",
        "Shout",
        "say",
        "lights",
        "1",
        "7",
    ],
    &[
        "call",
        BRIDGE,
        ROOT,
        "org.z25.Zocp1.Bridge",
        "Connect",
        "s",
        "tcp://127.0.0.1:9",
    ],
    &["call", BRIDGE, PEER, "org.z25.Zocp1.Peer", "Ping"],
    &[
        "call",
        BRIDGE,
        PEER,
        "org.z25.Zocp1.Peer",
        "Whisper",
        "ay",
        "1",
        "7",
    ],
];

#[test]
fn everybody_may_look_and_nobody_else_may_do() {
    isolated(async |lab: Lab| {
        let stage = Stage::start(&lab, false).await;
        for args in LOOKING {
            assert!(stage.busctl(args).await, "{args:?} is refused");
        }
        for args in DOING {
            assert!(!stage.busctl(args).await, "{args:?} is let through");
        }
        assert!(!stage.reaches_others().await, "the policy is about others");
    });
}

#[test]
fn members_of_the_group_may_look_and_do() {
    isolated(async |lab: Lab| {
        let stage = Stage::start(&lab, true).await;
        for args in LOOKING.iter().chain(&DOING) {
            assert!(stage.busctl(args).await, "{args:?} is refused");
        }
    });
}

/// The `policy` element with this attribute.
fn section(policy: &str, attribute: &str) -> String {
    let start = policy
        .find(&format!("<policy {attribute}>"))
        .expect("the section is there");
    let rest = &policy[start..];
    let end = rest.find("</policy>").expect("it has an end") + "</policy>".len();
    rest[..end].to_owned()
}

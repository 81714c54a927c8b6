//! The rights on the system bus, with the real polkit: who may, who may after a password, and who may not.
//!
//! polkitd becomes a user of its own, which only a root that is one can do: run by an ordinary user this fails, and
//! says so. With an authority that the test plays, everybody tests it in `zocp_dbus::server::authority`.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::fs;

use zocp_testkit::{Cmd, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const ACTIONS: &str = include_str!("../dbus-policy/system/org.z25.Zocp1.policy");
const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
/// The user of the bridge, whom the policy of polkit names.
const BRIDGE: &str = "4999";
/// Some user.
const ADA: &str = "4998";

/// A bus that lets everybody do everything: what is refused is refused by the bridge.
const SYSTEM: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow send_type="method_call"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"#;

struct Stage {
    address: String,
    polkit: Program,
    _programs: [Program; 2],
}

impl Stage {
    async fn start(lab: &Lab) -> Self {
        let users = fs::read_to_string("/etc/passwd").expect("the users");
        let user = |name: &str, id: &str| format!("{name}:x:{id}:65534::/:/bin/false\n");
        let users = users + &user("zocp", BRIDGE) + &user("ada", ADA);
        instead(&lab.file("passwd", users), "/etc/passwd").await;
        fs::create_dir(lab.path("actions")).expect("a directory");
        lab.file("actions/org.z25.Zocp1.policy", ACTIONS);
        instead(&lab.path("actions"), "/usr/share/polkit-1/actions").await;

        let socket = lab.path("system-bus");
        let config = lab.file("system.conf", SYSTEM.replace("@SOCKET@", &socket));
        let bus = Cmd::new("dbus-daemon").args(["--nofork", "--print-address", "--config-file"]);
        let bus = bus.arg(&config).label("bus").start();
        let address = bus.says("unix:path=").await;
        let address = address.split(',').next().expect("an address").to_owned();
        let open = ["a+rwx", &*socket, &*lab.path("")];
        Cmd::new("chmod").args(open).run().await;

        let polkit = Cmd::new(POLKITD)
            .needs(POLKITD)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let polkit = polkit.label("polkit").start();
        wait(&address, "org.freedesktop.PolicyKit1").await;

        let config = lab.file("bridge.toml", "[mesh]\nloopback = true\nbeacon = \"off\"\n");
        let bridge = as_user(BRIDGE, ZOCP).args(["bridge", "--bus", "system", "--config", &config]);
        let bridge = bridge.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let bridge = bridge.label("bridge").start();
        wait(&address, "org.z25.Zocp1").await;
        Self {
            address,
            polkit,
            _programs: [bus, bridge],
        }
    }

    /// What a user is told who calls a method of the bridge; nothing if it was done.
    async fn told(&self, user: &str, interface: &str, call: &[&str]) -> String {
        let address = format!("--address={}", self.address);
        let whole = ["call", "org.z25.Zocp1", "/org/z25/Zocp1", interface];
        let busctl =
            as_user(user, "busctl").args([&address, "--allow-interactive-authorization=no"]);
        let outcome = busctl.args(whole).args(call).outcome().await;
        match outcome.status.success() {
            true => String::new(),
            false => outcome.err,
        }
    }

    async fn joins(&self, user: &str) -> String {
        let join = ["Join", "s", "lights"];
        self.told(user, "org.z25.Zocp1.Bridge", &join).await
    }

    async fn exports(&self, user: &str) -> String {
        let export = ["Export", "sa{sv}", "org.a.A", "1", "talk", "b", "true"];
        self.told(user, "org.z25.Zocp1.Exporter", &export).await
    }
}

/// Shows one file or directory in the place of another.
async fn instead(of: &str, place: &str) {
    Cmd::new("mount").args(["--bind", of, place]).run().await;
}

async fn wait(address: &str, name: &str) {
    let wait = Cmd::new("gdbus").args(["wait", "--timeout", "20", "--address"]);
    wait.args([address, name]).run().await;
}

fn as_user(user: &str, program: &str) -> Cmd {
    let setpriv = Cmd::new("setpriv").args(["--reuid", user, "--regid", "65534"]);
    setpriv.args(["--clear-groups", program]).label(program)
}

/// Whether the root that we are is root of the machine.
fn is_real_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[test]
fn polkit_decides_about_the_user_who_calls() {
    isolated(async |lab: Lab| {
        assert!(
            is_real_root(),
            "polkitd becomes a user of its own: run this one as root"
        );
        let mut stage = Stage::start(&lab).await;
        assert_eq!(stage.joins(ADA).await, "");
        let refused = stage.exports(ADA).await;
        assert!(refused.contains("authoriz"), "{refused}");
        assert_eq!(stage.exports("0").await, "");
        stage.polkit.kill().await;
        let refused = stage.joins(ADA).await;
        assert!(refused.contains("denied"), "{refused}");
        assert_eq!(stage.joins("0").await, "");
    });
}

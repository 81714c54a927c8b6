//! `zocp osc --query` and an app that finds it, lists what there is, sets and listens: python-oscquery, python-osc and
//! websocket-client, which have nothing of ours.

use serde_json::{Value as Json, json};
use zocp_testkit::{Bus, Host, Lab, Program, PyPeer, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/oscquery_peer.py");

fn lamp() -> Vec<Json> {
    vec![
        json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwe", "min": 0, "max": 1}}),
        json!({"register": {"name": "on", "value": true, "typeHint": "bool", "access": "rwe"}}),
    ]
}

async fn face(foh: &Host, places: [&str; 2]) -> Program {
    let osc = foh
        .command(ZOCP)
        .arg("osc")
        .args(["--allow", "10.99.0.0/16"]);
    let osc = osc
        .args(["--listen", places[0], "--query", places[1]])
        .start();
    osc.says(&format!("OSCQuery at http://{}", places[1])).await;
    osc
}

struct App(Program);

impl App {
    async fn start(host: &Host, args: &[&str]) -> Self {
        let program = host.pypi_python().arg(PEER).args(args).label("app").start();
        Self(program)
    }

    async fn event(&self, kind: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let pick = |line: &str| {
            let event: Json = serde_json::from_str(line).ok()?;
            (event["event"] == json!(kind) && wanted(&event)).then_some(event)
        };
        self.0.says_like(kind, pick).await
    }

    async fn command(&mut self, command: Json) {
        self.0.tell(&command.to_string()).await;
        self.event("done", |_| true).await;
    }

    /// What a request is answered with.
    async fn get(&mut self, path: &str) -> (Json, Json) {
        self.0.tell(&json!({"get": [path]}).to_string()).await;
        let mut got = self.event("got", |_| true).await;
        (got["status"].take(), got["body"].take())
    }

    async fn hears(&self, address: &str, values: Json) {
        self.event("message", |event| {
            event["address"] == json!(address) && event["values"] == values
        })
        .await;
    }
}

#[test]
fn an_app_lists_sets_and_listens_and_is_told_what_comes_and_goes() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let address = foh.address_on(&lab.network);
        let mut osc = face(&foh, ["0.0.0.0:9000", "0.0.0.0:9000"]).await;
        let mut app = App::start(&lab.host("tablet").await, &["at", &address, "9000"]).await;
        let ready = app.event("ready", |_| true).await;
        assert_eq!(ready["osc"], json!([address, 9000]));

        let stage = lab.host("stage").await;
        let mut lamp = PyPeer::start(&stage, "lamp", &lamp()).await;
        app.event("notice", |event| {
            event["COMMAND"] == json!("PATH_ADDED") && event["DATA"] == json!("/lamp")
        })
        .await;
        app.0.tell(r#"{"node": ["/"]}"#).await;
        let node = app.event("node", |_| true).await;
        let level = &node["description"]["CONTENTS"]["lamp"]["CONTENTS"]["level"];
        assert_eq!(
            *level,
            json!({"FULL_PATH": "/lamp/level", "ACCESS": 3, "TYPE": "f", "VALUE": [0.5],
                   "RANGE": [{"MAX": 1}], "DESCRIPTION": "level"}),
            "pyZOCP tells no bound that is zero"
        );

        app.command(json!({"listen": ["/lamp/level"]})).await;
        app.command(json!({"set": ["/lamp/level", [0.25]]})).await;
        lamp.event("modified", |event| {
            event["data"] == json!({"level": {"value": 0.25}})
        })
        .await;
        // It set by UDP and listens in a WebSocket: two programs, as far as one can see.
        app.hears("/lamp/level", json!([0.25])).await;
        lamp.command(json!({"emit": ["level", 0.75]})).await;
        app.hears("/lamp/level", json!([0.75])).await;
        // What it sends in the WebSocket is not sent back there.
        app.command(json!({"push": ["/lamp/level", [0.125]]})).await;
        lamp.event("modified", |event| {
            event["data"] == json!({"level": {"value": 0.125}})
        })
        .await;
        assert_eq!(
            app.get("/lamp/level?VALUE").await,
            (json!(200), json!({"VALUE": [0.125]}))
        );
        lamp.command(json!({"emit": ["level", 1.0]})).await;
        app.hears("/lamp/level", json!([1.0])).await;
        let told = app.0.unmatched();
        assert!(
            !told.iter().any(|line| line.contains("[0.125]")),
            "{told:?}"
        );
        app.command(json!({"push": ["/lamp/level", [7.0]]})).await;
        app.event("message", |event| event["address"] == json!("/error"))
            .await;

        app.command(json!({"ignore": ["/lamp/level"]})).await;
        app.command(json!({"listen": ["/lamp/on"]})).await;
        // What is behind it in the WebSocket is answered when it is listened.
        app.command(json!({"push": ["/lamp/level", [7.0]]})).await;
        app.event("message", |event| event["address"] == json!("/error"))
            .await;
        lamp.command(json!({"emit": ["level", 0.5]})).await;
        lamp.command(json!({"emit": ["on", false]})).await;
        app.hears("/lamp/on", json!([false])).await;
        let told = app.0.unmatched();
        assert!(!told.iter().any(|line| line.contains("[0.5]}")), "{told:?}");

        for (path, status) in [
            ("/lamp/none", 404),
            ("/lamp?RANGE", 204),
            ("/lamp?NONSENSE", 400),
        ] {
            assert_eq!(app.get(path).await.0, json!(status), "{path}");
        }
        app.0.tell(r#"{"knock": ["http://example.org"]}"#).await;
        let knocked = app.event("knocked", |_| true).await;
        assert_eq!(knocked["status"], json!(403), "a page of somebody else");

        lamp.leave().await;
        app.event("notice", |event| {
            event["COMMAND"] == json!("PATH_REMOVED") && event["DATA"] == json!("/lamp")
        })
        .await;
        osc.interrupt();
        assert!(osc.ended().await.success());
    });
}

#[test]
fn an_app_finds_the_mesh_by_avahi() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let bus = Bus::start("system").await;
        let system = ("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        std::fs::create_dir("/run/avahi-daemon").unwrap();
        let config =
            "[server]\nhost-name=foh\nuse-ipv6=no\n[publish]\npublish-workstation=no\n[rlimits]\n";
        let config = lab.file("avahi.conf", config);
        let avahi = foh.command("avahi-daemon").args([
            "--no-drop-root",
            "--no-chroot",
            "--debug",
            "-f",
            &config,
        ]);
        let _avahi = avahi.env(system.0, system.1).start();
        bus.appears("org.freedesktop.Avahi").await;

        let options = [
            "osc",
            "--allow",
            "10.99.0.0/16",
            "--listen",
            "0.0.0.0:9000",
            "--query",
            "0.0.0.0:8080",
        ];
        let osc = foh
            .command(ZOCP)
            .args(options)
            .env(system.0, system.1)
            .start();
        osc.says("OSCQuery at http://0.0.0.0:8080").await;
        let lamp = PyPeer::start(&lab.host("stage").await, "lamp", &lamp()).await;
        lamp.event("subscribed", |_| true).await;

        let mut app = App::start(&lab.host("tablet").await, &["find"]).await;
        let found = app.event("found", |_| true).await;
        assert_eq!(found["name"], json!("osc of ZOCP._oscjson._tcp.local."));
        app.event("ready", |_| true).await;
        app.command(json!({"set": ["/lamp/level", [0.25]]})).await;
        lamp.event("modified", |event| {
            event["data"] == json!({"level": {"value": 0.25}})
        })
        .await;
    });
}

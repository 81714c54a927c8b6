//! Exported services as nodes see them that know nothing of D-Bus.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use zbus::{Connection, fdo, interface, object_server::SignalEmitter};
use zocp_testkit::{Bridge, Bus, Host, Lab, PyPeer, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const NAME: &str = "org.example.Lamp";
const PATH: &str = "/org/example/Lamp";
const INTERFACE: &str = "org.example.Lamp1";

/// A service with a property of every manner.
#[derive(Default)]
struct Lamp {
    level: f64,
    step: u8,
    secret: String,
    changed: Arc<Notify>,
}

#[interface(name = "org.example.Lamp1")]
impl Lamp {
    #[zbus(property)]
    fn level(&self) -> f64 {
        self.level
    }

    #[zbus(property)]
    fn set_level(&mut self, level: f64) -> fdo::Result<()> {
        if level > 1.0 {
            return Err(fdo::Error::InvalidArgs("at most 1".to_owned()));
        }
        self.level = level;
        self.changed.notify_one();
        Ok(())
    }

    /// Takes only tens.
    #[zbus(property)]
    fn step(&self) -> u8 {
        self.step
    }

    #[zbus(property)]
    fn set_step(&mut self, step: u8) {
        self.step = step - step % 10;
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> &'static str {
        "L-1"
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn secret(&self) -> &str {
        &self.secret
    }

    #[zbus(property)]
    fn set_secret(&mut self, secret: String) {
        self.secret = secret;
        self.changed.notify_one();
    }

    #[zbus(property)]
    fn place(&self) -> (f64, f64, f64) {
        (0.0, 1.0, 2.5)
    }

    #[zbus(signal)]
    async fn struck(emitter: &SignalEmitter<'_>, hour: i64) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn moved(emitter: &SignalEmitter<'_>, x: f64, name: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn bumped(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

/// The service on the bus, and what tells that its level was set.
async fn lamp(bus: &Bus) -> (Connection, Arc<Notify>) {
    let lamp = Lamp::default();
    let changed = lamp.changed.clone();
    let connection = bus.connect().await;
    let objects = connection.object_server();
    objects.at(PATH, lamp).await.expect("a legal path");
    connection.request_name(NAME).await.expect("a free name");
    (connection, changed)
}

/// A node that follows all that the bridge tells.
async fn desk(host: &Host) -> PyPeer {
    let gong =
        json!({"register": {"name": "gong", "value": 0, "typeHint": "int", "access": "rwes"}});
    let mut desk = PyPeer::start(host, "desk", &[gong]).await;
    desk.entered("foh").await;
    desk.command(json!({"subscribe": ["desk", null, "foh", null]}))
        .await;
    desk.command(json!({"get": ["foh", null]})).await;
    desk
}

/// Where a member is in the bridge's tree.
fn place(member: &str) -> String {
    let path = PATH.replace('/', "~1");
    format!("/objects/services/objects/{NAME}/objects/{path}/objects/{INTERFACE}/{member}")
}

/// What is told of a member of the service, once it is as wanted.
async fn told(desk: &PyPeer, member: &str, wanted: impl Fn(&Json) -> bool) -> Json {
    let place = place(member);
    let event = desk
        .event("peer_modified", |event| {
            event["data"].pointer(&place).is_some_and(&wanted)
        })
        .await;
    event["data"].pointer(&place).cloned().unwrap_or_default()
}

/// The bridge's whole tree, once it is as wanted.
async fn tree(desk: &mut PyPeer, wanted: impl Fn(&Json) -> bool) -> Json {
    desk.command(json!({"get": ["foh", null]})).await;
    let is_whole = |event: &Json| {
        let services = &event["data"]["objects"]["services"];
        services.get("type").is_some() && wanted(&event["data"])
    };
    desk.event("peer_modified", is_whole).await["data"].clone()
}

/// A change of a member, as a node sends it.
fn change(member: &str, value: Json) -> Json {
    let member = json!({ member: { "value": value } });
    let interface = json!({"objects": { INTERFACE: member }});
    let object = json!({"objects": { PATH: interface }});
    let service = json!({"objects": { NAME: object }});
    json!({"objects": {"services": service}})
}

fn is_value(value: Json) -> impl Fn(&Json) -> bool {
    move |entry| entry["value"] == value
}

#[test]
fn properties_and_signals_of_an_exported_service_are_capabilities() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &["--export", NAME]).await;
        let _lamp = lamp(&bridge.bus).await;
        let mut desk = desk(&lab.host("stage").await).await;
        told(&desk, "Bumped", |entry| entry.get("access").is_some()).await;
        let tree = tree(&mut desk, |tree| tree.pointer(&place("Bumped")).is_some()).await;
        for (member, value, hint, access) in [
            ("Level", json!(0.0), "flt", "rwe"),
            ("Step", json!(0), "int", "rwe"),
            ("Model", json!("L-1"), "string", "r"),
            ("Secret", json!(""), "string", "rw"),
            ("Place", json!([0.0, 1.0, 2.5]), "vec3f", "re"),
            ("Struck", json!(0), "int", "e"),
            ("Moved", json!(null), "signature:(ds)", "e"),
            ("Bumped", json!(false), "bool", "e"),
        ] {
            let entry = tree.pointer(&place(member)).expect("it is told");
            let said = (&entry["value"], &entry["typeHint"], &entry["access"]);
            assert_eq!(said, (&value, &json!(hint), &json!(access)), "{member}");
        }
        desk.is_unharmed().await;
    });
}

#[test]
fn a_plain_node_sets_a_property_and_hears_what_became_of_it() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &["--export", NAME]).await;
        let (service, changed) = lamp(&bridge.bus).await;
        let mut desk = desk(&lab.host("stage").await).await;
        told(&desk, "Level", is_value(json!(0.0))).await;

        desk.command(json!({"set": ["foh", change("Level", json!(0.75))]}))
            .await;
        in_time("the lamp to be set", changed.notified()).await;
        let object = service.object_server().interface::<_, Lamp>(PATH).await;
        assert_eq!(object.expect("it is there").get().await.level, 0.75);

        // The service refuses it: what holds is told to who set it.
        desk.command(json!({"set": ["foh", change("Level", json!(1.5))]}))
            .await;
        told(&desk, "Level", is_value(json!(0.75))).await;
        // It makes another value of it.
        desk.command(json!({"set": ["foh", change("Step", json!(17))]}))
            .await;
        told(&desk, "Step", is_value(json!(10))).await;
        // No value of its type.
        desk.command(json!({"set": ["foh", change("Step", json!(300))]}))
            .await;
        told(&desk, "Step", is_value(json!(10))).await;
        bridge
            .program
            .says("a value that a node set is refused")
            .await;
        // It tells no changes of this one.
        desk.command(json!({"set": ["foh", change("Secret", json!("x"))]}))
            .await;
        in_time("the lamp to be set", changed.notified()).await;
        // This one cannot be set.
        desk.command(json!({"set": ["foh", change("Model", json!("L-2"))]}))
            .await;
        let tree = tree(&mut desk, |tree| {
            tree.pointer(&place("Secret/value")) == Some(&json!("x"))
        })
        .await;
        assert_eq!(tree.pointer(&place("Model/value")), Some(&json!("L-1")));
        desk.is_unharmed().await;
    });
}

#[test]
fn a_plain_node_follows_changes_and_its_sensor_gets_signals() {
    isolated(async |lab: Lab| {
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &["--export", NAME]).await;
        let (service, _changed) = lamp(&bridge.bus).await;
        let mut desk = desk(&lab.host("stage").await).await;
        told(&desk, "Struck", |entry| entry.get("access").is_some()).await;
        let struck = format!("services.{NAME}.{PATH}.{INTERFACE}.Struck");
        desk.command(json!({"subscribe": ["desk", "gong", "foh", struck]}))
            .await;
        told(&desk, "Struck", |entry| entry.get("subscribers").is_some()).await;

        let emitter = SignalEmitter::new(&service, PATH).expect("a legal path");
        for hour in [7, 7, 8] {
            Lamp::struck(&emitter, hour)
                .await
                .expect("the bus is there");
        }
        for hour in [7, 7, 8] {
            told(&desk, "Struck", is_value(json!(hour))).await;
            let signal = desk
                .event("signal", |event| event["emitter"] == json!(struck))
                .await;
            assert_eq!(
                (&signal["value"], &signal["sensors"]),
                (&json!(hour), &json!(["gong"]))
            );
        }
        Lamp::moved(&emitter, 0.5, "left")
            .await
            .expect("the bus is there");
        told(&desk, "Moved", is_value(json!([0.5, "left"]))).await;
        Lamp::bumped(&emitter).await.expect("the bus is there");
        told(&desk, "Bumped", is_value(json!(true))).await;

        let object = service.object_server().interface::<_, Lamp>(PATH).await;
        let object = object.expect("it is there");
        object.get_mut().await.level = 0.5;
        let lamp = object.get().await;
        lamp.level_changed(&emitter)
            .await
            .expect("the bus is there");
        told(&desk, "Level", is_value(json!(0.5))).await;
        desk.is_unharmed().await;
    });
}

#[test]
fn a_plain_node_misses_no_signal_while_the_rules_are_read_again() {
    isolated(async |lab: Lab| {
        let rules = ["talk = true\n", "talk = true\ncall_back = ['org.a.B.c']\n"];
        let write = |rule: &str| {
            let text = format!("[[export]]\nservice = '{NAME}'\n{rule}");
            lab.file("rules.toml", text)
        };
        let options = ["--config", &write(rules[0])];
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &options).await;
        let (service, _changed) = lamp(&bridge.bus).await;
        let mut desk = desk(&lab.host("stage").await).await;
        told(&desk, "Struck", |entry| entry.get("access").is_some()).await;
        let emitter = SignalEmitter::new(&service, PATH).expect("a legal path");
        let strike = async |hours: std::ops::Range<i64>| {
            for hour in hours {
                Lamp::struck(&emitter, hour)
                    .await
                    .expect("the bus is there");
            }
        };
        for (round, rule) in (1..).zip([rules[1], rules[0], rules[1]]) {
            write(rule);
            bridge.program.signal(rustix::process::Signal::HUP);
            let read = bridge.program.says("the configuration was read again");
            tokio::join!(strike(round * 1000..round * 1000 + 300), read);
            strike(round * 1000 + 300..round * 1000 + 600).await;
        }
        let hours = (1..4).flat_map(|round| round * 1000..round * 1000 + 600);
        for hour in hours {
            let is_hour = |entry: &Json| entry["value"].as_i64() >= Some(1000);
            let told = told(&desk, "Struck", is_hour).await;
            assert_eq!(told["value"], json!(hour));
        }
        desk.is_unharmed().await;
    });
}

#[test]
fn of_a_service_that_only_some_peers_may_use_the_tree_has_only_that_it_is_there() {
    isolated(async |lab: Lab| {
        let rules = format!(
            "[[export]]\nservice = '{NAME}'\ntalk = true\npeers = ['desk']\n\
             [[export]]\nservice = 'org.example.Public'\ntalk = true\n"
        );
        let config = lab.file("some.toml", &rules);
        let options = ["--config", config.as_str()];
        let bridge = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &options).await;
        let (service, _changed) = lamp(&bridge.bus).await;
        let public = service.request_name("org.example.Public").await;
        public.expect("a free name");
        let mut desk = desk(&lab.host("stage").await).await;
        let services = |tree: &Json| tree["objects"]["services"]["objects"].clone();
        let has_both = |tree: &Json| {
            let services = services(tree);
            services["org.example.Public"].get("objects").is_some() && services.get(NAME).is_some()
        };
        // Also what is told piece by piece is told by the time the public one has all.
        desk.event("peer_modified", |event| {
            services(&event["data"])["org.example.Public"]
                .get("objects")
                .is_some()
        })
        .await;
        let tree = tree(&mut desk, has_both).await;
        let entries = services(&tree)[NAME]
            .as_object()
            .expect("an object")
            .clone();
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["origin", "revision", "running", "type"]);
        desk.is_unharmed().await;
    });
}

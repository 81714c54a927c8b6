//! A bus that ends, that is started again, that stands still.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zocp_testkit::{Bridge, Client, Lab, PyPeer, Venue, error_name, in_time, isolated, message};

use super::{
    BRIDGE, EXAMPLES, IMPATIENT, LAMP, LAMP_OBJECT, LAMP_PATH, LAMP_THERE, LAMP1, NODE, ZOCP,
    assert_soon,
};

#[test]
fn a_bus_that_is_started_again_has_every_name_and_the_mesh_has_seen_nothing() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let level =
            json!({"register": {"name": "level", "value": 3, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&lab.host("hall").await, "lamp", &[level]).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        for name in [NODE, LAMP_THERE] {
            venue.foh.bus.appears(name).await;
        }
        lamp.event("subscribed", |_| true).await;
        for round in 1..=2 {
            venue.foh.bus.kill().await;
            venue.foh.program.says("off the bus").await;
            lamp.command(json!({"emit_many": ["level", 10, 400 * round]}))
                .await;
            venue.foh.bus.start_again().await;
            for name in [BRIDGE, NODE, LAMP_THERE] {
                venue.foh.bus.appears(name).await;
            }
            let node = venue.foh.bus.node("lamp");
            node.becomes("level", 400 * i64::from(round)).await;
            let mut client = Client::on(&venue.foh.bus).await;
            let answer = client.call(LAMP_OBJECT, "Count", &()).await;
            assert_eq!(error_name(&answer), None);
        }
        lamp.is_unharmed().await;
        let exits = |line: &String| line.contains(r#""event": "exit""#);
        assert!(!lamp.program.unmatched().iter().any(exits));
    });
}

#[test]
fn when_the_bus_of_a_service_ends_calls_are_answered_and_the_service_comes_back() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut client = Client::on(&venue.foh.bus).await;
        let wait = message(LAMP_THERE, LAMP_PATH, LAMP1, "Wait").build(&());
        let wait = wait.expect("a call");
        client.send(&wait).await;
        client.call(LAMP_OBJECT, "Count", &()).await;
        venue.stage.bus.kill().await;
        let ended = Instant::now();
        let answer = client.answer(&wait).await;
        assert!(error_name(&answer).is_some(), "{answer:?}");
        venue.foh.bus.vanishes(LAMP_THERE).await;
        assert_soon("the end", ended);
        venue.stage.bus.start_again().await;
        venue.stage.bus.appears(BRIDGE).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let answer = client.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
    });
}

#[test]
fn what_a_program_published_ends_with_its_bus_and_what_lasts_stays() {
    isolated(async |lab: Lab| {
        let mut foh = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[]).await;
        foh.bus.appears(NODE).await;
        let publish = |options: &'static str| {
            let command = foh.bus.command(ZOCP).args(options.split(' '));
            command.label("publish").start()
        };
        let mut fader = publish("publish fader - --hint int");
        let mut curtain = publish("publish curtain - --hint int --lasting");
        for program in [&mut fader, &mut curtain] {
            program.tell("5").await;
            program.says("is published").await;
        }
        let both = |tree: &Value| tree["fader"]["value"] == 5 && tree["curtain"]["value"] == 5;
        lamp.command(json!({"get": ["foh", []]})).await;
        lamp.event("peer_modified", |event| both(&event["data"]))
            .await;
        foh.bus.kill().await;
        foh.bus.start_again().await;
        foh.bus.appears(BRIDGE).await;
        let local = foh.bus.object(BRIDGE, "/org/z25/Zocp1/Local");
        assert_eq!(local.shown_value("curtain").await, "x 5");
        let names = foh
            .bus
            .busctl(&["introspect", BRIDGE, "/org/z25/Zocp1/Local"]);
        assert!(!names.await.contains(".fader"));
        let one =
            |tree: &Value| tree["fader"]["value"] == json!(null) && tree["curtain"]["value"] == 5;
        lamp.command(json!({"get": ["foh", []]})).await;
        lamp.event("peer_modified", |event| one(&event["data"]))
            .await;
        lamp.is_unharmed().await;
    });
}

#[test]
fn what_a_program_exported_ends_with_its_bus() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, "", "").await;
        let service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let export = ["export", LAMP, "--call", "*"];
        let program = venue.stage.bus.command(ZOCP).args(export).start();
        venue.foh.bus.appears(LAMP_THERE).await;
        venue.stage.bus.kill().await;
        venue.foh.bus.vanishes(LAMP_THERE).await;
        drop((service, program));
        venue.stage.bus.start_again().await;
        venue.stage.bus.appears(BRIDGE).await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let exports = venue.stage.bus.bridge();
        let exports = exports.shown("org.z25.Zocp1.Exporter", "Exports").await;
        assert_eq!(exports, "as 0");
        // What is exported after the service came is shown after it would have been.
        let marker = "org.example.Marker";
        let _marker = venue.stage.bus.serve("lamp_service.py", marker).await;
        let export = ["export", marker, "--call", "*"];
        let _program = venue.stage.bus.command(ZOCP).args(export).start();
        venue.foh.bus.appears("org.example.Marker.stage").await;
        assert!(!venue.foh.bus.has(LAMP_THERE).await);
    });
}

#[test]
fn when_the_bus_of_callers_ends_they_leave_the_bus_of_the_service() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut callers = Vec::new();
        for _ in 0..3 {
            let mut client = Client::on(&venue.foh.bus).await;
            let caller = client.call(LAMP_OBJECT, "Sender", &()).await;
            let wait = message(LAMP_THERE, LAMP_PATH, LAMP1, "Wait").build(&());
            client.send(&wait.expect("a call")).await;
            client.call(LAMP_OBJECT, "Count", &()).await;
            callers.push((
                caller.body().deserialize::<String>().expect("a name"),
                client,
            ));
        }
        for (caller, _) in &callers {
            assert!(venue.stage.bus.has(caller).await);
        }
        venue.foh.bus.kill().await;
        let ended = Instant::now();
        for (caller, _) in &callers {
            venue.stage.bus.vanishes(caller).await;
        }
        assert_soon("the callers' end", ended);
    });
}

#[test]
fn a_bus_that_stands_still_for_a_while_loses_nothing() {
    isolated(async |lab: Lab| {
        let foh = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let level =
            json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "re"}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level]).await;
        foh.bus.appears(NODE).await;
        lamp.event("subscribed", |_| true).await;
        let mut client = Client::on(&foh.bus).await;
        client.hear(NODE).await;
        foh.bus.freeze();
        lamp.command(json!({"emit_many": ["level", 1, EMISSIONS]}))
            .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        foh.bus.thaw();
        for wanted in 1..=EMISSIONS {
            let signal = client
                .find("an emission", |message| {
                    zocp_testkit::is_signal(message, "level")
                })
                .await;
            let value: i64 = signal.body().deserialize().expect("a number");
            assert_eq!(value, wanted);
        }
        lamp.is_unharmed().await;
    });
}

#[test]
fn a_bridge_whose_bus_stands_still_for_long_is_whole_when_it_goes_on() {
    isolated(async |lab: Lab| {
        let config = lab.file("impatient.toml", IMPATIENT);
        let options = ["--config", &config];
        let foh = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &options).await;
        let stage = Bridge::start(ZOCP, &lab.host("stage").await, "stage", &options).await;
        let mut lamp = PyPeer::start(&lab.host("hall").await, "lamp", &[level()]).await;
        let there = [NODE, "org.z25.Zocp1.Node.stage"];
        for name in there {
            foh.bus.appears(name).await;
        }
        foh.bus.freeze();
        lamp.command(json!({"emit_many": ["level", 1, 20_000]}))
            .await;
        // Twice the time after which silent peers are gone.
        tokio::time::sleep(Duration::from_secs(6)).await;
        foh.bus.thaw();
        for name in there {
            foh.bus.appears(name).await;
        }
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        foh.bus.node("lamp").becomes("level", 20_000_i64).await;
        let ping = foh.bus.peer("stage");
        ping.call("org.z25.Zocp1.Peer", "Ping", &())
            .await
            .expect("an answer");
        lamp.is_unharmed().await;
    });
}

#[test]
fn wires_between_node_and_service_work_on_the_bus_that_is_started_again() {
    isolated(async |lab: Lab| {
        let mut foh = Bridge::start(ZOCP, &lab.host("foh").await, "foh", &[]).await;
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level()]).await;
        foh.bus.appears(NODE).await;
        let service = foh.bus.serve("lamp_service.py", LAMP).await;
        let target = format!("dbus:{LAMP}:{LAMP_PATH}:{LAMP1}.Level");
        let wire = ["wire", "lamp:level", &target, "--lasting"];
        foh.bus.command(ZOCP).args(wire).run().await;
        foh.bus.kill().await;
        drop(service);
        foh.bus.start_again().await;
        for name in [BRIDGE, NODE] {
            foh.bus.appears(name).await;
        }
        let _service = foh.bus.serve("lamp_service.py", LAMP).await;
        let (wires, mut value) = (foh.bus.object(BRIDGE, "/org/z25/Zocp1/wires/1"), 0);
        let shown = foh.bus.object(LAMP, LAMP_PATH);
        in_time("the wire to pass on", async {
            while shown.shown(LAMP1, "Level").await != format!("d {value}") {
                value += 1;
                lamp.command(json!({"emit": ["level", value]})).await;
            }
        })
        .await;
        assert_eq!(
            wires.shown("org.z25.Zocp1.Wire", "State").await,
            "s \"active\""
        );
    });
}

/// What a lamp is registered with.
fn level() -> Value {
    json!({"register": {"name": "level", "value": 0, "typeHint": "int", "access": "re"}})
}

/// Fewer than pyre queues for a peer that takes nothing (3000); what is beyond, it drops itself.
const EMISSIONS: i64 = 2500;

/// The names that a bus gives to connections begin anew when it does: what was the bridge's own may be a service's.
#[test]
fn a_service_with_a_unique_name_that_was_the_bridges_own_is_exported() {
    const SERVICES: usize = 24;
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let service = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = Client::on(&venue.foh.bus).await;
            client.call(LAMP_OBJECT, "Count", &()).await;
            clients.push(client);
        }
        venue.stage.bus.kill().await;
        venue.foh.bus.vanishes(LAMP_THERE).await;
        drop(service);
        venue.stage.bus.start_again().await;
        venue.stage.bus.appears(BRIDGE).await;
        let mut services = Vec::new();
        for number in 0..SERVICES {
            let connection = venue.stage.bus.connect().await;
            let name = format!("org.example.S{number}");
            connection.request_name(name).await.expect("a free name");
            services.push(connection);
        }
        for number in 0..SERVICES {
            let name = format!("org.example.S{number}.stage");
            venue.foh.bus.appears(&name).await;
        }
    });
}

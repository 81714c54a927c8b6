//! A link between two venues over a line of 1 Mbit/s and 100 ms there and back, which loses frames.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::json;
use zbus::{Message, Variant};
use zocp_testkit::{
    Client, Lab, Plan, Program, PyPeer, Site, Weather, error_name, in_time, isolated, message,
};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const FADER: &str = "org.z25.Zocp1.Node.north.fader";
const STAGE: &str = "org.z25.Zocp1.Node.north.stage";
const LAMP: &str = "org.example.Lamp.north.stage";
const LAMP1: &str = "org.example.Lamp1";

const NORTH: Plan<'_> = Plan {
    name: "north",
    bridge: "stage",
    dials: &[],
    trusts: &["south"],
    rules: "[[pass]]\nnodes = ['fader']\n\
            [[export]]\nservice = 'org.example.Lamp'\ntalk = true\nvenues = ['south']\n",
};
const SOUTH: Plan<'_> = Plan {
    name: "south",
    bridge: "foh",
    dials: &["north"],
    trusts: &[],
    rules: "",
};

/// Two venues, a fader in Python in the north, and the line between.
struct Venues {
    north: Site,
    south: Site,
    fader: PyPeer,
    _weather: Program,
}

impl Venues {
    async fn open(lab: &Lab, lost: u8) -> Self {
        let sites = Site::open_all(lab, ZOCP, &[NORTH, SOUTH]).await;
        let [north, south] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let host = north.machine(lab, "north-fader").await;
        let register = |name: &str, access: &str| json!({"register": {"name": name, "value": 0, "typeHint": "int", "access": access}});
        let setup = [register("count", "rwe"), register("state", "rw")];
        let fader = PyPeer::start(&host, "fader", &setup).await;
        south.bridge.bus.appears(FADER).await;
        let weather = Weather {
            lost,
            doubled: 0,
            late: 0,
            delay: 50,
            seed: 7,
        };
        let link = south.gate.router.link(0);
        let _weather = link.weather(&lab.network, &weather).await;
        for router in [&north.gate.router, &south.gate.router] {
            let shape = "qdisc add dev eth0 root tbf rate 1mbit burst 4kb latency 100ms";
            router.command("tc").args(shape.split(' ')).run().await;
        }
        Self {
            north,
            south,
            fader,
            _weather,
        }
    }
}

#[test]
fn state_on_a_slow_line_is_the_newest_and_events_keep_their_order() {
    isolated(async |lab: Lab| {
        let mut venues = Venues::open(&lab, 1).await;
        let mut client = Client::on(&venues.south.bridge.bus).await;
        client.hear(FADER).await;
        // Some 10 Mbit of states at once: 20,000 sets by the bridge of the north, which the node does not emit.
        let last = 20_000;
        let north = venues.north.zocp(ZOCP, &["publish", "unused", "0"]);
        let _unused = north.start();
        let begin = Instant::now();
        for value in 1..=last {
            let modify = json!({"modify": {"state": {"value": value}}});
            venues.fader.program.tell(&modify.to_string()).await;
        }
        venues.fader.catch_up().await;
        let near = begin.elapsed();
        let get = ["get", "north/fader", "state"];
        in_time("the newest state", async {
            let wanted = last.to_string();
            while venues.south.zocp(ZOCP, &get).outcome().await.out.trim() != wanted {}
        })
        .await;
        let far = begin.elapsed();
        eprintln!(
            "{last} states: in the north after {near:?}, the last in the south after {far:?}"
        );
        assert!(far < near + Duration::from_secs(3), "{near:?} {far:?}");
        // As many events as the line carries come one by one, in order.
        venues
            .fader
            .command(json!({"emit_many": ["count", 1, 500]}))
            .await;
        let mut next = 1;
        while next <= 500 {
            let signal = client.signal("count").await;
            let value: i64 = signal.body().deserialize().expect("a number");
            assert_eq!(value, next, "each once, in order");
            next += 1;
        }
        venues.fader.is_unharmed().await;
    });
}

#[test]
fn what_a_linked_bridge_publishes_itself_is_coalesced_as_what_it_passes_on() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab, 2).await;
        let mut client = Client::on(&venues.south.bridge.bus).await;
        client.hear(STAGE).await;
        let mut near = Client::on(&venues.north.bridge.bus).await;
        // Some 16 Mbit of text: without coalescing 16 s of the line.
        let text = |number: usize| format!("{number:0>500}");
        let becomes = async |site: &Site, node: &str, name: &str, wanted: &str| {
            in_time(&format!("{name} of {node} to be the last"), async {
                let get = ["get", node, name];
                let is = async || site.zocp(ZOCP, &get).outcome().await.out;
                while is().await.trim().trim_matches('"') != wanted {}
            })
            .await;
        };
        let last = 4000;
        for (name, access) in [("state", "rw"), ("many", "re")] {
            publish(&mut near, name, Variant::from("-"), access).await;
            becomes(&venues.south, "north/stage", name, "-").await;
            let begin = Instant::now();
            let values = (1..=last).map(|number| Variant::from(text(number)));
            set(&mut near, name, values.collect()).await;
            let there = begin.elapsed();
            becomes(&venues.south, "north/stage", name, &text(last)).await;
            let far = begin.elapsed();
            eprintln!(
                "{last} values of {name}: set after {there:?}, the last in the south after {far:?}"
            );
            assert!(far < there + Duration::from_secs(5), "{there:?} {far:?}");
        }
        // What was left out of the events is told.
        let told = "does not carry all that nodes emit";
        venues.north.bridge.program.says(told).await;

        // As many as the line carries come one by one, in order.
        publish(&mut near, "count", Variant::from(0_i64), "re").await;
        becomes(&venues.south, "north/stage", "count", "0").await;
        set(
            &mut near,
            "count",
            (1..=500_i64).map(Variant::from).collect(),
        )
        .await;
        for wanted in 1..=500_i64 {
            let signal = client.signal("count").await;
            let value: i64 = signal.body().deserialize().expect("a number");
            assert_eq!(value, wanted, "each once, in order");
        }
    });
}

const LOCAL: (&str, &str) = ("org.z25.Zocp1", "/org/z25/Zocp1/Local");

/// Publishes a value of the bridge of this bus.
async fn publish(client: &mut Client, name: &str, value: Variant<'_>, access: &str) {
    let options = HashMap::from([("Access", Variant::from(access))]);
    let local = (LOCAL.0, LOCAL.1, "org.z25.Zocp1.Local");
    let taken = client.call(local, "Publish", &(name, value, options)).await;
    assert_eq!(error_name(&taken), None, "{taken:?}");
}

/// Sets it to one value after the other, without a wait for each.
async fn set(client: &mut Client, name: &str, values: Vec<Variant<'static>>) {
    let interface = "org.freedesktop.DBus.Properties";
    for values in values.chunks(50) {
        let sets = values.iter().map(|value| {
            let set = message(LOCAL.0, LOCAL.1, interface, "Set");
            let body = ("org.z25.Zocp1.Values", name, value);
            set.build(&body).expect("a call")
        });
        let sets: Vec<Message> = sets.collect();
        let (last, others) = sets.split_last().expect("some");
        client.send_all(others).await;
        let answer = client.ask(last).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
    }
}

#[test]
fn properties_of_a_service_are_coalesced_and_its_events_keep_their_order() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab, 0).await;
        let service = venues.north.bridge.bus.connect().await;
        service
            .request_name("org.example.Lamp")
            .await
            .expect("the name");
        venues.south.bridge.bus.appears(LAMP).await;
        let mut client = Client::on(&venues.south.bridge.bus).await;
        client.hear(LAMP).await;
        let signal = |interface: &'static str, member: &'static str| {
            Message::signal("/org/example/lamp", interface, member)
        };
        // Some 16 Mbit of changes: without coalescing 16 s of the line.
        let last = 4000_u32;
        let begin = Instant::now();
        for number in 1..=last {
            let label = Variant::from(format!("{number:0>500}"));
            let changed = HashMap::from([("Label", label)]);
            let body = (LAMP1, changed, Vec::<&str>::new());
            let properties = "org.freedesktop.DBus.Properties";
            let changes = signal(properties, "PropertiesChanged").build(&body);
            service
                .send(&changes.expect("a signal"))
                .await
                .expect("it is sent");
            if number.is_multiple_of(1000) {
                let blink = signal(LAMP1, "Blinked").build(&(number / 1000));
                service
                    .send(&blink.expect("a signal"))
                    .await
                    .expect("it is sent");
            }
        }
        let near = begin.elapsed();
        let (mut blinked, mut heard, mut newest) = (0_u32, 0, 0);
        while newest < last || blinked < 4 {
            let signal = client.find("a signal", |_| true).await;
            match signal.header().member().map(|member| member.as_str()) {
                Some("Blinked") => {
                    blinked += 1;
                    assert_eq!(signal.body().deserialize(), Ok(blinked));
                }
                Some("PropertiesChanged") => {
                    let body = signal.body();
                    let (_, values, _): (String, HashMap<String, Variant<'_>>, Vec<String>) =
                        body.deserialize().expect("changes");
                    let label = values["Label"].downcast_ref::<&str>().expect("a text");
                    let value: u32 = label.parse().expect("a number");
                    assert!(value > newest, "{value} after {newest}");
                    (heard, newest) = (heard + 1, value);
                }
                _ => {}
            }
        }
        let far = begin.elapsed();
        eprintln!(
            "{last} changes: sent after {near:?}; the last of {heard} in the south after {far:?}"
        );
        assert_eq!(blinked, 4, "none is left out");
        assert!(far < near + Duration::from_secs(8), "{near:?} {far:?}");
    });
}

#[test]
fn a_call_is_not_delayed_by_a_stream_that_fills_the_line() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab, 0).await;
        let _lamp = venues
            .north
            .bridge
            .bus
            .serve("lamp_service.py", "org.example.Lamp")
            .await;
        venues.south.bridge.bus.appears(LAMP).await;
        let mut client = Client::on(&venues.south.bridge.bus).await;
        let alone = calls(&mut client).await;
        let shell = |site: &Site, script: &str| site.shell(ZOCP, script).start();
        let _source = shell(
            &venues.north,
            "$ZOCP publish --source zeros -- cat /dev/zero",
        );
        venues
            .south
            .lists_stream(ZOCP, "north/stage", "zeros")
            .await;
        let reader = shell(
            &venues.south,
            "$ZOCP stream north/stage zeros | (head -c 100000 >/dev/null; echo flows; cat >/dev/null)",
        );
        reader.says("flows").await;
        let beside = calls(&mut client).await;
        eprintln!("p50 and p99 of a call: alone {alone:?}, beside a stream {beside:?}");
        // The queue of the router before the line holds 100 ms, and what is sent again comes a round trip later.
        assert!(beside.0 < Duration::from_millis(500), "{beside:?}");
    });
}

/// The median and the slowest of some calls.
async fn calls(client: &mut Client) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..40 {
        let begin = Instant::now();
        let lamp = (LAMP, "/org/example/lamp", LAMP1);
        let answer = client.call(lamp, "Blink", &3_u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
        times.push(begin.elapsed());
    }
    times.sort();
    (times[20], times[39])
}

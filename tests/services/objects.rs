//! Objects that come and go, services with the same paths, properties that are remembered and those that are not.

use std::collections::HashMap;

use zbus::{Message, OwnedObjectPath, OwnedVariant, Variant};
use zocp_testkit::{Client, Lab, Venue, error_name, isolated};

use super::{EXAMPLES, LAMP, LAMP_PATH, LAMP_THERE, LAMP1, PROPERTIES, ZOCP};

const RACK: &str = "/org/example/rack";
const RACK1: &str = "org.example.Rack1";
const BULB1: &str = "org.example.Bulb1";
const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;

#[test]
fn objects_of_a_manager_come_and_go_as_they_do_on_their_own_bus() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut foh = Client::on(&venue.foh.bus).await;
        foh.hear(LAMP_THERE).await;
        let (rack, spot) = ((LAMP_THERE, RACK, RACK1), "/org/example/rack/spot");
        assert!(!nodes(&mut foh).await.contains("spot"));

        foh.call(rack, "Add", &("spot", 60u32)).await;
        let added = foh.signal("InterfacesAdded").await;
        let (path, interfaces): (OwnedObjectPath, Interfaces) =
            added.body().deserialize().expect("an object");
        assert_eq!(path.as_str(), spot);
        assert_eq!(*interfaces[BULB1]["Watts"], Variant::new(60u32));
        assert!(nodes(&mut foh).await.contains("spot"));
        assert_eq!(managed(&mut foh).await, [spot]);
        let watts = get(&mut foh, LAMP_THERE, spot, BULB1, "Watts").await;
        assert_eq!(*value(&watts), Variant::new(60u32));

        foh.call(rack, "Remove", &"spot").await;
        let removed = foh.signal("InterfacesRemoved").await;
        let (path, _): (OwnedObjectPath, Vec<String>) =
            removed.body().deserialize().expect("an object");
        assert_eq!(path.as_str(), spot);
        assert!(!nodes(&mut foh).await.contains("spot"));
        assert_eq!(managed(&mut foh).await, [""; 0]);
        let watts = get(&mut foh, LAMP_THERE, spot, BULB1, "Watts").await;
        assert!(error_name(&watts).is_some(), "{watts:?}");
    });
}

/// The introspection data of the rack.
async fn nodes(client: &mut Client) -> String {
    let rack = (LAMP_THERE, RACK, INTROSPECTABLE);
    let answer = client.call(rack, "Introspect", &()).await;
    answer.body().deserialize().expect("text")
}

async fn managed(client: &mut Client) -> Vec<String> {
    let rack = (LAMP_THERE, RACK, MANAGER);
    let answer = client.call(rack, "GetManagedObjects", &()).await;
    let objects: HashMap<OwnedObjectPath, Interfaces> =
        answer.body().deserialize().expect("objects");
    objects
        .keys()
        .map(|path| path.as_str().to_owned())
        .collect()
}

async fn get(
    client: &mut Client,
    service: &str,
    path: &str,
    interface: &str,
    property: &str,
) -> Message {
    let object = (service, path, PROPERTIES);
    client.call(object, "Get", &(interface, property)).await
}

/// What is in the answer to a `Get`.
fn value(answer: &Message) -> OwnedVariant {
    assert_eq!(error_name(answer), None, "{answer:?}");
    answer.body().deserialize().expect("a value")
}

async fn set_level(client: &mut Client, service: &str, level: f64) {
    let set = (LAMP1, "Level", Variant::new(level));
    let answer = client.call((service, LAMP_PATH, PROPERTIES), "Set", &set);
    assert_eq!(error_name(&answer.await), None);
}

#[test]
fn services_with_the_same_paths_are_not_taken_for_each_other() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let stage = &venue.stage.bus;
        let _one = stage.serve("lamp_service.py", "org.example.One").await;
        let _two = stage.serve("lamp_service.py", "org.example.Two").await;
        let names = ["org.example.One.stage", "org.example.Two.stage"];
        let mut ears = Vec::new();
        for name in names {
            venue.foh.bus.appears(name).await;
            let mut ear = Client::on(&venue.foh.bus).await;
            ear.hear(name).await;
            ears.push(ear);
        }
        let mut foh = Client::on(&venue.foh.bus).await;
        for (level, name) in [(0.25, names[0]), (0.75, names[1])] {
            set_level(&mut foh, name, level).await;
        }
        for (level, name) in [(0.25, names[0]), (0.75, names[1])] {
            let shown = get(&mut foh, name, LAMP_PATH, LAMP1, "Level").await;
            assert_eq!(*value(&shown), Variant::new(level), "{name}");
        }
        for ((level, name), ear) in [0.25, 0.75].into_iter().zip(names).zip(&mut ears) {
            let told = ear.signal("PropertiesChanged").await;
            assert_eq!(changed(&told), Some(level));
            let lamp = (name, LAMP_PATH, LAMP1);
            let rest = ear.heard_before(lamp, "Counted").await;
            assert!(!rest.iter().any(|other| changed(other).is_some()));
        }
    });
}

/// The level that a signal tells.
fn changed(signal: &Message) -> Option<f64> {
    let body = signal.body();
    let (_, values, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
        body.deserialize().ok()?;
    match **values.get("Level")? {
        Variant::F64(level) => Some(level),
        _ => None,
    }
}

#[test]
fn a_property_is_remembered_where_the_service_tells_its_changes_and_nowhere_else() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut foh = Client::on(&venue.foh.bus).await;
        let mut stage = Client::on(&venue.stage.bus).await;
        foh.hear(LAMP_THERE).await;
        for level in [0.1, 0.2, 0.3] {
            set_level(&mut stage, LAMP, level).await;
            foh.signal("PropertiesChanged").await;
            // As often as it takes until memory answers, and then some.
            for _ in 0..5 {
                let shown = get(&mut foh, LAMP_THERE, LAMP_PATH, LAMP1, "Level").await;
                assert_eq!(*value(&shown), Variant::new(level));
            }
        }
        for level in [0.4, 0.5] {
            set_level(&mut foh, LAMP_THERE, level).await;
            let shown = get(&mut foh, LAMP_THERE, LAMP_PATH, LAMP1, "Level").await;
            assert_eq!(*value(&shown), Variant::new(level), "who set it reads it");
        }
        let mut last = 0;
        for _ in 0..5 {
            let shown = get(&mut foh, LAMP_THERE, LAMP_PATH, LAMP1, "Reads").await;
            let Variant::U32(reads) = *value(&shown) else {
                panic!("{shown:?}");
            };
            assert!(reads > last, "the lamp itself was not asked");
            last = reads;
        }
    });
}

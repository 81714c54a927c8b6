//! Changes of a node's tree, and what it emits.

use super::*;

#[tokio::test]
async fn a_change_of_type_is_told_by_removal_and_addition() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    play.change(json!({"count": {"value": 6}})).await;
    play.change(json!({"count": {"value": "six"}})).await;
    // Changes of members are announced after a while; a new object and a removed one at once.
    let mut members = Vec::new();
    while members
        .last()
        .is_none_or(|last| last != "InterfacesRemoved /lens")
    {
        if members
            .last()
            .is_some_and(|last| last == "InterfacesAdded ")
        {
            play.change(
                json!({"objects": {"lens": {"type": "lens", "f": {"value": 1, "access": "r"}}}}),
            )
            .await;
            play.change(json!({"count": {"subscribers": [["cc", null]]}}))
                .await;
            play.change(json!({"objects": {"lens": null}})).await;
        }
        let message = soon(seen.next()).await.unwrap().unwrap();
        let header = message.header();
        let object = match header.member().unwrap().as_str() {
            "PropertiesChanged" => header.path().unwrap().to_string(),
            _ => {
                let body = message.body();
                let fields: zbus::Structure<'_> = body.deserialize().unwrap();
                fields.fields()[0]
                    .downcast_ref::<&zbus::ObjectPath<'_>>()
                    .unwrap()
                    .to_string()
            }
        };
        let member = header.member().unwrap().to_string();
        members.push(format!("{member} {}", object.strip_prefix(PATH).unwrap()));
    }
    let order: Vec<&str> = members
        .iter()
        .map(String::as_str)
        .filter(|member| !member.starts_with("PropertiesChanged"))
        .collect();
    assert_eq!(
        order,
        [
            "InterfacesRemoved ",
            "InterfacesAdded ",
            "InterfacesAdded /lens",
            "InterfacesRemoved /lens"
        ]
    );
    let value = play.get(PATH, "count").await;
    let six = Variant::Variant(Box::new(Variant::from("six")));
    assert_eq!(value, OwnedVariant::try_from(six).unwrap());
    let xml = play.xml(PATH).await;
    assert!(
        xml.contains("<signal name=\"count\">\n   <arg name=\"value\" type=\"v\"/>"),
        "{xml}"
    );
}

#[tokio::test]
async fn a_type_holds_and_what_is_lost_is_marked() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    for value in [json!(1.5), json!("7"), Value::Null, json!(true), json!(3)] {
        play.emit("count", value.clone()).await;
        play.change(json!({"count": {"value": value}})).await;
    }
    // A number without a hint, which has a fraction now and then.
    for value in [json!(1.5), json!(1), json!(0.5), json!(2)] {
        let patch =
            json!({"objects": {"cam 1": {"objects": {"pan": {"angle": {"value": value}}}}}});
        play.change(patch).await;
    }
    play.change(json!({"level": {"value": "low"}})).await;
    play.change(json!({"level": {"value": 0.25}})).await;
    play.emit("bang", true).await;
    let mut emitted = Vec::new();
    let mut marks = Vec::new();
    let mut retyped = 0;
    loop {
        let message = soon(seen.next()).await.unwrap().unwrap();
        let body = message.body();
        match message.header().member().unwrap().as_str() {
            "bang" => break,
            "count" => emitted.push(body.deserialize::<i64>().unwrap()),
            "InterfacesRemoved" => retyped += 1,
            "PropertiesChanged" => {
                let changed: (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
                    body.deserialize().unwrap();
                if let Some(described) = changed.1.get("Capabilities") {
                    marks.push(described.to_string().contains("Converted"));
                }
            }
            _ => {}
        }
    }
    assert_eq!(emitted, [2, 7, 0, 1, 3]);
    let is_marked = marks.last().is_some_and(|marked| *marked);
    assert!(!is_marked, "the last values are as the node wrote them");
    // `level` became `v`, its property and its signal, and `bang` got its own type, which is announced together or one
    // after the other. Nothing else changed.
    assert!((1..=2).contains(&retyped), "{retyped}");
    let low = Variant::Variant(Box::new(Variant::F64(0.25)));
    assert_eq!(
        play.get(PATH, "level").await,
        OwnedVariant::try_from(low).unwrap()
    );

    play.change(json!({"count": {"value": 2.5}})).await;
    let body = (OBJECT_INTERFACE, "Capabilities");
    let properties = "org.freedesktop.DBus.Properties";
    let answer = play.call(PATH, properties, "Get", &body).await.unwrap();
    let described: OwnedVariant = answer.body().deserialize().unwrap();
    assert!(described.to_string().contains("\"Converted\": <true>"));
    // What is shown with a loss is set as its type says; what is `v` as its hint says, or as it is.
    assert_eq!(play.set(PATH, "count", 7).await, None);
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(7i64));
    let refused = Some("org.freedesktop.DBus.Error.InvalidArgs".to_owned());
    assert_eq!(play.set(PATH, "count", 7.5).await, refused);
    assert_eq!(play.set(PATH, "level", 0.5).await, None);
    assert_eq!(play.set(PATH, "level", "high").await, refused);
    play.change(json!({"level": {"value": "low"}})).await;
    assert_eq!(play.set(PATH, "level", "high").await, None);
    // Another hint begins anew.
    play.change(json!({"level": {"value": "low", "typeHint": "string"}}))
        .await;
    let low = Variant::from("low");
    assert_eq!(
        play.get(PATH, "level").await,
        OwnedVariant::try_from(low).unwrap()
    );
}

#[tokio::test]
async fn plain_entries_and_methods_follow_the_tree() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    play.change(json!({"_location": [3.0], "type": "lamp"}))
        .await;
    let changed = soon(seen.next()).await.unwrap().unwrap();
    let body = changed.body();
    let (interface, changed, _): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
        body.deserialize().unwrap();
    assert_eq!(interface, OBJECT_INTERFACE);
    assert_eq!(changed["Type"], Variant::from("lamp"));
    let data = HashMap::<String, Variant<'_>>::try_from(changed["Data"].clone()).unwrap();
    assert_eq!(data["_location"], Variant::new(vec![Variant::F64(3.0)]));
    assert!(!data.contains_key("type"));
    assert!(!changed.contains_key("Capabilities"), "they are as before");

    play.change(json!({"methods": {"new": {"in": [], "out": []}}}))
        .await;
    assert!(play.xml(PATH).await.contains("<method name=\"new\">"));
    play.change(json!({"methods": null, "type": null})).await;
    assert!(!play.xml(PATH).await.contains("<method name=\"new\">"));
}

#[tokio::test]
async fn ten_thousand_emissions_are_ten_thousand_signals() {
    let mut play = Play::new(lamp()).await;
    play.enter(peer(1), "lamp").await;
    let mut seen = play.signals().await;
    // A client that wants all signals and reads none.
    let _idle = play.signals().await;
    let reader = tokio::spawn(async move {
        let (mut events, mut state) = (Vec::new(), 0);
        while events.len() < 10_000 || state != 9_999 {
            let message = soon(seen.next()).await.unwrap().unwrap();
            let body = message.body();
            if message.header().member().unwrap() == "count" {
                events.push(body.deserialize::<i64>().unwrap());
            } else {
                let changed: (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
                    body.deserialize().unwrap();
                state = i64::try_from(&changed.1["count"]).unwrap();
            }
        }
        events
    });
    for count in 0..10_000 {
        if count % 2 == 1 {
            play.change(json!({"count": {"value": count}})).await;
        }
        // Also of equal values.
        play.emit("count", count - count % 2).await;
    }
    play.change(json!({"count": {"value": 9_999}})).await;
    let events = reader.await.unwrap();
    let expected: Vec<i64> = (0..10_000).map(|count| count - count % 2).collect();
    assert_eq!(events, expected);
}

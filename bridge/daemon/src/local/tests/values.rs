//! Values of programs: shown, set, emitted, sensed, and gone with their program.

use zbus::Variant;
use zocp_node::{Access, End, NodeError};

use super::stage::{Stage, error_name, next_signal, path, values};
use crate::local::Limits;

/// Name, value, options; the error's name, and a part of its text.
type Case<'a> = (
    &'a str,
    Variant<'a>,
    &'a [(&'a str, Variant<'a>)],
    &'a str,
    &'a str,
);

const READ_ONLY: &str = "org.freedesktop.DBus.Error.PropertyReadOnly";
const OUT_OF_RANGE: &str = "org.z25.Zocp1.Error.OutOfRange";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";
const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";

#[tokio::test]
async fn what_is_published_is_on_the_bus_and_on_the_mesh() {
    let mut stage = Stage::start().await;
    let program = stage.program().await;
    let options = [
        ("Access", Variant::from("rwe")),
        ("Min", Variant::from(0)),
        ("Max", Variant::from(1.0)),
        ("Step", Variant::from(0.1)),
    ];
    program.publish("My fader", 0.5, &options).await.unwrap();
    assert_eq!(*program.get("My_20fader").await.unwrap(), Variant::F64(0.5));

    stage
        .becomes(|tree| tree.capability(&path("My fader")).is_some())
        .await;
    let tree = stage.seen().await;
    let seen = tree.capability(&path("My fader")).unwrap();
    assert_eq!(seen.value, Some(0.5.into()));
    assert_eq!(seen.info.type_hint.as_deref(), Some("flt"));
    assert_eq!(seen.info.access.to_string(), "rwe");
    assert_eq!(
        (&seen.info.min, &seen.info.max),
        (&Some(0.into()), &Some(1.0.into()))
    );
}

#[tokio::test]
async fn the_type_of_a_value_says_its_hint() {
    let stage = Stage::start().await;
    let program = stage.program().await;
    let table: [(Variant<'_>, &str); 8] = [
        (Variant::from(7_i32), "int"),
        (Variant::from(7_u8), "int"),
        (Variant::from(true), "bool"),
        (Variant::from("x"), "string"),
        (Variant::from((1.0, 2.0)), "vec2f"),
        (Variant::from((1.0, 2.0, 3.0)), "vec3f"),
        (Variant::from(7_u64), "signature:t"),
        (Variant::from(vec!["a", "b"]), "signature:as"),
    ];
    for (at, (value, hint)) in table.into_iter().enumerate() {
        let name = format!("v{at}");
        program.publish(&name, value.clone(), &[]).await.unwrap();
        let properties = program.properties("").await;
        let all = properties.get_all(values()).await.unwrap();
        let shown = &all[&name];
        if at != 0 && at != 1 {
            assert_eq!(**shown, value, "{hint}");
        }
        let tree = stage.seen().await;
        if let Some(seen) = tree.capability(&path(&name)) {
            assert_eq!(seen.info.type_hint.as_deref(), Some(hint));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_its_name() {
    let stage = Stage::start().await;
    let program = stage.program().await;
    let cases: &[Case<'_>] = &[
        ("", 1.into(), &[], INVALID, "name"),
        ("methods", 1.into(), &[], INVALID, "reserved"),
        ("a", 1.into(), &[("Access", "rx".into())], INVALID, "Access"),
        (
            "a",
            1.into(),
            &[("Acces", "r".into())],
            INVALID,
            "\"Acces\"",
        ),
        ("a", 1.into(), &[("Min", "low".into())], INVALID, "Min"),
        (
            "a",
            1.into(),
            &[("TypeHint", "signature:h".into())],
            INVALID,
            "signature:h",
        ),
        (
            "a",
            1.into(),
            &[("TypeHint", "string".into())],
            INVALID,
            "type \"s\"",
        ),
        ("a", f64::NAN.into(), &[], INVALID, "a: "),
        ("a", 1.into(), &[("Object", "b..c".into())], INVALID, "b..c"),
        (
            "a",
            5.into(),
            &[("Max", 4.into())],
            OUT_OF_RANGE,
            "at most 4",
        ),
        (
            "a",
            1.into(),
            &[("Object", "services".into())],
            DENIED,
            "services",
        ),
    ];
    for (name, value, options, error, text) in cases {
        let refused = program.publish(name, value.clone(), options).await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains(text), "{refused}");
        assert_eq!(error_name(refused), *error);
    }
}

#[tokio::test]
async fn its_publisher_may_set_it_and_others_where_it_is_writable() {
    let stage = Stage::start().await;
    let (owner, other) = (stage.program().await, stage.program().await);
    let limited = [("Access", "re".into()), ("Max", 10.into())];
    owner.publish("mine", 1, &limited).await.unwrap();
    owner
        .publish("ours", 1, &[("Access", "rw".into())])
        .await
        .unwrap();

    owner.set("mine", 2).await.unwrap();
    assert_eq!(*other.get("mine").await.unwrap(), Variant::I64(2));
    let refused = other.set("mine", 3).await.unwrap_err();
    assert_eq!(error_name(refused), READ_ONLY);
    other.set("ours", 3_u8).await.unwrap();
    assert_eq!(*owner.get("ours").await.unwrap(), Variant::I64(3));

    assert_eq!(
        error_name(owner.set("mine", 11).await.unwrap_err()),
        OUT_OF_RANGE
    );
    assert_eq!(
        error_name(owner.set("mine", "x").await.unwrap_err()),
        INVALID
    );
    owner.publish("mine", 5, &[]).await.unwrap();
    let refused = other.publish("mine", 6, &[]).await.unwrap_err();
    assert!(
        refused.to_string().contains("belongs to another program"),
        "{refused}"
    );
    assert_eq!(error_name(refused), DENIED);
    let refused = other.local().await.unpublish("mine").await.unwrap_err();
    assert_eq!(error_name(refused), DENIED);
}

#[tokio::test]
async fn a_name_is_free_when_its_program_has_left() {
    let mut stage = Stage::start().await;
    let (owner, other) = (stage.program().await, stage.program().await);
    owner
        .publish("level", 1, &[("Object", "cam.pan".into())])
        .await
        .unwrap();
    other
        .publish("stays", 1, &[("Object", "cam".into())])
        .await
        .unwrap();
    let there = path("cam.pan.level");
    stage
        .becomes(|tree| tree.capability(&there).is_some())
        .await;

    owner.leave().await;
    stage
        .becomes(|tree| tree.object(&"cam.pan".parse().unwrap()).is_none())
        .await;
    assert!(stage.seen().await.capability(&path("cam.stays")).is_some());
    other
        .publish("level", 2, &[("Object", "cam.pan".into())])
        .await
        .unwrap();
    other
        .local()
        .await
        .unpublish("cam.pan.level")
        .await
        .unwrap();
    let level = other
        .properties("/cam/pan")
        .await
        .get(values(), "level")
        .await;
    level.unwrap_err();
    let again = other
        .local()
        .await
        .unpublish("cam.pan.level")
        .await
        .unwrap_err();
    assert_eq!(error_name(again), INVALID);
}

#[tokio::test]
async fn each_set_of_an_emitter_is_one_emission_in_order() {
    const COUNT: i64 = 200;
    let mut stage = Stage::start().await;
    let (owner, listener) = (stage.program().await, stage.program().await);
    owner.publish("count", 0_i64, &[]).await.unwrap();
    stage
        .becomes(|tree| tree.capability(&path("count")).is_some())
        .await;
    let mut signals = listener.signals().await;
    // All are under way before the first is answered; equal values count.
    for at in 0..COUNT {
        owner.send_set("count", Variant::I64(at / 2)).await;
    }
    for at in 0..COUNT {
        let (member, value) = next_signal(&mut signals).await;
        assert_eq!((&*member, &*value), ("count", &Variant::I64(at / 2)));
        assert_eq!(stage.emitted().await, ("count".to_owned(), (at / 2).into()));
    }
}

#[tokio::test]
async fn a_set_of_a_peer_is_checked_and_heard_by_all() {
    let mut stage = Stage::start().await;
    let program = stage.program().await;
    let options = [
        ("Access", "rwe".into()),
        ("Min", 0.into()),
        ("Max", 1.into()),
    ];
    program.publish("fader", 0.5, &options).await.unwrap();
    program
        .publish("closed", 0.5, &[("Access", "r".into())])
        .await
        .unwrap();
    stage
        .becomes(|tree| tree.capability(&path("closed")).is_some())
        .await;
    let mut signals = program.signals().await;
    let (peer, bridge) = (stage.peer.clone(), stage.id());
    peer.set(bridge, path("fader"), 0.75).await.unwrap();
    assert_eq!(
        next_signal(&mut signals).await.1,
        Variant::F64(0.75).try_into_owned().unwrap()
    );
    assert_eq!(*program.get("fader").await.unwrap(), Variant::F64(0.75));
    // What the peer's own checks let through is checked here.
    for message in [
        r#"{"SET": {"fader": {"value": 2}}}"#,
        r#"{"SET": {"fader": {"value": "high"}}}"#,
        r#"{"SET": {"closed": {"value": 0.1}}}"#,
        r#"{"SET": {"fader": {"value": 0.25}}}"#,
    ] {
        let octets = bytes::Bytes::from_static(message.as_bytes());
        peer.whisper(bridge, zocp_node::Content::from_iter([octets]))
            .await
            .unwrap();
    }
    assert_eq!(
        next_signal(&mut signals).await.1,
        Variant::F64(0.25).try_into_owned().unwrap()
    );
    assert_eq!(*program.get("closed").await.unwrap(), Variant::F64(0.5));
}

#[tokio::test]
async fn every_arrival_at_a_sensor_is_one_signal() {
    let mut stage = Stage::start().await;
    let program = stage.program().await;
    program
        .publish("light", 0.0, &[("Access", "rs".into())])
        .await
        .unwrap();
    stage
        .becomes(|tree| tree.capability(&path("light")).is_some())
        .await;
    let mut signals = program.signals().await;
    let (peer, bridge) = (stage.peer.clone(), stage.id());
    let fader = zocp_node::Capability::new(Access::READ | Access::EMIT, 0.0);
    peer.publish("fader", fader).await.unwrap();
    let end = |node, name: &str| End {
        node,
        name: Some(name.to_owned()),
    };
    peer.subscribe(end(peer.id(), "fader"), end(bridge, "light"))
        .await
        .unwrap();
    for value in [0.5, 0.5, 0.25] {
        peer.emit("fader", value).await.unwrap();
    }
    for value in [0.5, 0.5, 0.25] {
        let signal = next_signal(&mut signals).await;
        assert_eq!(
            signal,
            (
                "light".to_owned(),
                Variant::F64(value).try_into_owned().unwrap()
            )
        );
    }
    assert_eq!(*program.get("light").await.unwrap(), Variant::F64(0.25));
}

#[tokio::test]
async fn publications_are_counted_for_each_program_and_for_all() {
    let limits = Limits {
        publications_max: 3,
        publications_per_program_max: 2,
    };
    let mut stage = Stage::with(limits, zocp_state::StateDir::none()).await;
    let (one, two) = (stage.program().await, stage.program().await);
    let exceeded = "org.freedesktop.DBus.Error.LimitsExceeded";
    one.publish("a", 1, &[]).await.unwrap();
    one.publish("b", 1, &[]).await.unwrap();
    one.publish("b", 2, &[]).await.unwrap();
    assert_eq!(
        error_name(one.publish("c", 1, &[]).await.unwrap_err()),
        exceeded
    );
    two.publish("c", 1, &[]).await.unwrap();
    assert_eq!(
        error_name(two.publish("d", 1, &[]).await.unwrap_err()),
        exceeded
    );
    one.leave().await;
    stage
        .becomes(|tree| {
            tree.capability(&path("a")).is_none() && tree.capability(&path("c")).is_some()
        })
        .await;
    two.publish("d", 1, &[]).await.unwrap();
}

#[tokio::test]
async fn introspection_says_that_values_can_be_set_and_what_senses_is_a_signal() {
    let stage = Stage::start().await;
    let program = stage.program().await;
    program
        .publish("light", 0.0, &[("Access", "s".into())])
        .await
        .unwrap();
    let call = program
        .call("org.freedesktop.DBus.Introspectable", "Introspect", &())
        .await;
    let xml: String = call.unwrap().body().deserialize().unwrap();
    for part in [
        r#"<property name="light" type="d" access="readwrite">"#,
        r#"<signal name="light">"#,
        r#"<method name="Publish">"#,
    ] {
        assert!(xml.contains(part), "{part} is missing in {xml}");
    }
    assert!(matches!(
        stage.peer.set(stage.id(), path("light"), 1).await,
        Err(NodeError::Invalid(_))
    ));
}

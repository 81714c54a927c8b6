//! Methods of programs, called from the mesh and from the bus.

use futures_util::StreamExt;
use serde_json::json;
use zbus::{Connection, Message, MessageStream, Variant, message::Type};
use zocp_interfaces::METHODS_INTERFACE;
use zocp_node::{NodeError, ObjectPath};

use super::stage::{Program, Stage, error_name};

/// Answers `Blink(x) → (b)`, `Break()` with an error, and never `Hang()`.
fn serve(bus: &Connection) {
    let mut calls = MessageStream::from(bus);
    let bus = bus.clone();
    tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            if call.message_type() != Type::MethodCall {
                continue;
            }
            let header = call.header();
            let answer = match header.member().map(|name| name.as_str()) {
                Some("Blink") => {
                    let times: i64 = call.body().deserialize().unwrap();
                    Message::method_return(&header).build(&(times > 2))
                }
                Some("Break") => {
                    Message::error(&header, "org.example.Error.Broken").build(&"lamp is out")
                }
                Some("Lie") => Message::method_return(&header).build(&"no number"),
                Some("Place") => Message::method_return(&header).build(&((1.0, 2.0),)),
                _ => continue,
            };
            bus.send(&answer.unwrap()).await.unwrap();
        }
    });
}

async fn offer(program: &Program, name: &str, member: &str, options: &[(&str, Variant<'_>)]) {
    let object = zbus::ObjectPath::try_from("/lamp").unwrap();
    let options = options.iter().cloned().collect();
    let local = program.local().await;
    local
        .publish_method(name, &object, "org.example.Lamp", member, options)
        .await
        .unwrap();
}

async fn lamp(stage: &mut Stage) -> Program {
    let program = stage.program().await;
    serve(&program.bus);
    let (input, output) = (vec![("times", "int")], vec![("ok", "bool")]);
    let blink = [
        ("In", Variant::from(input)),
        ("Out", Variant::from(output)),
        ("Doc", Variant::from("Blinks.")),
    ];
    offer(&program, "blink", "Blink", &blink).await;
    offer(&program, "break", "Break", &[("Object", "cam".into())]).await;
    offer(&program, "hang", "Hang", &[]).await;
    offer(
        &program,
        "lie",
        "Lie",
        &[("Out", vec![("n", "int")].into())],
    )
    .await;
    offer(
        &program,
        "place",
        "Place",
        &[("Out", vec![("at", "vec2f")].into())],
    )
    .await;
    let is_offered = |tree: &zocp_node::model::Tree| {
        let root = tree.object(&ObjectPath::root()).unwrap();
        root.methods.contains_key("place")
    };
    stage.becomes(is_offered).await;
    program
}

#[tokio::test]
async fn a_peer_calls_a_method_of_a_program() {
    let mut stage = Stage::start().await;
    let _lamp = lamp(&mut stage).await;
    let (peer, bridge) = (stage.peer.clone(), stage.id());
    let done = peer.call(bridge, "blink", vec![json!(3)]).await;
    assert_eq!(done.unwrap(), [json!(true)]);
    let done = peer.call(bridge, "place", vec![]).await;
    assert_eq!(done.unwrap(), [json!([1.0, 2.0])]);

    let broken = peer.call(bridge, "cam.break", vec![]).await;
    let Err(NodeError::Remote(broken)) = broken else {
        panic!("{broken:?}")
    };
    assert_eq!(
        (&*broken.name, &*broken.message),
        ("org.example.Error.Broken", "lamp is out")
    );

    let wrong = peer.call(bridge, "blink", vec![json!("three")]).await;
    let Err(NodeError::Remote(wrong)) = wrong else {
        panic!("{wrong:?}")
    };
    assert_eq!(wrong.name, "org.freedesktop.DBus.Error.InvalidArgs");
    assert!(wrong.message.contains("\"times\""), "{}", wrong.message);

    let lied = peer.call(bridge, "lie", vec![]).await;
    let Err(NodeError::Remote(lied)) = lied else {
        panic!("{lied:?}")
    };
    assert!(lied.message.contains("\"n\""), "{}", lied.message);
}

#[tokio::test]
async fn a_program_calls_a_method_of_another() {
    let mut stage = Stage::start().await;
    let _lamp = lamp(&mut stage).await;
    let caller = stage.program().await;
    let answer = caller
        .call(METHODS_INTERFACE, "blink", &1_i64)
        .await
        .unwrap();
    assert!(!answer.body().deserialize::<bool>().unwrap());
    let answer = caller.call(METHODS_INTERFACE, "place", &()).await.unwrap();
    assert_eq!(
        answer.body().deserialize::<((f64, f64),)>().unwrap(),
        ((1.0, 2.0),)
    );
    let wrong = caller
        .call(METHODS_INTERFACE, "blink", &"x")
        .await
        .unwrap_err();
    assert_eq!(error_name(wrong), "org.freedesktop.DBus.Error.InvalidArgs");
}

#[tokio::test]
async fn a_call_ends_with_the_program_that_was_called() {
    let mut stage = Stage::start().await;
    let lamp = lamp(&mut stage).await;
    let (peer, bridge) = (stage.peer.clone(), stage.id());
    let hanging = tokio::spawn(async move { peer.call(bridge, "hang", vec![]).await });
    let caller = stage.program().await;
    // Behind the other on the same way.
    caller
        .call(METHODS_INTERFACE, "blink", &1_i64)
        .await
        .unwrap();
    lamp.leave().await;
    let ended = hanging.await.unwrap();
    let Err(NodeError::Remote(ended)) = ended else {
        panic!("{ended:?}")
    };
    assert!(
        [
            "org.freedesktop.DBus.Error.ServiceUnknown",
            "org.freedesktop.DBus.Error.UnknownMethod"
        ]
        .contains(&&*ended.name),
        "{ended:?}"
    );
    stage
        .becomes(|tree| tree.object(&ObjectPath::root()).unwrap().methods.is_empty())
        .await;
    let gone = caller
        .call(METHODS_INTERFACE, "blink", &1_i64)
        .await
        .unwrap_err();
    assert!(error_name(gone).contains("Unknown"));
}

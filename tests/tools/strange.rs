//! A node with a name, objects and values that tools could stumble over.

use serde_json::{Value, json};
use zocp_node::{
    Access, BeaconMode, CapPath, Capability, Config, Event, Events, Node, NodeError, ObjectPath,
    model::{Argument, Method},
};

/// Space, quotes, an umlaut, a slash and a leading digit.
pub(crate) const NAME: &str = "2nd \"Größe\" a/b";
/// Its label.
pub(crate) const LABEL: &str = "_32nd_20_22Gr_c3_b6_c3_9fe_22_20a_2fb";
/// What is in the root object: name, access, hint, value.
const ROOT: [(&str, &str, &str, &str); 16] = [
    ("count", "rwe", "int", "5"),
    ("level", "rwe", "flt", "0.5"),
    ("percent", "r", "percent", "0.25"),
    ("on", "rw", "bool", "true"),
    ("text", "rwe", "string", r#""<a> & \"b\" 'c' ]]> ü""#),
    ("v2", "rw", "vec2f", "[0.5, 1]"),
    ("v3", "rw", "vec3f", "[0.5, 1, 2]"),
    ("v4", "rw", "vec4f", "[0.5, 1, 2, 3]"),
    ("own", "rw", "signature:a{s(ix)}", r#"{"a": [1, 2]}"#),
    ("list", "rw", "", r#"[1, "two", null, [3.5], {"k": true}]"#),
    ("map", "rw", "", r#"{"k e y": [1], "": null}"#),
    ("nothing", "rw", "", "null"),
    ("huge", "r", "", "18446744073709551615"),
    ("secret", "w", "int", "0"),
    ("1st \"<strange>\" & näme", "rwe", "<hint> & \"", "1"),
    ("", "rw", "int", "1"),
];

/// A mesh of the loopback, on which nobody is met by himself.
fn alone(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

/// Starts it.
pub(crate) async fn start() -> Result<(Node, Events), Box<dyn std::error::Error>> {
    let (node, events) = Node::start(alone(NAME)).await?;
    for (name, access, hint, value) in ROOT {
        let mut capability = Capability::new(access.parse()?, value.parse::<Value>()?);
        capability = capability.with(|info| {
            info.type_hint = (!hint.is_empty()).then(|| hint.into());
        });
        if name == "count" {
            capability = capability.with_range(-10, 10).with_step(2);
        }
        node.publish(CapPath::root(name), capability).await?;
    }
    node.publish("tick", Capability::event("int")).await?;
    let camera = ObjectPath::root().child("cam 1/\"ä\"");
    let head = camera.child("2 pan & <tilt>");
    let zoom =
        Capability::new(Access::READ | Access::WRITE | Access::EMIT, json!(1)).with_range(1, 20);
    node.publish(camera.capability("zoom"), zoom).await?;
    node.publish(
        head.capability("angle"),
        Capability::new(Access::READ | Access::WRITE, json!(0.5)),
    )
    .await?;
    let method = Method::new(
        vec![Argument::new("how often", "int")],
        vec![Argument::new("done", "bool")],
        Some("Blinks -- \"<so> & so\"".to_owned()),
    );
    node.publish_method(head.capability("blink it"), method)
        .await?;
    Ok((node, events))
}

/// Answers calls until the node ends.
pub(crate) async fn answer(node: Node, mut events: Events) -> Result<(), NodeError> {
    while let Some(event) = events.next().await {
        if let Event::Called(call) = event {
            node.reply(call, Ok(vec![json!(true)])).await?;
        }
    }
    Ok(())
}

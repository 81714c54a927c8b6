//! `zocp scene save|load|list|diff`: values and wires of chosen nodes, kept and restored.
//!
//! Model: a scene is made of what the mirrored nodes and the wires show, over D-Bus alone.
//! Invariants: I1. `load` tries every part, and reports each that could not be restored. I2. it takes
//! nothing away: what is there besides the scene stays.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zbus::{Signature, fdo::PropertiesProxy, names::InterfaceName};
use zocp_daemon::wires::End;
use zocp_interfaces::VALUES_INTERFACE;

use super::wire::make;
use crate::{
    args::SceneCommand,
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable},
    scene::{Scene, SceneWire, Scenes},
    value::{parse, plain},
    view::{CapabilityView, NodeView},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    command: &SceneCommand,
) -> Result<(), Failure> {
    let scenes = Scenes::of_user()?;
    match command {
        SceneCommand::List => list(output, &scenes),
        SceneCommand::Save { name, node } => {
            let client = Client::open(bus.as_deref()).await?;
            let scene = take(&client, node).await?;
            let file = scenes.write(name, &scene)?;
            eprintln!("zocp: saved in {}", file.display());
            Ok(())
        }
        SceneCommand::Load { name, node } => {
            let client = Client::open(bus.as_deref()).await?;
            client.bridge().await?;
            let scene = chosen(scenes.read(name)?, node);
            let parts = load(&client, &scene).await?;
            report(output, &parts, "could not be restored")
        }
        SceneCommand::Diff { name, node } => {
            let client = Client::open(bus.as_deref()).await?;
            let now = take(&client, node).await?;
            let parts = differences(&chosen(scenes.read(name)?, node), &now);
            report(output, &parts, "differ")
        }
    }
}

/// A part of a scene, and what is wrong with it.
struct Part {
    what: String,
    problem: String,
}

fn list(output: &Output, scenes: &Scenes) -> Result<(), Failure> {
    let names = scenes.names()?;
    if output.json {
        return Ok(output.value(&Value::from(names))?);
    }
    for name in names {
        output.line(&printable(&name))?;
    }
    Ok(())
}

/// What is so now, of these nodes; of all, the bridge's own too, if none is named.
async fn take(client: &Client, nodes: &[String]) -> Result<Scene, Failure> {
    let mut scene = Scene::default();
    let mut peers = Vec::new();
    if nodes.is_empty() {
        peers = client.peers().await?;
        peers.retain(|peer| !peer.bus_name.is_empty());
        peers.push(client.own().await?);
    }
    for node in nodes {
        peers.push(client.node(node).await?);
    }
    for peer in peers {
        let tree = client.tree(&peer.bus_name).await?;
        scene.nodes.insert(peer.name, values(&tree));
    }
    let wires = client.wires().await?;
    scene.wires = wires.iter().map(SceneWire::from).collect();
    Ok(keep_wires(scene, nodes))
}

/// What of a scene is about these nodes.
fn chosen(mut scene: Scene, nodes: &[String]) -> Scene {
    if !nodes.is_empty() {
        scene.nodes.retain(|node, _| nodes.contains(node));
    }
    keep_wires(scene, nodes)
}

/// Without the wires of which a node is not among these.
fn keep_wires(mut scene: Scene, nodes: &[String]) -> Scene {
    let is_chosen = |end: &str| match end.parse() {
        Ok(End::Node(end)) => nodes.is_empty() || nodes.contains(&end.node),
        Ok(_) => true,
        Err(_) => false,
    };
    scene
        .wires
        .retain(|wire| is_chosen(&wire.from) && is_chosen(&wire.to));
    scene
}

/// The values of a node that can be read and written. Those of exported services are not its own: a
/// scene is of what nodes say, not of what their programs do.
fn values(tree: &NodeView) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    let is_own = |labels: &[String]| labels.first().is_none_or(|first| first != SERVICES);
    for (labels, object) in tree.objects.iter().filter(|(labels, _)| is_own(labels)) {
        for capability in object.capabilities.values().filter(|one| is_writable(one)) {
            if let Some((value, _)) = &capability.value {
                values.insert(tree.dotted(labels, &capability.name), value.clone());
            }
        }
    }
    values
}

fn is_writable(capability: &CapabilityView) -> bool {
    capability.described("access").contains('w')
}

/// Restores what can be restored; the rest is given back.
async fn load(client: &Client, scene: &Scene) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    for (node, values) in &scene.nodes {
        let tree = match client.node(node).await {
            Ok(peer) => client.tree(&peer.bus_name).await,
            Err(failure) => Err(failure),
        };
        let tree = match tree {
            Ok(tree) => tree,
            Err(failure) => {
                parts.push(part(node.clone(), &failure));
                continue;
            }
        };
        for (name, value) in values {
            if let Err(failure) = restore(client, &tree, name, value).await {
                parts.push(part(format!("{node}:{name}"), &failure));
            }
        }
    }
    for wire in &scene.wires {
        let what = || format!("{} -> {}", wire.from, wire.to);
        match rewire(client, wire).await {
            Ok(None) => {}
            Ok(Some(problem)) => parts.push(Part {
                what: what(),
                problem,
            }),
            Err(failure) => parts.push(part(what(), &failure)),
        }
    }
    Ok(parts)
}

async fn restore(
    client: &Client,
    tree: &NodeView,
    name: &str,
    value: &Value,
) -> Result<(), Failure> {
    let missing = || Failure::new(Exit::NoCapability, "the node has no such capability");
    let (object, capability) = tree.find(name).ok_or_else(missing)?;
    let signature = capability.value.as_ref().map_or("v", |(_, text)| text);
    if capability
        .value
        .as_ref()
        .is_some_and(|(now, _)| now == value)
    {
        return Ok(());
    }
    let signature = Signature::try_from(signature)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    let value = parse(&plain(value), &signature);
    let value = value.map_err(|reason| Failure::new(Exit::Refused, reason))?;
    let properties = PropertiesProxy::builder(&client.connection)
        .destination(tree.bus_name.as_str())
        .path(object.path.as_str())
        .build()
        .await?;
    let interface = InterfaceName::from_static_str_unchecked(VALUES_INTERFACE);
    Ok(properties
        .set(interface, &capability.member, &value)
        .await?)
}

/// Makes a wire; what is wrong with it if it is not active.
async fn rewire(client: &Client, wire: &SceneWire) -> Result<Option<String>, Failure> {
    let read = |text: &str| {
        let end: Result<End, _> = text.parse();
        end.map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    };
    let (from, to) = (read(&wire.from)?, read(&wire.to)?);
    let made = make(client, (&from, &to), wire.options()).await?;
    let is_active = made.state == "active";
    Ok((!is_active).then(|| format!("{}: {}", made.state, super::wire::reason(&made))))
}

/// Where the present differs from a scene.
fn differences(scene: &Scene, now: &Scene) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut differs = |what: String, problem: String| parts.push(Part { what, problem });
    for (node, values) in &scene.nodes {
        let Some(present) = now.nodes.get(node) else {
            differs(node.clone(), "the node is not here".to_owned());
            continue;
        };
        for (name, value) in values {
            match present.get(name) {
                Some(present) if present == value => {}
                Some(present) => differs(format!("{node}:{name}"), format!("{value} -> {present}")),
                None => differs(format!("{node}:{name}"), format!("{value} -> nothing")),
            }
        }
    }
    let what = |wire: &SceneWire| format!("{} -> {}", wire.from, wire.to);
    for wire in &scene.wires {
        let present = now.wires.iter().find(|one| what(one) == what(wire));
        match present {
            None => differs(what(wire), "the wire is not there".to_owned()),
            Some(present) if present.conversion != wire.conversion => {
                differs(what(wire), "the wire converts in another way".to_owned());
            }
            Some(_) => {}
        }
    }
    for wire in &now.wires {
        if !scene.wires.iter().any(|one| what(one) == what(wire)) {
            differs(what(wire), "the wire is not in the scene".to_owned());
        }
    }
    parts
}

fn part(what: String, failure: &Failure) -> Part {
    Part {
        what,
        problem: failure.message().to_owned(),
    }
}

/// Prints the parts, and ends with their code if there are any.
fn report(output: &Output, parts: &[Part], verb: &str) -> Result<(), Failure> {
    if output.json {
        let shown = parts
            .iter()
            .map(|part| json!({ "part": part.what, "problem": part.problem }));
        output.value(&Value::from(shown.collect::<Vec<_>>()))?;
    } else {
        for part in parts {
            output.line(&printable(&format!("{}: {}", part.what, part.problem)))?;
        }
    }
    match parts.len() {
        0 => Ok(()),
        1 => Err(Failure::new(
            Exit::Incomplete,
            format!("1 part of the scene: {verb}"),
        )),
        count => Err(Failure::new(
            Exit::Incomplete,
            format!("{count} parts of the scene: {verb}"),
        )),
    }
}

/// The object of a tree that exported services are in: docs/reference/protocol.md §7.2.
const SERVICES: &str = "services";

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(value: i64, wires: &[(&str, &str)]) -> Scene {
        Scene {
            nodes: [("lamp".to_owned(), [("dim".to_owned(), json!(value))].into())].into(),
            wires: wires
                .iter()
                .map(|(from, to)| SceneWire {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    conversion: serde_json::Map::new(),
                    lasting: false,
                })
                .collect(),
        }
    }

    #[test]
    fn what_differs_from_a_scene_is_told_part_by_part() {
        let then = scene(1, &[("a:x", "b:y")]);
        let now = scene(2, &[("a:x", "c:z")]);
        let told: Vec<String> = differences(&then, &now)
            .into_iter()
            .map(|part| format!("{} {}", part.what, part.problem))
            .collect();
        assert_eq!(
            told,
            [
                "lamp:dim 1 -> 2",
                "a:x -> b:y the wire is not there",
                "a:x -> c:z the wire is not in the scene"
            ]
        );
        assert!(differences(&then, &then).is_empty());
    }

    #[test]
    fn a_scene_of_chosen_nodes_has_the_wires_between_them() {
        let all = scene(
            1,
            &[("a:x", "b:y"), ("a:x", "dbus:c.d:/e:f.g.H"), ("a:x", "c:z")],
        );
        let some = chosen(all, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(some.wires.len(), 2);
        assert!(some.nodes.is_empty());
    }
}

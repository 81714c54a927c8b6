//! `zocp scene save|load|hold|list|diff`: values and wires of chosen nodes, kept and restored.
//!
//! Model: a scene is made of what the mirrored nodes and the wires show, over D-Bus alone. `load` plans what to set
//! (`load`), fades to it if that is wanted (`fading`), sets it until it stays (`passes`), then makes the wires. `hold`
//! keeps the wires there.
//! Invariants: SCENE-1. `load` tries every part, and reports each that could not be restored. SCENE-2. it takes
//! nothing away: what is there besides the scene stays.

mod fading;
mod hold;
mod load;
mod passes;
mod targets;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    args::{SceneCommand, SceneParts},
    client::Client,
    exit::{Exit, Failure},
    near::suggestion,
    output::{Output, printable},
    scene::{Scene, SceneNode, SceneWire, Scenes, Selection, is_same, resolve},
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
        SceneCommand::Save { name, parts } => {
            let client = Client::open(bus.as_deref()).await?;
            let scene = chosen(take(&client).await?, parts, "is present")?;
            let file = scenes.write(name, &scene)?;
            eprintln!("zocp: saved in {}", file.display());
            Ok(())
        }
        SceneCommand::Load {
            name,
            parts,
            over,
            switch,
        } => {
            let client = Client::open(bus.as_deref()).await?;
            client.bridge().await?;
            let scene = chosen(scenes.read(name)?, parts, "is in the scene")?;
            let fade = over.map(|over| (over, *switch));
            let parts = load::load(&client, &scene, fade).await?;
            report(output, &parts, ["could not be restored"; 2])
        }
        SceneCommand::Hold {
            name,
            parts,
            exclusive,
        } => {
            let client = Client::open(bus.as_deref()).await?;
            client.bridge().await?;
            let scene = chosen(scenes.read(name)?, parts, "is in the scene")?;
            hold::hold(output, &client, &scene, *exclusive).await
        }
        SceneCommand::Diff { name, parts } => {
            let client = Client::open(bus.as_deref()).await?;
            let scene = chosen(scenes.read(name)?, parts, "is in the scene")?;
            let now = take(&client).await?;
            let selection = Selection::new(&parts.only, &parts.except, &now.nodes);
            let parts = differences(&scene, &selection.of(now));
            report(output, &parts, ["differs", "differ"])
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
    if names.is_empty() {
        eprintln!("zocp: there are no scenes; `zocp scene save NAME` makes one");
    }
    for name in names {
        output.line(&printable(&name))?;
    }
    Ok(())
}

/// What is so now, of all nodes and of the bridge itself.
async fn take(client: &Client) -> Result<Scene, Failure> {
    let mut scene = Scene::default();
    for peer in client.nodes().await? {
        let tree = client.tree(&peer.bus_name).await?;
        scene.nodes.push(SceneNode {
            name: peer.name,
            uuid: peer.uuid,
            values: values(&tree),
        });
    }
    let wires = client.wires().await?;
    scene.wires = wires.iter().map(SceneWire::from).collect();
    Ok(scene)
}

/// What of a scene is meant. What is to be in it and is not is an error, for less than what is wanted would be done.
fn chosen(scene: Scene, parts: &SceneParts, is_there: &str) -> Result<Scene, Failure> {
    let selection = Selection::new(&parts.only, &parts.except, &scene.nodes);
    let (only, except) = selection.in_vain(&scene);
    for part in except {
        eprintln!("zocp: --except \"{part}\" leaves nothing out");
    }
    let Some(part) = only.first() else {
        return Ok(selection.of(scene));
    };
    let text = format!("nothing that \"{part}\" means {is_there}");
    let failure = Failure::new(Exit::NoNode, text);
    let values = |node: &SceneNode| {
        let name = node.name.clone();
        let values: Vec<_> = node
            .values
            .keys()
            .map(|it| format!("{name}:{it}"))
            .collect();
        values
    };
    let mut names: Vec<String> = scene.nodes.iter().map(|node| node.name.clone()).collect();
    if part.contains(':') {
        names = scene.nodes.iter().flat_map(values).collect();
    }
    Err(match suggestion(part, names.iter().map(String::as_str)) {
        Some(suggestion) => failure.hint(suggestion),
        None => {
            failure.hint("see `zocp tree` for what nodes have; a part is NODE or NODE:CAPABILITY")
        }
    })
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

/// Where the present differs from a scene.
fn differences(scene: &Scene, now: &Scene) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut differs = |what: String, problem: String| parts.push(Part { what, problem });
    let (then, present) = (scene.identities(), now.identities());
    for (node, found) in scene.nodes.iter().zip(resolve(&then, &present)) {
        let shown = node.shown(scene);
        let present = match found {
            Ok(at) => &now.nodes[at].values,
            Err(problem) => {
                differs(shown, problem);
                continue;
            }
        };
        for (name, value) in &node.values {
            match present.get(name) {
                Some(present) if is_same(present, value) => {}
                Some(present) => {
                    differs(format!("{shown}:{name}"), format!("{value} -> {present}"))
                }
                None => differs(format!("{shown}:{name}"), format!("{value} -> nothing")),
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

/// Prints the parts, and ends with their code if there are any: `1 value differs`.
fn report(output: &Output, parts: &[Part], [one, several]: [&str; 2]) -> Result<(), Failure> {
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
    let noun = noun(parts);
    let text = match parts.len() {
        0 => return Ok(()),
        1 => format!("1 {noun} {one}"),
        count => format!("{count} {noun}s {several}"),
    };
    Err(Failure::new(Exit::Incomplete, text))
}

/// What the parts are, in a word.
fn noun(parts: &[Part]) -> &'static str {
    let is_wire = |part: &Part| part.what.contains(" -> ");
    if parts.iter().all(is_wire) {
        "wire"
    } else if parts
        .iter()
        .all(|part| !is_wire(part) && part.what.contains(':'))
    {
        "value"
    } else {
        "part"
    }
}

/// The object of a tree that exported services are in: docs/reference/protocol.md §7.2.
const SERVICES: &str = "services";

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(value: i64, wires: &[(&str, &str)]) -> Scene {
        Scene {
            nodes: vec![SceneNode {
                values: [("dim".to_owned(), json!(value))].into(),
                ..SceneNode::named("lamp")
            }],
            wires: wires
                .iter()
                .map(|(from, to)| SceneWire::between(from, to))
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
    fn what_is_to_be_chosen_and_is_not_there_is_an_error() {
        let parts = |only: &[&str]| SceneParts {
            only: only.iter().map(|it| (*it).to_owned()).collect(),
            except: vec![],
        };
        assert_eq!(
            chosen(scene(1, &[]), &parts(&["l*"]), "").unwrap(),
            scene(1, &[])
        );
        for only in ["lmap", "lamp:dmi", "fader"] {
            let failure = chosen(scene(1, &[]), &parts(&[only]), "is there").unwrap_err();
            assert_eq!(failure.exit, Exit::NoNode);
            assert!(failure.message().contains(only), "{}", failure.message());
        }
    }
}

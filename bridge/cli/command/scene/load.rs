//! What `zocp scene load` does: which values of which nodes, and the wires.

use zocp_wires::End;

use super::{
    Part, fading, part, passes,
    targets::{Target, Targets},
};
use crate::{
    args::Switch,
    client::Client,
    command::wire,
    exit::{Exit, Failure},
    scene::{Identity, Scene, SceneNode, SceneWire, resolve},
    view::NodeView,
    wiring::WireView,
};

/// Restores what can be restored; the rest is given back.
pub(super) async fn load(
    client: &Client,
    scene: &Scene,
    fade: Option<(std::time::Duration, Switch)>,
) -> Result<Vec<Part>, Failure> {
    let (targets, mut parts) = plan(client, scene).await?;
    if let Some((over, switch)) = fade {
        fading::fade(&targets, over, switch).await?;
    }
    let kept = passes::restore(&targets).await;
    if !kept.is_empty() {
        let wires = client.wires().await?;
        parts.extend(kept.into_iter().map(|part| driven(part, &wires)));
    }
    for wire in &scene.wires {
        let what = || format!("{} -> {}", wire.from, wire.to);
        match rewire(client, wire).await {
            Ok(made) => parts.extend(problem(&made).map(|problem| Part {
                what: what(),
                problem,
            })),
            Err(failure) => parts.push(part(what(), &failure)),
        }
    }
    Ok(parts)
}

/// Says which wire sets a value that did not stay.
fn driven(mut part: Part, wires: &[WireView]) -> Part {
    let is_it = |wire: &&WireView| wire.to == part.what && wire.state == "active";
    if let Some(wire) = wires.iter().find(is_it) {
        part.problem = format!("{}; {} -> {} sets it", part.problem, wire.from, wire.to);
    }
    part
}

/// What there is to be set, and what is not there to be.
async fn plan<'a>(client: &'a Client, scene: &Scene) -> Result<(Targets<'a>, Vec<Part>), Failure> {
    let peers = client.nodes().await?;
    let present: Vec<Identity<'_>> = peers
        .iter()
        .map(|peer| Identity {
            name: &peer.name,
            uuid: &peer.uuid,
        })
        .collect();
    let (mut all, mut parts) = (Vec::new(), Vec::new());
    for (node, found) in scene
        .nodes
        .iter()
        .zip(resolve(&scene.identities(), &present))
    {
        let shown = node.shown(scene);
        let bus_name = match found {
            Ok(at) => &peers[at].bus_name,
            Err(problem) => {
                parts.push(Part {
                    what: shown,
                    problem,
                });
                continue;
            }
        };
        match client.tree(bus_name).await {
            Ok(tree) => {
                let (targets, missing) = targets_of(node, &shown, &tree);
                all.extend(targets);
                parts.extend(missing);
            }
            Err(failure) => parts.push(part(shown, &failure)),
        }
    }
    Ok((Targets { client, all }, parts))
}

fn targets_of(node: &SceneNode, shown: &str, tree: &NodeView) -> (Vec<Target>, Vec<Part>) {
    let (mut targets, mut missing) = (Vec::new(), Vec::new());
    for (name, value) in &node.values {
        let what = format!("{shown}:{name}");
        match tree.find(name) {
            Some((object, capability)) => targets.push(Target {
                what,
                bus_name: tree.bus_name.clone(),
                path: object.path.clone(),
                member: capability.member.clone(),
                value: value.clone(),
            }),
            None => missing.push(Part {
                what,
                problem: "the node has no such capability".to_owned(),
            }),
        }
    }
    (targets, missing)
}

/// What is wrong with a wire that was made, if it is not active.
pub(super) fn problem(made: &WireView) -> Option<String> {
    let is_active = made.state == "active";
    (!is_active).then(|| format!("{}: {}", made.state, wire::reason(made)))
}

/// Makes a wire.
pub(super) async fn rewire(client: &Client, wire: &SceneWire) -> Result<WireView, Failure> {
    let read = |text: &str| {
        let end: Result<End, _> = text.parse();
        end.map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    };
    let (from, to) = (read(&wire.from)?, read(&wire.to)?);
    wire::make(client, (&from, &to), wire.options()).await
}

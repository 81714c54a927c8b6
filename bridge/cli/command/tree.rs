//! `zocp tree [NODE]`: the objects and capabilities of a node, or of all.
//!
//! A service of another machine has the name that it has on the bus here, with the one that it has there behind it.

use serde_json::Value;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable, table},
    view::{CapabilityView, NodeView, ObjectView, PeerView},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: Option<&str>,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    if let Some(node) = node {
        let peer = client.node(node).await?;
        let tree = client.tree(&peer.bus_name).await?;
        return if output.json {
            Ok(output.value(&with_names(&peer, tree.to_json()))?)
        } else {
            Ok(output.text(&drawn(output, &peer, &tree))?)
        };
    }
    let mut trees = Vec::new();
    let mut is_empty = true;
    for peer in client.nodes().await? {
        match present(&client, &peer).await? {
            Some(tree) if output.json => trees.push(with_names(&peer, tree.to_json())),
            Some(tree) => output.text(&drawn(output, &peer, &tree))?,
            None => continue,
        }
        is_empty = false;
    }
    if is_empty {
        eprintln!("zocp: no nodes are present yet; `zocp watch` prints each that comes");
    }
    if output.json {
        output.value(&Value::from(trees))?;
    }
    Ok(())
}

/// The tree of a node; `None` when it went between two questions.
async fn present(client: &Client, peer: &PeerView) -> Result<Option<NodeView>, Failure> {
    match client.tree(&peer.bus_name).await {
        // A bridge that publishes nothing and exports nothing has nothing to show.
        Ok(tree) if peer.is_own && tree.is_empty() => Ok(None),
        Ok(tree) => Ok(Some(tree)),
        Err(failure) if failure.exit == Exit::Unavailable => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn drawn(output: &Output, peer: &PeerView, tree: &NodeView) -> String {
    let mark = match peer.is_own {
        true => "  (this bridge)",
        false => "",
    };
    let mut text = format!(
        "{}  {}{mark}\n",
        output.bold(&printable(&peer.name)),
        output.dim(&peer.bus_name)
    );
    // Depth first with a stack of our own: how deep a node's objects go is the node's choice.
    let mut stack = vec![Place::default()];
    while let Some(place) = stack.pop() {
        let Some(object) = tree.objects.get(&place.labels) else {
            continue;
        };
        if !place.labels.is_empty() {
            text.push_str(&heading(output, peer, object, &place));
        }
        let children = children(tree, &place);
        text.push_str(&capabilities(output, object, &place, children.is_empty()));
        stack.extend(children.into_iter().rev());
    }
    text
}

/// Where in the drawing an object is.
#[derive(Default)]
struct Place {
    labels: Vec<String>,
    /// The lines of the objects around it.
    indent: String,
    is_last: bool,
}

impl Place {
    /// Before what is inside the object.
    fn inner(&self) -> String {
        match (self.labels.is_empty(), self.is_last) {
            (true, _) => String::new(),
            (false, true) => format!("{}   ", self.indent),
            (false, false) => format!("{}│  ", self.indent),
        }
    }
}

fn children(tree: &NodeView, place: &Place) -> Vec<Place> {
    let depth = place.labels.len();
    let mut children: Vec<Place> = tree
        .objects
        .keys()
        .filter(|labels| labels.len() == depth + 1 && labels.starts_with(&place.labels))
        .map(|labels| Place {
            labels: labels.clone(),
            indent: place.inner(),
            is_last: false,
        })
        .collect();
    if let Some(last) = children.last_mut() {
        last.is_last = true;
    }
    children
}

fn heading(output: &Output, peer: &PeerView, object: &ObjectView, place: &Place) -> String {
    let is_service = object.kind == SERVICE;
    let (name, behind) = match here(peer, &object.name) {
        Some(here) if is_service => (here, format!("{} there", object.name)),
        None if is_service && !peer.is_own => {
            (&*object.name, "a service, not on this bus".to_owned())
        }
        _ => (&*object.name, object.kind.clone()),
    };
    let behind = match behind.as_str() {
        "" => String::new(),
        behind => output.dim(&format!("  {}", printable(behind))),
    };
    let name = output.bold(&printable(name));
    format!("{}{} {name}{behind}\n", place.indent, branch(place.is_last))
}

/// The name on this bus of a service of a peer.
fn here<'p>(peer: &'p PeerView, service: &str) -> Option<&'p str> {
    peer.properties.get("services")?.get(service)?.as_str()
}

/// The tree as JSON, with the name here of each service.
fn with_names(peer: &PeerView, mut tree: Value) -> Value {
    let services = tree.pointer_mut("/objects/services/objects");
    let services = services
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten();
    for (_, service) in services {
        if let Some(here) = service["name"].as_str().and_then(|name| here(peer, name)) {
            service["here"] = Value::from(here);
        }
    }
    tree
}

fn capabilities(output: &Output, object: &ObjectView, place: &Place, is_end: bool) -> String {
    let rows: Vec<Vec<String>> = object.capabilities.values().map(row).collect();
    let indent = place.inner();
    let mut text = String::new();
    for (index, cells) in table(&rows).iter().enumerate() {
        let [name, value, rest @ ..] = cells.as_slice() else {
            continue;
        };
        let branch = branch(is_end && index + 1 == rows.len());
        let line = format!(
            "{indent}{branch} {name}  {value}  {}",
            output.dim(rest.join("  ").trim_end())
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn branch(is_last: bool) -> &'static str {
    if is_last { "└─" } else { "├─" }
}

/// Name, value, type, access, range.
fn row(capability: &CapabilityView) -> Vec<String> {
    let value = capability.value.as_ref();
    vec![
        printable(&capability.name),
        printable(&shortened(
            value.map_or_else(|| String::from("-"), |(v, _)| v.to_string()),
        )),
        value.map_or_else(|| String::from("-"), |(_, signature)| signature.clone()),
        printable(capability.described("type_hint")),
        printable(capability.described("access")),
        range(capability),
    ]
}

fn range(capability: &CapabilityView) -> String {
    let part = |name: &str| capability.description.get(name).map(Value::to_string);
    let bounds = match (part("min"), part("max")) {
        (None, None) => String::new(),
        (min, max) => format!("{}..{}", min.unwrap_or_default(), max.unwrap_or_default()),
    };
    let step = part("step")
        .map(|step| format!(" step {step}"))
        .unwrap_or_default();
    printable(&format!("{bounds}{step}"))
}

fn shortened(text: String) -> String {
    if text.chars().count() <= VALUE_LEN_MAX {
        return text;
    }
    text.chars().take(VALUE_LEN_MAX - 1).chain(['…']).collect()
}

/// The type of objects that are services, by docs/reference/protocol.md §7.
const SERVICE: &str = "dbus-service";
/// A longer value is for `zocp get`.
const VALUE_LEN_MAX: usize = 40;

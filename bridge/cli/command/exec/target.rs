//! The nodes that are meant, and what is to be done where they export nothing that we may see.

use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::ExecArgs,
    client::Client,
    exit::{Exit, Failure},
    listener::{Listener, objects_rule, peers_rule},
    view::PeerView,
};

/// The nodes, as the bridge takes them. Waits for those that are not there yet, as long as is said.
pub(super) async fn find(client: &Client, args: &ExecArgs) -> Result<Vec<String>, Failure> {
    client.bridge().await?;
    let Some(timeout) = args.timeout else {
        return look(client, &args.nodes).await;
    };
    // None where it is beyond what a clock has.
    let deadline = Instant::now().checked_add(timeout);
    // Before the first look, so that no change after it is missed.
    let mut listener = Listener::new(client, &[peers_rule(), objects_rule()]).await?;
    loop {
        let failure = match look(client, &args.nodes).await {
            Ok(nodes) => return Ok(nodes),
            Err(failure) => failure,
        };
        if !matches!(failure.exit, Exit::NoNode | Exit::Unavailable) {
            return Err(failure);
        }
        tokio::select! {
            changed = listener.change(|_| true) => changed?,
            () = until(deadline) => {
                return Err(failure.behind(&format!(", after {} s", timeout.as_secs_f64())));
            }
        }
    }
}

/// Done at this time; never without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The nodes, if all of them are there and one has something to see.
async fn look(client: &Client, wanted: &[String]) -> Result<Vec<String>, Failure> {
    let mut nodes = Vec::new();
    let mut empty = Vec::new();
    let own = client.own().await?;
    for text in wanted {
        let peer = client.node(text).await?;
        if peer.uuid == own.uuid {
            let message = format!("\"{text}\" is this machine");
            return Err(Failure::new(Exit::Usage, message)
                .hint("name another node: the services of this one are on its own bus"));
        }
        if is_bridge(&peer) && services(&peer).is_empty() {
            empty.push(peer.clone());
        }
        // All that have the name are meant, if it is a name.
        nodes.push(match *text == peer.name {
            true => peer.name,
            false => peer.uuid,
        });
    }
    if empty.len() < wanted.len() {
        return Ok(nodes);
    }
    let mut failure = String::new();
    let mut lines = None;
    for peer in &empty {
        let (text, line) = nothing(client, peer, &own.name).await;
        failure = match failure.is_empty() {
            true => text,
            false => format!("{failure}; {text}"),
        };
        lines.get_or_insert(line);
    }
    let failure = Failure::new(Exit::Unavailable, failure);
    Err(failure.hint(lines.unwrap_or_default()))
}

/// What is wrong with a node of which there is nothing to see, and what to do.
async fn nothing(client: &Client, peer: &PeerView, own: &str) -> (String, String) {
    let name = &peer.name;
    let announced = announced(client, peer).await;
    let service = announced
        .first()
        .map_or("org.example.Service", String::as_str);
    let lines = format!(
        "[[export]]\n  service = {}\n  talk = true\n  peers = [{}]",
        quoted(service),
        quoted(own)
    );
    if announced.is_empty() {
        let text = format!("{name} exports no service");
        let hint = format!(
            "the configuration of its bridge needs lines such as these (then reload it), or run \
             `zocp export {service}` there:\n\n  {lines}"
        );
        return (text, hint);
    }
    let text = format!(
        "{name} exports {}, but nothing that we may see",
        announced.join(", ")
    );
    let hint = format!(
        "an [[import]] rule here hides it, or the configuration of its bridge needs lines such as these \
         (then reload it):\n\n  {lines}"
    );
    (text, hint)
}

/// The services that a node's tree has, whether we may see them or not.
async fn announced(client: &Client, peer: &PeerView) -> Vec<String> {
    let Ok(tree) = client.tree(&peer.bus_name).await else {
        return Vec::new();
    };
    let objects = tree.objects.iter();
    let services = objects.filter(|(labels, _)| labels.len() == 2 && labels[0] == SERVICES);
    services.map(|(_, object)| object.name.clone()).collect()
}

/// Whether it can export services.
fn is_bridge(peer: &PeerView) -> bool {
    let headers = peer.properties.get("headers").and_then(Value::as_object);
    headers.is_some_and(|headers| headers.contains_key(EXTENDED))
}

fn services(peer: &PeerView) -> Vec<&String> {
    let services = peer.properties.get("services").and_then(Value::as_object);
    services.into_iter().flat_map(|it| it.keys()).collect()
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The object of a bridge's tree that has its services.
const SERVICES: &str = "services";
/// The header of a node that speaks the additions of a bridge.
const EXTENDED: &str = "X-ZOCP-DBUS";

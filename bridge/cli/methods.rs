//! The methods of nodes, read from the introspection data of their objects.

use zbus::fdo::IntrospectableProxy;
use zocp_dbus::{interface::Method, introspection::parse_interfaces};
use zocp_interfaces::METHODS_INTERFACE;
use zocp_mapping::label::unlabel;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    view::NodeView,
};

/// The methods of a node, as one would write them.
pub(crate) async fn names(client: &Client, tree: &NodeView) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for (labels, object) in tree.places() {
        for method in methods(client, &tree.bus_name, &object.path).await? {
            let raw = unlabel(&method.name).unwrap_or_else(|| method.name.to_string());
            names.push(tree.dotted(labels, &raw));
        }
    }
    Ok(names)
}

/// The methods of an object.
pub(crate) async fn methods(
    client: &Client,
    bus_name: &str,
    path: &str,
) -> Result<Vec<Method>, Failure> {
    let object = IntrospectableProxy::builder(&client.connection)
        .destination(bus_name)
        .path(path)
        .build()
        .await?;
    let xml = object.introspect().await?;
    let interfaces = parse_interfaces(&xml)
        .map_err(|error| Failure::new(Exit::Failure, format!("{path}: {error}")))?;
    let offered = interfaces
        .into_iter()
        .find(|interface| &**interface.name() == METHODS_INTERFACE);
    Ok(offered.map_or_else(Vec::new, |interface| interface.methods().to_vec()))
}

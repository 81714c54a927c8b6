//! `zocp set NODE NAME VALUE`: set a value.

use zbus::{Signature, Variant, fdo::PropertiesProxy, names::InterfaceName};
use zocp_interfaces::VALUES_INTERFACE;

use super::find_capability;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
    value::{parse, to_json},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: &str,
    name: &str,
    text: &str,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let (tree, object, capability) = find_capability(&client, node, name).await?;
    // What cannot be read has no value to tell its type: then the text tells it.
    let signature = capability
        .value
        .as_ref()
        .map_or("v", |(_, signature)| signature);
    let value = Signature::try_from(signature)
        .map_err(|error| error.to_string())
        .and_then(|signature| parse(text, &signature))
        .map_err(|reason| Failure::new(Exit::Refused, format!("\"{name}\": {reason}")))?;
    let value = match value {
        Variant::Variant(inner) => *inner,
        value => value,
    };
    let properties = PropertiesProxy::builder(&client.connection)
        .destination(tree.bus_name.as_str())
        .path(object.path.as_str())
        .build()
        .await?;
    let interface = InterfaceName::from_static_str_unchecked(VALUES_INTERFACE);
    properties
        .set(interface.clone(), &capability.member, &value)
        .await?;
    if output.json {
        output.value(&to_json(
            &*properties.get(interface, &capability.member).await?,
        ))?;
    }
    Ok(())
}

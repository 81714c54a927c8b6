//! `zocp call NODE METHOD [ARG…]`: call a method, and print what it answers.
//!
//! Model: what the method takes is read from the introspection data of its object; text becomes values of
//! exactly these types.

use serde_json::Value;
use zbus::{Connection, Signature, Variant, wire::StructureBuilder};
use zocp_dbus::interface::{Argument, Method};
use zocp_interfaces::METHODS_INTERFACE;
use zocp_mapping::{convert::as_wanted, label::unlabel, types::as_type};

use crate::{
    client::Client,
    exit::{Exit, Failure},
    methods::methods,
    near::suggestion,
    output::Output,
    value::{fields, parse, plain, to_json},
    view::NodeView,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: &str,
    name: &str,
    texts: &[String],
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let peer = client.node(node).await?;
    let tree = client.tree(&peer.bus_name).await?;
    let (path, method) = find(&client, &tree, name).await?;
    let arguments = arguments(name, &method, texts)?;
    let results = call(
        &client.connection,
        &tree.bus_name,
        &path,
        &method,
        arguments,
    )
    .await?;
    if output.json {
        output.value(&Value::Array(results))?;
    } else {
        for result in results {
            output.plain_value(&plain(&result))?;
        }
    }
    Ok(())
}

/// The method that is meant, named as capabilities are. The root goes first.
async fn find(client: &Client, tree: &NodeView, wanted: &str) -> Result<(String, Method), Failure> {
    let mut names = Vec::new();
    for (labels, object) in tree.places() {
        for method in methods(client, &tree.bus_name, &object.path).await? {
            let raw = unlabel(&method.name).unwrap_or_else(|| method.name.to_string());
            let meant = tree.names(labels, &raw, &method.name);
            if meant.iter().any(|name| name == wanted) {
                return Ok((object.path.clone(), method));
            }
            names.extend(meant.into_iter().next());
        }
    }
    let message = format!("\"{}\" has no method \"{wanted}\"", tree.name());
    let failure = Failure::new(Exit::NoCapability, message);
    Err(match suggestion(wanted, names.iter().map(String::as_str)) {
        Some(suggestion) => failure.hint(suggestion),
        None if names.is_empty() => failure.hint("it offers no method at all"),
        None => failure.hint(format!("it has {}", names.join(", "))),
    })
}

/// The texts as values of the types that the method takes.
fn arguments(
    name: &str,
    method: &Method,
    texts: &[String],
) -> Result<Vec<Variant<'static>>, Failure> {
    let inputs = &method.inputs;
    if inputs.len() != texts.len() {
        let (expected, found) = (inputs.len(), texts.len());
        let plural = if expected == 1 { "" } else { "s" };
        let message = format!("\"{name}\" takes {expected} argument{plural}, not {found}");
        return Err(Failure::new(Exit::Refused, message).hint(usage(name, inputs)));
    }
    let arguments = inputs.iter().zip(texts).map(|(input, text)| {
        exactly(text, &input.signature).map_err(|reason| {
            let message = format!("argument \"{}\": {reason}", input.name);
            Failure::new(Exit::Refused, message).hint(usage(name, inputs))
        })
    });
    arguments.collect()
}

/// Text as a value of exactly this type.
fn exactly(text: &str, signature: &Signature) -> Result<Variant<'static>, String> {
    let value = parse(text, signature)?;
    let value = as_wanted(signature, &value).map_err(|error| error.to_string())?;
    as_type(signature, &value)
        .ok_or_else(|| format!("\"{text}\" is no value of type \"{signature}\""))
}

fn usage(name: &str, inputs: &[Argument]) -> String {
    let inputs = inputs
        .iter()
        .map(|input| format!(" {} ({})", input.name, input.signature));
    format!("it is called as {name}{}", inputs.collect::<String>())
}

async fn call(
    connection: &Connection,
    bus_name: &str,
    path: &str,
    method: &Method,
    arguments: Vec<Variant<'static>>,
) -> Result<Vec<Value>, Failure> {
    let (interface, member) = (Some(METHODS_INTERFACE), &*method.name);
    let answer = if arguments.is_empty() {
        let call = connection.call_method(Some(bus_name), path, interface, member, &());
        call.await?
    } else {
        let body = arguments
            .into_iter()
            .fold(StructureBuilder::new(), StructureBuilder::append_field)
            .build()?;
        let call = connection.call_method(Some(bus_name), path, interface, member, &body);
        call.await?
    };
    let is_structure =
        matches!(&*method.outputs, [one] if matches!(one.signature, Signature::Structure(_)));
    let results = fields(&answer, is_structure)?;
    Ok(results.iter().map(to_json).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(signatures: &[&str]) -> Method {
        let input = |signature: &&str| Argument {
            name: "times".into(),
            signature: Signature::try_from(*signature).unwrap(),
        };
        Method {
            name: "blink".into(),
            inputs: signatures.iter().map(input).collect(),
            outputs: Vec::new(),
            annotations: Vec::new(),
        }
    }

    #[test]
    fn text_becomes_a_value_of_exactly_the_type_that_is_taken() {
        let taken = |signature: &str, text: &str| {
            let texts = [text.to_owned()];
            arguments("blink", &method(&[signature]), &texts).map(|mut values| values.remove(0))
        };
        assert_eq!(taken("d", "3").unwrap(), Variant::F64(3.0));
        assert_eq!(taken("y", "3").unwrap(), Variant::U8(3));
        assert_eq!(taken("(dd)", "1,2").unwrap(), Variant::from((1.0, 2.0)));
        assert_eq!(taken("as", "[\"a\"]").unwrap(), Variant::from(vec!["a"]));
        assert_eq!(taken("y", "300").unwrap_err().exit, Exit::Refused);
        let wrong = taken("x", "three").unwrap_err().to_string();
        assert!(
            wrong.contains("\"times\"") && wrong.contains("blink times (x)"),
            "{wrong}"
        );
    }

    #[test]
    fn too_few_arguments_are_told_with_those_that_there_are() {
        let wrong = arguments("blink", &method(&["x", "d"]), &[])
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("takes 2 arguments, not 0"), "{wrong}");
        let wrong = arguments("blink", &method(&["x"]), &[]).unwrap_err();
        assert!(wrong.to_string().contains("takes 1 argument, not 0"));
    }
}

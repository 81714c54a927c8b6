//! The methods of `org.z25.Zocp1.Views` and `org.z25.Zocp1.View`.

use futures_util::{FutureExt, future::BoxFuture};
use zbus::{ObjectPath, Variant};
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, strings, undeclared, unknown_method},
};
use zocp_policy::ServicePattern;
use zocp_relay::services::ViewScope;

use super::{Order, VIEW_ALSO_MAX, VIEW_NODES_MAX, Views};

impl InterfaceHandler for Views {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            match &*call.member {
                "Open" => {
                    let order = self.order(&call)?;
                    let opened = self.open_for(order).await?;
                    let path = ObjectPath::try_from(opened.path)
                        .map_err(|error| Refusal::Failed(error.to_string()))?;
                    Ok(vec![
                        Variant::new(opened.address),
                        Variant::ObjectPath(path),
                    ])
                }
                "Close" => {
                    self.close_for(call.program()?, &call.path).await?;
                    Ok(Vec::new())
                }
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

impl Views {
    fn order(&self, call: &CallRequest) -> Result<Order, Refusal> {
        let nodes = call.arguments.first().and_then(strings);
        let nodes = nodes.ok_or_else(|| undeclared(0))?;
        if nodes.is_empty() || nodes.iter().any(String::is_empty) {
            return Err(Refusal::InvalidArgs(
                "a view needs the names of its nodes".to_owned(),
            ));
        }
        bounded("nodes", nodes.len(), VIEW_NODES_MAX)?;
        let mut scope = ViewScope {
            nodes: nodes.into_iter().map(|node| self.resolved(node)).collect(),
            reserved: Vec::new(),
        };
        let Some(Variant::Dict(options)) = call.arguments.get(1) else {
            return Err(undeclared(1));
        };
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                return Err(undeclared(1));
            };
            match (key.as_str(), strings(value)) {
                ("Also", Some(also)) => {
                    bounded("patterns in \"Also\"", also.len(), VIEW_ALSO_MAX)?;
                    let patterns = also.iter().map(|text| ServicePattern::parse(text));
                    scope.reserved = patterns
                        .collect::<Result<_, _>>()
                        .map_err(|error| Refusal::InvalidArgs(error.to_string()))?;
                }
                (key, _) => {
                    let text =
                        format!("\"{key}\" is not an option of a view, or has the wrong type");
                    return Err(Refusal::InvalidArgs(text));
                }
            }
        }
        Ok(Order {
            opener: call.program()?.to_owned(),
            scope,
        })
    }

    /// What is a label or the beginning of a UUID of a node that is present, and no name, means that node from now on.
    fn resolved(&self, node: String) -> String {
        let directory = &self.shared.directory;
        match directory.find(&node) {
            Some(peer) if !directory.has_name(&node) => peer.to_string(),
            _ => node,
        }
    }
}

fn bounded(what: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if count <= max {
        return Ok(());
    }
    let text = format!("{count} {what} are more than the {max} that a view may have");
    Err(Refusal::InvalidArgs(text))
}

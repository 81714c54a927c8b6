//! The values that a scene sets, and where each of them is.

use serde_json::Value;
use zbus::{Signature, fdo::PropertiesProxy, names::InterfaceName};
use zocp_interfaces::VALUES_INTERFACE;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    value::{parse, plain},
    view::NodeView,
};

/// A value to be set.
#[derive(Debug)]
pub(super) struct Target {
    /// How it is shown.
    pub(super) what: String,
    pub(super) bus_name: String,
    pub(super) path: String,
    pub(super) member: String,
    pub(super) value: Value,
}

/// What is set, over D-Bus.
pub(super) struct Targets<'a> {
    pub(super) client: &'a Client,
    pub(super) all: Vec<Target>,
}

impl Targets<'_> {
    /// The values and their types as they are now; `None` where there is none, or the node is gone.
    pub(super) async fn present(&self) -> Vec<Option<(Value, String)>> {
        let mut trees: Vec<NodeView> = Vec::new();
        for target in &self.all {
            if !trees.iter().any(|tree| tree.bus_name == target.bus_name) {
                let tree = self.client.tree(&target.bus_name).await;
                let gone = || NodeView {
                    bus_name: target.bus_name.clone(),
                    ..NodeView::default()
                };
                trees.push(tree.unwrap_or_else(|_| gone()));
            }
        }
        let value = |target: &Target| {
            let tree = trees.iter().find(|tree| tree.bus_name == target.bus_name)?;
            let mut objects = tree.objects.values();
            let object = objects.find(|object| object.path == target.path)?;
            let mut capabilities = object.capabilities.values();
            let is_it = |one: &&crate::view::CapabilityView| one.member == target.member;
            capabilities.find(is_it)?.value.clone()
        };
        self.all.iter().map(value).collect()
    }

    /// Sets one of them to a value, which is of the type that the present value has.
    pub(super) async fn set(
        &self,
        at: usize,
        value: &Value,
        signature: Option<&str>,
    ) -> Result<(), Failure> {
        let target = &self.all[at];
        let signature = Signature::try_from(signature.unwrap_or("v"))
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        let value = parse(&plain(value), &signature);
        let value = value.map_err(|reason| Failure::new(Exit::Refused, reason))?;
        let properties = PropertiesProxy::builder(&self.client.connection)
            .destination(target.bus_name.as_str())
            .path(target.path.as_str())
            .build()
            .await?;
        let interface = InterfaceName::from_static_str_unchecked(VALUES_INTERFACE);
        Ok(properties.set(interface, &target.member, &value).await?)
    }
}

//! What a user does: set a value, call a method, make and remove wires.
//!
//! Model: things are named as in the model, by the ids of capabilities and the numbers of wires; what to say to the
//! bridge is looked up there, and the lock is released before anything is asked.
//! Invariants: ACT-1. every action ends with what the bridge answered, in words for people.

use std::collections::HashMap;

use serde_json::{Map, Value};
use zbus::{
    Connection, Signature, Variant, fdo::PropertiesProxy, names::InterfaceName,
    wire::StructureBuilder,
};
use zocp_interfaces::{BridgeProxy, METHODS_INTERFACE, VALUES_INTERFACE, WIRES_PATH, WireProxy};

use crate::{
    feed::Followed,
    model::{Model, node_of},
    tree::{Object, id},
    value::{exactly, fields, from_json, to_json},
};

/// Why something was not done, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What can be done at a bridge.
#[derive(Debug, Clone)]
pub struct Actions {
    connection: Connection,
    followed: Followed,
}

impl Actions {
    /// On a connection of its own.
    #[must_use]
    pub fn new(connection: Connection, followed: Followed) -> Self {
        Self {
            connection,
            followed,
        }
    }

    /// Sets a value. What is given is read as the type of the capability.
    ///
    /// # Errors
    /// What the bridge refuses, and what is no value of that type.
    pub async fn set(&self, capability: &str, value: &Value) -> Result<(), Refused> {
        let (place, member, signature) = {
            let model = self.followed.model();
            let (place, object) = Place::of(&model, capability)?;
            let (labels, node) = (place.labels.as_slice(), node_of(capability));
            let known = object.capabilities.values();
            let mut known = known.filter(|it| id(node, labels, &it.member) == capability);
            let known = known.next().ok_or_else(|| unknown(capability))?;
            (place, known.member.clone(), known.signature.clone())
        };
        let signature = if signature.is_empty() {
            "v"
        } else {
            &signature
        };
        let signature =
            Signature::try_from(signature).map_err(|error| Refused(error.to_string()))?;
        let value = match from_json(value, &signature).map_err(Refused)? {
            Variant::Variant(inner) => *inner,
            value => value,
        };
        let properties = PropertiesProxy::builder(&self.connection)
            .destination(place.bus_name)
            .path(place.path)
            .build()
            .await?;
        let interface = InterfaceName::from_static_str_unchecked(VALUES_INTERFACE);
        Ok(properties
            .set(interface, &member, &value)
            .await
            .map_err(zbus::Error::from)?)
    }

    /// Calls a method. It is named like a capability: the node's label, those of the objects, its own.
    ///
    /// # Errors
    /// What the node refuses, and arguments that are not those of the method.
    pub async fn call(&self, method: &str, arguments: &[Value]) -> Result<Vec<Value>, Refused> {
        let (place, method) = {
            let model = self.followed.model();
            let (place, object) = Place::of(&model, method)?;
            let (labels, node) = (place.labels.as_slice(), node_of(method));
            let mut known = object
                .methods
                .iter()
                .filter(|it| id(node, labels, &it.name) == method);
            let known = known.next().ok_or_else(|| unknown(method))?;
            (place, known.clone())
        };
        if method.inputs.len() != arguments.len() {
            let (wanted, given) = (method.inputs.len(), arguments.len());
            return Err(Refused(format!(
                "{} takes {wanted} arguments, not {given}",
                method.name
            )));
        }
        let mut body = StructureBuilder::new();
        for (input, argument) in method.inputs.iter().zip(arguments) {
            let signature = Signature::try_from(input.signature.as_str());
            let signature = signature.map_err(|error| Refused(error.to_string()))?;
            let value = exactly(argument, &signature);
            body =
                body.append_field(value.map_err(|why| Refused(format!("{}: {why}", input.name)))?);
        }
        let to = Some(place.bus_name.as_str());
        let (path, interface, member) = (
            place.path.as_str(),
            Some(METHODS_INTERFACE),
            method.name.as_str(),
        );
        let answer = match arguments {
            [] => {
                self.connection
                    .call_method(to, path, interface, member, &())
                    .await?
            }
            _ => {
                self.connection
                    .call_method(to, path, interface, member, &body.build()?)
                    .await?
            }
        };
        let is_structure = matches!(&*method.outputs, [one] if one.signature.starts_with('('));
        Ok(fields(&answer, is_structure)?.iter().map(to_json).collect())
    }

    /// Makes a wire between two capabilities, or changes what the one that is there makes of values.
    ///
    /// # Errors
    /// What the bridge refuses.
    pub async fn wire(
        &self,
        from: &str,
        to: &str,
        options: &Map<String, Value>,
    ) -> Result<(), Refused> {
        let (from, to) = {
            let model = self.followed.model();
            let end = |wanted: &str| match is_end(wanted) {
                true => Ok(wanted.to_owned()),
                false => model.end(wanted).ok_or_else(|| unknown(wanted)),
            };
            (end(from)?, end(to)?)
        };
        let bridge = BridgeProxy::new(&self.connection).await?;
        bridge.wire_with(&from, &to, options_of(options)?).await?;
        Ok(())
    }

    /// Takes a wire away.
    ///
    /// # Errors
    /// What the bridge refuses.
    pub async fn unwire(&self, number: u32) -> Result<(), Refused> {
        let wire = WireProxy::builder(&self.connection)
            .path(format!("{WIRES_PATH}/{number}"))
            .build()
            .await?;
        Ok(wire.remove().await?)
    }
}

/// Where a member is.
struct Place {
    bus_name: String,
    path: String,
    labels: Vec<String>,
}

impl Place {
    fn of<'a>(model: &'a Model, member: &str) -> Result<(Self, &'a Object), Refused> {
        let label = node_of(member);
        let node = model.nodes().get(label).ok_or_else(|| unknown(member))?;
        if node.left.is_some() {
            return Err(Refused(format!("{} has left", node.name)));
        }
        let labels: Vec<String> = member.split('/').skip(1).map(str::to_owned).collect();
        let labels = labels
            .split_last()
            .map(|(_, labels)| labels.to_vec())
            .unwrap_or_default();
        let object = node
            .tree
            .objects
            .get(&labels)
            .ok_or_else(|| unknown(member))?;
        let place = Self {
            bus_name: node.bus_name.clone(),
            path: object.path.clone(),
            labels,
        };
        Ok((place, object))
    }
}

fn unknown(id: &str) -> Refused {
    Refused(format!("there is no {id}"))
}

/// Whether this is an end as `zocp wire` takes it, and not an id.
fn is_end(text: &str) -> bool {
    text.contains(':')
}

/// The options of a wire as the bridge takes them; empty texts are left out.
fn options_of(options: &Map<String, Value>) -> Result<HashMap<&str, Variant<'static>>, Refused> {
    let mut taken = HashMap::new();
    for (key, value) in options {
        let value = match value {
            Value::Bool(truth) => Variant::Bool(*truth),
            Value::Number(number) => Variant::F64(number.as_f64().unwrap_or_default()),
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) if !text.contains('\0') => Variant::new(text.clone()),
            _ => return Err(Refused(format!("{key}: neither text, number nor truth"))),
        };
        taken.insert(key.as_str(), value);
    }
    Ok(taken)
}

impl From<zbus::Error> for Refused {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                let text = text.filter(|text| !text.is_empty());
                Self(text.unwrap_or_else(|| name.to_string()))
            }
            zbus::Error::FDO(error) => {
                let text = zbus::DBusError::description(&*error).map(str::to_owned);
                Self(
                    text.filter(|it| !it.is_empty())
                        .unwrap_or_else(|| error.to_string()),
                )
            }
            error => Self(error.to_string()),
        }
    }
}

impl From<zbus::fdo::Error> for Refused {
    fn from(error: zbus::fdo::Error) -> Self {
        zbus::Error::from(error).into()
    }
}

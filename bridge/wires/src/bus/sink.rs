//! A member of a service that is the target of a wire.
//!
//! Model: a [`Sink`] knows the type of the member, from the introspection data of its object or, for a property
//! without such data, from its current value. A member about which nothing is known may be a method; it is called
//! without arguments, which most methods at the end of a wire expect.

use zbus::{Message, Signature, Variant, message::Type, names::MemberName};
use zocp_node::Value;

use super::{CallError, Caller};
use crate::{
    conversion::{Kind, Side},
    end::BusEnd,
};
use zocp_dbus::{
    introspection::{Described, Description, describe},
    message::{Outgoing, with_arguments},
};
use zocp_mapping::types;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sink {
    caller: Caller,
    end: BusEnd,
    takes: Takes,
}

/// The type of a member.
#[derive(Debug)]
enum Takes {
    /// A property of this type.
    Property(Signature),
    /// A method with these input arguments.
    Method(Vec<Signature>),
}

impl Sink {
    /// Finds out the type of a member.
    pub(crate) async fn open(caller: Caller, end: BusEnd) -> Result<Self, CallError> {
        let description = introspect(&caller, &end).await?;
        let end = meant(&description, end);
        let takes = match takes(&description, &end) {
            Some(takes) => takes?,
            None => match get(&caller, &end).await {
                Ok(signature) => Takes::Property(signature),
                Err(CallError::Answered { .. }) if MemberName::try_from(&*end.member).is_ok() => {
                    Takes::Method(Vec::new())
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Self { caller, end, takes })
    }

    /// Whether it is a state, of which only the newest value matters.
    pub(crate) fn is_state(&self) -> bool {
        matches!(self.takes, Takes::Property(_))
    }

    /// Its kind and range as the target of a conversion.
    pub(crate) fn side(&self) -> Side {
        let kind = match &self.takes {
            Takes::Property(signature) => kind(signature),
            Takes::Method(inputs) => match inputs.as_slice() {
                [one] => kind(one),
                many if many.len() > 1 && many.iter().all(|one| kind(one) == Kind::Float) => {
                    Kind::Vector(many.len())
                }
                _ => Kind::Any,
            },
        };
        Side { kind, range: None }
    }

    /// Sets the property or calls the method, and waits for the reply.
    pub(crate) async fn put(&self, value: &Value) -> Result<(), CallError> {
        let (interface, member, arguments) = match &self.takes {
            Takes::Property(signature) => {
                let value = Variant::Variant(Box::new(typed(signature, value)?));
                let name = |text: &str| Variant::new(text.to_owned());
                let arguments = vec![name(&self.end.interface), name(&self.end.member), value];
                (PROPERTIES, "Set", arguments)
            }
            Takes::Method(inputs) => (
                self.end.interface.as_str(),
                self.end.member.as_str(),
                arguments(inputs, value)?,
            ),
        };
        let call = call(&self.end, interface, member, arguments)?;
        self.caller.call(call).await.map(|_| ())
    }
}

/// The arguments of a method: none, the value, or each element of it.
fn arguments(inputs: &[Signature], value: &Value) -> Result<Vec<Variant<'static>>, CallError> {
    let wrong = || CallError::Type(inputs.iter().map(ToString::to_string).collect());
    match (inputs, value) {
        ([], _) => Ok(Vec::new()),
        ([one], value) => Ok(vec![typed(one, value)?]),
        (many, Value::Array(values)) if many.len() == values.len() => {
            let pairs = many.iter().zip(values);
            pairs.map(|(one, value)| typed(one, value)).collect()
        }
        _ => Err(wrong()),
    }
}

fn typed(signature: &Signature, value: &Value) -> Result<Variant<'static>, CallError> {
    let typed = types::as_type(signature, value);
    typed.ok_or_else(|| CallError::Type(signature.to_string()))
}

/// The introspection data of the object; empty if the object has none.
async fn introspect(caller: &Caller, end: &BusEnd) -> Result<Description, CallError> {
    let call = call(end, INTROSPECTABLE, "Introspect", Vec::new())?;
    match caller.call(call).await {
        Ok(answer) => {
            let body = answer.body();
            Ok(describe(body.deserialize().unwrap_or_default()))
        }
        Err(CallError::Answered { .. }) => Ok(Description::default()),
        Err(error) => Err(error),
    }
}

/// Corrects an end whose member has a dot in its name: if the interface is unknown, looks for a known interface and
/// property with the same full text.
fn meant(description: &Description, end: BusEnd) -> BusEnd {
    let is_known = |it: &Described| it.name == end.interface;
    if description.interfaces.iter().any(is_known) {
        return end;
    }
    let written = format!("{}.{}", end.interface, end.member);
    let found = description.interfaces.iter().find_map(|interface| {
        let name = written.strip_prefix(&*interface.name)?.strip_prefix('.')?;
        let mut properties = interface.properties.iter();
        properties.find(|it| it.name == name).map(|_| BusEnd {
            interface: interface.name.clone(),
            member: name.to_owned(),
            ..end.clone()
        })
    });
    found.unwrap_or(end)
}

fn takes(description: &Description, end: &BusEnd) -> Option<Result<Takes, CallError>> {
    let mut interfaces = description.interfaces.iter();
    let interface = interfaces.find(|it| it.name == end.interface)?;
    let mut properties = interface.properties.iter();
    if let Some(property) = properties.find(|it| it.name == end.member) {
        return Some(if property.access.writes() {
            Ok(Takes::Property(property.signature.clone()))
        } else {
            let text = format!("the property {} cannot be written", end.member);
            Err(CallError::Unfit(text))
        });
    }
    let method = interface.methods.iter().find(|it| it.name == end.member)?;
    Some(Ok(Takes::Method(method.inputs.clone().unwrap_or_default())))
}

/// The type of the current value of a property.
async fn get(caller: &Caller, end: &BusEnd) -> Result<Signature, CallError> {
    let value = current(caller, end).await?;
    Ok(value.value_signature().clone())
}

/// The current value of a property.
pub(crate) async fn current(caller: &Caller, end: &BusEnd) -> Result<Variant<'static>, CallError> {
    let name = |text: &str| Variant::new(text.to_owned());
    let arguments = vec![name(&end.interface), name(&end.member)];
    let answer = caller
        .call(call(end, PROPERTIES, "Get", arguments)?)
        .await?;
    let wrong = |_| CallError::Unfit("the reply to Get is not a variant".to_owned());
    let body = answer.body();
    let value: Variant<'_> = body.deserialize().map_err(wrong)?;
    let value = value.try_to_owned().map_err(|_| {
        let text = format!("the value of {} cannot be copied", end.member);
        CallError::Unfit(text)
    })?;
    Ok(match Variant::from(value) {
        Variant::Variant(inner) => *inner,
        value => value,
    })
}

fn call(
    end: &BusEnd,
    interface: &str,
    member: &str,
    arguments: Vec<Variant<'static>>,
) -> Result<Outgoing, CallError> {
    let unfit = |error: zbus::Error| CallError::Unfit(error.to_string());
    let builder = Message::method_call(end.path.as_str(), member)
        .destination(end.service.as_str())
        .interface(interface);
    let call = with_arguments(builder, arguments).map_err(unfit)?;
    debug_assert_eq!(call.header().message_type(), Type::MethodCall);
    Ok(call)
}

/// The kind of a D-Bus type in a conversion.
fn kind(signature: &Signature) -> Kind {
    match signature {
        Signature::Bool => Kind::Bool,
        Signature::F64 => Kind::Float,
        Signature::Str | Signature::ObjectPath | Signature::Signature => Kind::Text,
        Signature::Structure(fields) if fields.iter().all(|one| *one == Signature::F64) => {
            Kind::Vector(fields.len())
        }
        signature if types::integer_variant(signature, 0).is_some() => Kind::Int,
        _ => Kind::Any,
    }
}

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";

#[cfg(test)]
mod tests {
    use super::*;

    fn end(interface: &str, member: &str) -> BusEnd {
        BusEnd {
            service: "org.a.S".into(),
            path: "/".into(),
            interface: interface.into(),
            member: member.into(),
        }
    }

    fn described() -> Description {
        describe(
            "<node><interface name='org.a.I'>\
             <property name='b.c' type='i' access='readwrite'/>\
             <property name='Title' type='s' access='read'/>\
             <method name='Seek'><arg type='x'/></method>\
             <method name='Odd'><arg/></method></interface></node>",
        )
    }

    #[test]
    fn a_dot_in_the_name_of_a_property_is_found_where_the_interface_is_known() {
        let meant = |interface: &str, member: &str| {
            let end = meant(&described(), end(interface, member));
            (end.interface, end.member)
        };
        let parts = |interface: &str, member: &str| (interface.to_owned(), member.to_owned());
        assert_eq!(meant("org.a.I.b", "c"), parts("org.a.I", "b.c"));
        assert_eq!(meant("org.a.I", "Seek"), parts("org.a.I", "Seek"));
        assert_eq!(meant("org.a.I.x", "c"), parts("org.a.I.x", "c"));
        assert_eq!(meant("org.a.I.b.c", "d"), parts("org.a.I.b.c", "d"));
    }

    #[test]
    fn what_is_said_of_a_member_is_what_it_takes_and_the_rest_takes_nothing() {
        let takes = |member: &str| {
            let takes = takes(&described(), &end("org.a.I", member))?;
            Some(takes.map(|takes| match takes {
                Takes::Property(signature) => vec![signature],
                Takes::Method(inputs) => inputs,
            }))
        };
        assert_eq!(takes("b.c"), Some(Ok(vec![Signature::I32])));
        assert_eq!(takes("Seek"), Some(Ok(vec![Signature::I64])));
        assert_eq!(takes("Odd"), Some(Ok(vec![])));
        assert!(matches!(takes("Title"), Some(Err(CallError::Unfit(_)))));
        assert_eq!(takes("Unsaid"), None);
    }
}

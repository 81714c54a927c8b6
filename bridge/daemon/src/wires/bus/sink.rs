//! A member of a service that a wire leads to.
//!
//! Model: a [`Sink`] knows what the member takes: from the introspection data of its object or, of a
//! property without any, from its present value. A method without such data is taken for one with one
//! argument of any type.

use zbus::{Message, Signature, Variant, message::Type};
use zocp_node::Value;

use super::{CallError, Caller};
use crate::{
    message::Outgoing,
    objects::{Interface, build, parse_interfaces},
    types,
    wires::{
        conversion::{Kind, Side},
        end::BusEnd,
    },
};

/// See the [module](self).
#[derive(Debug)]
pub(in crate::wires) struct Sink {
    caller: Caller,
    end: BusEnd,
    takes: Takes,
}

/// What a member takes.
#[derive(Debug)]
enum Takes {
    /// A property of this type.
    Property(Signature),
    /// A method with these arguments.
    Method(Vec<Signature>),
}

impl Sink {
    /// Learns what a member takes.
    pub(in crate::wires) async fn open(caller: Caller, end: BusEnd) -> Result<Self, CallError> {
        let takes = match introspect(&caller, &end).await? {
            Some(takes) => takes?,
            None => match get(&caller, &end).await {
                Ok(signature) => Takes::Property(signature),
                Err(CallError::Answered { .. }) => Takes::Method(vec![Signature::Variant]),
                Err(error) => return Err(error),
            },
        };
        Ok(Self { caller, end, takes })
    }

    /// What is known of it as a target.
    pub(in crate::wires) fn side(&self) -> Side {
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

    /// Sets the property, or calls the method, and waits for the answer.
    pub(in crate::wires) async fn put(&self, value: &Value) -> Result<(), CallError> {
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

/// What the object says that the member takes; `None` where it says nothing that is understood.
async fn introspect(
    caller: &Caller,
    end: &BusEnd,
) -> Result<Option<Result<Takes, CallError>>, CallError> {
    let call = call(end, INTROSPECTABLE, "Introspect", Vec::new())?;
    let answer = match caller.call(call).await {
        Ok(answer) => answer,
        Err(CallError::Answered { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let xml: String = answer.body().deserialize().unwrap_or_default();
    let interfaces = parse_interfaces(&xml).unwrap_or_default();
    let declared = interfaces
        .iter()
        .find(|interface| **interface.name() == *end.interface);
    Ok(declared.and_then(|interface| takes(interface, end)))
}

fn takes(interface: &Interface, end: &BusEnd) -> Option<Result<Takes, CallError>> {
    if let Some(property) = interface.property(&end.member) {
        return Some(if property.access.writes() {
            Ok(Takes::Property(property.signature.clone()))
        } else {
            let text = format!("the property {} cannot be written", end.member);
            Err(CallError::Unfit(text))
        });
    }
    let method = interface.method(&end.member)?;
    let inputs = method.inputs.iter();
    let inputs = inputs.map(|input| input.signature.clone()).collect();
    Some(Ok(Takes::Method(inputs)))
}

/// The type of a property's present value.
async fn get(caller: &Caller, end: &BusEnd) -> Result<Signature, CallError> {
    let value = current(caller, end).await?;
    Ok(value.value_signature().clone())
}

/// A property's present value.
pub(super) async fn current(caller: &Caller, end: &BusEnd) -> Result<Variant<'static>, CallError> {
    let name = |text: &str| Variant::new(text.to_owned());
    let arguments = vec![name(&end.interface), name(&end.member)];
    let answer = caller
        .call(call(end, PROPERTIES, "Get", arguments)?)
        .await?;
    let wrong = |_| CallError::Unfit("the answer to Get is no value".to_owned());
    let body = answer.body();
    let value: Variant<'_> = body.deserialize().map_err(wrong)?;
    let value = value.try_to_owned().map_err(|_| {
        let text = format!("the value of {} cannot be kept", end.member);
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
    let call = build(builder, arguments).map_err(unfit)?;
    debug_assert_eq!(call.header().message_type(), Type::MethodCall);
    Ok(call)
}

/// What a value of a D-Bus type is to a conversion.
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

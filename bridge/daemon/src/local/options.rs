//! What a program says when it publishes, understood.
//!
//! Model: the arguments of `Publish` and `PublishMethod`, of the types that the interface declares, become a
//! [`Value`] or an [`Offer`]. Whatever is not understood is refused, by the name of its option.
//! Spec: docs/reference/dbus.md, "The bridge as a node"

use zbus::{Signature, Variant};
use zocp_node::{
    Access, CapPath, Capability, ObjectPath, Value as Json,
    model::{Argument, Method, TypeHint},
};

use super::methods::Target;
use crate::view::inbound::unfit;
use zocp_dbus::errors::Refusal;
use zocp_mapping::{convert, types};

/// A value to be published.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) path: CapPath,
    pub(super) capability: Capability,
    /// Whether it outlives its publisher.
    pub(super) lasting: bool,
}

/// A method to be published.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) path: CapPath,
    pub(super) target: Target,
}

impl Value {
    /// `sva{sv}`: name, value, options.
    pub(super) fn understand(arguments: &[Variant<'static>]) -> Result<Self, Refusal> {
        let [name, value, options] = arguments else {
            return Err(undeclared());
        };
        let mut given = Given::default();
        for (key, value) in entries(options)? {
            given.take(key, value)?;
        }
        let path = given.path(text(name)?)?;
        let (hint, value) = given.value(value, &path)?;
        let access = given.access.unwrap_or(Access::READ | Access::EMIT);
        let capability = Capability::new(access, value).with(|info| {
            info.type_hint = Some(hint.into());
            (info.min, info.max, info.step) = (given.min, given.max, given.step);
        });
        let value = capability.value.clone().unwrap_or_default();
        let checked = capability.check(&value);
        let value = checked.map_err(|error| unfit(error, &path.to_string()))?;
        Ok(Self {
            path,
            capability: Capability {
                value: Some(value),
                ..capability
            },
            lasting: given.lasting,
        })
    }
}

impl Offer {
    /// `sossa{sv}`: name, object path, interface, member, options.
    pub(super) fn understand(
        program: &str,
        arguments: &[Variant<'static>],
    ) -> Result<Self, Refusal> {
        let [
            name,
            Variant::ObjectPath(object),
            interface,
            member,
            options,
        ] = arguments
        else {
            return Err(undeclared());
        };
        let (mut inside, mut inputs, mut outputs, mut doc) = (None, Vec::new(), Vec::new(), None);
        for (key, value) in entries(options)? {
            match (key, value) {
                ("Object", Variant::Str(path)) => inside = Some(path.to_string()),
                ("Doc", Variant::Str(text)) => doc = Some(text.to_string()),
                ("In", list) => inputs = declared(key, list)?,
                ("Out", list) => outputs = declared(key, list)?,
                (key, value) => return Err(unknown(key, value)),
            }
        }
        let target = Target::new(
            program,
            object.as_str(),
            &text(interface)?,
            &text(member)?,
            Method::new(inputs, outputs, doc),
        )?;
        let path = located(text(name)?, inside.as_deref())?;
        Ok(Self { path, target })
    }
}

/// The options of a value.
#[derive(Debug, Default)]
struct Given {
    access: Option<Access>,
    hint: Option<String>,
    object: Option<String>,
    min: Option<Json>,
    max: Option<Json>,
    step: Option<Json>,
    lasting: bool,
}

impl Given {
    fn take(&mut self, key: &str, value: &Variant<'_>) -> Result<(), Refusal> {
        match (key, value) {
            ("Access", Variant::Str(letters)) => self.access = Some(access(letters.as_str())?),
            ("TypeHint", Variant::Str(hint)) => self.hint = Some(checked_hint(hint.as_str())?),
            ("Object", Variant::Str(path)) => self.object = Some(path.to_string()),
            ("Min", bound) => self.min = Some(numbers(key, bound)?),
            ("Max", bound) => self.max = Some(numbers(key, bound)?),
            ("Step", bound) => self.step = Some(numbers(key, bound)?),
            ("Lasting", Variant::Bool(lasting)) => self.lasting = *lasting,
            (key, value) => return Err(unknown(key, value)),
        }
        Ok(())
    }

    fn path(&self, name: String) -> Result<CapPath, Refusal> {
        located(name, self.object.as_deref())
    }

    /// The hint, and the value as it wants it.
    fn value(&self, given: &Variant<'_>, path: &CapPath) -> Result<(String, Json), Refusal> {
        let hint = match &self.hint {
            Some(hint) => hint.clone(),
            None => hint_of(given)?,
        };
        let value = match types::hinted(TypeHint::parse(&hint)) {
            Some(signature) => convert::as_wanted(&signature, given),
            None => convert::as_given(given),
        };
        let value =
            value.map_err(|mismatch| Refusal::InvalidArgs(format!("{path}: {mismatch}")))?;
        Ok((hint, value))
    }
}

/// The hint that says the type of a value.
fn hint_of(given: &Variant<'_>) -> Result<String, Refusal> {
    let given = match given {
        Variant::Variant(inner) => &**inner,
        given => given,
    };
    let signature = given.value_signature();
    let hint = match signature {
        Signature::U8
        | Signature::I16
        | Signature::U16
        | Signature::I32
        | Signature::U32
        | Signature::I64 => "int".to_owned(),
        Signature::F64 => "flt".to_owned(),
        Signature::Bool => "bool".to_owned(),
        Signature::Str => "string".to_owned(),
        signature => match signature.to_string().as_str() {
            "(dd)" => "vec2f".to_owned(),
            "(ddd)" => "vec3f".to_owned(),
            "(dddd)" => "vec4f".to_owned(),
            text => format!("{SIGNATURE}{text}"),
        },
    };
    checked_hint(&hint)
}

/// A hint that says what it means: of signatures only those that can be shown.
fn checked_hint(hint: &str) -> Result<String, Refusal> {
    if hint.starts_with(SIGNATURE) && types::hinted(TypeHint::parse(hint)).is_none() {
        let text = format!("\"{hint}\" is not one complete type that can be sent over the mesh");
        return Err(Refusal::InvalidArgs(text));
    }
    Ok(hint.to_owned())
}

fn access(letters: &str) -> Result<Access, Refusal> {
    match letters.parse() {
        Ok(access) if !letters.is_empty() => Ok(access),
        _ => Err(Refusal::InvalidArgs(format!(
            "Access \"{letters}\" is not made of the letters r, w, e and s"
        ))),
    }
}

/// A bound: a number, or as many as a vector has.
fn numbers(key: &str, given: &Variant<'_>) -> Result<Json, Refusal> {
    let value = convert::as_given(given);
    let is_bound = |value: &Json| match value {
        Json::Array(list) => !list.is_empty() && list.iter().all(Json::is_number),
        value => value.is_number(),
    };
    value
        .ok()
        .filter(is_bound)
        .ok_or_else(|| Refusal::InvalidArgs(format!("{key} is a number, or a list of numbers")))
}

/// `a(ss)`: names and hints.
fn declared(key: &str, list: &Variant<'_>) -> Result<Vec<Argument>, Refusal> {
    let wrong = || {
        Refusal::InvalidArgs(format!(
            "{key} is a list of names with type hints, of type \"a(ss)\""
        ))
    };
    let Variant::Array(list) = list else {
        return Err(wrong());
    };
    let arguments = list.inner().iter().map(|pair| {
        let Variant::Structure(pair) = pair else {
            return Err(wrong());
        };
        match pair.fields() {
            [Variant::Str(name), Variant::Str(hint)] => {
                Ok(Argument::new(name.as_str(), &checked_hint(hint.as_str())?))
            }
            _ => Err(wrong()),
        }
    });
    arguments.collect()
}

/// A name in an object, which is the root where none is said.
pub(super) fn located(name: String, object: Option<&str>) -> Result<CapPath, Refusal> {
    if name.is_empty() {
        return Err(Refusal::InvalidArgs("a name is not empty".to_owned()));
    }
    let object = match object {
        None | Some("") => ObjectPath::root(),
        Some(dotted) => dotted
            .parse()
            .map_err(|error| Refusal::InvalidArgs(format!("Object \"{dotted}\": {error}")))?,
    };
    Ok(object.capability(&name))
}

/// The entries of `a{sv}`.
pub(super) fn entries<'a>(
    options: &'a Variant<'_>,
) -> Result<Vec<(&'a str, &'a Variant<'a>)>, Refusal> {
    let Variant::Dict(options) = options else {
        return Err(undeclared());
    };
    let entries = options.iter().map(|(key, value)| match (key, value) {
        (Variant::Str(key), Variant::Variant(value)) => Ok((key.as_str(), &**value)),
        _ => Err(undeclared()),
    });
    entries.collect()
}

pub(super) fn text(given: &Variant<'_>) -> Result<String, Refusal> {
    match given {
        Variant::Str(text) => Ok(text.to_string()),
        _ => Err(undeclared()),
    }
}

pub(super) fn unknown(key: &str, value: &Variant<'_>) -> Refusal {
    let signature = value.value_signature();
    Refusal::InvalidArgs(format!(
        "\"{key}\" of type \"{signature}\" is no option, or not of its type"
    ))
}

/// The table has checked that they are.
pub(super) fn undeclared() -> Refusal {
    Refusal::InvalidArgs("the arguments are not of the declared types".to_owned())
}

const SIGNATURE: &str = "signature:";

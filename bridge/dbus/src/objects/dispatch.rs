//! From a method call to its reply, or to the handler.
//!
//! Model: calls of standard interfaces are answered here, from memory. Other method calls, after a check of their
//! signature, and `Set` of a writable property are passed to the handler with a [`ReplyToken`], with which the reply
//! is sent later.
//! Invariants: OBJECTS-1, OBJECTS-2 of the table.
//! Choices where the specification allows several: a call without an interface goes to the object's own interfaces
//! first, then to the standard ones. An empty interface name in `Get` and `Set` means any interface that has the
//! property, in `GetAll` all of them. A standard interface has no properties, and `GetAll` of one is empty. `Peer`
//! answers at every path, also without an object. A `Get` of a write-only property is `AccessDenied`.
//! Spec: D-Bus specification, "Standard Interfaces".

use std::{collections::BTreeMap, sync::Arc};

use zbus::{
    Message, ObjectPath, Variant,
    message::{Flags, Type},
    wire::OwnedStructure,
};

use super::{
    INTROSPECTABLE, OBJECT_MANAGER, Object, Objects, PEER, PROPERTIES, Properties, body_signature,
    prefix_of, readable,
    request::{Call, Dispatch, ReplyToken, Set},
};
use crate::introspection::xml;
use crate::{
    errors::Refusal,
    interface::{Argument, Interface},
    message::{Outgoing, with_arguments},
};
use zocp_interfaces::ACTION_ANNOTATION;

impl Objects {
    /// Handles a message from the bus.
    pub fn handle(&mut self, message: &Message) -> Dispatch {
        if message.message_type() != Type::MethodCall {
            return Dispatch::Done;
        }
        let ticket = ReplyToken {
            call: message.clone(),
        };
        match self.dispatch(message) {
            Ok(Outcome::Answer(answer)) => self.push_answer(&ticket, answer),
            Ok(Outcome::Call(called)) => {
                return Dispatch::Call(Call {
                    ticket,
                    path: called.path,
                    interface: called.interface,
                    member: called.member,
                    arguments: called.arguments,
                    action: called.action,
                });
            }
            Ok(Outcome::Set(path, interface, property, value)) => {
                return Dispatch::Set(Set {
                    ticket,
                    path,
                    interface,
                    property,
                    value,
                });
            }
            Err(refusal) => self.answer(ticket, Err(refusal)),
        }
        Dispatch::Done
    }

    /// Answers a call that was passed to its handler.
    pub fn answer(&mut self, ticket: ReplyToken, result: Result<Vec<Variant<'static>>, Refusal>) {
        let header = ticket.call.header();
        let answer = match result {
            Ok(values) => with_arguments(Message::method_return(&header), values),
            Err(refusal) => {
                self.report.refused(&refusal, Some(&header));
                let error = Message::error(&header, refusal.name());
                Outgoing::build(error, &cut(&refusal.to_string()))
            }
        };
        drop(header);
        self.push_answer(&ticket, answer);
    }

    /// Answers a call with an error, without dispatching it.
    pub fn refuse(&mut self, call: Message, refusal: Refusal) {
        self.answer(ReplyToken { call }, Err(refusal));
    }

    fn dispatch(&self, message: &Message) -> Result<Outcome, Refusal> {
        let header = message.header();
        let (Some(path), Some(member)) = (header.path(), header.member()) else {
            return Err(Refusal::InvalidArgs(
                "a call without path or member".to_owned(),
            ));
        };
        let at = CallTarget {
            path: path.as_str(),
            object: self.objects.get_key_value(path.as_str()),
            message,
        };
        let member = member.as_str();
        match header.interface().map(|interface| interface.as_str()) {
            Some(PEER) => self.peer(&at, member),
            _ if !self.exists(at.path) => match (header.interface(), member) {
                (None, "Ping" | "GetMachineId") => self.peer(&at, member),
                _ => Err(Refusal::UnknownObject(at.path.to_owned())),
            },
            Some(INTROSPECTABLE) => self.introspectable(&at, member),
            Some(PROPERTIES) => properties(&at, member),
            Some(OBJECT_MANAGER) if at.is_manager() => self.object_manager(&at, member),
            Some(interface) => at.own_call(interface, member),
            None => self.without_interface(&at, member),
        }
    }

    /// Whether there is an object at or below a path.
    fn exists(&self, path: &str) -> bool {
        path == "/" || self.objects.contains_key(path) || self.below(path).next().is_some()
    }

    fn without_interface(&self, at: &CallTarget<'_>, member: &str) -> Result<Outcome, Refusal> {
        let own = at
            .interfaces()
            .find(|interface| interface.method(member).is_some());
        match (own, member) {
            (Some(interface), _) => at.own_call(interface.name(), member),
            (None, "Ping" | "GetMachineId") => self.peer(at, member),
            (None, "Introspect") => self.introspectable(at, member),
            (None, "Get" | "GetAll" | "Set") => properties(at, member),
            (None, "GetManagedObjects") if at.is_manager() => self.object_manager(at, member),
            _ => Err(at.unknown_method(member)),
        }
    }

    fn peer(&self, at: &CallTarget<'_>, member: &str) -> Result<Outcome, Refusal> {
        match (member, &self.machine_id) {
            ("Ping", _) => {
                at.arguments::<()>("")?;
                at.reply(&())
            }
            ("GetMachineId", Some(id)) => {
                at.arguments::<()>("")?;
                at.reply(&id.as_ref())
            }
            ("GetMachineId", None) => {
                Err(Refusal::Failed("this machine has no machine id".to_owned()))
            }
            _ => Err(at.unknown_method(&format!("{PEER}.{member}"))),
        }
    }

    fn introspectable(&self, at: &CallTarget<'_>, member: &str) -> Result<Outcome, Refusal> {
        if member != "Introspect" {
            return Err(at.unknown_method(&format!("{INTROSPECTABLE}.{member}")));
        }
        at.arguments::<()>("")?;
        at.reply(&self.introspect(at.path))
    }

    /// The introspection XML of a path.
    #[must_use]
    pub fn introspect(&self, path: &str) -> String {
        let object = self.objects.get(path);
        let skip = prefix_of(path).len();
        let mut children: Vec<&str> = self
            .below(path)
            .filter_map(|(path, _)| path[skip..].split('/').next())
            .collect();
        children.dedup();
        xml(
            object
                .into_iter()
                .flat_map(|object| object.interfaces.values()),
            object.is_some_and(|object| object.is_manager),
            children.into_iter(),
        )
    }

    fn object_manager(&self, at: &CallTarget<'_>, member: &str) -> Result<Outcome, Refusal> {
        if member != "GetManagedObjects" {
            return Err(at.unknown_method(&format!("{OBJECT_MANAGER}.{member}")));
        }
        at.arguments::<()>("")?;
        let managed: BTreeMap<ObjectPath<'_>, BTreeMap<&str, Properties<'_>>> = self
            .below(at.path)
            .map(|(path, object)| {
                let interfaces = object
                    .interfaces
                    .values()
                    .map(|interface| (interface.name().as_ref(), readable(interface)));
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the table contains only valid paths"
                )]
                let path = ObjectPath::from_str_unchecked(path);
                (path, interfaces.collect())
            })
            .collect();
        at.reply(&managed)
    }

    fn push_answer(&mut self, ticket: &ReplyToken, answer: zbus::Result<Outgoing>) {
        let flags = ticket.call.primary_header().flags();
        if flags.contains(Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let refusal = match answer {
            Ok(answer) if answer.data().len() <= self.message_len_max => {
                self.push_raw(answer);
                return;
            }
            Ok(_) | Err(zbus::Error::ExcessData) => Refusal::TooLarge {
                max: self.message_len_max,
            },
            Err(error) => Refusal::Failed(error.to_string()),
        };
        let header = ticket.call.header();
        self.report.refused(&refusal, Some(&header));
        let error = Message::error(&header, refusal.name());
        match Outgoing::build(error, &cut(&refusal.to_string())) {
            Ok(error) => self.push_raw(error),
            Err(error) => tracing::error!(%error, "cannot build an error reply"),
        }
    }
}

enum Outcome {
    Answer(zbus::Result<Outgoing>),
    Call(Called),
    Set(Arc<str>, Arc<str>, Arc<str>, Variant<'static>),
}

/// A call of a method that is not of a standard interface.
struct Called {
    path: Arc<str>,
    interface: Arc<str>,
    member: Arc<str>,
    arguments: Vec<Variant<'static>>,
    action: Option<Box<str>>,
}

/// The target of a call.
struct CallTarget<'a> {
    path: &'a str,
    object: Option<(&'a Arc<str>, &'a Object)>,
    message: &'a Message,
}

impl<'a> CallTarget<'a> {
    fn is_manager(&self) -> bool {
        self.object.is_some_and(|(_, object)| object.is_manager)
    }

    fn interfaces(&self) -> impl Iterator<Item = &'a Interface> {
        self.object
            .into_iter()
            .flat_map(|(_, object)| object.interfaces.values())
    }

    fn interface(&self, name: &str) -> Option<&'a Interface> {
        self.object?.1.interfaces.get(name)
    }

    fn own_call(&self, interface: &str, member: &str) -> Result<Outcome, Refusal> {
        let Some((path, _)) = self.object else {
            return Err(self.unknown_interface(interface));
        };
        let found = self
            .interface(interface)
            .ok_or_else(|| self.unknown_interface(interface))?;
        let method = found
            .method(member)
            .ok_or_else(|| self.unknown_method(&format!("{interface}.{member}")))?;
        let arguments = self.own_arguments(&method.inputs)?;
        Ok(Outcome::Call(Called {
            path: path.clone(),
            interface: found.name().clone(),
            member: method.name.clone(),
            arguments,
            action: method.annotation(ACTION_ANNOTATION).map(Into::into),
        }))
    }

    /// The arguments of a call of a method that is not of a standard interface.
    fn own_arguments(&self, inputs: &[Argument]) -> Result<Vec<Variant<'static>>, Refusal> {
        let body = self.message.body();
        let expected = body_signature(inputs);
        if *body.signature() != expected {
            return Err(mismatch(&expected, &body));
        }
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let OwnedStructure(structure) = body
            .deserialize()
            .map_err(|error| Refusal::InvalidArgs(error.to_string()))?;
        Ok(match inputs {
            // A body of one structure is parsed as its fields.
            [one] if one.signature == *structure.signature() => vec![Variant::Structure(structure)],
            _ => structure.into_fields(),
        })
    }

    /// The arguments of a call of a standard method.
    fn arguments<T>(&self, expected: &'static str) -> Result<T, Refusal>
    where
        T: for<'de> serde::Deserialize<'de> + zbus::Type,
    {
        let body = self.message.body();
        let signature = T::SIGNATURE;
        if body.signature() != signature {
            return Err(Refusal::InvalidArgs(format!(
                "expected arguments of type \"{expected}\", found \"{}\"",
                body.signature().to_string_no_parens()
            )));
        }
        body.deserialize_ignore_signature()
            .map_err(|error| Refusal::InvalidArgs(error.to_string()))
    }

    fn reply<B>(&self, body: &B) -> Result<Outcome, Refusal>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let header = self.message.header();
        let reply = Message::method_return(&header);
        Ok(Outcome::Answer(Outgoing::build(reply, body)))
    }

    fn unknown_method(&self, member: &str) -> Refusal {
        Refusal::UnknownMethod {
            path: self.path.to_owned(),
            member: member.to_owned(),
        }
    }

    fn unknown_interface(&self, interface: &str) -> Refusal {
        Refusal::UnknownInterface {
            path: self.path.to_owned(),
            interface: interface.to_owned(),
        }
    }

    /// The interface that has a property.
    fn property_interface(
        &self,
        interface: &str,
        property: &str,
    ) -> Result<&'a Interface, Refusal> {
        let unknown = || Refusal::UnknownProperty {
            path: self.path.to_owned(),
            property: format!(
                "{interface}{}{property}",
                if interface.is_empty() { "" } else { "." }
            ),
        };
        let found = if interface.is_empty() {
            self.interfaces()
                .find(|interface| interface.property(property).is_some())
                .ok_or_else(unknown)?
        } else if is_standard(interface) {
            return Err(unknown());
        } else {
            self.interface(interface)
                .ok_or_else(|| self.unknown_interface(interface))?
        };
        found.property(property).map(|_| found).ok_or_else(unknown)
    }
}

fn properties(at: &CallTarget<'_>, member: &str) -> Result<Outcome, Refusal> {
    match member {
        "Get" => {
            let (interface, property) = at.arguments::<(String, String)>("ss")?;
            get(at, &interface, &property)
        }
        "GetAll" => {
            let interface = at.arguments::<String>("s")?;
            get_all(at, &interface)
        }
        "Set" => set(at),
        _ => Err(at.unknown_method(&format!("{PROPERTIES}.{member}"))),
    }
}

fn get(at: &CallTarget<'_>, interface: &str, name: &str) -> Result<Outcome, Refusal> {
    let interface = at.property_interface(interface, name)?;
    let (Some(property), Some(slot)) = (interface.property(name), interface.slot(name)) else {
        return Err(Refusal::Failed(format!("{name} has no slot")));
    };
    if !property.access.reads() {
        return Err(Refusal::NotReadable(name.to_owned()));
    }
    match slot.content.value() {
        Some(value) => at.reply(&value),
        None => Err(Refusal::Failed(format!("{name} has no value yet"))),
    }
}

fn get_all(at: &CallTarget<'_>, interface: &str) -> Result<Outcome, Refusal> {
    if interface.is_empty() {
        let all: Properties<'_> = at.interfaces().flat_map(readable).collect();
        return at.reply(&all);
    }
    match at.interface(interface) {
        Some(interface) => at.reply(&readable(interface)),
        None if is_standard(interface) => at.reply(&Properties::new()),
        None => Err(at.unknown_interface(interface)),
    }
}

fn set(at: &CallTarget<'_>) -> Result<Outcome, Refusal> {
    let body = at.message.body();
    let (interface, property, value): (String, String, zbus::OwnedVariant) = body
        .deserialize()
        .map_err(|_| mismatch(&zbus::signature!("ssv"), &body))?;
    let found = at.property_interface(&interface, &property)?;
    let (Some((path, _)), Some(property)) = (at.object, found.property(&property)) else {
        return Err(Refusal::Failed(format!("{property} has no slot")));
    };
    if !property.access.writes() {
        return Err(Refusal::PropertyReadOnly(property.name.as_ref().to_owned()));
    }
    Ok(Outcome::Set(
        path.clone(),
        found.name().clone(),
        property.name.clone(),
        value.into(),
    ))
}

fn mismatch(expected: &zbus::Signature, body: &zbus::message::Body) -> Refusal {
    Refusal::InvalidArgs(format!(
        "expected arguments of type \"{}\", found \"{}\"",
        expected.to_string_no_parens(),
        body.signature().to_string_no_parens()
    ))
}

/// Shortens the text of an error, which a peer may have made arbitrarily long.
fn cut(text: &str) -> String {
    text.chars().take(ERROR_LEN_MAX).collect()
}

fn is_standard(interface: &str) -> bool {
    [PEER, INTROSPECTABLE, PROPERTIES, OBJECT_MANAGER].contains(&interface)
}

/// Characters of the text of an error.
const ERROR_LEN_MAX: usize = 4096;

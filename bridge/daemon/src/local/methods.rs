//! Methods of programs on this bus, offered to the mesh.
//!
//! Model: a [`Target`] is a method of a program on its connection. A call, from the mesh or from this bus,
//! becomes a call of it, from the bridge's own connection; values are converted by what was declared.
//! Invariants: METHODS-1. every call has one reply: that of the program, its error with its name, or an error of the
//! bridge. METHODS-2. a reply is of the declared types, or it is an error.
//! Limits: [`ANSWER_MAX`] for an answer. How many calls wait is bounded by who calls: `calls_max` for a
//! peer, `served::PENDING_MAX` for this bus.
//! Spec: docs/reference/protocol.md §6.3, §6.5

use std::{fmt::Display, sync::Arc, time::Duration};

use tokio::time::timeout;
use zbus::{
    Message, ObjectPath as BusPath, OwnedStructure, Signature, Variant,
    message::Type,
    names::{InterfaceName, MemberName},
};
use zocp_node::{
    Call, RemoteError, Value,
    model::{Argument, Method},
};

use super::{
    Local,
    place::{Kind, Place},
};
use zocp_dbus::{
    connection::BUS_NAME, errors::Refusal, message::with_arguments, server::ObjectTable,
};
use zocp_mapping::{convert, types};

/// A method of a program.
#[derive(Debug)]
pub(super) struct Target {
    program: Arc<str>,
    object: BusPath<'static>,
    interface: InterfaceName<'static>,
    member: MemberName<'static>,
    /// Its arguments and results.
    pub(super) declared: Method,
}

impl Target {
    pub(super) fn new(
        program: &str,
        object: &str,
        interface: &str,
        member: &str,
        declared: Method,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            program: program.into(),
            object: BusPath::try_from(object.to_owned()).map_err(illegal)?,
            interface: InterfaceName::try_from(interface.to_owned()).map_err(illegal)?,
            member: MemberName::try_from(member.to_owned()).map_err(illegal)?,
            declared,
        })
    }

    /// Calls it with arguments of the declared types, and gives back values of the declared types.
    pub(super) async fn call(
        &self,
        table: &ObjectTable,
        arguments: Vec<Variant<'static>>,
    ) -> Result<Vec<Value>, Refusal> {
        let call = Message::method_call(&self.object, &self.member)
            .destination(&*self.program)
            .interface(&self.interface);
        let call = with_arguments(call, arguments).map_err(illegal)?;
        let Ok(answer) = timeout(ANSWER_MAX, table.ask(call)).await else {
            let seconds = ANSWER_MAX.as_secs();
            let text = format!("{} did not answer within {seconds} s", self.member);
            return Err(Refusal::Timeout(text));
        };
        // The bus is gone, and with it the program.
        let answer = answer.ok_or_else(|| self.gone())?;
        match answer.message_type() {
            Type::Error => Err(self.failed(&answer)),
            _ => self.results(&answer),
        }
    }

    fn gone(&self) -> Refusal {
        Refusal::ServiceUnknown(format!("the program that does {} is gone", self.member))
    }

    /// Its own error, unless the bus answered in its place.
    fn failed(&self, answer: &Message) -> Refusal {
        let header = answer.header();
        // The bus replies in place of programs that are gone.
        if header.sender().is_some_and(|sender| *sender == BUS_NAME) {
            return self.gone();
        }
        let name = header.error_name().map(ToString::to_string);
        Refusal::Remote {
            error: name.unwrap_or_default(),
            message: answer.body().deserialize().unwrap_or_default(),
        }
    }

    fn results(&self, answer: &Message) -> Result<Vec<Value>, Refusal> {
        let outputs = &self.declared.outputs;
        let wrong = |text: String| Refusal::Failed(format!("{} {text}", self.member));
        let body = answer.body();
        let fields = match *body.signature() {
            Signature::Unit => Vec::new(),
            _ => {
                let body: OwnedStructure = body
                    .deserialize()
                    .map_err(|error| wrong(format!("gave what cannot be read: {error}")))?;
                fields(body, outputs)
            }
        };
        if fields.len() != outputs.len() {
            let (found, expected) = (fields.len(), outputs.len());
            return Err(wrong(format!("gave {found} values instead of {expected}")));
        }
        let values = outputs.iter().zip(&fields).map(|(output, field)| {
            let signature = types::argument(output.type_hint.as_deref());
            convert::as_wanted(&signature, field)
                .map_err(|error| wrong(format!("gave {:?}: {error}", output.name)))
        });
        values.collect()
    }
}

impl Local {
    /// A peer calls a method of ours; it is answered by a task of its own.
    pub(super) fn called(&self, call: Call) {
        let place = Place::new(Kind::Method, call.path.clone());
        let target = self.registry().target(&place);
        let local = self.clone();
        self.shared.tasks.spawn(async move {
            let result = match target {
                Some(target) => local.answer(&target, &call.args).await,
                None => Err(Refusal::UnknownMethod {
                    path: place.path.object.to_string(),
                    member: place.path.name.as_ref().to_owned(),
                }),
            };
            let peer = call.peer;
            let result =
                result.map_err(|refusal| RemoteError::new(refusal.raw_name(), refusal.to_string()));
            if let Err(error) = local.shared.node.reply(call, result).await {
                tracing::debug!(%peer, %error, "an answer finds no caller");
            }
        });
    }

    async fn answer(&self, target: &Target, arguments: &[Value]) -> Result<Vec<Value>, Refusal> {
        // protocol.md §6.5
        let inputs = &target.declared.inputs;
        if inputs.len() != arguments.len() {
            let (expected, found) = (inputs.len(), arguments.len());
            let text = format!("expected {expected} arguments, found {found}");
            return Err(Refusal::InvalidArgs(text));
        }
        let arguments = inputs.iter().zip(arguments).map(|(input, value)| {
            let signature = types::argument(input.type_hint.as_deref());
            types::as_type(&signature, value).ok_or_else(|| {
                let name = &input.name;
                Refusal::InvalidArgs(format!(
                    "argument {name:?}: {value} is no value of type \"{signature}\""
                ))
            })
        });
        let arguments: Result<Vec<_>, _> = arguments.collect();
        target.call(&self.shared.table, arguments?).await
    }
}

/// The values of an answer. One structure and several values are written alike: what was declared tells.
fn fields(body: OwnedStructure, outputs: &[Argument]) -> Vec<Variant<'static>> {
    let OwnedStructure(structure) = body;
    let is_structure = |output: &Argument| {
        let signature = types::argument(output.type_hint.as_deref());
        matches!(signature, Signature::Structure(_))
    };
    match outputs {
        [one] if is_structure(one) => vec![Variant::Structure(structure)],
        _ => structure.into_fields(),
    }
}

fn illegal(error: impl Display) -> Refusal {
    Refusal::InvalidArgs(error.to_string())
}

/// Below the customary 25 s of D-Bus clients.
const ANSWER_MAX: Duration = Duration::from_secs(20);

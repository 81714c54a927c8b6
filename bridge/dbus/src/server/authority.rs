//! Who may do what changes the world.
//!
//! Model: a method names the *action* that it takes by the annotation [`zocp_interfaces::ACTION_ANNOTATION`] in `interfaces/*.xml`, and
//! the task that serves it asks before its owner hears of the call. On the system bus, where callers are of many users, polkit
//! is asked about the very connection that called; every other bus is one user's, and all may do all.
//! Invariants: AUTHORITY-1. the question is about the caller's unique name, which the bus gives to nobody else. AUTHORITY-2.
//! whoever is not said to be authorized is refused: where polkit says nothing, root alone may.
//! Limits: [`ANSWER_MAX`] for an answer, [`ASKED_MAX`] where a person may be asked; then it is as if
//! polkit were not there. How many calls wait is bounded by the task.
//! Not here: what the bus itself lets through (`dbus-policy/`).
//! Spec: docs/reference/dbus.md, "On the system bus"; the reference of polkit, `CheckAuthorization`.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use tokio::time::timeout;
use zbus::{Message, Variant, message::Type};

use crate::{connection::bus_call, errors::Refusal, message::Outgoing, server::ObjectTable};

/// Who decides on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Nobody: its users are one.
    Unneeded,
    /// polkit, or who is root.
    Polkit,
}

/// What somebody wants to do.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The action, as polkit knows it.
    pub action: Box<str>,
    /// The unique name of the caller; none without a bus.
    pub caller: Option<String>,
    /// Whether a person may be asked, which takes its time.
    pub may_ask: bool,
}

impl Authority {
    /// Whether a request is granted. Asks on the connection that serves `table`.
    ///
    /// # Errors
    /// It is not, or only if a person may be asked.
    pub async fn grant(
        self,
        table: &ObjectTable,
        request: AuthorizationRequest,
    ) -> Result<(), Refusal> {
        match self {
            Self::Unneeded => Ok(()),
            Self::Polkit => polkit(table, &request).await,
        }
    }
}

async fn polkit(table: &ObjectTable, request: &AuthorizationRequest) -> Result<(), Refusal> {
    let Some(caller) = &request.caller else {
        return Err(denied(request));
    };
    match decision(table, request, caller).await {
        Some(Decision::Authorized) => Ok(()),
        Some(Decision::Challenge) => Err(Refusal::AuthorizationRequired(text(request))),
        Some(Decision::Denied) => Err(denied(request)),
        None if user(table, caller).await == Some(ROOT) => Ok(()),
        None => Err(denied(request)),
    }
}

/// What polkit says.
enum Decision {
    Authorized,
    /// Only when a person was asked.
    Challenge,
    Denied,
}

/// What polkit says; nothing where it is not there, or does not know.
async fn decision(
    table: &ObjectTable,
    request: &AuthorizationRequest,
    caller: &str,
) -> Option<Decision> {
    let subject = (
        "system-bus-name",
        HashMap::from([("name", Variant::new(caller))]),
    );
    let details = HashMap::<&str, &str>::new();
    let (flags, deadline) = match request.may_ask {
        true => (ALLOW_USER_INTERACTION, ASKED_MAX),
        false => (0_u32, ANSWER_MAX),
    };
    let question = Message::method_call(POLKIT_PATH, "CheckAuthorization")
        .destination(POLKIT)
        .interface(POLKIT_INTERFACE);
    let body = (subject, &*request.action, details, flags, "");
    let question = Outgoing::build(question, &body)
        .inspect_err(|error| tracing::error!(%error, "polkit cannot be asked"))
        .ok()?;
    let answer = timeout(deadline, table.ask(question)).await.ok()??;
    if answer.message_type() == Type::Error {
        tracing::warn!(%answer, action = &*request.action, "polkit gives no answer: root alone may");
        return None;
    }
    let body = answer.body();
    let result: Result<(bool, bool, HashMap<String, String>), _> = body.deserialize();
    Some(match result.ok()? {
        (true, _, _) => Decision::Authorized,
        (_, true, _) => Decision::Challenge,
        _ => Decision::Denied,
    })
}

/// Whose a connection is, as the bus says.
async fn user(table: &ObjectTable, caller: &str) -> Option<u32> {
    let question = bus_call("GetConnectionUnixUser", &caller)?;
    let answer = timeout(ANSWER_MAX, table.ask(question)).await.ok()??;
    answer.body().deserialize().ok()
}

fn denied(request: &AuthorizationRequest) -> Refusal {
    Refusal::AccessDenied(text(request))
}

fn text(request: &AuthorizationRequest) -> String {
    format!("the action {} is not authorized", request.action)
}

const POLKIT: &str = "org.freedesktop.PolicyKit1";
const POLKIT_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const POLKIT_INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";
const ALLOW_USER_INTERACTION: u32 = 1;
const ROOT: u32 = 0;
/// Below the customary 25 s of D-Bus clients.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// A person types a password. Callers who let them know that it takes time.
const ASKED_MAX: Duration = Duration::from_secs(120);

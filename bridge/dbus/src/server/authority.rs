//! Authorization of calls that change the state of the bridge or of the mesh.
//!
//! Model: the annotation [`zocp_interfaces::ACTION_ANNOTATION`] in `interfaces/*.xml` names the polkit *action* of a
//! method. The server checks the authorization before the handler receives the call. On the system bus, whose callers are
//! different users, polkit decides about the connection that called. Every other bus belongs to one user, and all its
//! callers are authorized.
//! Invariants: AUTHORITY-1. The check is about the unique name of the caller, which the bus never assigns twice.
//! AUTHORITY-2. A caller that is not known to be authorized is rejected; if polkit does not answer, only root is
//! authorized.
//! Limits: polkit must answer within `ANSWER_MAX`, or `ASKED_MAX` if it may ask a person; after that it counts as
//! absent. The server bounds how many calls wait.
//! Not here: the policy of the bus itself (`dbus-policy/`).
//! Spec: docs/reference/dbus.md, "On the system bus"; the reference of polkit, `CheckAuthorization`.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use tokio::time::timeout;
use zbus::{Message, Variant, message::Type};

use crate::{connection::bus_call, errors::Refusal, message::Outgoing, server::ObjectTable};

/// Who authorizes calls on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Nobody: all callers are the same user.
    Unneeded,
    /// polkit; if it does not answer, only root is authorized.
    Polkit,
}

/// A request to authorize a call.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The polkit action.
    pub action: Box<str>,
    /// The unique name of the caller; `None` without a bus.
    pub caller: Option<String>,
    /// Whether polkit may ask a person, which takes longer.
    pub may_ask: bool,
}

impl Authority {
    /// Checks the authorization, with calls on the connection that serves `table`.
    ///
    /// # Errors
    /// The caller is not authorized, or only if polkit may ask a person.
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

/// The decision of polkit.
enum Decision {
    Authorized,
    /// Authorized only if a person confirms.
    Challenge,
    Denied,
}

/// Asks polkit; `None` if it is absent or answers with an error.
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
        .inspect_err(|error| tracing::error!(%error, "cannot build the call to polkit"))
        .ok()?;
    let answer = timeout(deadline, table.ask(question)).await.ok()??;
    if answer.message_type() == Type::Error {
        tracing::warn!(%answer, action = &*request.action, "polkit answered with an error: only root is authorized");
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

/// The user of a connection, according to the bus.
async fn user(table: &ObjectTable, caller: &str) -> Option<u32> {
    let question = bus_call("GetConnectionUnixUser", &caller, None)?;
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
/// Below 25 s, the usual timeout of D-Bus clients.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Time to type a password. A caller that allows interaction expects the delay.
const ASKED_MAX: Duration = Duration::from_secs(120);

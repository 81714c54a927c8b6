//! The methods of the bus.
//!
//! Not here: properties and introspection, see `properties`.

use std::sync::Arc;

use super::{
    BUS_NAME, Bus, ConnectionId, Credentials, Order,
    call::{Answer, Call, Failure},
    connection::State,
    fault::Fault,
    starting::ALREADY_RUNNING,
};
use crate::{
    message::{Writer, syntax},
    names::Change,
    rules::Rule,
};

pub(super) fn hello(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    let limits = &bus.config.limits;
    let Some(connection) = bus.connections.get(&call.from) else {
        return Ok(None);
    };
    if connection.state != State::New {
        return Err(Fault::new("Failed", "Already handled an Hello message").into());
    }
    if bus.complete >= limits.connections_max {
        let text = "The maximum number of active connections has been reached";
        return Err(Fault::limit(text).into());
    }
    let user = connection.credentials.user;
    let of_user = user
        .and_then(|user| bus.users.get(&user))
        .copied()
        .unwrap_or_default();
    if user.is_some() && of_user >= limits.user_connections_max {
        let text = "The maximum number of active connections of this user has been reached";
        return Err(Fault::limit(text).into());
    }
    let unique = connection.unique_name.clone();
    if let Some(connection) = bus.connections.get_mut(&call.from) {
        connection.state = State::Active;
    }
    bus.complete += 1;
    if let Some(user) = user {
        *bus.users.entry(user).or_default() += 1;
    }
    if call.message.expects_reply() {
        let (signature, body) = string(&unique);
        bus.answer(call.from, call.message.serial(), None, signature, body);
    }
    let owner = Change::Owner {
        old: None,
        new: Some(call.from),
    };
    bus.tell(
        &unique,
        [owner, Change::Acquired(call.from)].into_iter().collect(),
    );
    Ok(None)
}

pub(super) fn request_name(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let (name, flags) = (call.string()?, call.u32()?);
    call.end()?;
    check_name(name)?;
    let limit = bus.config.limits.names_max;
    let has = bus.names.has(name, call.from);
    let Some(connection) = bus.connections.get_mut(&call.from) else {
        return Ok(None);
    };
    // With its unique name.
    if !has && connection.names.len() + 1 >= limit {
        let text = format!(
            "{} has {limit} names, and may have no more",
            connection.unique_name
        );
        return Err(Fault::limit(text).into());
    }
    let name: Arc<str> = name.into();
    let (requested, changes) = bus.names.request(&name, call.from, flags);
    // Who is replaced may be out of the queue, and so may who asked again.
    let concerned = changes.iter().filter_map(|change| match change {
        Change::Lost(owner) => Some(*owner),
        _ => None,
    });
    for connection in concerned.chain([call.from]).collect::<Vec<_>>() {
        bus.note_name(connection, &name);
    }
    bus.tell(&name, changes);
    bus.deliver_waiting(&name);
    Ok(Some(number(requested as u32)))
}

pub(super) fn release_name(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let name = call.only_string()?;
    check_name(name)?;
    let (released, changes) = bus.names.release(name, call.from);
    bus.note_name(call.from, &Arc::from(name));
    bus.tell(name, changes);
    Ok(Some(number(released as u32)))
}

impl Bus {
    /// Has what a connection knows of its names be as the registry has it.
    fn note_name(&mut self, id: ConnectionId, name: &Arc<str>) {
        let has = self.names.has(name, id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !has {
            connection.names.remove(name);
        } else if !connection.names.contains_key(name) {
            connection.names_asked += 1;
            connection
                .names
                .insert(name.clone(), connection.names_asked);
        }
    }

    /// Who is asked about; `None` is the bus itself.
    fn asked(&self, call: &mut Call<'_>, what: &str) -> Result<Option<ConnectionId>, Failure> {
        let name = call.only_string()?;
        match name {
            BUS_NAME => Ok(None),
            name => match self.find(name) {
                Some(id) => Ok(Some(id)),
                None => Err(Fault::no_owner(what, name).into()),
            },
        }
    }

    fn credentials(&self, id: Option<ConnectionId>) -> &Credentials {
        let connection = id.and_then(|id| self.connections.get(&id));
        connection.map_or(&self.config.credentials, |one| &one.credentials)
    }
}

/// That a name can be asked for.
fn check_name(name: &str) -> Result<(), Fault> {
    if !syntax::is_bus_name(name) {
        return Err(Fault::args(format!(
            "Requested bus name \"{name}\" is not valid"
        )));
    }
    if name.starts_with(':') || name == BUS_NAME {
        return Err(Fault::args(format!(
            "\"{name}\" can be neither acquired nor released"
        )));
    }
    Ok(())
}

pub(super) fn start_service(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let name = call.string()?;
    // Flags, of which there are none.
    call.u32()?;
    call.end()?;
    match (bus.offers.has(name), bus.names.owner(name)) {
        // Even if somebody has it: it was not provided to be started.
        (false, _) => Err(Fault::unknown_service(name).into()),
        (true, Some(_)) => Ok(Some(number(ALREADY_RUNNING))),
        (true, None) => {
            let message = call.message;
            let serial = message.expects_reply().then(|| message.serial());
            bus.hold_start(call.from, name, serial)?;
            Ok(None)
        }
    }
}

/// Succeeds: the bus runs no programs that would use the environment, and a session that sets it is not to fail.
pub(super) fn update_environment(_: &mut Bus, _: &mut Call<'_>) -> Answer {
    Ok(Some(("", Writer::default())))
}

pub(super) fn name_has_owner(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let name = call.only_string()?;
    let mut body = Writer::default();
    body.bool(name == BUS_NAME || bus.find(name).is_some());
    Ok(Some(("b", body)))
}

pub(super) fn list_names(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    let active = bus
        .connections
        .values()
        .filter(|one| one.state == State::Active);
    let mut body = Writer::default();
    let names = [BUS_NAME].into_iter().chain(bus.names.iter());
    body.strings(names.chain(active.map(|one| &*one.unique_name)));
    Ok(Some(("as", body)))
}

pub(super) fn list_activatable_names(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    let mut body = Writer::default();
    body.strings(bus.activatable_names());
    Ok(Some(("as", body)))
}

pub(super) fn add_match(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let rule = Rule::parse(call.only_string()?).map_err(Fault::from)?;
    let limit = bus.config.limits.rules_max;
    if bus.rules.len(call.from) >= limit {
        return Err(Fault::limit(format!(
            "this connection has {limit} match rules, and may have no more"
        ))
        .into());
    }
    bus.rules.add(call.from, rule);
    nothing(bus, call)
}

pub(super) fn remove_match(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let rule = Rule::parse(call.only_string()?).map_err(Fault::from)?;
    match bus.rules.remove(call.from, rule) {
        true => nothing(bus, call),
        false => {
            let text = "The given match rule wasn't found and can't be removed";
            Err(Fault::new("MatchRuleNotFound", text).into())
        }
    }
}

pub(super) fn get_name_owner(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let owner = bus.asked(call, "owner")?;
    let name = match owner {
        Some(_) => bus.unique_name(owner),
        None => BUS_NAME.into(),
    };
    Ok(Some(string(&name)))
}

pub(super) fn list_queued_owners(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let name = call.only_string()?;
    let queue: Vec<Arc<str>> = match (name, bus.names.queue(name)) {
        (BUS_NAME, _) => vec![BUS_NAME.into()],
        (_, Some(queue)) => queue.map(|one| bus.unique_name(Some(one))).collect(),
        (name, None) => match bus.find(name) {
            Some(_) => vec![name.into()],
            None => return Err(Fault::no_owner("owners", name).into()),
        },
    };
    let mut body = Writer::default();
    body.strings(queue.iter().map(|name| &**name));
    Ok(Some(("as", body)))
}

pub(super) fn get_user(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let who = bus.asked(call, "UID")?;
    let user = bus.credentials(who).user;
    user.map(|user| Some(number(user)))
        .ok_or_else(|| Fault::new("Failed", "the user of this connection is not known").into())
}

pub(super) fn get_process(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let who = bus.asked(call, "PID")?;
    let process = bus.credentials(who).process;
    let unknown = || {
        Fault::new(
            "UnixProcessIdUnknown",
            "the process of this connection is not known",
        )
    };
    process
        .map(|process| Some(number(process)))
        .ok_or_else(|| unknown().into())
}

pub(super) fn get_audit_data(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    bus.asked(call, "audit session data")?;
    Err(Fault::new(
        "AdtAuditDataUnknown",
        "there is no audit data on this system",
    )
    .into())
}

pub(super) fn get_selinux_context(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    bus.asked(call, "security context")?;
    Err(Fault::new(
        "SELinuxSecurityContextUnknown",
        "this bus does not ask SELinux",
    )
    .into())
}

pub(super) fn get_credentials(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let who = bus.asked(call, "credentials")?;
    let credentials = bus.credentials(who);
    let mut body = Writer::default();
    body.array(8, |entries| {
        if let Some(user) = credentials.user {
            entries.entry("UnixUserID", "u", |value| value.u32(user));
        }
        if let Some(groups) = &credentials.groups {
            entries.entry("UnixGroupIDs", "au", |value| {
                value.array(4, |array| groups.iter().for_each(|group| array.u32(*group)));
            });
        }
        if let Some(process) = credentials.process {
            entries.entry("ProcessID", "u", |value| value.u32(process));
        }
        if let Some(label) = &credentials.label {
            entries.entry("LinuxSecurityLabel", "ay", |value| {
                // The specification has a zero octet at the end.
                let octets = label.iter().copied().chain([0]);
                value.array(1, |array| octets.for_each(|octet| array.byte(octet)));
            });
        }
    });
    Ok(Some(("a{sv}", body)))
}

pub(super) fn get_id(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    Ok(Some(string(&bus.config.guid)))
}

pub(super) fn get_machine_id(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    match &bus.config.machine_id {
        Some(id) => Ok(Some(string(id))),
        None => Err(Fault::new("Failed", "the identity of this machine is not known").into()),
    }
}

/// Succeeds without a result.
pub(super) fn nothing(_: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    Ok(Some(("", Writer::default())))
}

pub(super) fn become_monitor(bus: &mut Bus, call: &mut Call<'_>) -> Answer {
    let (texts, flags) = (call.strings()?, call.u32()?);
    call.end()?;
    if flags != 0 {
        return Err(Fault::args("BecomeMonitor does not support any flags yet").into());
    }
    if texts.len() > bus.config.limits.rules_max {
        return Err(Fault::limit("there are more match rules than a connection may have").into());
    }
    let rules = texts.iter().map(|text| Rule::parse(text));
    let mut rules = rules.collect::<Result<Vec<_>, _>>().map_err(Fault::from)?;
    if rules.is_empty() {
        rules.push(Rule::default());
    }
    if call.message.expects_reply() {
        bus.answer(
            call.from,
            call.message.serial(),
            None,
            "",
            Writer::default(),
        );
    }
    bus.rules.forget(call.from);
    bus.release_all(call.from, Order::OldestFirst);
    bus.forget_calls(call.from);
    bus.forget_waiting(call.from);
    if let Some(connection) = bus.connections.get_mut(&call.from) {
        connection.state = State::Monitor;
    }
    for rule in rules {
        bus.watching.add(call.from, rule);
    }
    Ok(None)
}

fn string(text: &str) -> (&'static str, Writer) {
    let mut body = Writer::default();
    body.string(text);
    ("s", body)
}

fn number(number: u32) -> (&'static str, Writer) {
    let mut body = Writer::default();
    body.u32(number);
    ("u", body)
}

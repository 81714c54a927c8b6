//! The bus as a service of itself: which method a call means.
//!
//! Model: a table of methods; each has the types of its arguments and a function that answers.
//! Spec: D-Bus specification, "Message Bus Messages"

use super::{
    BUS_NAME, BUS_PATH, Bus, ConnectionId,
    call::{Answer, Call, Failure, INTROSPECTABLE, MONITORING, PEER, PROPERTIES},
    connection::State,
    fault::Fault,
    methods, properties,
};
use crate::message::{Cursor, Invalid, Kind, Message};

/// A method of the bus.
pub(super) struct Method {
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
    /// The types of the arguments.
    pub(super) args: &'static str,
    /// Whether it is there at any path, as it always was.
    is_anywhere: bool,
    /// Whether it is for the user of the bus, and for root.
    is_privileged: bool,
    run: fn(&mut Bus, &mut Call<'_>) -> Answer,
}

const fn method(
    interface: &'static str,
    member: &'static str,
    args: &'static str,
    run: fn(&mut Bus, &mut Call<'_>) -> Answer,
) -> Method {
    Method {
        interface,
        member,
        args,
        is_anywhere: true,
        is_privileged: false,
        run,
    }
}

/// A method that is at the path of the bus only.
const fn there(mut method: Method) -> Method {
    method.is_anywhere = false;
    method
}

const fn privileged(mut method: Method) -> Method {
    method.is_privileged = true;
    there(method)
}

static METHODS: &[Method] = &[
    method(BUS_NAME, "Hello", "", methods::hello),
    method(BUS_NAME, "RequestName", "su", methods::request_name),
    method(BUS_NAME, "ReleaseName", "s", methods::release_name),
    method(BUS_NAME, "StartServiceByName", "su", methods::start_service),
    privileged(method(
        BUS_NAME,
        "UpdateActivationEnvironment",
        "a{ss}",
        methods::update_environment,
    )),
    method(BUS_NAME, "NameHasOwner", "s", methods::name_has_owner),
    method(BUS_NAME, "ListNames", "", methods::list_names),
    method(
        BUS_NAME,
        "ListActivatableNames",
        "",
        methods::list_activatable_names,
    ),
    method(BUS_NAME, "AddMatch", "s", methods::add_match),
    method(BUS_NAME, "RemoveMatch", "s", methods::remove_match),
    method(BUS_NAME, "GetNameOwner", "s", methods::get_name_owner),
    method(
        BUS_NAME,
        "ListQueuedOwners",
        "s",
        methods::list_queued_owners,
    ),
    method(BUS_NAME, "GetConnectionUnixUser", "s", methods::get_user),
    method(
        BUS_NAME,
        "GetConnectionUnixProcessID",
        "s",
        methods::get_process,
    ),
    method(
        BUS_NAME,
        "GetAdtAuditSessionData",
        "s",
        methods::get_audit_data,
    ),
    method(
        BUS_NAME,
        "GetConnectionSELinuxSecurityContext",
        "s",
        methods::get_selinux_context,
    ),
    method(BUS_NAME, "ReloadConfig", "", methods::nothing),
    method(BUS_NAME, "GetId", "", methods::get_id),
    method(
        BUS_NAME,
        "GetConnectionCredentials",
        "s",
        methods::get_credentials,
    ),
    there(method(PROPERTIES, "Get", "ss", properties::get)),
    there(method(PROPERTIES, "GetAll", "s", properties::get_all)),
    there(method(PROPERTIES, "Set", "ssv", properties::set)),
    method(INTROSPECTABLE, "Introspect", "", properties::introspect),
    privileged(method(
        MONITORING,
        "BecomeMonitor",
        "asu",
        methods::become_monitor,
    )),
    method(PEER, "GetMachineId", "", methods::get_machine_id),
    method(PEER, "Ping", "", methods::nothing),
];

impl Bus {
    /// Carries out what is addressed to the bus.
    pub(super) fn drive(&mut self, from: ConnectionId, message: &Message<'_>) {
        let is_new = self
            .connections
            .get(&from)
            .is_some_and(|one| one.state == State::New);
        let is_hello = message.kind() == Kind::Call
            && message.member() == Some("Hello")
            && message
                .interface()
                .is_none_or(|interface| interface == BUS_NAME);
        let found = match message.kind() {
            // A connection without a name may only ask for one; it would wait for an answer for ever.
            _ if is_new && !is_hello => Err(Fault::denied(
                "a message other than Hello was sent before Hello",
            )),
            Kind::Call => find(message),
            // Nobody waits for an answer.
            _ => return,
        };
        self.run(from, message, found);
    }

    /// Carries out a call that is addressed to nobody.
    pub(super) fn drive_unaddressed(&mut self, from: ConnectionId, message: &Message<'_>) {
        if message.kind() != Kind::Call {
            return;
        }
        let is_peer = message
            .interface()
            .is_none_or(|interface| interface == PEER);
        let found = find(message)
            .ok()
            .filter(|method| is_peer && method.interface == PEER);
        let member = message.member().unwrap_or_default();
        let found = found.ok_or_else(|| {
            Fault::new(
                "UnknownMethod",
                format!("{member} is called at nobody, who has no such method"),
            )
        });
        self.run(from, message, found);
    }

    fn run(
        &mut self,
        from: ConnectionId,
        message: &Message<'_>,
        found: Result<&'static Method, Fault>,
    ) {
        let mut call = Call {
            from,
            message,
            args: Cursor::new(message.body(), 0, message.order()),
        };
        let answer = match found {
            Ok(method) if method.is_privileged && !self.is_privileged(from) => {
                let text = format!("{} is for the user of the bus", method.member);
                Err(Failure::Fault(Fault::denied(text)))
            }
            Ok(method) => (method.run)(self, &mut call),
            Err(fault) => Err(Failure::Fault(fault)),
        };
        match answer {
            Ok(Some((signature, body))) if message.expects_reply() => {
                self.answer(from, message.serial(), None, signature, body);
            }
            Ok(_) => {}
            Err(Failure::Fault(fault)) => self.refuse(from, message, &fault),
            Err(Failure::Body) => {
                self.end(
                    from,
                    Invalid("its body is not what its signature says").into(),
                );
            }
        }
    }

    fn is_privileged(&self, connection: ConnectionId) -> bool {
        let user = self
            .connections
            .get(&connection)
            .and_then(|one| one.credentials.user);
        user.is_some_and(|user| user == 0 || Some(user) == self.config.credentials.user)
    }
}

/// The method that a call means.
fn find(message: &Message<'_>) -> Result<&'static Method, Fault> {
    let is_there = message.path() == Some(BUS_PATH);
    let member = message.member().unwrap_or_default();
    let is_here = |method: &Method| {
        (is_there || !matches!(method.interface, PROPERTIES | MONITORING))
            && message
                .interface()
                .is_none_or(|interface| interface == method.interface)
    };
    let mut here = METHODS.iter().filter(|method| is_here(method)).peekable();
    let unknown = match here.peek() {
        Some(_) => "UnknownMethod",
        None => "UnknownInterface",
    };
    let Some(method) = here.find(|method| method.member == member) else {
        let text = format!("{BUS_NAME} does not understand message {member}");
        return Err(Fault::new(unknown, text));
    };
    if !is_there && !method.is_anywhere {
        let text = format!(
            "Method '{member}' is only available at the canonical object path '{BUS_PATH}'"
        );
        return Err(Fault::denied(text));
    }
    if message.signature() != method.args {
        return Err(Fault::args(format!(
            "Call to {member} has wrong args ({}, expected {})",
            message.signature(),
            method.args
        )));
    }
    Ok(method)
}

impl<'a> Call<'a> {
    /// The next argument, a string.
    pub(super) fn string(&mut self) -> Result<&'a str, Failure> {
        self.args.str().ok_or(Failure::Body)
    }

    /// The next argument, a number.
    pub(super) fn u32(&mut self) -> Result<u32, Failure> {
        self.args.u32().ok_or(Failure::Body)
    }

    /// The next argument, an array of strings.
    pub(super) fn strings(&mut self) -> Result<Vec<&'a str>, Failure> {
        let end = self.args.begin_array(4).ok_or(Failure::Body)?;
        let mut strings = Vec::new();
        while self.args.at() < end {
            strings.push(self.string()?);
        }
        (self.args.at() == end)
            .then_some(strings)
            .ok_or(Failure::Body)
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<(), Failure> {
        self.args.is_at_end().then_some(()).ok_or(Failure::Body)
    }

    /// The only argument, a string.
    pub(super) fn only_string(&mut self) -> Result<&'a str, Failure> {
        let string = self.string()?;
        self.end()?;
        Ok(string)
    }
}

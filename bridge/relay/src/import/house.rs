//! The bus connection of an imported service.
//!
//! Model: connects, asks for the name, passes calls on in the order in which the bus has them. When the
//! connection fails it is made anew. The name is asked for in line behind who has it: the bus gives it
//! to us when that one lets go. Where it is to have another name, the one before is kept until that is ours.
//! Invariants: H1. a call is passed on, or answered here: `Ping` of what runs at once, what is not allowed, too long or
//! carries descriptors with an error. H2. a call that was passed on is answered once: by its exporter, when
//! service, node or link go, or after the time that a rule gives it. What a program may wait for, it may wait
//! for here: without a rule there is no deadline.
//! Limits: those of `line` and `crate::requests`; [`OWN_ANSWER_MAX`] for what is asked for memory alone.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use zbus::{
    Message,
    message::{Flags, Header, Type},
};
use zocp_interfaces::IMPORT_INTERFACE;

use super::{
    Importer,
    imported::{Asked, Imported, Request},
};
use crate::{
    deadlines::Deadlines,
    transport::{Busy, Lane, has_descriptors, kept, outgoing_call},
};
use zocp_dbus::{
    errors::Refusal,
    line::{Ear, Ended, Line, connect, live},
    message::Outgoing,
};
use zocp_policy::Member;

/// Serves an imported service until it is closed.
pub(super) fn start(importer: &Importer, imported: Arc<Imported>) {
    let importer = importer.clone();
    let tasks = importer.shared().tasks.clone();
    tasks.spawn(async move {
        let mut pause = PAUSE_MIN;
        while !imported.is_closed() {
            let address = importer.shared().site.address();
            match connect(address).await {
                Ok(connected) => {
                    let unique = connected.unique_name();
                    importer.shared().own_names.add(unique.clone());
                    pause = PAUSE_MIN;
                    let mut ear = HouseEar::new(&importer, &imported, unique);
                    let ended = live(imported.line(), connected, &mut ear, imported.stop()).await;
                    imported.set_shown(None);
                    importer.name_changed();
                    if let Ended::Failed(reason) = ended {
                        // Who called is gone from the bus with it, as far as we can know.
                        imported.close_requests();
                        let text = "the connection of the import failed".to_owned();
                        imported.refuse_calls_back(&Refusal::Failed(text));
                        tracing::warn!(name = &*imported.name(), reason, "off the bus");
                    }
                }
                Err(error) => tracing::warn!(name = &*imported.name(), %error, "not on the bus"),
            }
            tokio::select! {
                () = imported.stop().cancelled() => {}
                () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    });
}

struct HouseEar<'a> {
    importer: &'a Importer,
    imported: &'a Arc<Imported>,
    /// Our own unique name.
    unique: Arc<str>,
    /// The question for the name.
    naming: Option<NonZeroU32>,
    /// The name that was asked for.
    asked_name: Arc<str>,
    /// One that is ours, or asked for, from before, until the other one is ours.
    former: Vec<Arc<str>>,
    deadlines: Deadlines<NonZeroU32>,
}

impl<'a> HouseEar<'a> {
    fn new(importer: &'a Importer, imported: &'a Arc<Imported>, unique: Arc<str>) -> Self {
        // Without flags: in line behind who has it.
        let asked_name = imported.name();
        let naming = imported
            .line()
            .ask_bus("RequestName", &(&*asked_name, 0u32));
        Self {
            importer,
            imported,
            unique,
            naming,
            asked_name,
            former: Vec::new(),
            deadlines: Deadlines::default(),
        }
    }

    fn line(&self) -> &Line {
        self.imported.line()
    }

    fn hear_call(&mut self, call: &Message) {
        let header = call.header();
        let is_ping = header
            .interface()
            .is_some_and(|name| name == "org.freedesktop.DBus.Peer")
            && header.member().is_some_and(|name| name == "Ping");
        // What does not run is started by it, as on its own bus.
        if is_ping && self.imported.runs() {
            return self.pong(call);
        }
        if header
            .interface()
            .is_some_and(|name| name == IMPORT_INTERFACE)
        {
            return self.tell_origin(call);
        }
        if let Err(refusal) = self.pass_on(call, &header) {
            self.line().refuse(call, &refusal);
        }
    }

    fn pong(&self, call: &Message) {
        match Outgoing::build(Message::method_return(&call.header()), &()) {
            Ok(pong) => self.line().push(pong),
            Err(error) => tracing::error!(%error, "an answer cannot be made"),
        }
    }

    /// Says that this is no service of this bus; see `crate::export`.
    fn tell_origin(&self, call: &Message) {
        let reply = Message::method_return(&call.header());
        match Outgoing::build(reply, &self.imported.link().uuid) {
            Ok(origin) => self.line().push(origin),
            Err(error) => tracing::error!(%error, "an answer cannot be made"),
        }
    }

    fn pass_on(&mut self, call: &Message, header: &Header<'_>) -> Result<(), Refusal> {
        let imported = self.imported;
        if has_descriptors(call) {
            return Err(Refusal::NoFileDescriptors);
        }
        let max = imported.link().limits.now().message_len_max();
        if call.data().len() > max {
            return Err(Refusal::TooLarge { max });
        }
        let method = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        let passage = imported.passage(&method);
        if !passage.is_allowed() {
            self.importer.log_denied(imported.link(), imported, &method);
            let (call, service) = (method.rule(), imported.service());
            let text = format!("no rule here allows {call} of {service}");
            return Err(Refusal::AccessDenied(text));
        }
        let caller: Arc<str> = match header.sender() {
            Some(sender) => Arc::from(sender.as_str()),
            None => return Err(Refusal::Failed("a call without a sender".to_owned())),
        };
        if imported.add_caller(&caller) {
            let callers = &self.importer.shared().callers;
            callers.calls(&caller, imported.link().link());
        }
        let flags = call.primary_header().flags();
        if flags.contains(Flags::NO_REPLY_EXPECTED) {
            imported.unsettled(call);
            return self.send(call, caller, passage.interface(), NonZeroU32::MIN);
        }
        match imported.recall(call) {
            Ok(answer) => {
                let answer = imported.presented(call, &answer).unwrap_or(answer);
                // What came in several messages may be too much for one.
                let max = self.importer.shared().site.message_len_max();
                if answer.data().len() > max {
                    return Err(Refusal::TooLarge { max });
                }
                self.line().push(answer);
                Ok(())
            }
            Err(asked) => {
                let missing = asked.as_ref().map(|asked| imported.missing(asked));
                self.request(call, caller, passage.interface(), asked)?;
                for asked in missing.into_iter().flatten() {
                    self.ask(asked);
                }
                Ok(())
            }
        }
    }

    /// Passes a call on, and keeps it to be answered.
    fn request(
        &mut self,
        call: &Message,
        caller: Arc<str>,
        interface: Option<&str>,
        asked: Option<Asked>,
    ) -> Result<(), Refusal> {
        let link = self.imported.link();
        let id = link.open(Request::Call {
            imported: self.imported.clone(),
            program: caller.clone(),
            call: kept(call),
            asked,
        })?;
        let sent = self.send(call, caller, interface, id);
        let timeout = self.imported.timeout();
        let timeout = timeout.or_else(|| link.limits.now().answer_max);
        if let Some(timeout) = timeout {
            self.expect(id, timeout);
        }
        // Whoever takes the request out answers it, also who closed the import meanwhile.
        match sent {
            Err(_) if link.close(id).is_none() => Ok(()),
            Ok(()) if self.imported.is_closed() && link.close(id).is_some() => {
                Err(Refusal::NodeGone(link.name.clone()))
            }
            sent => sent,
        }
    }

    /// Asks something for our memory alone; without an answer it is not known.
    fn ask(&mut self, asked: Asked) {
        let (link, service) = (self.imported.link(), self.imported.service());
        let unasked = asked.call(service, &self.unique, NonZeroU32::MIN);
        let request = Request::Own {
            imported: self.imported.clone(),
            asked,
        };
        if let (Some(call), Ok(id)) = (unasked, link.open(request)) {
            self.expect(id, OWN_ANSWER_MAX);
            // A refusal means that it is asked for again another time.
            self.send(&call, self.unique.clone(), None, id).ok();
        }
    }

    /// An answer is to come within this time.
    fn expect(&mut self, id: NonZeroU32, timeout: Duration) {
        let link = self.imported.link();
        let deadline = Instant::now() + timeout;
        self.deadlines.add(deadline, id, |id| link.is_open(*id));
    }

    /// Passes a call on, with `interface` if it has none.
    fn send(
        &self,
        call: &Message,
        caller: Arc<str>,
        interface: Option<&str>,
        id: NonZeroU32,
    ) -> Result<(), Refusal> {
        let link = self.imported.link();
        let packet = outgoing_call(call, self.imported.service(), interface, id)
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let pushed = link.outlet.try_push(Lane::Caller(caller), packet);
        pushed.map_err(|Busy| Refusal::Busy(format!("{}: too much is queued", link.name)))
    }

    fn hear_answer(&mut self, answer: &Message) {
        // A call of ours may have the same number, but who is called answers it, not the bus.
        let header = answer.header();
        let is_naming = self.naming.is_some() && header.reply_serial() == self.naming;
        if !is_naming || !is_of_bus(&header) {
            self.imported.answered_back(answer);
            return;
        }
        self.naming = None;
        let name = self.asked_name.clone();
        match answer.body().deserialize::<u32>() {
            Ok(PRIMARY_OWNER | ALREADY_OWNER) => self.shown(Some(name.clone())),
            Ok(IN_QUEUE) => tracing::warn!(
                name = &*name,
                "the name belongs to another program; it is ours when that one lets go of it"
            ),
            _ => tracing::warn!(name = &*name, reason = %answer, "the bus refuses the name"),
        }
    }

    fn hear_signal(&mut self, signal: &Message) {
        let header = signal.header();
        let from_bus = is_of_bus(&header);
        let body = signal.body();
        let Ok(name) = body.deserialize::<&str>() else {
            return;
        };
        if !from_bus || *name != *self.asked_name {
            return;
        }
        match header.member().map(|name| name.as_str()) {
            Some("NameAcquired") => self.shown(Some(Arc::from(name))),
            Some("NameLost") => self.shown(None),
            _ => {}
        }
    }

    fn shown(&mut self, name: Option<Arc<str>>) {
        if self.imported.is_closed() {
            return;
        }
        if name.is_some() {
            for former in std::mem::take(&mut self.former) {
                self.line().ask_bus("ReleaseName", &&*former);
            }
        }
        self.imported.set_shown(name);
        self.importer.name_changed();
    }

    /// Asks for another name, if it is to have one.
    fn follow_name(&mut self) {
        let wanted = self.imported.name();
        if wanted == self.asked_name {
            return;
        }
        self.former.retain(|former| *former != wanted);
        self.former
            .push(std::mem::replace(&mut self.asked_name, wanted));
        let asked = (&*self.asked_name, 0u32);
        self.naming = self.line().ask_bus("RequestName", &asked);
    }
}

impl Ear for HouseEar<'_> {
    fn hear(&mut self, message: Message) {
        match message.message_type() {
            Type::MethodCall => self.hear_call(&message),
            Type::MethodReturn | Type::Error => self.hear_answer(&message),
            Type::Signal => self.hear_signal(&message),
        }
    }

    fn turn(&mut self) -> Option<Instant> {
        self.follow_name();
        let due = [self.expire(), self.imported.expire_calls_back()];
        due.into_iter().flatten().min()
    }
}

impl HouseEar<'_> {
    /// Answers calls whose time is over (H2).
    fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some(id) = self.deadlines.pop(now) {
            if let Some(Request::Call { call, .. }) = self.imported.link().close(id) {
                let text = format!("{} did not answer in time", self.imported.name());
                self.line().refuse(&call, &Refusal::Timeout(text));
            }
        }
        self.deadlines.next()
    }
}

fn is_of_bus(header: &Header<'_>) -> bool {
    let sender = header.sender();
    sender.is_some_and(|name| name.as_str() == "org.freedesktop.DBus")
}

const PRIMARY_OWNER: u32 = 1;
const IN_QUEUE: u32 = 2;
const ALREADY_OWNER: u32 = 4;
/// For an answer to what was asked for memory alone; without one it is not known.
const OWN_ANSWER_MAX: Duration = Duration::from_secs(20);
/// Between two connections.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

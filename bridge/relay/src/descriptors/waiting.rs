//! Packets whose descriptors are still being passed, or whose files, or files that they name, are still being copied, and
//! what is behind them.
//!
//! Model: the packets of one caller keep their order: while one waits, those behind it that name the same
//! caller, as their sender or as their destination, wait too. A signal to all has those of its subscription wait. All
//! others go on.
//! Limits: [`WAITING_MAX`] packets of one caller. If there are more, the files are given up: who waits for their
//! message gets an error, and the others go on.
//! Not here: who takes the packets out (`crate::services`).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_dbus::{connection::until, errors::Refusal};

use crate::{
    lock::lock,
    named::{Form, Renamed, renamed},
};

/// A packet, with the files that it waits for.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) message: Message,
    /// The message with its descriptors, where they are still being passed. It is lost without them.
    pub(crate) arriving: Option<JoinHandle<Result<Whole, Refusal>>>,
    /// Those that it brings. It is lost without them.
    pub(crate) files: Vec<JoinHandle<Result<(), Refusal>>>,
    /// Those that it names. It keeps the names of what is not copied.
    pub(crate) named: Option<Named>,
}

/// A message with its descriptors, and the files among them that are still being copied.
pub(crate) type Whole = (Message, Vec<JoinHandle<Result<(), Refusal>>>);

/// Files that a message names, as they are being copied.
pub(crate) type Named = (Form, Vec<JoinHandle<Option<Renamed>>>);

/// The packets of one peer that wait. See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct WaitingPackets {
    /// Locked because the task of the bridge appends packets, and a task for each caller takes them out.
    callers: Mutex<HashMap<Arc<str>, Queue>>,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Packet>,
    given_up: CancellationToken,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// It goes on at once.
    Now(Message),
    /// It waits. Whoever gets this for a caller takes its packets out, with [`WaitingPackets::next`].
    First(Arc<str>),
    /// It waits behind others.
    Behind,
}

impl Packet {
    /// One that waits for nothing.
    pub(crate) const fn of(message: Message) -> Self {
        Self {
            message,
            arriving: None,
            files: Vec::new(),
            named: None,
        }
    }

    fn waits(&self) -> bool {
        self.arriving.is_some() || !self.files.is_empty() || self.named.is_some()
    }

    /// Waits until all files are copied; the message, or an error if one that it brings was not.
    async fn ready(self, given_up: &CancellationToken) -> (Message, Result<(), Refusal>) {
        let Self {
            message,
            arriving,
            files,
            named,
        } = self;
        let too_many = || {
            let text = "a file was not copied: too many messages waited behind it";
            Refusal::LimitsExceeded(text.to_owned())
        };
        let whole = tokio::select! {
            whole = whole(arriving) => whole,
            () = given_up.cancelled() => Err(too_many()),
        };
        let (message, files) = match whole {
            Ok(Some((whole, files))) => (whole, files),
            Ok(None) => (message, files),
            Err(refusal) => return (message, Err(refusal)),
        };
        let filled = tokio::select! {
            filled = filled(files) => filled,
            () = given_up.cancelled() => Err(too_many()),
        };
        let Some((form, named)) = named.filter(|_| filled.is_ok()) else {
            return (message, filled);
        };
        let copies = tokio::select! {
            copies = join_all(named) => copies,
            () = given_up.cancelled() => Vec::new(),
        };
        let copies: Vec<Renamed> = copies.into_iter().flatten().flatten().collect();
        let renamed = renamed(form, &message, &copies);
        (renamed.unwrap_or(message), Ok(()))
    }
}

async fn whole(
    arriving: Option<JoinHandle<Result<Whole, Refusal>>>,
) -> Result<Option<Whole>, Refusal> {
    let Some(arriving) = arriving else {
        return Ok(None);
    };
    let arrived = arriving.await;
    arrived
        .map_err(|error| Refusal::Failed(format!("a descriptor was not passed: {error}")))?
        .map(Some)
}

async fn filled(files: Vec<JoinHandle<Result<(), Refusal>>>) -> Result<(), Refusal> {
    for file in files {
        let filled = file.await;
        filled.map_err(|error| Refusal::Failed(format!("a file was not copied: {error}")))??;
    }
    Ok(())
}

impl WaitingPackets {
    /// Takes a packet. Waits while its caller has too many.
    pub(crate) async fn admit(&self, packet: Packet) -> Admitted {
        if !packet.waits() && self.lock().is_empty() {
            return Admitted::Now(packet.message);
        }
        let caller = whose(&packet.message);
        until(&self.taken, || !self.is_full(&caller)).await;
        let mut callers = self.lock();
        match callers.get_mut(&caller) {
            Some(queue) => {
                queue.packets.push_back(packet);
                Admitted::Behind
            }
            None if !packet.waits() => Admitted::Now(packet.message),
            None => {
                let queue = callers.entry(caller.clone()).or_default();
                queue.packets.push_back(packet);
                Admitted::First(caller)
            }
        }
    }

    /// The next packet of a caller, when its files are copied, or with the reason why they are not; `None` when there
    /// are no more.
    pub(crate) async fn next(&self, caller: &str) -> Option<(Message, Result<(), Refusal>)> {
        let (packet, given_up) = {
            let mut callers = self.lock();
            let queue = callers.get_mut(caller)?;
            let given_up = queue.given_up.clone();
            let Some(packet) = queue.packets.pop_front() else {
                callers.remove(caller);
                return None;
            };
            (packet, given_up)
        };
        self.taken.notify_waiters();
        Some(packet.ready(&given_up).await)
    }

    /// Whether a caller has as many as there may be; then its files are given up.
    fn is_full(&self, caller: &str) -> bool {
        let callers = self.lock();
        let full = callers
            .get(caller)
            .filter(|queue| queue.packets.len() >= WAITING_MAX);
        full.inspect(|queue| queue.given_up.cancel()).is_some()
    }

    /// Plain data, whole between the steps of each method.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Queue>> {
        lock(&self.callers)
    }
}

/// What has its packets in order: the caller, or the subscription of a signal to all.
fn whose(message: &Message) -> Arc<str> {
    let header = message.header();
    let names = [
        header.sender().map(|name| name.as_str()),
        header.destination().map(|name| name.as_str()),
    ];
    let mut names = names.into_iter().flatten();
    match names.find(|name| name.starts_with(':')) {
        Some(caller) => caller.into(),
        None => header
            .reply_serial()
            .map_or_else(String::new, |number| number.to_string())
            .into(),
    }
}

/// Packets of one caller that wait.
const WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn call(sender: &str, member: &str) -> Message {
        let call = Message::method_call("/a", member.to_owned());
        call.sender(sender.to_owned()).build(&()).unwrap()
    }

    fn plain(sender: &str, member: &str) -> Packet {
        Packet::of(call(sender, member))
    }

    fn with_file(member: &str) -> (Packet, oneshot::Sender<()>) {
        let (done, copied) = oneshot::channel();
        let files = vec![tokio::spawn(async move {
            copied.await.map_err(|_| Refusal::Failed("no".to_owned()))
        })];
        let message = call(":1.7", member);
        let packet = Packet {
            files,
            ..Packet::of(message)
        };
        (packet, done)
    }

    fn member(message: &Message) -> String {
        message.header().member().unwrap().to_string()
    }

    #[tokio::test]
    async fn what_is_behind_a_file_of_its_caller_waits_and_nothing_else_does() {
        let waiting = WaitingPackets::default();
        let (packet, done) = with_file("File");
        let Admitted::First(caller) = waiting.admit(packet).await else {
            panic!("it waits");
        };
        let behind = waiting.admit(plain(":1.7", "Behind")).await;
        assert!(matches!(behind, Admitted::Behind));
        let other = waiting.admit(plain(":1.8", "Other")).await;
        assert!(matches!(other, Admitted::Now(_)));
        let mut next = Box::pin(waiting.next(&caller));
        assert!(futures_util::poll!(&mut next).is_pending());
        done.send(()).unwrap();
        let (message, filled) = next.await.unwrap();
        assert_eq!((member(&message), filled), ("File".to_owned(), Ok(())));
        let (message, _) = waiting.next(&caller).await.unwrap();
        assert_eq!(member(&message), "Behind");
        assert!(waiting.next(&caller).await.is_none());
        let after = waiting.admit(plain(":1.7", "After")).await;
        assert!(matches!(after, Admitted::Now(_)));
    }

    #[tokio::test]
    async fn too_many_behind_a_file_end_its_waiting() {
        let waiting = WaitingPackets::default();
        let (packet, _done) = with_file("File");
        let Admitted::First(caller) = waiting.admit(packet).await else {
            panic!("it waits");
        };
        let mut next = Box::pin(waiting.next(&caller));
        assert!(futures_util::poll!(&mut next).is_pending());
        for _ in 0..WAITING_MAX {
            waiting.admit(plain(":1.7", "Behind")).await;
        }
        let mut one_more = Box::pin(waiting.admit(plain(":1.7", "Last")));
        assert!(futures_util::poll!(&mut one_more).is_pending());
        let (_, filled) = next.await.unwrap();
        assert!(
            matches!(filled, Err(Refusal::LimitsExceeded(_))),
            "{filled:?}"
        );
        assert!(waiting.next(&caller).await.is_some());
        assert!(matches!(one_more.await, Admitted::Behind));
    }

    #[tokio::test]
    async fn a_file_that_is_not_copied_is_an_error_and_the_next_packet_goes_on() {
        let waiting = WaitingPackets::default();
        let (packet, done) = with_file("File");
        let Admitted::First(caller) = waiting.admit(packet).await else {
            panic!("it waits");
        };
        waiting.admit(plain(":1.7", "Behind")).await;
        drop(done);
        assert!(waiting.next(&caller).await.unwrap().1.is_err());
        assert!(waiting.next(&caller).await.unwrap().1.is_ok());
    }

    #[tokio::test]
    async fn a_message_whose_descriptors_are_being_passed_waits_for_them_and_nobody_else_does() {
        let waiting = WaitingPackets::default();
        let (pass, passed) = oneshot::channel();
        let packet = Packet {
            arriving: Some(tokio::spawn(async move {
                passed.await.map_err(|_| Refusal::Failed("no".to_owned()))
            })),
            ..plain(":1.7", "Bare")
        };
        let Admitted::First(caller) = waiting.admit(packet).await else {
            panic!("it waits");
        };
        let other = waiting.admit(plain(":1.8", "Other")).await;
        assert!(matches!(other, Admitted::Now(_)));
        let whole = (call(":1.7", "Whole"), Vec::new());
        assert!(pass.send(whole).is_ok());
        let (message, filled) = waiting.next(&caller).await.unwrap();
        assert_eq!((member(&message), filled), ("Whole".to_owned(), Ok(())));
    }
}

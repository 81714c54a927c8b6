//! What the tests stand on: two buses with a bridge each, and clients.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroUsize,
};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use zbus::{Connection, Message, MessageStream, connection::Builder, message::Type};
use zocp_node::BeaconMode;

use crate::{
    config::{Config, Reload, Settings},
    run::{Status, run},
};
use zocp_dbus::{
    bus::BusChoice,
    testbus::{TestBus, soon},
};

/// A bridge on a bus.
pub(super) struct Bridge {
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
    reload: mpsc::Sender<Reload>,
    reloaded: watch::Receiver<usize>,
    pub(super) port: u16,
}

impl Bridge {
    /// Starts one; `rules` is the configuration's text, `peer` the port of another to meet.
    pub(super) async fn start(bus: &TestBus, name: &str, rules: &str, peer: Option<u16>) -> Self {
        let settings = settings(bus, name, rules, peer);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let mut ready = Some(ready);
        let (reload, reloads) = mpsc::channel(1);
        let (count, reloaded) = watch::channel(0);
        let done = tokio::spawn(async move {
            let stopped = async {
                stopped.await.ok();
            };
            let told = |status| match status {
                Status::Ready { port, .. } => {
                    if let Some(ready) = ready.take() {
                        ready.send(port).unwrap();
                    }
                }
                Status::Reloaded => count.send_modify(|count| *count += 1),
                _ => {}
            };
            run(settings, reloads, stopped, told).await.unwrap();
        });
        Self {
            stop: Some(stop),
            done,
            reload,
            reloaded,
            port: soon(is_ready).await.unwrap(),
        }
    }

    /// Gives it other rules, and waits until it follows them.
    pub(super) async fn reload(&mut self, rules: &str) {
        let settings = Config::parse(rules).unwrap().check().unwrap();
        self.reloaded.borrow_and_update();
        self.reload
            .send(settings.reload(None).unwrap())
            .await
            .unwrap();
        soon(self.reloaded.changed()).await.unwrap();
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        soon(&mut self.done).await.unwrap();
    }
}

fn settings(bus: &TestBus, name: &str, rules: &str, peer: Option<u16>) -> Settings {
    let mut settings = Config::parse(rules).unwrap().check().unwrap();
    settings.bus = bus.address.parse::<BusChoice>().unwrap();
    settings.node.name = name.to_owned();
    settings.node.loopback = true;
    settings.node.beacon = BeaconMode::Off;
    settings.node.peers = peer
        .into_iter()
        .map(|port| format!("tcp://127.0.0.1:{port}"))
        .collect();
    settings
}

/// Two buses and their bridges: services are on `stage`, who uses them at `foh`.
pub(super) struct Stage {
    pub(super) stage: TestBus,
    pub(super) foh: TestBus,
    pub(super) exporter: Bridge,
    pub(super) importer: Bridge,
}

impl Stage {
    /// Starts all.
    pub(super) async fn start(exports: &str, imports: &str) -> Self {
        Self::with(TestBus::start(), TestBus::start(), exports, imports).await
    }

    /// The same on buses that are there.
    pub(super) async fn with(stage: TestBus, foh: TestBus, exports: &str, imports: &str) -> Self {
        let exporter = Bridge::start(&stage, "stage", exports, None).await;
        let importer = Bridge::start(&foh, "foh", imports, Some(exporter.port)).await;
        Self {
            stage,
            foh,
            exporter,
            importer,
        }
    }
}

/// A program on a bus that sees everything that is sent to it, and who came and went on its bus.
///
/// A name is waited for before its end is: without that, "gone" is what a name is that is not there *yet*.
pub(super) struct Client {
    pub(super) connection: Connection,
    stream: MessageStream,
    kept: VecDeque<Message>,
    names: Names,
}

/// The names of a bus, as far as the client has read.
#[derive(Default)]
struct Names {
    owned: BTreeSet<String>,
    /// All that ever were, since the client came.
    seen: BTreeSet<String>,
    /// Those that [`Client::wait_until_owned`] found.
    awaited: BTreeSet<String>,
}

impl Names {
    /// Whether the message says that a name has another owner; then it is noted.
    fn note(&mut self, message: &Message) -> bool {
        let header = message.header();
        if header.member().is_none_or(|it| it != "NameOwnerChanged") {
            return false;
        }
        let (name, _, owner): (String, String, String) = message.body().deserialize().unwrap();
        match owner.is_empty() {
            true => self.owned.remove(&name),
            false => self.seen.insert(name.clone()) | self.owned.insert(name),
        };
        true
    }
}

impl Client {
    pub(super) async fn on(bus: &TestBus) -> Self {
        let mut stream = Builder::address(&*bus.address)
            .max_queued(NonZeroUsize::new(8192).unwrap())
            .build_message_stream()
            .await
            .unwrap();
        stream.set_max_queued(NonZeroUsize::new(8192).unwrap());
        let mut client = Self {
            connection: Connection::from(&stream),
            stream,
            kept: VecDeque::new(),
            names: Names::default(),
        };
        let changes = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'";
        client.ask(&bus_call("AddMatch", changes)).await;
        let there = client.names().await;
        client.names.seen.extend(there.iter().cloned());
        client.names.owned = there.into_iter().collect();
        client
    }

    /// Hears the signals of a service from now on.
    pub(super) async fn listen(&mut self, service: &str) {
        let rule = format!("type='signal',sender='{service}'");
        self.ask(&bus_call("AddMatch", &rule)).await;
    }

    /// Sends a call and waits for its answer, whichever.
    pub(super) async fn ask(&mut self, call: &Message) -> Message {
        self.connection.send(call).await.unwrap();
        self.answer(call).await
    }

    /// The answer to a call that was sent.
    pub(super) async fn answer(&mut self, call: &Message) -> Message {
        let serial = call.primary_header().serial_num();
        self.find(|message| message.header().reply_serial() == Some(serial))
            .await
    }

    /// The next signal of this name.
    pub(super) async fn signal(&mut self, member: &str) -> Message {
        self.find(|message| {
            message.message_type() == Type::Signal
                && message.header().member().is_some_and(|name| name == member)
        })
        .await
    }

    /// The first message like this, of those that came and those that come.
    pub(super) async fn find(&mut self, is_it: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(&is_it) {
            return self.kept.remove(at).unwrap();
        }
        soon(async {
            loop {
                match self.next().await {
                    Some(message) if is_it(&message) => return message,
                    other => self.kept.extend(other),
                }
            }
        })
        .await
    }

    /// The next message, unless it is of the bus, about a name.
    async fn next(&mut self) -> Option<Message> {
        let message = self.stream.next().await.unwrap().unwrap();
        (!self.names.note(&message)).then_some(message)
    }

    /// All messages that came before the answer to `marker`, in order; the answer itself is none of them. What
    /// must not come is told from what is not there yet by a marker that takes the same way behind it.
    pub(super) async fn heard_before(&mut self, marker: &Message) -> Vec<Message> {
        let answer = self.ask(marker).await;
        assert_eq!(super::service::error_name(&answer), "", "{answer:?}");
        std::mem::take(&mut self.kept).into()
    }

    /// All names, sorted.
    pub(super) async fn names(&mut self) -> Vec<String> {
        let call = Message::method_call("/org/freedesktop/DBus", "ListNames")
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .build(&())
            .unwrap();
        let mut names: Vec<String> = self.ask(&call).await.body().deserialize().unwrap();
        names.sort();
        names
    }

    /// Waits until somebody owns the name.
    pub(super) async fn wait_until_owned(&mut self, name: &str) {
        self.until(|names| names.owned.contains(name)).await;
        self.names.awaited.insert(name.to_owned());
    }

    /// Waits until nobody owns the name any more. The test must have waited for it to be owned before.
    pub(super) async fn wait_until_gone(&mut self, name: &str) {
        let was_there = self.names.awaited.remove(name);
        assert!(
            was_there,
            "{name} was not waited for: it may be yet to come"
        );
        self.until(|names| !names.owned.contains(name)).await;
    }

    /// Asserts that nobody owned the name, since this client came and until somebody owns `marker`: a name
    /// that comes by the same way, and later.
    pub(super) async fn assert_never(&mut self, name: &str, marker: &str) {
        self.wait_until_owned(marker).await;
        assert!(!self.names.seen.contains(name), "{name} was there");
    }

    /// Waits until somebody else owns the name, or somebody who was not there before.
    pub(super) async fn owner_other_than(&mut self, name: &str, owner: &str) -> String {
        loop {
            let answer = self.ask(&bus_call("GetNameOwner", name)).await;
            match answer.body().deserialize::<String>() {
                Ok(now) if answer.message_type() == Type::MethodReturn && now != owner => {
                    return now;
                }
                _ => self.change().await,
            }
        }
    }

    async fn until(&mut self, holds: impl Fn(&Names) -> bool) {
        // What the bus said before this answer has been read with it.
        self.ask(&bus_call("NameHasOwner", "org.freedesktop.DBus"))
            .await;
        while !holds(&self.names) {
            self.change().await;
        }
    }

    /// Reads until a name has another owner.
    async fn change(&mut self) {
        soon(async {
            while let Some(message) = self.next().await {
                self.kept.push_back(message);
            }
        })
        .await;
    }
}

/// A call to the bus itself, with a text.
pub(super) fn bus_call(member: &str, argument: &str) -> Message {
    bus_call_with(member, &argument)
}

/// A call to the bus itself.
pub(super) fn bus_call_with<B>(member: &str, body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    Message::method_call("/org/freedesktop/DBus", member)
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .build(body)
        .unwrap()
}

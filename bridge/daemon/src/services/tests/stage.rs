//! What the tests stand on: two buses with a bridge each, and clients.

use std::{collections::VecDeque, num::NonZeroUsize};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use zbus::{Connection, Message, MessageStream, connection::Builder, message::Type};
use zocp_node::BeaconMode;

use crate::{
    bus::BusChoice,
    config::{Config, Reload, Settings},
    run::{Status, run},
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

/// A program on a bus that sees everything that is sent to it.
pub(super) struct Client {
    pub(super) connection: Connection,
    stream: MessageStream,
    kept: VecDeque<Message>,
}

impl Client {
    pub(super) async fn on(bus: &TestBus) -> Self {
        let mut stream = Builder::address(&*bus.address)
            .max_queued(NonZeroUsize::new(8192).unwrap())
            .build_message_stream()
            .await
            .unwrap();
        stream.set_max_queued(NonZeroUsize::new(8192).unwrap());
        Self {
            connection: Connection::from(&stream),
            stream,
            kept: VecDeque::new(),
        }
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
                let message = self.stream.next().await.unwrap().unwrap();
                if is_it(&message) {
                    return message;
                }
                self.kept.push_back(message);
            }
        })
        .await
    }

    /// All messages in the order in which they came, until nothing comes for a moment.
    pub(super) async fn rest(&mut self) -> Vec<Message> {
        let moment = std::time::Duration::from_millis(300);
        while let Ok(Some(Ok(message))) = timeout(moment, self.stream.next()).await {
            self.kept.push_back(message);
        }
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

    /// Waits until a name is owned, or is not.
    pub(super) async fn wait(&mut self, name: &str, is_owned: bool) {
        let rule = format!("type='signal',member='NameOwnerChanged',arg0='{name}'");
        self.ask(&bus_call("AddMatch", &rule)).await;
        loop {
            let answer = self.ask(&bus_call("NameHasOwner", name)).await;
            if answer.body().deserialize::<bool>().unwrap() == is_owned {
                return;
            }
            self.signal("NameOwnerChanged").await;
        }
    }
}

/// A call to the bus itself.
pub(super) fn bus_call(member: &str, argument: &str) -> Message {
    Message::method_call("/org/freedesktop/DBus", member)
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .build(&argument)
        .unwrap()
}

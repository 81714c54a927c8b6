use std::sync::Mutex;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use zbus::{MessageStream, message::Type};

use super::*;
use crate::testbus::{TestBus, soon};

/// Records the received messages.
#[derive(Default, Clone)]
struct Recorder {
    messages: Arc<Mutex<Vec<Message>>>,
    received: Arc<Notify>,
}

impl Handler for Recorder {
    fn hear(&mut self, message: Message) {
        self.messages.lock().unwrap().push(message);
        self.received.notify_waiters();
    }
}

impl Recorder {
    async fn first(&self, is_it: impl Fn(&Message) -> bool) -> Message {
        let find = || {
            self.messages
                .lock()
                .unwrap()
                .iter()
                .find(|it| is_it(it))
                .cloned()
        };
        soon(until(&self.received, || find().is_some())).await;
        find().unwrap()
    }
}

/// A connection on a bus.
struct Fixture {
    bus: TestBus,
    connection: BusConnection,
    name: String,
    barrier: ReadBarrier,
    recorder: Recorder,
    stop: CancellationToken,
    event_loop: tokio::task::JoinHandle<Ended>,
}

impl Fixture {
    async fn start() -> Self {
        let bus = TestBus::start();
        let connected = connect(&bus.address).await.unwrap();
        let (connection, recorder, stop) = (
            BusConnection::default(),
            Recorder::default(),
            CancellationToken::new(),
        );
        let (name, barrier) = (
            connected.unique_name().to_string(),
            connected.read_barrier(),
        );
        let event_loop = {
            let (connection, mut recorder, stop) =
                (connection.clone(), recorder.clone(), stop.clone());
            tokio::spawn(async move { run(&connection, connected, &mut recorder, &stop).await })
        };
        Self {
            bus,
            connection,
            name,
            barrier,
            recorder,
            stop,
            event_loop,
        }
    }

    fn signal(&self, to: &str, body: &Vec<u8>) -> Outgoing {
        let signal = Message::signal("/", "org.a.B", "C").destination(to.to_owned());
        Outgoing::build(signal, body).unwrap()
    }
}

#[tokio::test]
async fn what_is_longer_than_any_buffer_passes_whole_and_in_order() {
    let fixture = Fixture::start().await;
    let client = fixture.bus.client().await;
    let mut told = MessageStream::from(&client);
    let client_name = client.unique_name().unwrap().to_string();
    // Some are far more than a socket takes at once, so they are written in parts.
    let signals: Vec<Outgoing> = [3, 2 << 20, 70_000, 0, 300_000]
        .iter()
        .map(|len| fixture.signal(&client_name, &vec![len.to_string().as_bytes()[0]; *len]))
        .collect();
    for signal in &signals {
        fixture.connection.push(signal.clone());
    }
    for (number, signal) in signals.iter().enumerate() {
        let message = loop {
            let message = soon(told.next()).await.unwrap().unwrap();
            if message.header().member().is_some_and(|name| name == "C") {
                break message;
            }
        };
        assert!(body(&message) == body(signal), "signal {number}");
        let back = Message::signal("/", "org.a.B", "C").destination(fixture.name.clone());
        let back = back.build(&message.body().deserialize::<&[u8]>().unwrap());
        client.send(&back.unwrap()).await.unwrap();
    }
    let is_ours = |it: &&Message| it.header().member().is_some_and(|name| name == "C");
    let received = || -> Vec<Vec<u8>> {
        let messages = fixture.recorder.messages.lock().unwrap();
        messages.iter().filter(is_ours).map(body).collect()
    };
    soon(until(&fixture.recorder.received, || {
        received().len() == signals.len()
    }))
    .await;
    assert!(received() == signals.iter().map(|it| body(it)).collect::<Vec<_>>());
}

/// The octets of a body.
fn body(message: &Message) -> Vec<u8> {
    message.body().data().bytes().to_vec()
}

#[tokio::test]
async fn queued_messages_are_sent_before_a_connection_closes() {
    let fixture = Fixture::start().await;
    let client = fixture.bus.client().await;
    let mut told = MessageStream::from(&client);
    let client_name = client.unique_name().unwrap().to_string();
    let body = vec![7; 1 << 20];
    fixture.connection.push(fixture.signal(&client_name, &body));
    fixture.stop.cancel();
    assert!(matches!(
        soon(fixture.event_loop).await.unwrap(),
        Ended::Stopped
    ));
    loop {
        let message = soon(told.next()).await.unwrap().unwrap();
        if message.header().member().is_some_and(|name| name == "C") {
            assert!(message.body().deserialize::<Vec<u8>>().unwrap() == body);
            break;
        }
    }
}

/// Receives one message and is then busy until it is resumed.
#[derive(Default, Clone)]
struct Busy {
    recorder: Recorder,
    resume: Arc<Notify>,
    is_resumed: Arc<std::sync::atomic::AtomicBool>,
}

impl Handler for Busy {
    fn hear(&mut self, message: Message) {
        if message.header().member().is_some_and(|name| name == "C") {
            self.recorder.hear(message);
        }
    }

    fn busy(&self) -> Option<futures_util::future::BoxFuture<'static, ()>> {
        let is_busy = self.recorder.messages.lock().unwrap().len() == 1;
        let (resume, is_resumed) = (self.resume.clone(), self.is_resumed.clone());
        let is_resumed = move || is_resumed.load(Ordering::Acquire);
        (is_busy && !is_resumed()).then(|| -> futures_util::future::BoxFuture<'static, ()> {
            Box::pin(async move { until(&resume, is_resumed).await })
        })
    }
}

#[tokio::test]
async fn a_busy_handler_receives_the_rest_once_it_is_ready() {
    let bus = TestBus::start();
    let connected = connect(&bus.address).await.unwrap();
    let (connection, stop, busy) = (
        BusConnection::default(),
        CancellationToken::new(),
        Busy::default(),
    );
    let name = connected.unique_name().to_string();
    let client = bus.client().await;
    let signal = Message::signal("/", "org.a.B", "C").destination(name);
    let signal = signal.build(&()).unwrap();
    for _ in 0..200 {
        client.send(&signal).await.unwrap();
    }
    let mut handler = busy.clone();
    let event_loop = run(&connection, connected, &mut handler, &stop);
    let watching = async {
        busy.recorder.first(|_| true).await;
        // The connection still handles nudges and writes.
        connection.ask_bus("GetId", &());
        soon(until_written(&connection)).await;
        assert_eq!(busy.recorder.messages.lock().unwrap().len(), 1);
        busy.is_resumed.store(true, Ordering::Release);
        busy.resume.notify_waiters();
        let count = || busy.recorder.messages.lock().unwrap().len();
        soon(until(&busy.recorder.received, || count() == 200)).await;
    };
    tokio::select! {
        _ = event_loop => panic!("it goes on"),
        () = watching => {}
    }
}

async fn until_written(connection: &BusConnection) {
    while connection.octets() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_bus() {
    let mut fixture = Fixture::start().await;
    fixture
        .recorder
        .first(|it| it.message_type() == Type::Signal)
        .await;
    fixture.bus.kill();
    assert!(matches!(
        soon(&mut fixture.event_loop).await.unwrap(),
        Ended::Failed(_)
    ));
    fixture.connection.push(fixture.signal(":1.1", &vec![1]));
    assert!(!fixture.barrier.is_level(), "nothing is known any more");
}

#[tokio::test]
async fn a_read_barrier_is_level_when_all_was_processed() {
    let bus = TestBus::start();
    let connected = connect(&bus.address).await.unwrap();
    let barrier = connected.read_barrier();
    let client = bus.client().await;
    // The bus has replied to the client, so it has written the earlier message to us; nobody reads it yet.
    zbus::fdo::DBusProxy::new(&client)
        .await
        .unwrap()
        .get_id()
        .await
        .unwrap();
    assert!(!barrier.is_level());
    let (connection, mut recorder, stop) = (
        BusConnection::default(),
        Recorder::default(),
        CancellationToken::new(),
    );
    let received = recorder.clone();
    let event_loop = run(&connection, connected, &mut recorder, &stop);
    tokio::pin!(event_loop);
    tokio::select! {
        _ = &mut event_loop => panic!("it goes on"),
        _ = received.first(|it| it.message_type() == Type::Signal) => {}
    }
    assert!(barrier.is_level());
}

#[tokio::test]
async fn descriptors_come_with_the_message_that_brought_them() {
    let fixture = Fixture::start().await;
    let client = fixture.bus.client().await;
    let file = std::fs::File::open("/dev/null").unwrap();
    client
        .send(&fixture.signal(&fixture.name, &vec![1]))
        .await
        .unwrap();
    let brings = Message::signal("/", "org.a.B", "Brings").destination(fixture.name.clone());
    let brings = brings
        .build(&zbus::Fd::from(std::os::fd::OwnedFd::from(file)))
        .unwrap();
    client.send(&brings).await.unwrap();
    client
        .send(&fixture.signal(&fixture.name, &vec![2]))
        .await
        .unwrap();
    let is = |name: &'static str| move |it: &Message| it.header().member().unwrap() == name;
    let brought = fixture.recorder.first(is("Brings")).await;
    assert_eq!(brought.data().fds().len(), 1);
    let plain = fixture.recorder.first(is("C")).await;
    assert!(plain.data().fds().is_empty());
}

#[tokio::test]
async fn messages_with_descriptors_hold_nothing_up() {
    let fixture = Fixture::start().await;
    let client = fixture.bus.client().await;
    let file = std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let brings = Message::signal("/", "org.a.B", "Brings").destination(fixture.name.clone());
    let brings = brings.build(&zbus::Fd::from(file)).unwrap();
    let mut all = vec![brings; 100];
    all.push(Message::clone(&fixture.signal(&fixture.name, &vec![1])));
    client.send_all(&all).await.unwrap();
    // No later message makes the kernel report readability again.
    let is_plain = |it: &Message| it.header().member().unwrap() == "C";
    fixture.recorder.first(is_plain).await;
    let messages = fixture.recorder.messages.lock().unwrap();
    let brought = messages.iter().filter(|it| it.data().fds().len() == 1);
    assert_eq!(brought.count(), 100);
}

#[tokio::test]
async fn who_calls_with_what_cannot_be_read_is_refused() {
    let fixture = Fixture::start().await;
    let client = fixture.bus.client().await;
    let mut told = MessageStream::from(&client);
    // A bus does not check the index of a descriptor.
    let call = Message::method_call("/", "Take").destination(fixture.name.clone());
    // SAFETY: only this code considers it malformed; the bus forwards it.
    #[expect(unsafe_code, reason = "a safe builder refuses it")]
    let call = unsafe { call.build_raw_body(&[0; 4], "h", Vec::new()) }.unwrap();
    client.send(&call).await.unwrap();
    let serial = call.primary_header().serial_num();
    loop {
        let message = soon(told.next()).await.unwrap().unwrap();
        if message.header().reply_serial() == Some(serial) {
            let name = message.header().error_name().unwrap().to_string();
            break assert_eq!(name, zocp_interfaces::errors::INVALID_ARGS);
        }
    }
    client
        .send(&fixture.signal(&fixture.name, &vec![1]))
        .await
        .unwrap();
    fixture
        .recorder
        .first(|it| it.header().member().is_some_and(|it| it == "C"))
        .await;
}

#[tokio::test]
async fn who_is_no_bus_is_not_taken_for_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"REJECTED ANONYMOUS\r\n").unwrap();
        drop(stream);
        listener.accept().unwrap();
    });
    let address = format!("unix:path={}", path.display());
    let refused = connect(&address).await.unwrap_err();
    assert!(refused.to_string().contains("REJECTED"), "{refused}");
    assert!(connect(&address).await.is_err(), "it hung up");
    answering.join().unwrap();
    let nowhere = connect("unix:path=/nonexistent/socket").await.unwrap_err();
    assert!(
        nowhere.to_string().contains("cannot be reached"),
        "{nowhere}"
    );
    assert!(connect("nonsense").await.is_err());
}

#[tokio::test]
async fn buses_are_reached_by_abstract_names_and_over_tcp_too() {
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().join("bus");
    let bus = TestBus::listening(&format!("unix:abstract={}", name.display()));
    let connected = connect(&bus.address).await.unwrap();
    assert!(connected.unique_name().starts_with(':'));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let near = TestBus::start();
    let path = near.address.strip_prefix("unix:path=").unwrap();
    let path = path.split(',').next().unwrap().to_owned();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bus = tokio::net::UnixStream::connect(path).await.unwrap();
        tokio::io::copy_bidirectional(&mut stream, &mut bus).await
    });
    let connected = connect(&format!("tcp:host=127.0.0.1,port={port}")).await;
    assert!(connected.unwrap().unique_name().starts_with(':'));
}

/// A connection to a bus within this process.
async fn attached(bus: &zocp_bus::Server) -> AttachedFixture {
    let connected = attach(&bus.handle()).await.unwrap();
    let name = connected.unique_name().to_string();
    let (connection, recorder) = (BusConnection::default(), Recorder::default());
    let event_loop = {
        let (connection, mut recorder) = (connection.clone(), recorder.clone());
        let stop = CancellationToken::new();
        tokio::spawn(async move { run(&connection, connected, &mut recorder, &stop).await })
    };
    AttachedFixture {
        connection,
        name,
        recorder,
        event_loop,
    }
}

struct AttachedFixture {
    connection: BusConnection,
    name: String,
    recorder: Recorder,
    event_loop: tokio::task::JoinHandle<Ended>,
}

#[tokio::test]
async fn a_connection_within_the_process_is_one_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus");
    let bus = zocp_bus::Server::bind(&path, zocp_bus::ServerConfig::for_user()).unwrap();
    let attached = attached(&bus).await;
    let address = format!("unix:path={}", path.display());
    let client = zbus::connection::Builder::address(&*address);
    let client = client.build().await.unwrap();
    let client_name = client.unique_name().unwrap().to_string();
    let mut told = MessageStream::from(&client);
    for len in [0, 3, 70_000, 2 << 20] {
        let signal = Message::signal("/", "org.a.B", "C").destination(client_name.clone());
        let signal = Outgoing::build(signal, &vec![7u8; len]).unwrap();
        attached.connection.push(signal);
        let message = loop {
            let message = soon(told.next()).await.unwrap().unwrap();
            if message.header().member().is_some_and(|name| name == "C") {
                break message;
            }
        };
        assert_eq!(message.header().sender().unwrap().as_str(), attached.name);
        assert_eq!(message.body().deserialize::<&[u8]>().unwrap().len(), len);
        let back = Message::signal("/", "org.a.B", "Back").destination(attached.name.clone());
        client
            .send(&back.build(&vec![8u8; len]).unwrap())
            .await
            .unwrap();
        let is_it = |it: &Message| {
            it.header().member().is_some_and(|name| name == "Back")
                && it
                    .body()
                    .deserialize::<&[u8]>()
                    .is_ok_and(|body| body.len() == len)
        };
        attached.recorder.first(is_it).await;
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    let signal = Message::signal("/", "org.a.B", "WithPipe").destination(client_name.clone());
    attached.connection.push(
        Outgoing::build(signal, &zbus::Fd::from(std::os::fd::OwnedFd::from(reader))).unwrap(),
    );
    let message = loop {
        let message = soon(told.next()).await.unwrap().unwrap();
        if message
            .header()
            .member()
            .is_some_and(|name| name == "WithPipe")
        {
            break message;
        }
    };
    std::io::Write::write_all(&mut writer, b"octets").unwrap();
    drop(writer);
    let received: zbus::OwnedFd = message.body().deserialize().unwrap();
    let mut file = std::fs::File::from(std::os::fd::OwnedFd::from(received));
    let mut octets = String::new();
    std::io::Read::read_to_string(&mut file, &mut octets).unwrap();
    assert_eq!(octets, "octets");
    drop(bus);
    assert!(matches!(
        soon(attached.event_loop).await.unwrap(),
        Ended::Failed(_)
    ));
}

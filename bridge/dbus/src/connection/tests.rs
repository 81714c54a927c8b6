use std::sync::Mutex;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use zbus::{MessageStream, message::Type};

use super::*;
use crate::testbus::{TestBus, soon};

/// Keeps what it hears.
#[derive(Default, Clone)]
struct Kept {
    messages: Arc<Mutex<Vec<Message>>>,
    heard: Arc<Notify>,
}

impl Handler for Kept {
    fn hear(&mut self, message: Message) {
        self.messages.lock().unwrap().push(message);
        self.heard.notify_waiters();
    }
}

impl Kept {
    async fn first(&self, is_it: impl Fn(&Message) -> bool) -> Message {
        let find = || {
            self.messages
                .lock()
                .unwrap()
                .iter()
                .find(|it| is_it(it))
                .cloned()
        };
        soon(until(&self.heard, || find().is_some())).await;
        find().unwrap()
    }
}

/// A line on a bus.
struct Stage {
    bus: TestBus,
    line: BusConnection,
    name: String,
    barrier: ReadBarrier,
    kept: Kept,
    stop: CancellationToken,
    living: tokio::task::JoinHandle<Ended>,
}

impl Stage {
    async fn start() -> Self {
        let bus = TestBus::start();
        let connected = connect(&bus.address).await.unwrap();
        let (line, kept, stop) = (
            BusConnection::default(),
            Kept::default(),
            CancellationToken::new(),
        );
        let (name, barrier) = (
            connected.unique_name().to_string(),
            connected.read_barrier(),
        );
        let living = {
            let (line, mut kept, stop) = (line.clone(), kept.clone(), stop.clone());
            tokio::spawn(async move { run(&line, connected, &mut kept, &stop).await })
        };
        Self {
            bus,
            line,
            name,
            barrier,
            kept,
            stop,
            living,
        }
    }

    fn signal(&self, to: &str, body: &Vec<u8>) -> Outgoing {
        let signal = Message::signal("/", "org.a.B", "C").destination(to.to_owned());
        Outgoing::build(signal, body).unwrap()
    }
}

#[tokio::test]
async fn what_is_longer_than_any_buffer_passes_whole_and_in_order() {
    let stage = Stage::start().await;
    let client = stage.bus.client().await;
    let mut told = MessageStream::from(&client);
    let client_name = client.unique_name().unwrap().to_string();
    // Some are far more than a socket takes at once, so they are written in parts.
    let signals: Vec<Outgoing> = [3, 2 << 20, 70_000, 0, 300_000]
        .iter()
        .map(|len| stage.signal(&client_name, &vec![len.to_string().as_bytes()[0]; *len]))
        .collect();
    for signal in &signals {
        stage.line.push(signal.clone());
    }
    for (number, signal) in signals.iter().enumerate() {
        let message = loop {
            let message = soon(told.next()).await.unwrap().unwrap();
            if message.header().member().is_some_and(|name| name == "C") {
                break message;
            }
        };
        assert!(body(&message) == body(signal), "signal {number}");
        let back = Message::signal("/", "org.a.B", "C").destination(stage.name.clone());
        let back = back.build(&message.body().deserialize::<&[u8]>().unwrap());
        client.send(&back.unwrap()).await.unwrap();
    }
    let is_ours = |it: &&Message| it.header().member().is_some_and(|name| name == "C");
    let heard = || -> Vec<Vec<u8>> {
        let messages = stage.kept.messages.lock().unwrap();
        messages.iter().filter(is_ours).map(body).collect()
    };
    soon(until(&stage.kept.heard, || heard().len() == signals.len())).await;
    assert!(heard() == signals.iter().map(|it| body(it)).collect::<Vec<_>>());
}

/// The octets of a body.
fn body(message: &Message) -> Vec<u8> {
    message.body().data().bytes().to_vec()
}

#[tokio::test]
async fn what_is_queued_when_a_line_ends_goes_out_first() {
    let stage = Stage::start().await;
    let client = stage.bus.client().await;
    let mut told = MessageStream::from(&client);
    let client_name = client.unique_name().unwrap().to_string();
    let body = vec![7; 1 << 20];
    stage.line.push(stage.signal(&client_name, &body));
    stage.stop.cancel();
    assert!(matches!(soon(stage.living).await.unwrap(), Ended::Stopped));
    loop {
        let message = soon(told.next()).await.unwrap().unwrap();
        if message.header().member().is_some_and(|name| name == "C") {
            assert!(message.body().deserialize::<Vec<u8>>().unwrap() == body);
            break;
        }
    }
}

/// Takes one message, then none before it is let.
#[derive(Default, Clone)]
struct Busy {
    kept: Kept,
    let_on: Arc<Notify>,
    is_let: Arc<std::sync::atomic::AtomicBool>,
}

impl Handler for Busy {
    fn hear(&mut self, message: Message) {
        if message.header().member().is_some_and(|name| name == "C") {
            self.kept.hear(message);
        }
    }

    fn busy(&self) -> Option<futures_util::future::BoxFuture<'static, ()>> {
        let is_busy = self.kept.messages.lock().unwrap().len() == 1;
        let (let_on, is_let) = (self.let_on.clone(), self.is_let.clone());
        let is_let = move || is_let.load(Ordering::Acquire);
        (is_busy && !is_let()).then(|| -> futures_util::future::BoxFuture<'static, ()> {
            Box::pin(async move { until(&let_on, is_let).await })
        })
    }
}

#[tokio::test]
async fn an_ear_that_is_busy_hears_the_rest_when_it_is_let() {
    let bus = TestBus::start();
    let connected = connect(&bus.address).await.unwrap();
    let (line, stop, busy) = (
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
    let mut ear = busy.clone();
    let living = run(&line, connected, &mut ear, &stop);
    let watching = async {
        busy.kept.first(|_| true).await;
        // The line still answers nudges and writes.
        line.ask_bus("GetId", &());
        soon(until_written(&line)).await;
        assert_eq!(busy.kept.messages.lock().unwrap().len(), 1);
        busy.is_let.store(true, Ordering::Release);
        busy.let_on.notify_waiters();
        let count = || busy.kept.messages.lock().unwrap().len();
        soon(until(&busy.kept.heard, || count() == 200)).await;
    };
    tokio::select! {
        _ = living => panic!("it goes on"),
        () = watching => {}
    }
}

async fn until_written(line: &BusConnection) {
    while line.octets() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_line_ends_with_its_bus() {
    let mut stage = Stage::start().await;
    stage
        .kept
        .first(|it| it.message_type() == Type::Signal)
        .await;
    stage.bus.kill();
    assert!(matches!(
        soon(&mut stage.living).await.unwrap(),
        Ended::Failed(_)
    ));
    stage.line.push(stage.signal(":1.1", &vec![1]));
    assert!(!stage.barrier.is_level(), "nothing is known any more");
}

#[tokio::test]
async fn a_read_barrier_is_level_when_all_was_heard() {
    let bus = TestBus::start();
    let connected = connect(&bus.address).await.unwrap();
    let barrier = connected.read_barrier();
    let client = bus.client().await;
    // The bus has answered the client, so it has written what it had for us before; nobody reads.
    zbus::fdo::DBusProxy::new(&client)
        .await
        .unwrap()
        .get_id()
        .await
        .unwrap();
    assert!(!barrier.is_level());
    let (line, mut kept, stop) = (
        BusConnection::default(),
        Kept::default(),
        CancellationToken::new(),
    );
    let heard = kept.clone();
    let living = run(&line, connected, &mut kept, &stop);
    tokio::pin!(living);
    tokio::select! {
        _ = &mut living => panic!("it goes on"),
        _ = heard.first(|it| it.message_type() == Type::Signal) => {}
    }
    assert!(barrier.is_level());
}

#[tokio::test]
async fn descriptors_come_with_the_message_that_brought_them() {
    let stage = Stage::start().await;
    let client = stage.bus.client().await;
    let file = std::fs::File::open("/dev/null").unwrap();
    client
        .send(&stage.signal(&stage.name, &vec![1]))
        .await
        .unwrap();
    let brings = Message::signal("/", "org.a.B", "Brings").destination(stage.name.clone());
    let brings = brings
        .build(&zbus::Fd::from(std::os::fd::OwnedFd::from(file)))
        .unwrap();
    client.send(&brings).await.unwrap();
    client
        .send(&stage.signal(&stage.name, &vec![2]))
        .await
        .unwrap();
    let is = |name: &'static str| move |it: &Message| it.header().member().unwrap() == name;
    let brought = stage.kept.first(is("Brings")).await;
    assert_eq!(brought.data().fds().len(), 1);
    let plain = stage.kept.first(is("C")).await;
    assert!(plain.data().fds().is_empty());
}

#[tokio::test]
async fn messages_with_descriptors_hold_nothing_up() {
    let stage = Stage::start().await;
    let client = stage.bus.client().await;
    let file = std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let brings = Message::signal("/", "org.a.B", "Brings").destination(stage.name.clone());
    let brings = brings.build(&zbus::Fd::from(file)).unwrap();
    let mut all = vec![brings; 100];
    all.push(Message::clone(&stage.signal(&stage.name, &vec![1])));
    client.send_all(&all).await.unwrap();
    // Nothing comes behind it that would have the kernel tell of it once more.
    let is_plain = |it: &Message| it.header().member().unwrap() == "C";
    stage.kept.first(is_plain).await;
    let messages = stage.kept.messages.lock().unwrap();
    let brought = messages.iter().filter(|it| it.data().fds().len() == 1);
    assert_eq!(brought.count(), 100);
}

#[tokio::test]
async fn who_calls_with_what_cannot_be_read_is_refused() {
    let stage = Stage::start().await;
    let client = stage.bus.client().await;
    let mut told = MessageStream::from(&client);
    // A bus takes the index of a descriptor for a number.
    let call = Message::method_call("/", "Take").destination(stage.name.clone());
    // SAFETY: malformed for us alone; the bus passes it on.
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
        .send(&stage.signal(&stage.name, &vec![1]))
        .await
        .unwrap();
    stage
        .kept
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

//! A service with every kind of answer and signal.

use std::collections::HashMap;

use futures_util::StreamExt;
use tokio::sync::{Mutex, mpsc};
use zbus::{
    Message, MessageStream,
    connection::Builder,
    message::{Header, Type},
    wire::Endian,
};

use zocp_dbus::testbus::{TestBus, soon};
use zocp_relay::transport::testing::reply_with_body_of;

/// The interface of the service.
pub(super) const INTERFACE: &str = "org.example.Every1";

/// The interface that its callers have.
pub(super) const AGENT: &str = "org.example.Agent1";

/// A call of it without arguments.
pub(super) fn plain(service: &str, member: &str) -> Message {
    Message::method_call("/one", member)
        .destination(service.to_owned())
        .interface(INTERFACE)
        .build(&())
        .unwrap()
}

/// The name of the error that an answer is; empty if it is none.
pub(super) fn error_name(answer: &Message) -> String {
    let header = answer.header();
    header
        .error_name()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// A service that runs until it is dropped.
pub(super) struct Service {
    task: tokio::task::JoinHandle<()>,
    pub(super) connection: zbus::Connection,
    answer_now: mpsc::Sender<()>,
    refusals: Mutex<mpsc::Receiver<String>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    pub(super) async fn start(bus: &TestBus, name: &str) -> Self {
        Self::at(&bus.address, name).await
    }

    /// On the bus at this address.
    pub(super) async fn at(address: &str, name: &str) -> Self {
        let stream = Builder::address(address)
            .name(name.to_owned())
            .build_message_stream()
            .await
            .unwrap();
        let connection = zbus::Connection::from(&stream);
        let serving = connection.clone();
        let (answer_now, answers) = mpsc::channel(1);
        let (refused, refusals) = mpsc::channel(16);
        Self {
            task: tokio::spawn(serve(serving, stream, answers, refused)),
            connection,
            answer_now,
            refusals: Mutex::new(refusals),
        }
    }

    /// The next error that a caller which it called answered with.
    pub(super) async fn refused(&self) -> String {
        soon(self.refusals.lock().await.recv()).await.unwrap()
    }

    /// One that never answers anything.
    pub(super) async fn that_hangs(bus: &TestBus, name: &str) -> zbus::Connection {
        let connection = bus.client().await;
        connection.request_name(name.to_owned()).await.unwrap();
        connection
    }

    /// Until it has left its bus.
    pub(super) async fn ended(mut self) {
        (&mut self.task).await.ok();
    }

    /// Has it answer the calls of `Later` that came.
    pub(super) async fn answer_now(&self) {
        self.answer_now.send(()).await.unwrap();
    }

    /// Leaves the bus.
    pub(super) async fn stop(self) {
        self.connection.clone().close().await.unwrap();
    }
}

async fn serve(
    connection: zbus::Connection,
    mut stream: MessageStream,
    mut answer_now: mpsc::Receiver<()>,
    refused: mpsc::Sender<String>,
) {
    let mut later = Vec::new();
    let mut registering = HashMap::new();
    loop {
        tokio::select! {
            call = stream.next() => {
                let Some(Ok(call)) = call else { return };
                if let Some(serial) = call.header().reply_serial() {
                    let Some(register) = registering.remove(&serial) else { continue };
                    if !error_name(&call).is_empty() {
                        refused.send(error_name(&call)).await.unwrap();
                    }
                    connection.send(&registered(&register, &call)).await.unwrap();
                }
                if call.message_type() != Type::MethodCall {
                    continue;
                }
                for message in answers(&call) {
                    connection.send(&message).await.unwrap();
                }
                match call.header().member().map(|name| name.as_str()) {
                    Some("Later") => later.push(call),
                    Some("Register") => {
                        let question = question(&call);
                        registering.insert(question.primary_header().serial_num(), call);
                        connection.send(&question).await.unwrap();
                    }
                    Some("Leave") => return connection.close().await.unwrap(),
                    _ => {}
                }
            }
            Some(()) = answer_now.recv() => {
                for call in later.drain(..) {
                    let answer = Message::method_return(&call.header()).build(&()).unwrap();
                    connection.send(&answer).await.unwrap();
                }
            }
        }
    }
}

/// What the service asks of who registers.
fn question(register: &Message) -> Message {
    Message::method_call("/agent", "Confirm")
        .destination(register.header().sender().unwrap().to_owned())
        .interface(AGENT)
        .build(&"really?")
        .unwrap()
}

/// What who registers is told: what it answered itself.
fn registered(register: &Message, answer: &Message) -> Message {
    let header = register.header();
    if answer.message_type() == Type::Error {
        let name = error_name(answer);
        return Message::error(&header, name).build(&"no").unwrap();
    }
    let body: (String, u32) = answer.body().deserialize().unwrap();
    Message::method_return(&header).build(&body).unwrap()
}

/// What a call leads to, in order.
fn answers(call: &Message) -> Vec<Message> {
    let header = call.header();
    match header.member().unwrap().as_str() {
        // The caller's octets, as they are.
        "Echo" => vec![reply_with_body_of(call)],
        "Fail" => vec![
            Message::error(&header, "org.example.Error.Broken")
                .endian(Endian::Big)
                .build(&("lamp is out", 42u16, vec![1.5f64]))
                .unwrap(),
        ],
        "Burst" => burst(call, &header),
        "Never" | "Later" | "Register" => vec![],
        "Whisper" => vec![
            Message::signal("/one", INTERFACE, "Psst")
                .destination(header.sender().unwrap().to_owned())
                .build(&"for you")
                .unwrap(),
            Message::method_return(&header).build(&()).unwrap(),
        ],
        "Sender" => vec![
            Message::method_return(&header)
                .build(&header.sender().unwrap().as_str())
                .unwrap(),
        ],
        "Interface" => vec![
            Message::method_return(&header)
                .build(&header.interface().map_or("", |name| name.as_str()))
                .unwrap(),
        ],
        "Long" => {
            let octets: u32 = call.body().deserialize().unwrap();
            let body = vec![0u8; octets as usize];
            vec![Message::method_return(&header).build(&body).unwrap()]
        }
        "Leave" => vec![Message::method_return(&header).build(&()).unwrap()],
        "Introspect" => vec![Message::method_return(&header).build(&"<node/>").unwrap()],
        _ => vec![
            Message::error(&header, "org.freedesktop.DBus.Error.UnknownMethod")
                .build(&())
                .unwrap(),
        ],
    }
}

fn burst(call: &Message, header: &Header<'_>) -> Vec<Message> {
    let count: u32 = call.body().deserialize().unwrap();
    let tick = |number: u32| {
        Message::signal("/one", INTERFACE, "Tick")
            .build(&number)
            .unwrap()
    };
    let mut messages: Vec<Message> = (0..count).map(tick).collect();
    messages.push(Message::method_return(header).build(&count).unwrap());
    messages
}

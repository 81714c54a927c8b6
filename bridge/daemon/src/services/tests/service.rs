//! A service with every kind of answer and signal.

use futures_util::StreamExt;
use zbus::{
    Message, MessageStream,
    connection::Builder,
    message::{Header, Type},
    wire::Endian,
};

use crate::{testbus::TestBus, transport::rebuild};

/// The interface of the service.
pub(super) const INTERFACE: &str = "org.example.Every1";

/// A service that runs until it is dropped.
pub(super) struct Service {
    task: tokio::task::JoinHandle<()>,
    pub(super) connection: zbus::Connection,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    pub(super) async fn start(bus: &TestBus, name: &str) -> Self {
        let stream = Builder::address(&*bus.address)
            .name(name.to_owned())
            .build_message_stream()
            .await
            .unwrap();
        let connection = zbus::Connection::from(&stream);
        let serving = connection.clone();
        Self {
            task: tokio::spawn(serve(serving, stream)),
            connection,
        }
    }

    /// Leaves the bus.
    pub(super) async fn stop(self) {
        self.connection.clone().close().await.unwrap();
    }
}

async fn serve(connection: zbus::Connection, mut stream: MessageStream) {
    while let Some(Ok(call)) = stream.next().await {
        if call.message_type() == Type::MethodCall {
            for message in answers(&call) {
                connection.send(&message).await.unwrap();
            }
        }
    }
}

/// What a call leads to, in order.
fn answers(call: &Message) -> Vec<Message> {
    let header = call.header();
    match header.member().unwrap().as_str() {
        // The caller's octets, as they are.
        "Echo" => vec![rebuild(Message::method_return(&header), call).unwrap()],
        "Fail" => vec![
            Message::error(&header, "org.example.Error.Broken")
                .endian(Endian::Big)
                .build(&("lamp is out", 42u16, vec![1.5f64]))
                .unwrap(),
        ],
        "Burst" => burst(call, &header),
        "Never" => vec![],
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

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use futures_util::{FutureExt, StreamExt};
use zbus::message::Type;

use super::*;
use crate::{message::received::received, testbus::soon};

/// A bus with one client, to which it sends the messages of the test.
struct Bus(UnixStream);

impl Bus {
    /// Listens; a thread accepts, does the handshake and serves the client.
    fn start<T: Send + 'static>(
        go_on: impl FnOnce(Self) -> T + Send + 'static,
    ) -> (tempfile::TempDir, String, thread::JoinHandle<T>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        let running = thread::spawn(move || go_on(Self::greet(listener.accept().unwrap().0)));
        (directory, address, running)
    }

    fn greet(mut stream: UnixStream) -> Self {
        let mut said = Vec::new();
        while !said.ends_with(b"BEGIN\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            said.push(octet[0]);
        }
        let guid = "0123456789abcdef0123456789abcdef";
        write!(stream, "OK {guid}\r\nAGREE_UNIX_FD\r\n").unwrap();
        let mut bus = Self(stream);
        let hello = bus.next();
        let name = Message::method_return(&hello.header());
        bus.send(&name.sender(":1.0").build(&":1.5").unwrap());
        bus
    }

    fn send(&mut self, message: &Message) {
        self.0.write_all(message.data().bytes()).unwrap();
    }

    fn next(&mut self) -> Message {
        let mut octets = vec![0; 16];
        self.0.read_exact(&mut octets).unwrap();
        let number = |at| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap()) as usize;
        let len = 16 + number(12).next_multiple_of(8) + number(4);
        octets.resize(len, 0);
        self.0.read_exact(&mut octets[16..]).unwrap();
        received(octets, &mut Vec::new()).unwrap()
    }
}

fn signal(member: &str) -> Message {
    let signal = Message::signal("/", "org.a.B", member).sender(":1.9");
    signal.build(&"body").unwrap()
}

/// A message whose first header field is unknown.
fn with_odd_field(message: &Message) -> Vec<u8> {
    let octets = message.data().bytes();
    let mut odd = octets.to_vec();
    let len = u32::from_le_bytes(octets[12..16].try_into().unwrap()) + 8;
    odd[12..16].copy_from_slice(&len.to_le_bytes());
    odd.splice(16..16, *b"\x4d\x01u\0\x01\0\0\0");
    odd
}

async fn connection(address: &str, descriptors: Descriptors, report: Report) -> MessageStream {
    let ready = ready(address, descriptors, report).await.unwrap();
    soon(ready.stream()).await.unwrap()
}

#[tokio::test]
async fn no_message_ends_a_connection_of_zbus() {
    let (_directory, address, bus) = Bus::start(|mut bus| {
        bus.0.write_all(&with_odd_field(&signal("Odd"))).unwrap();
        let call = Message::method_call("/", "Broken").sender(":1.9");
        let mut broken = call.build(&"body").unwrap().data().bytes().to_vec();
        let serial = u32::from_le_bytes(broken[8..12].try_into().unwrap());
        broken[3] = 2;
        bus.0.write_all(&broken).unwrap();
        let mut unknown = signal("Unknown").data().bytes().to_vec();
        unknown[1] = 200;
        bus.0.write_all(&unknown).unwrap();
        bus.send(&signal("Plain"));
        (bus.next(), serial)
    });
    let report = Report::default();
    let mut stream = connection(&address, Descriptors::Keep, report.clone()).await;
    for member in ["Odd", "Plain"] {
        let message = soon(stream.next()).await.unwrap().unwrap();
        assert_eq!(message.header().member().unwrap(), member);
        assert_eq!(message.body().deserialize::<&str>().unwrap(), "body");
    }
    let (refused, serial) = bus.join().unwrap();
    assert_eq!(refused.message_type(), Type::Error);
    assert_eq!(refused.header().reply_serial().unwrap().get(), serial);
    assert_eq!(refused.header().destination().unwrap(), ":1.9");
    assert_eq!(report.refusals().map(|(_, count)| count).sum::<u64>(), 1);
    // The bus closed the connection.
    assert!(soon(stream.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_sent_arrives_whole_however_slowly_it_is_taken_also_when_a_write_is_dropped() {
    let (_directory, address, bus) = Bus::start(|mut bus| {
        let mut taken = Vec::new();
        while taken
            .last()
            .is_none_or(|it: &Message| it.header().member().unwrap() != "End")
        {
            taken.push(bus.next());
        }
        taken
    });
    let stream = connection(&address, Descriptors::Keep, Report::default()).await;
    let connection = zbus::Connection::from(&stream);
    let long = |number: u8| {
        let signal = Message::signal("/", "org.a.B", "Long");
        signal.build(&vec![number; 3 << 20]).unwrap()
    };
    let mut sent = vec![long(1), signal("Short"), long(2)];
    connection.send_all(&sent).await.unwrap();
    // Longer than the socket accepts at once, so the first poll writes only a part.
    let dropped = long(3);
    assert!(connection.send(&dropped).now_or_never().is_none());
    let end = signal("End");
    connection.send(&end).await.unwrap();
    sent.extend([dropped, end]);
    let taken = bus.join().unwrap();
    let data = |messages: &[Message]| -> Vec<Vec<u8>> {
        messages
            .iter()
            .map(|it| it.data().bytes().to_vec())
            .collect()
    };
    assert!(data(&taken) == data(&sent));
}

#[tokio::test]
async fn descriptors_come_where_they_are_wanted_and_are_closed_where_not() {
    for descriptors in [Descriptors::Keep, Descriptors::Close] {
        let bus = crate::testbus::TestBus::start();
        let mut stream = connection(&bus.address, descriptors, Report::default()).await;
        let name = zbus::Connection::from(&stream)
            .unique_name()
            .unwrap()
            .to_string();
        let (mut out, into) = io::pipe().unwrap();
        let client = connection(&bus.address, Descriptors::Keep, Report::default()).await;
        let client = zbus::Connection::from(&client);
        let brings = Message::signal("/", "org.a.B", "Brings").destination(name);
        let brings = brings.build(&zbus::Fd::from(OwnedFd::from(into))).unwrap();
        client.send(&brings).await.unwrap();
        drop(brings);
        let brought = loop {
            let message = soon(stream.next()).await.unwrap().unwrap();
            if message.header().member().unwrap() == "Brings" {
                break message;
            }
        };
        let is_kept = descriptors == Descriptors::Keep;
        assert_eq!(brought.data().fds().len(), usize::from(is_kept));
        assert_eq!(
            brought.body().deserialize::<zbus::Fd<'_>>().is_ok(),
            is_kept
        );
        drop(client);
        if !is_kept {
            // The other end is closed, although the message still exists.
            soon(tokio::task::spawn_blocking(move || {
                out.read(&mut [0]).unwrap()
            }))
            .await
            .unwrap();
        }
        drop(brought);
    }
}

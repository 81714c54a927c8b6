//! Channels between nodes of the loopback: what a user of this crate sees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use zocp_node::{
    BeaconMode, Carried, Channel, ChannelError, ChannelRequest, Config, Event, Events, KeyPair,
    LocalEnd, LocalKind, Node, NodeError, PIECE_MAX, Received, RemoteError, Security, Ticket,
    model::json,
};

use common::until;

#[tokio::test]
async fn pieces_go_both_ways_and_each_direction_ends_by_itself() {
    for meshes in [open_mesh().await, secure_mesh().await] {
        let (mut pair, _events) = meshes;
        let (there, here) = pair.channel().await;
        let pieces: [&[u8]; 3] = [b"", b"one", &vec![7; PIECE_MAX]];
        for piece in pieces {
            there.send(piece).await.unwrap();
            assert_eq!(
                here.receive().await.unwrap(),
                Received::Piece(piece.to_vec().into())
            );
        }
        there.end().await.unwrap();
        assert_eq!(here.receive().await.unwrap(), Received::End);
        here.send(b"back").await.unwrap();
        assert_eq!(
            there.receive().await.unwrap(),
            Received::Piece("back".into())
        );
        here.reset("enough");
        assert!(matches!(there.receive().await, Err(ChannelError::Reset(why)) if why == "enough"));
        let long = there.send(&vec![0; PIECE_MAX + 1]).await;
        assert!(matches!(long, Err(ChannelError::TooLong { .. })));
    }
}

#[tokio::test]
async fn who_is_asked_may_refuse_and_old_nodes_are_not_asked() {
    let (mut pair, mut at_desk) = open_mesh().await;
    let desk = pair.desk.clone();
    let lamp = pair.lamp.id();
    let asking =
        tokio::spawn(async move { desk.request_channel(lamp, json!({"for": "it"})).await });
    let request = pair.requested().await;
    assert_eq!(request.purpose, json!({"for": "it"}));
    let error = RemoteError::new("org.example.Error.No", "not now");
    pair.lamp
        .refuse_channel(&request, error.clone())
        .await
        .unwrap();
    assert_eq!(asking.await.unwrap().unwrap_err(), NodeError::Remote(error));
    assert_eq!(pair.desk.channels(lamp), 0);

    let (old, mut at_old) = Node::start(config("old").without_extensions())
        .await
        .unwrap();
    pair.desk
        .connect(&format!("tcp://127.0.0.1:{}", old.port()))
        .await
        .unwrap();
    until(&mut at_old, |event| {
        matches!(event, Event::Entered(_)).then_some(())
    })
    .await;
    until(&mut at_desk, |event| {
        matches!(event, Event::Entered(_)).then_some(())
    })
    .await;
    let asked = pair.desk.request_channel(old.id(), json!(null)).await;
    assert_eq!(asked.unwrap_err(), NodeError::NoChannels);
}

#[tokio::test]
async fn a_ticket_that_is_not_good_opens_nothing_and_one_that_is_opens_one_channel() {
    let (pair, _events) = open_mesh().await;
    let (lamp, desk) = (pair.lamp.id(), pair.desk.id());
    let guessed = pair
        .lamp
        .open_channel(desk, Ticket::new([0; 16]))
        .await
        .unwrap();
    assert!(matches!(
        guessed.receive().await,
        Err(ChannelError::Lost(_))
    ));
    let offered = pair.desk.offer_channel(lamp).await.unwrap();
    let ticket = offered.ticket();
    let first = pair.lamp.open_channel(desk, ticket).await.unwrap();
    let here = offered.opened().await.unwrap();
    let second = pair.lamp.open_channel(desk, ticket).await.unwrap();
    assert!(matches!(second.receive().await, Err(ChannelError::Lost(_))));
    first.send(b"marker").await.unwrap();
    assert_eq!(
        here.receive().await.unwrap(),
        Received::Piece("marker".into())
    );
}

#[tokio::test]
async fn a_channel_fails_when_its_peer_leaves() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let lamp = pair.lamp.clone();
    lamp.shutdown().await;
    let error = soon(here.receive()).await.unwrap_err();
    assert!(matches!(error, ChannelError::Gone), "{error}");
    // Its end of the connection was open until now.
    drop(there);
}

#[tokio::test]
async fn both_ends_may_send_as_much_as_they_like_at_once() {
    // More than all buffers on the way hold, and less where it is encrypted, which takes its time.
    for (meshes, pieces) in [(open_mesh().await, 160), (secure_mesh().await, 16)] {
        let (mut pair, _events) = meshes;
        let (there, here) = pair.channel().await;
        let exchange = async |channel: Channel| {
            let sending = async {
                for _ in 0..pieces {
                    channel.send(&[1; PIECE_MAX]).await.unwrap();
                }
                channel.end().await.unwrap();
            };
            let receiving = async {
                let mut len = 0;
                while let Received::Piece(piece) = channel.receive().await.unwrap() {
                    len += piece.len();
                }
                len
            };
            tokio::join!(sending, receiving).1
        };
        let both = async { tokio::join!(exchange(there), exchange(here)) };
        let received = timeout(Duration::from_secs(60), both)
            .await
            .expect("in time");
        assert_eq!(received, (pieces * PIECE_MAX, pieces * PIECE_MAX));
    }
}

#[tokio::test]
async fn why_a_local_end_failed_arrives_behind_all_that_it_had_sent() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (ours, mut program) = UnixStream::pair().unwrap();
    let local = LocalEnd::packets(ours.into()).unwrap();
    let at_lamp = pair.lamp.carry(there, local).unwrap();
    let (filled, is_filled) = tokio::sync::oneshot::channel();
    let writing = tokio::task::spawn_blocking(move || {
        let packet = [&1000_u16.to_be_bytes()[..], &[1; 1000]].concat();
        let mut packets = 0;
        program
            .set_write_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        // Until nothing more is taken anywhere.
        while program.write_all(&packet).is_ok() {
            packets += 1;
        }
        filled.send(()).unwrap();
        // The end, or a reset: the local end is closed.
        let _ = program.read(&mut [0; 1]);
        packets
    });
    is_filled.await.unwrap();
    // Too long for its framing.
    here.send(&[0; 70_000]).await.unwrap();
    let packets = soon(writing).await.unwrap();
    let mut received = 0;
    let error = loop {
        match soon(here.receive()).await {
            Ok(piece) => assert_eq!(piece, Received::Piece(vec![1; 1000].into())),
            Err(error) => break error,
        }
        received += 1;
    };
    assert!(
        matches!(&error, ChannelError::Reset(why) if why.contains("a packet of more than")),
        "{error}"
    );
    assert!(
        received > 0 && received <= packets,
        "{received} of {packets}"
    );
    drop(here);
    let at_lamp = soon(at_lamp).await;
    assert!(
        matches!(at_lamp, Some(Carried::FailedHere(_))),
        "{at_lamp:?}"
    );
}

#[tokio::test]
async fn who_reads_no_more_and_still_writes_holds_nobody_up_and_learns_of_a_reset() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (near, program) = LocalEnd::pair(false).unwrap();
    let at_lamp = pair.lamp.carry(there, near).unwrap();
    let mut program = UnixStream::from(program);
    program.shutdown(std::net::Shutdown::Read).unwrap();
    let sending = async {
        for _ in 0..256 {
            here.send(&[0; PIECE_MAX]).await.unwrap();
        }
    };
    soon(sending).await;
    program.write_all(b"still").unwrap();
    assert_eq!(
        soon(here.receive()).await.unwrap(),
        Received::Piece("still".into())
    );
    here.reset("enough");
    assert_eq!(soon(at_lamp).await.unwrap().why(), "the other end: enough");
}

#[tokio::test]
async fn a_pipe_is_carried_with_its_end_and_what_was_sent_is_what_comes() {
    for meshes in [open_mesh().await, secure_mesh().await] {
        let (mut pair, _events) = meshes;
        let (there, here) = pair.channel().await;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let source = LocalEnd::pipe(&reader.into(), LocalKind::PipeReader).unwrap();
        let (sink, reader) = LocalEnd::new_pipe(LocalKind::PipeWriter).unwrap();
        let carried = [
            pair.lamp.carry(there, source).unwrap(),
            pair.desk.carry(here, sink).unwrap(),
        ];
        let written = std::thread::spawn(move || {
            (0..64u32).for_each(|block| writer.write_all(&vec![block as u8; 100_003]).unwrap());
        });
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            PipeReader::from(reader).read_to_end(&mut all).unwrap();
            all
        });
        let all = read.await.unwrap();
        written.join().unwrap();
        assert_eq!(all.len(), 64 * 100_003);
        assert!(
            (0..64).all(|block| all[block * 100_003..][..100_003] == vec![block as u8; 100_003])
        );
        for carried in carried {
            assert!(matches!(carried.await, Some(Carried::Ended)));
        }
        assert_eq!(pair.lamp.channels(pair.desk.id()), 0);
    }
}

#[tokio::test]
async fn a_pipe_of_another_user_is_carried_as_it_is() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (far_reader, far_writer) = std::io::pipe().unwrap();
    // Their descriptions wait, and stay so.
    let (kept, kept_far) = (reader.try_clone().unwrap(), far_writer.try_clone().unwrap());
    let source = LocalEnd::foreign_pipe(reader.into(), LocalKind::PipeReader);
    let sink = LocalEnd::foreign_pipe(far_writer.into(), LocalKind::PipeWriter);
    let carried = [
        pair.lamp.carry(there, source).unwrap(),
        pair.desk.carry(here, sink).unwrap(),
    ];
    let written = std::thread::spawn(move || {
        (0..64u32).for_each(|block| writer.write_all(&vec![block as u8; 100_003]).unwrap());
    });
    let read = tokio::task::spawn_blocking(move || {
        let mut all = vec![0; 64 * 100_003];
        let mut reader = far_reader;
        // Slowly at first, so that the pipe is full.
        std::thread::sleep(std::time::Duration::from_millis(50));
        reader.read_exact(&mut all).unwrap();
        all
    });
    let all = soon(read).await.unwrap();
    written.join().unwrap();
    assert!((0..64).all(|block| all[block * 100_003..][..100_003] == vec![block as u8; 100_003]));
    for carried in carried {
        assert!(matches!(carried.await, Some(Carried::Ended)));
    }
    for fd in [kept.as_fd(), kept_far.as_fd()] {
        let flags = rustix::fs::fcntl_getfl(fd).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
}

#[tokio::test]
async fn the_writer_of_a_pipe_that_nobody_reads_any_more_gets_to_know() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = OwnedFd::from(reader);
    let source = LocalEnd::pipe(&reader, LocalKind::PipeReader).unwrap();
    drop(reader);
    let (sink, reader) = LocalEnd::new_pipe(LocalKind::PipeWriter).unwrap();
    let at_lamp = pair.lamp.carry(there, source).unwrap();
    let at_desk = pair.desk.carry(here, sink).unwrap();
    drop(reader);
    assert!(matches!(soon(at_desk).await, Some(Carried::ClosedHere)));
    let why = soon(at_lamp).await.unwrap().why();
    assert_eq!(why, "the other end: closed");
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        std::io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn packets_keep_their_limits_and_an_empty_one_is_one() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (near, program) = LocalEnd::pair(true).unwrap();
    let (far, holder) = LocalEnd::pair(true).unwrap();
    let _carried = [
        pair.lamp.carry(there, near).unwrap(),
        pair.desk.carry(here, far).unwrap(),
    ];
    let exchanged = tokio::task::spawn_blocking(move || {
        let sizes = [1, 0, 1400, 65_000, 100_000, 3];
        for (at, size) in sizes.into_iter().enumerate() {
            let packet = vec![at as u8; size];
            rustix::net::send(&program, &packet, rustix::net::SendFlags::empty()).unwrap();
        }
        let mut buffer = vec![0; 200_000];
        for (at, size) in sizes.into_iter().enumerate() {
            let flags = rustix::net::RecvFlags::empty();
            let (len, _) = rustix::net::recv(&holder, &mut buffer[..], flags).unwrap();
            assert_eq!(len, size);
            assert!(buffer[..len].iter().all(|octet| *octet == at as u8));
        }
        (program, holder)
    });
    drop(exchanged.await.unwrap());
}

#[tokio::test]
async fn an_empty_packet_of_who_has_closed_already_is_not_taken_for_the_end() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (near, program) = LocalEnd::pair(true).unwrap();
    for packet in [&b"one"[..], b"", b"", b"three"] {
        rustix::net::send(&program, packet, rustix::net::SendFlags::empty()).unwrap();
    }
    drop(program);
    let _carried = pair.lamp.carry(there, near).unwrap();
    for packet in ["one", "", "", "three"] {
        assert_eq!(
            soon(here.receive()).await.unwrap(),
            Received::Piece(packet.into())
        );
    }
    assert_eq!(soon(here.receive()).await.unwrap(), Received::End);
}

#[tokio::test]
async fn a_socket_that_gets_credentials_with_each_read_is_carried() {
    let (mut pair, _events) = open_mesh().await;
    for packets in [false, true] {
        let (there, here) = pair.channel().await;
        let (ours, program) = match packets {
            false => UnixStream::pair()
                .map(|(a, b)| (OwnedFd::from(a), OwnedFd::from(b)))
                .unwrap(),
            true => {
                let pair = std::os::unix::net::UnixDatagram::pair();
                pair.map(|(a, b)| (OwnedFd::from(a), OwnedFd::from(b)))
                    .unwrap()
            }
        };
        rustix::net::sockopt::set_socket_passcred(&ours, true).unwrap();
        let _carried = pair
            .lamp
            .carry(there, LocalEnd::socket(ours).unwrap())
            .unwrap();
        rustix::net::send(&program, b"octets", rustix::net::SendFlags::empty()).unwrap();
        assert_eq!(
            soon(here.receive()).await.unwrap(),
            Received::Piece("octets".into())
        );
    }
}

#[tokio::test]
async fn datagrams_that_nobody_takes_are_lost_and_end_nothing() {
    use tokio::net::UdpSocket;
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (near, far) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
    ours.connect(far).unwrap();
    drop(theirs);
    let _carried = pair
        .lamp
        .carry(there, LocalEnd::socket(ours.into()).unwrap())
        .unwrap();
    for _ in 0..16 {
        here.send(b"to nobody").await.unwrap();
    }
    let theirs = UdpSocket::bind(far).await.unwrap();
    let mut buffer = [0; 64];
    let arriving = async {
        loop {
            here.send(b"to somebody").await.unwrap();
            let once = timeout(Duration::from_millis(100), theirs.recv(&mut buffer)).await;
            if once.is_ok_and(|received| received.unwrap() == b"to somebody".len()) {
                return;
            }
        }
    };
    soon(arriving).await;
    theirs.send_to(b"back", near).await.unwrap();
    assert_eq!(
        soon(here.receive()).await.unwrap(),
        Received::Piece("back".into())
    );
}

#[tokio::test]
async fn packets_in_a_stream_are_framed_as_in_rfc_4571() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (ours, mut program) = UnixStream::pair().unwrap();
    let (far, holder) = LocalEnd::pair(true).unwrap();
    let _carried = [
        pair.lamp
            .carry(there, LocalEnd::packets(ours.into()).unwrap())
            .unwrap(),
        pair.desk.carry(here, far).unwrap(),
    ];
    let exchanged = tokio::task::spawn_blocking(move || {
        // Two packets and the beginning of a third, then its rest.
        program.write_all(b"\0\x03one\0\0\0\x05th").unwrap();
        program.write_all(b"ree").unwrap();
        let mut buffer = [0; 64];
        let mut packet = || {
            let flags = rustix::net::RecvFlags::empty();
            let (len, _) = rustix::net::recv(&holder, &mut buffer[..], flags).unwrap();
            buffer[..len].to_vec()
        };
        assert_eq!([packet(), packet(), packet()], [&b"one"[..], b"", b"three"]);
        rustix::net::send(&holder, b"back", rustix::net::SendFlags::empty()).unwrap();
        let mut back = [0; 6];
        program.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"\0\x04back");
    });
    exchanged.await.unwrap();
}

#[tokio::test]
async fn a_descriptor_inside_of_a_socket_ends_its_carrying() {
    let (mut pair, _events) = open_mesh().await;
    let (there, here) = pair.channel().await;
    let (near, program) = LocalEnd::pair(false).unwrap();
    let (far, _holder) = LocalEnd::pair(false).unwrap();
    let at_lamp = pair.lamp.carry(there, near).unwrap();
    let at_desk = pair.desk.carry(here, far).unwrap();
    send_descriptor(&program);
    let Some(Carried::FailedHere(error)) = soon(at_lamp).await else {
        panic!("it goes on");
    };
    assert!(error.to_string().contains("descriptor"));
    assert!(soon(at_desk).await.unwrap().why().contains("descriptor"));
}

#[tokio::test]
async fn a_slow_reader_holds_up_its_own_channel_alone() {
    let (mut pair, _events) = open_mesh().await;
    let (slow, _not_read) = pair.channel().await;
    let filled = Arc::new(AtomicUsize::new(0));
    let filling = tokio::spawn({
        let filled = Arc::clone(&filled);
        async move {
            loop {
                slow.send(&[0; 65_536]).await.unwrap();
                filled.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (there, here) = pair.channel().await;
    let sending = tokio::spawn(async move {
        for _ in 0..256 {
            there.send(&[1; 65_536]).await.unwrap();
        }
        there.end().await.unwrap();
        there
    });
    let mut received = 0;
    while let Received::Piece(piece) = soon(here.receive()).await.unwrap() {
        received += piece.len();
    }
    assert_eq!(received, 256 * 65_536);
    sending.await.unwrap();
    pair.desk.ping(pair.lamp.id()).await.unwrap();
    assert!(!filling.is_finished());
    // Only as much as buffers hold: far less than the other channel has carried meanwhile.
    let filled = filled.load(Ordering::Relaxed);
    assert!(filled > 0 && filled < 192, "{filled} pieces");
    filling.abort();
}

fn send_descriptor(socket: &OwnedFd) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;
    let fds = [socket.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let octets = [std::io::IoSlice::new(b"x")];
    sendmsg(socket, &octets, &mut control, SendFlags::empty()).unwrap();
}

struct Pair {
    lamp: Node,
    desk: Node,
    at_lamp: Events,
}

impl Pair {
    /// A channel: its ends at the lamp and at the desk.
    async fn channel(&mut self) -> (Channel, Channel) {
        let (desk, lamp) = (self.desk.clone(), self.lamp.id());
        let asking = tokio::spawn(async move { desk.request_channel(lamp, json!({})).await });
        let request = self.requested().await;
        let there = self.lamp.accept_channel(&request).await.unwrap();
        (there, asking.await.unwrap().unwrap())
    }

    async fn requested(&mut self) -> ChannelRequest {
        until(&mut self.at_lamp, |event| match event {
            Event::ChannelRequested(request) => Some(request),
            _ => None,
        })
        .await
    }
}

async fn open_mesh() -> (Pair, Events) {
    let (lamp, at_lamp) = Node::start(config("lamp")).await.unwrap();
    let (desk, at_desk) = Node::start(config("desk")).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}", lamp.port());
    desk.connect(&endpoint).await.unwrap();
    met(lamp, desk, at_lamp, at_desk).await
}

async fn secure_mesh() -> (Pair, Events) {
    let pair = |number| KeyPair::from_secret(&[number; 32]);
    let secure = |name, own, other: u8| {
        let security = Security::new(pair(own)).with_trusted([pair(other).public()]);
        config(name).with_security(security)
    };
    let (lamp, at_lamp) = Node::start(secure("lamp", 1, 2)).await.unwrap();
    let (desk, at_desk) = Node::start(secure("desk", 2, 1)).await.unwrap();
    let endpoint = format!("tcp://127.0.0.1:{}|{}", lamp.port(), pair(1).public());
    desk.connect(&endpoint).await.unwrap();
    met(lamp, desk, at_lamp, at_desk).await
}

async fn met(lamp: Node, desk: Node, mut at_lamp: Events, mut at_desk: Events) -> (Pair, Events) {
    for events in [&mut at_lamp, &mut at_desk] {
        let channels = until(events, |event| match event {
            Event::Entered(info) => Some(info.channels),
            _ => None,
        });
        assert!(channels.await);
    }
    let pair = Pair {
        lamp,
        desk,
        at_lamp,
    };
    (pair, at_desk)
}

fn config(name: &str) -> Config {
    Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off)
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), work)
        .await
        .expect("in time")
}

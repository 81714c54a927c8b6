mod bodies;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Variant, message::Flags, wire::Endian};
use zocp_node::NodeError;

use super::{changes::tests::packet, testing::reply_with_body_of, *};
use zocp_dbus::{message::received::received, testbus::soon};

const FRAGMENT_LEN: usize = Pace::NEAR.fragment_len;

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// The longest packet.
const LEN_MAX: usize = 48 << 20;

fn read(octets: &[u8]) -> Result<Message, PacketError> {
    super::read(octets, LEN_MAX)
}

/// What a bus would take these octets for.
fn message(octets: &[u8]) -> Message {
    received(octets.to_vec(), &mut Vec::new()).unwrap()
}

fn call(endian: Endian) -> Message {
    let body: BTreeMap<&str, Variant<'_>> =
        [("a", Variant::new(7u32)), ("b", Variant::new("x"))].into();
    Message::method_call("/a", "Do")
        .interface("org.a.B")
        .sender(":1.5")
        .destination("org.here")
        .with_flags(Flags::NO_AUTO_START)
        .endian(endian)
        .build(&(1u8, body, 3u64))
        .unwrap()
}

#[test]
fn a_body_arrives_as_it_was_in_either_byte_order() {
    for endian in [Endian::Little, Endian::Big] {
        let original = call(endian);
        let packet = outgoing_call(&original, "org.there", None, id(77)).unwrap();
        let arrived = read(&packet).unwrap();
        assert_eq!(arrived.primary_header().serial_num(), id(77));
        assert_eq!(arrived.header().sender().unwrap(), ":1.5");
        let local = message(&local_call(&arrived, "org.there.real", None, id(8)).unwrap());
        assert_eq!(local.primary_header().serial_num(), id(8));
        assert_eq!(local.body().data().bytes(), original.body().data().bytes());
        assert_eq!(local.body().signature(), original.body().signature());
        assert_eq!(Endian::from(local.primary_header().endian_sig()), endian);
        assert_eq!(local.primary_header().flags(), Flags::NO_AUTO_START);
        assert_eq!(local.header().destination().unwrap(), "org.there.real");
        assert!(local.header().sender().is_none(), "the bus says who sends");
    }
}

#[test]
fn who_waits_because_of_a_packet_that_cannot_be_read_is_known() {
    let broken = |packet: &[u8]| {
        let mut octets = packet.to_vec();
        let last = octets.len() - 16;
        // The length of the text in the second variant, which is then longer than the body.
        let at = octets.windows(6).rposition(|it| it == b"\x01\0\0\0x\0");
        octets[at.filter(|at| *at < last).unwrap()] = 200;
        match read(&octets) {
            Err(PacketError::Malformed(unreadable)) => unreadable,
            other => panic!("{other:?}"),
        }
    };
    let call = call(Endian::Little);
    let unreadable = broken(&outgoing_call(&call, "org.there", None, id(77)).unwrap());
    let stand_in = unreadable.call().unwrap();
    assert_eq!(stand_in.primary_header().serial_num(), id(77));
    assert_eq!(stand_in.header().sender().unwrap(), ":1.5");
    assert_eq!(stand_in.header().destination().unwrap(), "org.there");
    let answer = reply_with_body_of(&call);
    let unreadable = broken(&outgoing_reply(&answer, ":1.5", id(78)).unwrap());
    assert_eq!(
        unreadable.answer().unwrap().header().reply_serial(),
        Some(id(78))
    );
}

/// Whether the header has the signature in these octets: code, type, length, text.
fn is_written(message: &Message, signature: &str) -> bool {
    let mut field = vec![8, 1, b'g', 0, signature.len() as u8];
    field.extend_from_slice(signature.as_bytes());
    field.push(0);
    let octets = message.data().bytes();
    octets.windows(field.len()).any(|window| window == field)
}

#[test]
fn one_structure_is_not_taken_for_several_arguments() {
    let plain = |endian| {
        Message::method_call("/a", "Do")
            .interface("org.a.B")
            .endian(endian)
    };
    for endian in [Endian::Little, Endian::Big] {
        for (original, signature) in [
            (plain(endian).build(&(1.5f64, 2.5f64)), "dd"),
            (plain(endian).build(&((1.5f64, 2.5f64),)), "(dd)"),
            (plain(endian).build(&(((1u8,), "x"),)), "((y)s)"),
            (plain(endian).build(&((1u8,), ("x",))), "(y)(s)"),
        ] {
            let original = original.unwrap();
            assert!(is_written(&original, signature));
            let packet = outgoing_call(&original, "org.there", None, id(77)).unwrap();
            let local = local_call(&read(&packet).unwrap(), "org.there.real", None, id(8)).unwrap();
            let local = message(&local);
            assert!(is_written(&local, signature), "{signature}: {local:?}");
            assert_eq!(local.body().data().bytes(), original.body().data().bytes());
        }
    }
}

#[test]
fn answers_and_signals_are_addressed_by_number() {
    let original = call(Endian::Little);
    let error = Message::error(&original.header(), "org.a.Error.Bad").endian(Endian::Big);
    let error = error.build(&("no", 3u32)).unwrap();
    let packet = read(&outgoing_reply(&error, ":1.9", id(5)).unwrap()).unwrap();
    assert_eq!(packet.header().reply_serial(), Some(id(5)));
    let local = message(&local_reply(&packet, &original).unwrap());
    assert_eq!(
        local.header().reply_serial(),
        Some(original.primary_header().serial_num())
    );
    assert_eq!(local.header().destination().unwrap(), ":1.5");
    assert_eq!(local.header().error_name().unwrap(), "org.a.Error.Bad");
    assert_eq!(local.body().data().bytes(), error.body().data().bytes());

    let signal = Message::signal("/a", "org.a.B", "Went")
        .sender(":1.7")
        .build(&"far")
        .unwrap();
    let packet = read(&outgoing_signal(&signal, id(6), Some(":1.5")).unwrap()).unwrap();
    assert_eq!(packet.header().reply_serial(), Some(id(6)));
    let local = message(&local_signal(&packet).unwrap());
    assert_eq!(local.header().destination().unwrap(), ":1.5");
    assert!(local.header().reply_serial().is_none() && local.header().sender().is_none());
}

#[test]
fn what_no_bus_would_take_is_refused() {
    let good = outgoing_call(&call(Endian::Little), "org.there", None, id(1)).unwrap();
    assert!(read(&good[..good.len() - 1]).is_err(), "cut");
    assert!(read(b"").is_err() && read(b"lxyz").is_err() && read(&[0; 64]).is_err());
    let mut more = good.to_vec();
    more.push(0);
    assert!(read(&more).is_err(), "longer than it says");
    let text = Message::method_call("/", "Do").build(&"abc").unwrap();
    let mut broken = outgoing_call(&text, "org.there", None, id(1))
        .unwrap()
        .to_vec();
    let end = broken.len() - 2;
    broken[end] = 0xff;
    assert!(read(&broken).is_err(), "no UTF-8");
    let local = Message::method_call("/org/freedesktop/DBus/Local", "Do")
        .build(&())
        .unwrap();
    assert!(
        local_call(&local, "org.there", None, id(1)).is_err(),
        "a bus hangs up on that"
    );
}

#[test]
fn control_messages_are_read_as_they_were_written() {
    for control in [
        Control::Subscribe("org.a.B".into()),
        Control::Unsubscribe("org.a.B".into()),
        Control::CallerGone(":1.5".into()),
    ] {
        let packet = read(&Octets::from(control.packet(id(3)).unwrap())).unwrap();
        assert!(packet.header().destination().is_none());
        assert_eq!(Control::read(&packet), Some(control));
    }
    assert_eq!(Control::read(&call(Endian::Little)), None);
    let offer = Offer { hears_all: true }.packet(id(9)).unwrap();
    assert_eq!(offer.header().reply_serial(), Some(id(9)));
    assert!(Offer::read(&offer).unwrap().hears_all);
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    let frame = |number: u32, len: u32, octets: &[u8]| {
        [&number.to_le_bytes(), &len.to_le_bytes(), octets].concat()
    };
    let mut parts = Reassembly::default();
    assert!(parts.add(&frame(1, 4, b"ab"), LEN_MAX).unwrap().is_none());
    assert!(parts.add(&frame(2, 2, b"xy"), LEN_MAX).unwrap().is_some());
    assert_eq!(
        parts.add(&frame(1, 4, b"cd"), LEN_MAX).unwrap().unwrap(),
        b"abcd"
    );
    assert!(
        parts.add(&frame(1, 4, b"abcde"), LEN_MAX).is_err(),
        "more than announced"
    );
    assert!(
        parts.add(&frame(1, u32::MAX, b"a"), LEN_MAX).is_err(),
        "longer than is taken"
    );
    assert!(
        parts.add(b"short", LEN_MAX).is_err() && parts.add(&frame(4, 4, b""), LEN_MAX).is_err()
    );
    parts.add(&frame(3, 4, b"ab"), LEN_MAX).unwrap();
    assert!(
        parts.add(&frame(3, 5, b"cde"), LEN_MAX).is_err(),
        "another length"
    );
    assert_eq!(
        parts.add(&frame(3, 2, b"zz"), LEN_MAX).unwrap().unwrap(),
        b"zz"
    );
}

/// A sink that takes one message for each permit.
#[derive(Debug, Clone)]
struct Slow {
    taken: Arc<Mutex<Vec<Content>>>,
    permits: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self {
            taken: Arc::default(),
            permits: Arc::new(Semaphore::new(0)),
        }
    }

    /// Lets `count` more messages through; all that went through so far.
    async fn let_through(&self, count: usize) -> Vec<Content> {
        let wanted = self.taken.lock().unwrap().len() + count;
        self.permits.add_permits(count);
        soon(async {
            while self.taken.lock().unwrap().len() < wanted {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for Slow {
    fn count(&self, _packet: &[u8]) {}

    fn queued(&self) -> usize {
        0
    }

    fn try_send(&self, content: Content) -> Result<(), NodeError> {
        let permit = self.permits.try_acquire().map_err(|_| NodeError::Busy)?;
        permit.forget();
        self.taken.lock().unwrap().push(content);
        Ok(())
    }

    async fn drained(&self, _: usize) -> Result<(), NodeError> {
        Ok(())
    }

    async fn send(&self, content: Content) -> Result<(), NodeError> {
        self.permits.acquire().await.unwrap().forget();
        self.taken.lock().unwrap().push(content);
        Ok(())
    }
}

fn caller(name: &str) -> Stream {
    Stream::Caller(name.into())
}

fn texts(sent: &[Content]) -> Vec<String> {
    let text = |content: &Content| match &*content[0] {
        TAG => String::from_utf8_lossy(&content[1]).into_owned(),
        _ => "fragment".to_owned(),
    };
    sent.iter().map(text).collect()
}

#[tokio::test]
async fn a_long_packet_does_not_hold_up_other_lanes() {
    let (sink, tasks) = (Slow::new(), TaskTracker::new());
    let scheduler = Scheduler::new(
        sink.clone(),
        Pace::NEAR,
        &tasks,
        CancellationToken::new(),
        64 << 20,
    );
    let long = vec![b'x'; 10 * FRAGMENT_LEN - 5];
    scheduler.push(caller("a"), long.clone().into());
    scheduler.push(caller("a"), "behind".into());
    scheduler.push(caller("b"), "short".into());
    let first = texts(&sink.let_through(3).await);
    assert!(first.contains(&"short".to_owned()), "{first:?}");
    assert!(
        !first.contains(&"behind".to_owned()),
        "a stream stays in order"
    );
    let all = sink.let_through(9).await;
    assert_eq!(texts(&all).last().unwrap(), "behind");
    let mut parts = Reassembly::default();
    let fragments = all.iter().filter(|content| content[0] == FRAGMENT_TAG);
    let whole = fragments.filter_map(|content| parts.add(&content[1], LEN_MAX).unwrap());
    assert_eq!(whole.collect::<Vec<_>>(), [long]);
}

#[tokio::test]
async fn an_answer_waits_for_the_signals_before_it() {
    let (sink, tasks) = (Slow::new(), TaskTracker::new());
    let scheduler = Scheduler::new(
        sink.clone(),
        Pace::NEAR,
        &tasks,
        CancellationToken::new(),
        64 << 20,
    );
    let signals = Stream::Service("s".into());
    let answers = Stream::Replies("s".into(), ":1.1".into());
    scheduler.push(signals.clone(), vec![b'x'; 3 * FRAGMENT_LEN].into());
    scheduler.push_behind(answers.clone(), "answer".into(), Some(&signals));
    scheduler.push(signals.clone(), "later".into());
    assert_eq!(
        texts(&sink.let_through(5).await)[..4],
        ["fragment", "fragment", "fragment", "answer"]
    );
    scheduler.push_behind(answers, "free".into(), Some(&signals));
    assert_eq!(texts(&sink.let_through(1).await)[5], "free");
}

#[tokio::test]
async fn changes_that_wait_for_a_slow_line_are_merged_and_events_keep_their_order() {
    let (sink, tasks) = (Slow::new(), TaskTracker::new());
    let gone = CancellationToken::new();
    let merging = Scheduler::new(sink.clone(), Pace::FAR, &tasks, gone.clone(), 64 << 20);
    let other = Slow::new();
    let plain = Scheduler::new(other.clone(), Pace::NEAR, &tasks, gone, 64 << 20);
    let service = || Stream::Service("s".into());
    let changed = |path: &str, value: u32| packet(path, &[("X", value)], &[], 1);
    for scheduler in [&merging, &plain] {
        scheduler.push(service(), "event 1".into());
        for value in 1..=2 {
            scheduler.push(service(), changed("/a", value));
            scheduler.push(service(), changed("/b", value));
        }
        scheduler.push(service(), "event 2".into());
        for value in 3..=1000 {
            scheduler.push(service(), changed("/a", value));
        }
        scheduler.push(caller("x"), "call".into());
    }
    let sent = sink.let_through(6).await;
    let mut sent: Vec<&[u8]> = sent.iter().map(|content| &content[1][..]).collect();
    let call = sent.iter().position(|packet| *packet == b"call");
    sent.remove(call.expect("the call"));
    let (a2, b2, a1000) = (changed("/a", 2), changed("/b", 2), changed("/a", 1000));
    let wanted: [&[u8]; 5] = [b"event 1", &a2, &b2, b"event 2", &a1000];
    assert_eq!(sent, wanted);
    assert!(merging.has_capacity());
    assert_eq!(other.let_through(1005).await.len(), 1005);
}

#[tokio::test]
async fn calls_are_refused_while_too_much_waits() {
    let (sink, tasks) = (Slow::new(), TaskTracker::new());
    let gone = CancellationToken::new();
    let scheduler = Scheduler::new(sink, Pace::NEAR, &tasks, gone.clone(), 10_000);
    let long = Bytes::from(vec![0; 5_000]);
    assert!(scheduler.try_push(caller("a"), long.clone()).is_ok());
    assert!(scheduler.try_push(caller("a"), long).is_ok());
    assert_eq!(scheduler.try_push(caller("b"), "short".into()), Err(Busy));
    gone.cancel();
    soon(scheduler.capacity()).await;
}

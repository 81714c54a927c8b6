//! Bodies changed at random, and a real bus that takes what is taken from the mesh.

use std::num::NonZeroU32;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zbus::Message;
use zocp_dbus::{
    connection::{BusConnection, Handler, connect, run},
    testbus::TestBus,
};

use super::super::{local_signal, read};

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// Octets that mean something in a body or in its types.
const MARKS: &[u8] = b"\0/vasgo(){}bhy\xff";

/// Bodies with everything that has a form of its own.
fn bodies() -> Vec<Message> {
    let variants = || {
        std::collections::BTreeMap::from([
            ("text", zbus::Variant::new("a\u{fffe}b")),
            ("truth", zbus::Variant::new(true)),
            ("list", zbus::Variant::new(vec![(1u8, "x"), (2, "y")])),
            ("deep", zbus::Variant::new(vec![vec![vec![7i64]]])),
        ])
    };
    let path = zbus::ObjectPath::from_static_str_unchecked("/a/b_1");
    let types = zbus::signature!("a{s(ix)}");
    let mut all = Vec::new();
    for endian in [zbus::wire::Endian::Little, zbus::wire::Endian::Big] {
        let signal = || Message::signal("/a", "org.a.B", "C").endian(endian);
        all.push(
            signal()
                .build(&("text", &path, &types, variants()))
                .unwrap(),
        );
        all.push(
            signal()
                .build(&(true, vec![path.clone(); 3], vec![0.5; 3], 1u8, 2u64))
                .unwrap(),
        );
        all.push(signal().build(&vec![variants(), variants()]).unwrap());
        all.push(
            signal()
                .build(&zbus::Variant::new(vec![zbus::Variant::new(types.clone())]))
                .unwrap(),
        );
    }
    all
}

/// Tells the serial of each call that the bus replied to.
struct Replies(mpsc::Sender<Option<NonZeroU32>>);

impl Handler for Replies {
    fn hear(&mut self, message: Message) {
        // One call is made; what the bus says unasked may be lost.
        let _ = self.0.try_send(message.header().reply_serial());
    }
}

/// Most of what is changed at random is refused; a bus must take what is not. The header that goes out is
/// ours, so the bodies matter, and their types, which are in the header that comes.
#[tokio::test]
async fn a_bus_takes_every_body_that_is_taken_from_the_mesh() {
    let bus = TestBus::start();
    let connected = connect(&bus.address).await.unwrap();
    let (line, stop) = (BusConnection::default(), CancellationToken::new());
    let (answered, mut answer) = mpsc::channel(1);
    let mut living = {
        let (line, mut handler) = (line.clone(), Replies(answered));
        tokio::spawn(async move { run(&line, connected, &mut handler, &stop).await })
    };
    let (mut numbers, bodies) = (Numbers(0x5eed), bodies());
    let (mut taken, mut refused) = (0, 0);
    for round in 0..200_000 {
        let body = &bodies[round % bodies.len()];
        let mut octets = body.data().bytes().to_vec();
        for _ in 0..=numbers.below(3) {
            // Also the types, which stand before the body.
            let from = octets.len() - body.body().len() - 24;
            let at = from + numbers.below(octets.len() - from);
            octets[at] = match numbers.below(4) {
                0 => numbers.below(256).to_le_bytes()[0],
                1 => octets[at] ^ (1 << numbers.below(8)),
                2 => MARKS[numbers.below(MARKS.len())],
                _ => octets[numbers.below(octets.len())],
            };
        }
        let packet = read(&octets, usize::MAX);
        let signal = packet.ok().and_then(|packet| local_signal(&packet).ok());
        match signal {
            Some(signal) => {
                line.push(signal);
                taken += 1;
            }
            None => refused += 1,
        }
        if round % 1000 == 999 {
            tokio::select! {
                biased;
                _ = &mut living => panic!("the bus hung up before round {round}"),
                () = line.room() => {}
            }
        }
    }
    assert!(
        taken > 1000 && refused > 1000,
        "{taken} taken, {refused} refused"
    );
    // A reply after all of it shows that the bus took what was before.
    let serial = line.ask_bus("GetId", &());
    let is_reply = async { while answer.recv().await.unwrap() != serial {} };
    tokio::select! {
        _ = &mut living => panic!("the bus hung up"),
        () = is_reply => {}
    }
}

//! Messages as no library sends them: whatever somebody sends that the bus passes on, every call has one answer and
//! no connection of the bridge ends.
//!
//! The zoo is drawn from a seed. Which of its messages a bus passes on differs from bus to bus: dbus-daemon takes
//! unknown fields out, dbus-broker does not. What a bus refuses costs its sender the connection, nobody else.

use std::{collections::HashMap, fs::File, os::fd::OwnedFd};

use zbus::{Message, fdo::DBusProxy, names::BusName};
use zocp_testkit::{Bus, Client, Lab, Odd, Raw, Venue, error_name, isolated};

use super::{EXAMPLES, ZOCP};

const HERE: &str = "org.example.Odd";
const THERE: &str = "org.example.Odd.stage";
const HUB: &str = "org.z25.Zocp1";
const NODE: &str = "org.z25.Zocp1.Node.stage";
const INTERFACE: &str = "org.example.Odd1";
const PEER: &str = "org.freedesktop.DBus.Peer";
const SEED: u64 = 0x5eed;
const ROUNDS: usize = 40;
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Draws messages.
struct Zoo(u64);

impl Zoo {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// Puts fields that nobody knows into a message, anywhere among the others.
    fn add_fields(&mut self, message: &mut Odd, count: usize) {
        for _ in 0..count {
            let number = message.number(self.below(1 << 20) as u32).to_vec();
            let text = [&message.number(2)[..], b"ab\0"].concat();
            let none = [&[0; 4][..], &[0; 4]].concat();
            let values: [(&str, Vec<u8>); 9] = [
                ("u", number.clone()),
                ("h", number),
                ("s", text.clone()),
                ("y", vec![7]),
                ("g", b"\x02ay\0".to_vec()),
                ("ay", text[..6].to_vec()),
                ("v", [&b"\x01v\0\x01s\0"[..], &[0, 0], &text].concat()),
                ("as", vec![0; 4]),
                ("(uu)", none),
            ];
            let (kind, mut value) = values[self.below(values.len())].clone();
            // Code, signature and its end; what is aligned is so behind that.
            let behind = 3 + kind.len();
            let alignment = if kind == "(uu)" { 8 } else { 4 };
            if kind.len() > 1 {
                value.splice(0..0, vec![0; behind.next_multiple_of(alignment) - behind]);
            }
            let code = 11 + self.below(245) as u8;
            let at = self.below(message.fields.len() + 1);
            message.fields.insert(at, (code, kind, value));
        }
    }

    /// A call that a bus passes on: legal, and odd in one way or several.
    fn call(&mut self, destination: &str, member: &str, interface: &str) -> Odd {
        let mut call = Odd::new(CALL, self.below(2) == 0)
            .text(1, "o", "/")
            .text(3, "s", member)
            .text(6, "s", destination)
            .text(2, "s", interface);
        match self.below(8) {
            0 => call = call.count(5, 7),
            1 => call = call.text(4, "s", "org.example.Error"),
            2 => call.fields.push((8, "g", vec![0, 0])),
            3 => call = call.count(9, 0),
            4 => call.fields.reverse(),
            5 => {
                call.fields.push((8, "g", b"\x01h\0".to_vec()));
                call.body = call.number(0).to_vec();
            }
            6 => self.add_fields(&mut call, 300),
            _ => {}
        }
        // Bits that have no meaning yet.
        call.flags = (self.below(32) << 3) as u8;
        let count = self.below(4);
        self.add_fields(&mut call, count);
        call
    }

    /// A message that no bus has to pass on.
    fn broken(&mut self, destination: &str) -> Odd {
        let mut message = self.call(destination, "Ping", PEER);
        match self.below(7) {
            0 => message.version = 2,
            1 => message = message.text(3, "s", "Ping"),
            2 => message = message.text(0, "s", "Ping"),
            3 => message.fields[0].1 = "s",
            4 => message.padding = 1,
            5 => message.body = vec![1; 5],
            _ => message.kind = 5 + self.below(250) as u8,
        }
        message
    }
}

/// Answers every call, oddly, and tells each `Do` in a signal before.
async fn serve(mut service: Raw) {
    let mut zoo = Zoo(SEED + 1);
    let mut number = 0;
    while let Some(call) = service.next().await {
        let (CALL, Some(caller)) = (call.kind, &call.sender) else {
            continue;
        };
        let is_test = call.member.as_deref() == Some("Do");
        number += u32::from(is_test);
        let mut signal = Odd::new(SIGNAL, zoo.below(2) == 0)
            .text(1, "o", "/")
            .text(2, "s", INTERFACE)
            .text(3, "s", &format!("Told{number}"));
        let mut answer = Odd::new(RETURN, zoo.below(2) == 0)
            .count(5, call.serial)
            .text(6, "s", caller);
        if call.member.as_deref() == Some("Give") {
            answer.fields.push((8, "g", b"\x01h\0".to_vec()));
            answer.body = answer.number(0).to_vec();
        }
        for message in [&mut signal, &mut answer] {
            let count = zoo.below(4);
            zoo.add_fields(message, count);
            if is_test || message.kind == RETURN {
                service.send(message).await;
            }
        }
    }
}

async fn owners(bus: &Bus) -> HashMap<&'static str, String> {
    let proxy = DBusProxy::new(bus.connection()).await.expect("a proxy");
    let mut owners = HashMap::new();
    for name in [HUB, NODE, THERE] {
        let owner = proxy.get_name_owner(BusName::from_static_str(name).expect("a name"));
        owners.insert(name, owner.await.expect("an owner").to_string());
    }
    owners
}

async fn venue(lab: &Lab) -> Venue {
    let venue = Venue::open(lab, ZOCP, EXAMPLES, "").await;
    let mut service = Raw::on(&venue.stage.bus).await;
    service.own(HERE).await;
    tokio::spawn(serve(service));
    for name in [NODE, THERE] {
        venue.foh.bus.appears(name).await;
    }
    venue
}

async fn pings_are_answered(bus: &Bus) {
    let mut client = Client::on(bus).await;
    for name in [HUB, NODE, THERE] {
        let answer = client.call((name, "/", PEER), "Ping", &()).await;
        assert_eq!(error_name(&answer), None, "{name}");
    }
}

#[test]
fn every_odd_call_has_one_answer_and_no_connection_ends() {
    isolated(async |lab: Lab| {
        let venue = venue(&lab).await;
        let bus = &venue.foh.bus;
        let before = owners(bus).await;
        let mut hearing = Client::on(bus).await;
        hearing.hear(THERE).await;
        let (mut zoo, mut told) = (Zoo(SEED), 0);
        let mut raw = Raw::on(bus).await;
        for round in 0..ROUNDS {
            let targets = [
                (HUB, "Ping", PEER),
                (NODE, "Ping", PEER),
                (THERE, "Do", INTERFACE),
            ];
            for (name, member, interface) in targets {
                let call = zoo.call(name, member, interface);
                let serial = raw.send(&call).await;
                let mut others = Vec::new();
                let answer = raw.answer(serial, &mut others).await;
                let answer = answer.unwrap_or_else(|| panic!("{round}: hung up at {call:?}"));
                let is_read = call.body.is_empty();
                let kind = if is_read { RETURN } else { ERROR };
                assert_eq!(answer.kind, kind, "{round}: {answer:?} to {call:?}");
                // A second answer would be here before the bus's own.
                let marker = raw.ask_bus("GetId", "", Vec::new()).await;
                assert_eq!(marker.kind, RETURN, "{round}: {name}");
                if name == THERE && is_read {
                    told += 1;
                    hearing.signal(&format!("Told{told}")).await;
                }
            }
            for (name, ..) in targets {
                let broken = zoo.broken(name);
                let mut sender = Raw::on(bus).await;
                sender.send(&broken).await;
                let left = sender.send(&zoo.call(HUB, "Ping", PEER)).await;
                // Answered or hung up on, as the bus has it.
                sender.answer(left, &mut Vec::new()).await;
            }
        }
        let answer = hearing.call((THERE, "/", INTERFACE), "Give", &()).await;
        assert_eq!(
            error_name(&answer).as_deref(),
            Some("org.freedesktop.DBus.Error.Failed")
        );
        pings_are_answered(bus).await;
        assert_eq!(owners(bus).await, before, "with the seed {SEED:#x}");
    });
}

#[test]
fn calls_with_descriptors_are_all_answered_and_hold_nobody_up() {
    isolated(async |lab: Lab| {
        let venue = venue(&lab).await;
        let bus = &venue.foh.bus;
        let before = owners(bus).await;
        let mut client = Client::on(bus).await;
        let file = OwnedFd::from(File::open("/dev/null").expect("it is always there"));
        for name in [HUB, NODE, THERE] {
            let call = || {
                let call = Message::method_call("/", "Ping").interface(PEER);
                let call = call.destination(name);
                call.build(&zbus::Fd::from(file.try_clone().expect("a copy")))
                    .expect("a call")
            };
            let calls: Vec<Message> = (0..16).map(|_| call()).collect();
            client.send_all(&calls).await;
            for call in &calls {
                client.answer(call).await;
            }
        }
        pings_are_answered(bus).await;
        assert_eq!(owners(bus).await, before);
    });
}

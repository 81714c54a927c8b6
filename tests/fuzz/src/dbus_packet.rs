//! Any octets as a D-Bus message from the mesh: whether it is taken, and what goes to the bus for it.
//!
//! Input: the octets of a message.
//! Holds: everything that is made of what is taken, a call, an answer, a signal, is taken by the reference
//! too (T2), has the body and its signature untouched, and nothing of the header that a stranger may not
//! choose (T1); it can go over the mesh once more.

use std::num::NonZeroU32;

use zbus::{Message, message::Type};
use zocp_relay::transport::{self, Control, Offer};

use crate::{memory, reference};

/// Runs the target.
pub fn run(data: &[u8]) {
    let (read, most) = memory::peak(|| transport::read(data, LEN_MAX));
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
    let Ok(packet) = read else { return };
    call(&packet);
    answer(&packet);
    signal(&packet);
    control(&packet);
}

fn call(packet: &Message) {
    if let Ok(local) = transport::local_call(packet, SERVICE, None, number(8)) {
        let local = made(&local, packet);
        let header = local.header();
        assert_eq!(local.message_type(), Type::MethodCall);
        let destination = header.destination().map(ToString::to_string);
        assert_eq!(destination.as_deref(), Some(SERVICE));
        assert_eq!(local.primary_header().serial_num(), number(8));
        assert!(header.sender().is_none() && header.reply_serial().is_none());
        assert!(header.error_name().is_none());
    }
    if let Ok(outgoing) = transport::outgoing_call(packet, SERVICE, None, number(7)) {
        made(&outgoing, packet);
    }
}

fn answer(packet: &Message) {
    let call = asked();
    if let Ok(local) = transport::local_reply(packet, &call) {
        let local = made(&local, packet);
        let header = local.header();
        assert_eq!(local.message_type(), packet.message_type());
        assert_eq!(header.reply_serial(), Some(number(9)));
        let destination = header.destination().map(ToString::to_string);
        assert_eq!(destination.as_deref(), Some(":1.5"));
        assert!(header.sender().is_none() && header.path().is_none());
    }
    if let Ok(outgoing) = transport::outgoing_reply(packet, ":1.9", number(7)) {
        made(&outgoing, packet);
    }
}

fn signal(packet: &Message) {
    if let Ok(local) = transport::local_signal(packet) {
        let local = made(&local, packet);
        let header = local.header();
        assert_eq!(local.message_type(), Type::Signal);
        assert!(header.sender().is_none() && header.reply_serial().is_none());
    }
    if let Ok(outgoing) = transport::outgoing_signal(packet, number(7), None) {
        made(&outgoing, packet);
    }
}

fn control(packet: &Message) {
    if let Some(control) = Control::read(packet) {
        let again = control.packet(number(3)).expect("short");
        assert_eq!(Control::read(&again), Some(control));
    }
    if let Some(offer) = Offer::read(packet) {
        let again = offer.packet(number(3)).expect("short");
        assert_eq!(Offer::read(&again), Some(offer));
    }
}

/// A call of a local client that an answer may be for.
fn asked() -> Message {
    let call = Message::method_call("/a", "Do").sender(":1.5");
    call.serial(number(9)).build(&()).expect("short")
}

/// What was made of a packet, read again: as good for a bus as the packet, with the same body.
fn made(octets: &[u8], packet: &Message) -> Message {
    assert_ne!(reference::takes(octets), Some(false), "{octets:02x?}");
    let made = transport::read(octets, LEN_MAX).expect("what we make is taken");
    assert_eq!(made.body().data().bytes(), packet.body().data().bytes());
    assert_eq!(made.body().signature(), packet.body().signature());
    let order = |message: &Message| message.primary_header().endian_sig();
    assert_eq!(order(&made), order(packet));
    made
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a number")
}

const SERVICE: &str = "org.example.Service";
/// Of a packet.
const LEN_MAX: usize = 1 << 20;
const FIXED: usize = 64 << 10;
const EACH: usize = 256;

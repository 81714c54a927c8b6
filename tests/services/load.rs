//! Much at once: calls of mixed length, bursts of signals, calls that want no answer.

use std::collections::HashSet;

use zbus::{Message, message::Flags};
use zocp_testkit::{Client, Lab, Venue, error_name, is_signal, isolated, message};

use super::{EXAMPLES, LAMP, LAMP_PATH, LAMP_THERE, LAMP1, ZOCP};

const CALLERS: u32 = 5;
const CALLS_EACH: u32 = 100;
const LENGTHS: [usize; 6] = [0, 10, 1_000, 20_000, 70_000, 300_000];

#[test]
fn five_hundred_calls_of_mixed_length_at_once_are_answered_once_each() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let bus = &venue.stage.bus;
        let _service = bus.serve("every_service.py", "org.example.Every").await;
        venue.foh.bus.appears("org.example.Every.stage").await;
        let mut callers = Vec::new();
        for number in 0..CALLERS {
            let caller = Client::on(&venue.foh.bus).await;
            caller.send_all(&calls(number)).await;
            callers.push(caller);
        }
        for (number, caller) in (0..).zip(&mut callers) {
            let mut answered = HashSet::new();
            for _ in 0..CALLS_EACH {
                let answer = caller.find("an answer", is_answer).await;
                assert_eq!(error_name(&answer), None, "{answer:?}");
                let (at, text): (u32, String) = answer.body().deserialize().expect("an echo");
                assert!(text == contents(number, at), "caller {number}, call {at}");
                assert!(answered.insert(at), "call {at} is answered twice");
            }
        }
        for caller in &mut callers {
            let every = ("org.example.Every.stage", "/", "org.example.Every1");
            let rest = caller.heard_before(every, "Cases").await;
            assert!(!rest.iter().any(is_answer), "one too many");
        }
    });
}

fn calls(caller: u32) -> Vec<Message> {
    let call = |at: u32| {
        let call = message("org.example.Every.stage", "/", "org.example.Every1", "Echo");
        call.build(&(at, contents(caller, at))).expect("a call")
    };
    (0..CALLS_EACH).map(call).collect()
}

/// What one caller sends in one call.
fn contents(caller: u32, at: u32) -> String {
    let length = LENGTHS[(caller + at) as usize % LENGTHS.len()];
    format!("{caller}.{at};").repeat(length / 5)
}

fn is_answer(message: &Message) -> bool {
    let from = |sender: &str| sender != "org.freedesktop.DBus";
    message.header().reply_serial().is_some()
        && message
            .header()
            .sender()
            .is_some_and(|sender| from(sender.as_str()))
}

#[test]
fn a_burst_of_signals_is_told_in_order_and_before_the_answer_to_everybody() {
    const SIGNALS: u32 = 4000;
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut caller = Client::on(&venue.foh.bus).await;
        let mut listener = Client::on(&venue.foh.bus).await;
        caller.hear(LAMP_THERE).await;
        listener.hear(LAMP_THERE).await;
        let blink = message(LAMP_THERE, LAMP_PATH, LAMP1, "Blink").build(&SIGNALS);
        caller.send(&blink.expect("a call")).await;
        for client in [&mut caller, &mut listener] {
            for number in 0..SIGNALS {
                let next = client.find("the next signal", is_the_lamp_s).await;
                assert!(is_signal(&next, "Blinked"), "before {number}: {next:?}");
                let told: u32 = next.body().deserialize().expect("a number");
                assert_eq!(told, number);
            }
        }
        let answer = caller.find("the answer", is_the_lamp_s).await;
        assert!(is_answer(&answer), "{answer:?}");
    });
}

fn is_the_lamp_s(message: &Message) -> bool {
    is_signal(message, "Blinked") || is_answer(message)
}

#[test]
fn calls_that_want_no_answer_are_carried_out_and_get_none() {
    const CALLS: u32 = 200;
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut caller = Client::on(&venue.foh.bus).await;
        let quiet = |method| {
            let call = message(LAMP_THERE, LAMP_PATH, LAMP1, method);
            call.with_flags(Flags::NO_REPLY_EXPECTED)
                .build(&())
                .expect("a call")
        };
        for _ in 0..CALLS {
            caller.send(&quiet("Count")).await;
            caller.send(&quiet("Fail")).await;
        }
        let lamp = (LAMP_THERE, LAMP_PATH, LAMP1);
        let counted = caller.call(lamp, "Counted", &()).await;
        let counted: u32 = counted.body().deserialize().expect("a number");
        assert_eq!(counted, CALLS);
        let rest = caller.heard_before(lamp, "Counted").await;
        assert!(!rest.iter().any(is_answer), "{rest:?}");
    });
}

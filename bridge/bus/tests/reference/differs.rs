//! What is meant to differ from `dbus-daemon`: the table of docs/reference/bus.md, row by row.

use super::{
    harness::{Bus, Client, Stage, limits},
    message::Draft,
};
use zocp_bus::Limits;

/// A scenario on this bus alone.
fn ours(limits: Limits, scenario: impl FnOnce(&mut Stage)) {
    let mut stage = Stage::on(Bus::ours(limits, &[]));
    scenario(&mut stage);
}

fn names(client: &mut Client) -> Vec<String> {
    client
        .drain()
        .iter()
        .map(|message| format!("{}{}", message.field(3), message.field(4)))
        .collect()
}

#[test]
fn a_call_that_wants_no_answer_gets_no_error() {
    ours(limits(), |stage| {
        let mut a = stage.client("a");
        a.send(Draft::call("org.x.nobody", "Do").flags(1));
        a.send(Draft::bus("NoSuchMethod").flags(1));
        a.send(Draft::call("org.x.nobody", "Marker"));
        assert_eq!(names(&mut a), ["org.freedesktop.DBus.Error.ServiceUnknown"]);
    });
}

#[test]
fn what_nobody_waits_for_is_dropped_without_an_error() {
    ours(limits(), |stage| {
        let (mut a, b) = (stage.client("a"), stage.client("b"));
        a.send(Draft::reply("org.x.nobody", 7));
        a.send(Draft::reply(&b.unique, 7));
        a.send(Draft::signal("/", "x.y", "S").to("org.x.nobody"));
        a.send(Draft::new(9).to(&b.unique));
        a.send(Draft::call("org.x.nobody", "Marker"));
        assert_eq!(names(&mut a), ["org.freedesktop.DBus.Error.ServiceUnknown"]);
    });
}

#[test]
fn who_eavesdrops_without_being_a_monitor_hears_nothing() {
    ours(limits(), |stage| {
        let (mut a, mut b, mut c) = (stage.client("a"), stage.client("b"), stage.client("c"));
        c.ask(Draft::bus("AddMatch").s("eavesdrop='true'"));
        a.send(Draft::call(&b.unique, "Secret").flags(1));
        a.send(Draft::signal("/", "x.y", "Marker"));
        a.drain();
        b.drain();
        let heard = names(&mut c);
        assert!(
            heard.contains(&"Marker".to_owned()) && !heard.contains(&"Secret".to_owned()),
            "{heard:?}"
        );
    });
}

#[test]
fn bodies_are_not_looked_at() {
    ours(limits(), |stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        a.send(Draft::call(&b.unique, "Broken").flags(1).o("no path"));
        a.drain();
        assert_eq!(names(&mut b), ["Broken"]);
        assert!(!a.is_closed);
    });
}

#[test]
fn values_of_fields_that_are_dropped_are_not_looked_at() {
    ours(limits(), |stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let field = [99, 1, b's', 0, 1, 0, 0, 0, 0xff, 0];
        a.send(Draft::call(&b.unique, "Do").flags(1).raw_field(&field));
        a.drain();
        let came = b.drain();
        assert_eq!(came.len(), 1);
        assert_eq!(came[0].field(99), "");
    });
}

#[test]
fn an_answer_that_cannot_be_delivered_becomes_an_error() {
    ours(limits(), |stage| {
        let mut b = stage.client("b");
        let mut a = stage.connect("a", false);
        a.ask(Draft::bus("Hello"));
        let serial = a.send(Draft::call(&b.unique, "Give"));
        a.drain();
        let call = b
            .drain()
            .into_iter()
            .find(|message| message.field(3) == "Give")
            .unwrap();
        let (_, writer) = std::io::pipe().unwrap();
        let reply = Draft::reply(call.field(7), serial)
            .descriptors(1)
            .body("h", &[0; 4]);
        b.send_descriptors(reply, &[&writer]);
        let answer = a.answer(serial).unwrap();
        assert_eq!(answer.field(4), "org.freedesktop.DBus.Error.NotSupported");
    });
}

#[test]
fn who_does_not_read_is_refused_calls_and_ends_at_what_cannot_be_refused() {
    let limits = Limits {
        queued_octets_max: 100_000,
        pending_calls_max: 50_000,
        ..limits()
    };
    ours(limits, |stage| {
        let (mut a, mut b, mut watcher) = (stage.client("a"), stage.client("b"), stage.client("w"));
        b.ask(Draft::bus("AddMatch").s("interface='x.y'"));
        watcher.ask(Draft::bus("AddMatch").s("member='NameOwnerChanged'"));
        watcher.drain();
        // b reads nothing any more; what the kernel keeps for it is in front of the limit.
        let text = "x".repeat(1000);
        let mut refused = None;
        for _ in 0..5000 {
            a.send(Draft::call(&b.unique, "Do").s(&text));
            let came = a.drain();
            refused = came
                .iter()
                .map(|one| one.field(4).to_owned())
                .find(|error| !error.is_empty());
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(
            refused.as_deref(),
            Some("org.freedesktop.DBus.Error.LimitsExceeded")
        );
        // Others are not held up, and b is still there.
        assert_eq!(a.ask(Draft::bus("NameHasOwner").s(&b.unique)).body, "true");
        assert_eq!(
            a.ask(Draft::bus("NameHasOwner").s(&watcher.unique)).body,
            "true"
        );
        // A signal cannot be refused, and is not lost without a word.
        a.send(Draft::signal("/", "x.y", "S").s(&text));
        a.drain();
        assert_eq!(a.ask(Draft::bus("NameHasOwner").s(&b.unique)).body, "false");
        let told = watcher
            .drain()
            .into_iter()
            .any(|message| message.body.contains(&b.unique));
        assert!(told);
        while b.next().is_some() {}
        assert!(b.is_closed);
    });
}

#[test]
fn so_many_connections_may_say_hello_and_so_many_wait_for_it() {
    let limits = Limits {
        connections_max: 2,
        incomplete_max: 2,
        ..limits()
    };
    ours(limits, |stage| {
        let _clients = [stage.client("a"), stage.client("b")];
        let mut third = stage.connect("c", true);
        let answer = third.ask(Draft::bus("Hello"));
        assert_eq!(answer.field(4), "org.freedesktop.DBus.Error.LimitsExceeded");
        drop(third);
        // Two wait; the next is taken in when one of them has left.
        let first = Client::open(&stage.bus, "d");
        let second = Client::open(&stage.bus, "e");
        let mut third = Client::open(&stage.bus, "f");
        third.write(b"\0AUTH EXTERNAL\r\n");
        drop((first, second));
        assert_eq!(third.line(), "DATA");
    });
}

#[test]
fn who_says_no_hello_in_time_is_hung_up_on() {
    let limits = Limits {
        hello_time_max: std::time::Duration::from_millis(50),
        ..limits()
    };
    ours(limits, |stage| {
        let mut silent = Client::open(&stage.bus, "a");
        assert_eq!(silent.line(), "");
        let mut nameless = Client::open(&stage.bus, "b");
        nameless.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
        assert_eq!(nameless.line(), "DATA");
        assert!(nameless.line().starts_with("OK"));
        assert!(nameless.next().is_none());
    });
}

#[test]
fn so_many_connections_of_one_user_may_say_hello() {
    let limits = Limits {
        user_connections_max: 1,
        ..limits()
    };
    ours(limits, |stage| {
        let first = stage.client("a");
        let mut second = stage.connect("b", true);
        let answer = second.ask(Draft::bus("Hello"));
        assert_eq!(answer.field(4), "org.freedesktop.DBus.Error.LimitsExceeded");
        drop(first);
        // It may ask again, until the bus has noticed that the first has left.
        while second.ask(Draft::bus("Hello")).kind == 3 {}
    });
}

#[test]
fn more_descriptors_than_a_message_may_have_end_the_connection() {
    let limits = Limits {
        message_descriptors_max: 2,
        ..limits()
    };
    ours(limits, |stage| {
        let b = stage.client("b");
        let (_, writer) = std::io::pipe().unwrap();
        for count in [2, 3] {
            let mut a = stage.client("a");
            let draft = Draft::call(&b.unique, "Take").flags(1).descriptors(count);
            let all: Vec<&dyn std::os::fd::AsFd> = (0..count).map(|_| &writer as _).collect();
            a.send_descriptors(draft, &all);
            match count {
                2 => assert!(a.drain().is_empty()),
                _ => assert!(a.drain_to_end().is_empty()),
            }
        }
    });
}

#[test]
fn descriptors_that_nobody_takes_are_bounded() {
    let limits = Limits {
        queued_descriptors_max: 4,
        pending_calls_max: 5000,
        ..limits()
    };
    ours(limits, |stage| {
        let (mut a, b) = (stage.client("a"), stage.client("b"));
        let (_, writer) = std::io::pipe().unwrap();
        let text = "x".repeat(8000);
        let mut errors = Vec::new();
        for _ in 0..1000 {
            let draft = Draft::call(&b.unique, "Take").s(&text).descriptors(1);
            a.send_descriptors(draft, &[&writer]);
            errors = names(&mut a);
            if !errors.is_empty() {
                break;
            }
        }
        assert_eq!(errors, ["org.freedesktop.DBus.Error.LimitsExceeded"]);
        assert_eq!(a.ask(Draft::bus("NameHasOwner").s(&b.unique)).body, "true");
    });
}

//! Calls, answers and signals between connections.

use super::{harness::same, message::Draft};

#[test]
fn a_call_and_its_answers() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        stage.ask(&mut b, "name", Draft::bus("RequestName").s("org.x.b").u(0));
        stage.drain(&mut b);
        let (to_a, to_b) = (a.unique.clone(), b.unique.clone());
        for destination in ["org.x.b", &to_b] {
            let serial = a.send(Draft::call(destination, "Do").s("hello"));
            a.drain();
            stage.drain(&mut b);
            b.send(Draft::reply(&to_a, serial).s("done"));
            b.drain();
            stage.drain(&mut a);
        }
        let serial = a.send(Draft::call("org.x.b", "Fail"));
        a.drain();
        stage.drain(&mut b);
        b.send(
            Draft::new(3)
                .field(4, "s", "org.x.Error.No")
                .to(&to_a)
                .number(5, serial)
                .s("no"),
        );
        b.drain();
        stage.drain(&mut a);
        // To itself.
        let serial = a.send(Draft::call(&to_a, "Self"));
        stage.drain(&mut a);
        a.send(Draft::reply(&to_a, serial));
        stage.drain(&mut a);
        // A signal to one.
        a.send(Draft::signal("/", "x.y", "S").to("org.x.b").s("psst"));
        a.drain();
        stage.drain(&mut b);
    });
}

#[test]
fn a_forged_sender_is_not_believed_and_unknown_fields_are_dropped() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        a.send(
            Draft::call(&to_b, "Do")
                .field(7, "s", &to_b)
                .s("x")
                .flags(1),
        );
        a.send(
            Draft::call(&to_b, "Do")
                .field(7, "s", "org.freedesktop.DBus")
                .flags(1),
        );
        a.send(Draft::call(&to_b, "Do").field(42, "s", "unknown").flags(1));
        a.send(
            Draft::call(&to_b, "Do")
                .raw_field(&[77, 1, b'y', 0, 3])
                .raw_field(&[78, 1, b'v', 0, 1, b'y', 0, 9])
                .flags(1),
        );
        a.drain();
        stage.drain(&mut b);
    });
}

#[test]
fn who_is_called_and_leaves_has_the_bus_answer() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        let calls: Vec<u32> = (0..3).map(|_| a.send(Draft::call(&to_b, "Wait"))).collect();
        a.send(Draft::call(&to_b, "Forget").flags(1));
        a.drain();
        b.drain();
        // One is answered before.
        b.send(Draft::reply(&a.unique, calls[1]));
        b.drain();
        stage.drain(&mut a);
        drop(b);
        for serial in [calls[0], calls[2]] {
            let answer = a.answer(serial).unwrap();
            stage.say(format!("{} {} to {serial}", answer.kind, answer.field(4)));
        }
        stage.drain(&mut a);
    });
}

#[test]
fn so_many_calls_may_wait_for_answers() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let (to_a, to_b) = (a.unique.clone(), b.unique.clone());
        let mut serials: Vec<u32> = (0..6).map(|_| a.send(Draft::call(&to_b, "Wait"))).collect();
        stage.drain(&mut a);
        stage.drain(&mut b);
        b.send(Draft::reply(&to_a, serials.remove(0)));
        b.drain();
        stage.drain(&mut a);
        a.send(Draft::call(&to_b, "One"));
        a.send(Draft::call(&to_b, "Two"));
        a.send(Draft::call(&to_b, "Forget").flags(1));
        stage.drain(&mut a);
        stage.drain(&mut b);
    });
}

#[test]
fn a_serial_that_is_in_use_is_refused() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        a.write(&Draft::call(&to_b, "First").build(1000));
        a.write(&Draft::call(&to_b, "Second").build(1000));
        let answer = a.answer(1000).unwrap();
        stage.say(format!("{} {}", answer.kind, answer.field(4)));
        stage.drain(&mut b);
        b.send(Draft::reply(&a.unique, 1000));
        b.drain();
        stage.drain(&mut a);
    });
}

#[test]
fn nobody_else_may_answer_and_only_once() {
    same(|stage| {
        let (mut a, mut b, mut c) = (stage.client("a"), stage.client("b"), stage.client("c"));
        let (to_a, to_b) = (a.unique.clone(), b.unique.clone());
        let serial = a.send(Draft::call(&to_b, "Do"));
        a.drain();
        c.send(Draft::reply(&to_a, serial).s("I am b"));
        c.drain();
        b.send(Draft::reply(&to_a, serial + 1).s("to another call"));
        b.send(Draft::reply(&to_a, serial).s("once"));
        b.send(Draft::reply(&to_a, serial).s("twice"));
        b.drain();
        stage.drain(&mut a);
        // An answer to a call that wants none.
        let serial = a.send(Draft::call(&to_b, "Do").flags(1));
        a.drain();
        b.send(Draft::reply(&to_a, serial).s("unwanted"));
        b.drain();
        stage.drain(&mut a);
    });
}

#[test]
fn broadcasts_come_in_order_and_to_the_sender_too() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        for client in [&mut a, &mut b] {
            client.ask(Draft::bus("AddMatch").s("interface='x.y'"));
        }
        for number in 0..300 {
            a.send(Draft::signal("/", "x.y", "S").u(number));
        }
        stage.drain(&mut a);
        stage.drain(&mut b);
    });
}

#[test]
fn a_message_of_a_mebibyte_goes_through_in_both_byte_orders() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        let large = "x".repeat((1 << 20) - 300);
        a.send(Draft::call(&to_b, "Large").flags(1).s(&large));
        a.drain();
        let came = b.drain();
        stage.say(format!("{} {}", came.len(), came[0].body.len()));
        // Big endian: a call without a body.
        let mut octets = vec![b'B', 1, 1, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0];
        let mut fields = vec![1, 1, b'o', 0, 0, 0, 0, 1, b'/', 0, 0, 0, 0, 0, 0, 0];
        fields.extend([3, 1, b's', 0, 0, 0, 0, 3, b'B', b'i', b'g', 0, 0, 0, 0, 0]);
        fields.extend([6, 1, b's', 0, 0, 0, 0, u8::try_from(to_b.len()).unwrap()]);
        fields.extend(to_b.as_bytes());
        fields.push(0);
        octets[15] = u8::try_from(fields.len()).unwrap();
        octets.extend(fields);
        octets.resize(octets.len().next_multiple_of(8), 0);
        a.write(&octets);
        a.drain();
        stage.drain(&mut b);
    });
}

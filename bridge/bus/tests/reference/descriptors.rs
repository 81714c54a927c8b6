//! Descriptors.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
};

use super::{harness::same, message::Draft};

fn pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
}

#[test]
fn descriptors_arrive_with_their_messages_in_order() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        let mut pipes = Vec::new();
        for count in [1, 0, 2] {
            let made: Vec<_> = (0..count).map(|_| pipe()).collect();
            let mut draft = Draft::call(&to_b, "Take").flags(1).descriptors(count);
            for number in 0..count {
                let body: Vec<u8> = (0..=number).flat_map(u32::to_le_bytes).collect();
                draft = draft.body(&"h".repeat(number as usize + 1), &body);
            }
            match count {
                0 => drop(a.send(draft)),
                _ => {
                    let fds: Vec<&dyn std::os::fd::AsFd> =
                        made.iter().map(|(_, writer)| writer as _).collect();
                    a.send_descriptors(draft, &fds);
                }
            }
            pipes.extend(made.into_iter().map(|(reader, _)| reader));
        }
        a.drain();
        stage.drain(&mut b);
        stage.say(format!("{} descriptors", b.descriptors.len()));
        for (number, mut reader) in pipes.into_iter().enumerate() {
            let mut writer = File::from(b.descriptors.pop_front().unwrap());
            write!(writer, "{number}").unwrap();
            drop(writer);
            // The end comes only when nobody else has it: neither the sender nor the bus.
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            stage.say(text);
        }
    });
}

#[test]
fn who_takes_no_descriptors_is_sent_none() {
    same(|stage| {
        let mut a = stage.client("a");
        let mut b = stage.connect("b", false);
        let to_b = b.ask(Draft::bus("Hello")).body.trim_matches('"').to_owned();
        b.ask(Draft::bus("AddMatch").s("interface='x.y'"));
        b.drain();
        let (_, writer) = pipe();
        let zero = 0_u32.to_le_bytes();
        a.send_descriptors(
            Draft::call(&to_b, "Take").descriptors(1).body("h", &zero),
            &[&writer],
        );
        a.send_descriptors(
            Draft::signal("/", "x.y", "S")
                .descriptors(1)
                .body("h", &zero),
            &[&writer],
        );
        a.send(Draft::signal("/", "x.y", "T"));
        let came = a.drain();
        stage.say(format!(
            "a: {:?}",
            came.iter().map(|one| one.field(4)).collect::<Vec<_>>()
        ));
        let came = b.drain();
        stage.say(format!(
            "b: {:?}",
            came.iter().map(|one| one.field(3)).collect::<Vec<_>>()
        ));
    });
}

#[test]
fn descriptors_that_are_announced_and_do_not_come_end_the_connection() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let to_b = b.unique.clone();
        a.send(Draft::call(&to_b, "Take").descriptors(1));
        a.drain_to_end();
        stage.say(format!("closed: {}", a.is_closed));
        stage.drain(&mut b);
    });
}

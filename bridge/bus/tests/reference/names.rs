//! Names: requests with all flags, queues, and what is told.

use super::{
    harness::{Client, Stage, same},
    message::Draft,
};

const NAME: &str = "org.example.Name";

fn request(stage: &mut Stage, client: &mut Client, flags: u32) {
    let what = format!("RequestName {flags}");
    stage.ask(client, &what, Draft::bus("RequestName").s(NAME).u(flags));
}

fn queue(stage: &mut Stage, client: &mut Client) {
    stage.ask(client, "queue", Draft::bus("ListQueuedOwners").s(NAME));
    stage.ask(client, "owner", Draft::bus("GetNameOwner").s(NAME));
}

fn watcher(stage: &mut Stage) -> Client {
    let mut watcher = stage.client("w");
    let rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'";
    stage.ask(&mut watcher, "AddMatch", Draft::bus("AddMatch").s(rule));
    watcher
}

#[test]
fn two_connections_ask_for_a_name_with_all_flags() {
    for first in 0..8 {
        for second in 0..8 {
            same(|stage| {
                let mut watcher = watcher(stage);
                let (mut a, mut b) = (stage.client("a"), stage.client("b"));
                stage.drain(&mut watcher);
                request(stage, &mut a, first);
                request(stage, &mut b, second);
                queue(stage, &mut watcher);
                request(stage, &mut a, second);
                request(stage, &mut b, first);
                queue(stage, &mut watcher);
                stage.ask(&mut a, "release", Draft::bus("ReleaseName").s(NAME));
                queue(stage, &mut watcher);
                stage.ask(&mut a, "release", Draft::bus("ReleaseName").s(NAME));
                stage.ask(&mut b, "release", Draft::bus("ReleaseName").s(NAME));
                stage.ask(&mut b, "release", Draft::bus("ReleaseName").s(NAME));
                for client in [&mut a, &mut b, &mut watcher] {
                    stage.drain(client);
                }
            });
        }
    }
}

#[test]
fn a_queue_of_four_moves_on_as_its_owners_leave() {
    same(|stage| {
        let mut watcher = watcher(stage);
        let mut clients = ["a", "b", "c", "d"].map(|name| stage.client(name));
        let flags = [1, 0, 2, 3];
        for (client, flags) in clients.iter_mut().zip(flags) {
            request(stage, client, flags);
            queue(stage, &mut watcher);
        }
        for client in &mut clients {
            stage.drain(client);
        }
        stage.drain(&mut watcher);
        for client in clients {
            drop(client);
            // Until the bus has noticed.
            while watcher.ask(Draft::bus("NameHasOwner").s(NAME)).body == "true"
                && watcher.drain().is_empty()
            {}
            queue(stage, &mut watcher);
        }
    });
}

#[test]
fn names_are_told_when_their_owner_comes_and_goes() {
    same(|stage| {
        let mut watcher = watcher(stage);
        let mut a = stage.client("a");
        for name in ["org.example.One", "org.example.Two", "org.example.Three"] {
            stage.ask(&mut a, name, Draft::bus("RequestName").s(name).u(0));
        }
        let unique = a.unique.clone();
        stage.drain(&mut a);
        stage.drain(&mut watcher);
        drop(a);
        let mut told = Vec::new();
        while !told
            .iter()
            .any(|line: &String| line.contains(&format!("{unique:?}, {unique:?}, \"\"")))
        {
            told.extend(watcher.drain().into_iter().map(|message| message.body));
        }
        for line in told {
            stage.say(format!("told {line}"));
        }
    });
}

#[test]
fn hello_gives_a_name_once_and_tells_of_it() {
    same(|stage| {
        let mut watcher = watcher(stage);
        let mut new = stage.connect("n", true);
        stage.ask(&mut new, "too early", Draft::bus("ListNames"));
        let too_early = Draft::bus_of("org.freedesktop.DBus.Peer", "Ping");
        stage.ask(&mut new, "too early", too_early);
        new.send(Draft::bus("Hello"));
        let first = new.next().unwrap();
        assert!(
            first.field(6).starts_with(":1.") && first.kind == 2,
            "the first message is the answer"
        );
        let second = new.next().unwrap();
        stage.say(format!("second: {} {}", second.kind, second.field(3)));
        stage.ask(&mut new, "again", Draft::bus("Hello"));
        let count = watcher.drain().len();
        stage.say(format!("{count} were told"));
    });
}

#[test]
fn names_that_cannot_be_had() {
    same(|stage| {
        let mut a = stage.client("a");
        for name in [
            "",
            "org",
            ":1.0",
            ":1.77",
            "org.freedesktop.DBus",
            "org..x",
            "org.1x",
            "org.x y",
            ".org.x",
            "org.x-y.z",
        ] {
            stage.ask(&mut a, name, Draft::bus("RequestName").s(name).u(0));
            stage.ask(&mut a, name, Draft::bus("ReleaseName").s(name));
        }
        let long = format!("org.{}", "x".repeat(252));
        stage.ask(&mut a, "long", Draft::bus("RequestName").s(&long).u(0));
        stage.ask(
            &mut a,
            "as long as may be",
            Draft::bus("RequestName").s(&long[..255]).u(0),
        );
        stage.ask(
            &mut a,
            "unknown flags",
            Draft::bus("RequestName").s("org.x.y").u(0xf8),
        );
    });
}

#[test]
fn a_connection_has_so_many_names_and_no_more() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        stage.ask(&mut b, "of b", Draft::bus("RequestName").s("org.x.n1").u(0));
        for number in 0..6 {
            let name = format!("org.x.n{number}");
            stage.ask(&mut a, &name, Draft::bus("RequestName").s(&name).u(0));
        }
        stage.ask(&mut a, "one less", Draft::bus("ReleaseName").s("org.x.n1"));
        stage.ask(
            &mut a,
            "one more",
            Draft::bus("RequestName").s("org.x.n5").u(0),
        );
        stage.ask(
            &mut a,
            "and no more",
            Draft::bus("RequestName").s("org.x.n6").u(0),
        );
    });
}

//! Services that are started when they are called: what waits for them, and what those who wait see.

use super::{
    harness::{Client, Stage, same_with},
    message::Draft,
};

const NAME: &str = "org.example.Started";

/// Takes the name, as the service that was started would.
fn take(stage: &mut Stage, service: &mut Client) {
    stage.ask(service, "take", Draft::bus("RequestName").s(NAME).u(0));
    stage.drain(service);
}

fn start() -> Draft {
    Draft::bus("StartServiceByName").s(NAME).u(0)
}

#[test]
fn names_that_can_be_started_are_listed() {
    same_with(&[NAME], |stage| {
        let mut a = stage.client("a");
        let listed = a.ask(Draft::bus("ListActivatableNames")).body;
        stage.say(format!("{}", listed.contains(NAME)));
        stage.ask(&mut a, "owner", Draft::bus("NameHasOwner").s(NAME));
        stage.ask(&mut a, "owner", Draft::bus("GetNameOwner").s(NAME));
    });
}

#[test]
fn calls_and_signals_wait_until_somebody_has_the_name() {
    same_with(&[NAME], |stage| {
        let (mut a, mut b, mut service) = (stage.client("a"), stage.client("b"), stage.client("s"));
        let first = a.send(Draft::call(NAME, "First"));
        a.send(Draft::signal("/", "x.y", "Second").to(NAME));
        a.send(Draft::call(NAME, "Third").flags(1));
        a.send(Draft::call(NAME, "Fourth"));
        stage.drain(&mut a);
        b.send(Draft::call(NAME, "Fifth"));
        stage.drain(&mut b);
        take(stage, &mut service);
        service.send(Draft::reply(&a.unique, first));
        stage.drain(&mut service);
        stage.drain(&mut a);
        // It has the name: what comes now does not wait.
        a.send(Draft::call(NAME, "Sixth"));
        stage.drain(&mut a);
        stage.drain(&mut service);
        // It has left: what comes now waits for the next one.
        stage.ask(&mut service, "release", Draft::bus("ReleaseName").s(NAME));
        a.send(Draft::call(NAME, "Seventh").flags(1));
        stage.drain(&mut a);
        take(stage, &mut service);
    });
}

#[test]
fn start_service_by_name_answers_when_somebody_has_the_name() {
    same_with(&[NAME], |stage| {
        let (mut a, mut service) = (stage.client("a"), stage.client("s"));
        let question = a.send(start());
        stage.drain(&mut a);
        take(stage, &mut service);
        let answer = a.answer(question).unwrap();
        stage.say(format!("{} {}", answer.kind, answer.body));
        stage.ask(&mut a, "it runs", start());
        stage.ask(
            &mut a,
            "not offered",
            Draft::bus("StartServiceByName").s("org.x.nobody").u(0),
        );
    });
}

#[test]
fn a_call_that_starts_nothing_is_refused() {
    same_with(&[NAME], |stage| {
        let mut a = stage.client("a");
        stage.ask(&mut a, "call", Draft::call(NAME, "Do").flags(2));
    });
}

#[test]
fn who_leaves_leaves_nothing_that_waits() {
    same_with(&[NAME], |stage| {
        let (mut a, mut b, mut service) = (stage.client("a"), stage.client("b"), stage.client("s"));
        a.send(Draft::call(NAME, "Left"));
        a.drain();
        b.send(Draft::call(NAME, "Stays"));
        b.drain();
        let unique = a.unique.clone();
        drop(a);
        while b.ask(Draft::bus("NameHasOwner").s(&unique)).body == "true" {}
        take(stage, &mut service);
    });
}

#[test]
fn who_watches_sees_what_waits_when_it_is_sent() {
    same_with(&[NAME], |stage| {
        let (mut a, mut m, mut service) = (stage.client("a"), stage.client("m"), stage.client("s"));
        let rule = format!("destination='{NAME}'");
        let monitor = Draft::bus_of("org.freedesktop.DBus.Monitoring", "BecomeMonitor");
        let monitor = monitor.strings(&[&rule]).u(0);
        stage.ask(&mut m, "watch", monitor);
        a.send(Draft::call(NAME, "Seen").flags(1));
        a.drain();
        let seen: Vec<String> = m
            .drain_until("Seen")
            .iter()
            .map(|it| it.field(3).to_owned())
            .collect();
        stage.say(seen.join(" "));
        take(stage, &mut service);
    });
}

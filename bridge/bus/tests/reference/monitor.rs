//! Watching: BecomeMonitor, and what is seen then.

use super::{
    harness::{Client, Stage, same},
    message::Draft,
};

const MONITORING: &str = "org.freedesktop.DBus.Monitoring";

fn monitor(stage: &mut Stage, rules: &[&str]) -> Client {
    let mut monitor = stage.client("m");
    let draft = Draft::bus_of(MONITORING, "BecomeMonitor")
        .strings(rules)
        .u(0);
    stage.ask(&mut monitor, "BecomeMonitor", draft);
    monitor
}

/// What a monitor saw until the marker.
fn seen(stage: &mut Stage, monitor: &mut Client, marker: &mut Client) {
    marker.send(Draft::signal("/", "x.y", "Marker"));
    for message in monitor.drain_until("Marker") {
        stage.say(format!(
            "seen: {} from {} to {} {}.{} {} ({})",
            message.kind,
            message.field(7),
            message.field(6),
            message.field(2),
            message.field(3),
            message.field(4),
            if message.kind == 3 { "" } else { &message.body },
        ));
    }
}

#[test]
fn a_monitor_sees_everything_in_order() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let mut monitor = monitor(stage, &[]);
        let (to_a, to_b) = (a.unique.clone(), b.unique.clone());
        a.ask(Draft::bus("RequestName").s("org.x.a").u(0));
        let serial = a.send(Draft::call(&to_b, "Do").s("hello"));
        a.ask(Draft::bus("NameHasOwner").s("org.x.a"));
        b.send(Draft::reply(&to_a, serial).s("done"));
        b.ask(Draft::bus("NameHasOwner").s("org.x.b"));
        a.ask(Draft::call("org.x.nobody", "Do"));
        a.send(Draft::signal("/", "x.y", "S").to(&to_b));
        seen(stage, &mut monitor, &mut a);
        let serial = a.send(Draft::call(&to_b, "Wait"));
        a.ask(Draft::bus("NameHasOwner").s("org.x.a"));
        drop(b);
        a.answer(serial);
        seen(stage, &mut monitor, &mut a);
    });
}

#[test]
fn a_monitor_sees_what_its_rules_say() {
    for rule in [
        "type='error'",
        "destination='org.x.b'",
        "sender='org.x.a'",
        "member='Do'",
        "type='method_call',interface='org.freedesktop.DBus'",
        "arg0='hello'",
    ] {
        same(|stage| {
            let (mut a, mut b) = (stage.client("a"), stage.client("b"));
            a.ask(Draft::bus("RequestName").s("org.x.a").u(0));
            b.ask(Draft::bus("RequestName").s("org.x.b").u(0));
            let mut monitor = monitor(stage, &[rule, "member='Marker'"]);
            let (to_a, to_b) = (a.unique.clone(), b.unique.clone());
            let serial = a.send(Draft::call(&to_b, "Do").s("hello"));
            a.send(Draft::call("org.x.b", "Do").flags(1));
            a.ask(Draft::bus("NameHasOwner").s("hello"));
            b.send(Draft::reply(&to_a, serial).s("done"));
            b.ask(Draft::call("org.x.nobody", "Do"));
            seen(stage, &mut monitor, &mut a);
        });
    }
}

#[test]
fn who_becomes_a_monitor_is_gone_for_the_others() {
    same(|stage| {
        let mut a = stage.client("a");
        a.ask(Draft::bus("AddMatch").s("member='NameOwnerChanged'"));
        let mut m = stage.client("m");
        let to_m = m.unique.clone();
        m.ask(Draft::bus("RequestName").s("org.x.m").u(0));
        let waiting = a.send(Draft::call("org.x.m", "Wait"));
        stage.drain(&mut a);
        stage.ask(
            &mut m,
            "BecomeMonitor",
            Draft::bus_of(MONITORING, "BecomeMonitor")
                .strings(&["member='None'"])
                .u(0),
        );
        let answer = a.answer(waiting).unwrap();
        stage.say(format!("{} {}", answer.kind, answer.field(4)));
        stage.drain(&mut a);
        stage.ask(&mut a, "NameHasOwner", Draft::bus("NameHasOwner").s(&to_m));
        stage.ask(&mut a, "call", Draft::call(&to_m, "Do"));
        m.send(Draft::bus("GetId"));
        for message in m.drain_to_end() {
            stage.say(format!(
                "m < {} {} {}",
                message.kind,
                message.field(3),
                message.field(4)
            ));
        }
        stage.say(format!("a monitor that speaks is closed: {}", m.is_closed));
    });
}

#[test]
fn what_is_no_monitor() {
    same(|stage| {
        let mut a = stage.client("a");
        let become_monitor = || Draft::bus_of(MONITORING, "BecomeMonitor");
        stage.ask(&mut a, "flags", become_monitor().strings(&[]).u(1));
        stage.ask(&mut a, "rule", become_monitor().strings(&["nonsense"]).u(0));
        stage.ask(&mut a, "args", become_monitor().strings(&[]));
        stage.drain(&mut a);
    });
}

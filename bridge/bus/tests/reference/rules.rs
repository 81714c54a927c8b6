//! Match rules: which signals come, and which texts are rules.

use super::{harness::same, message::Draft};

/// Signals that differ in one thing each.
fn signals() -> Vec<Draft> {
    let signal = Draft::signal;
    vec![
        signal("/a", "x.y", "M"),
        signal("/a/b", "x.y", "M"),
        signal("/ab", "x.y", "N"),
        signal("/", "x.z", "M"),
        signal("/a", "x.y", "M").s("org.a").s("second"),
        signal("/a", "x.y", "M").s("org.a.b").o("/q/r"),
        signal("/a", "x.y", "M").s("org.ab").s("/q/r/s"),
        signal("/a", "x.y", "M").s("/q/").s("/q"),
        signal("/a", "x.y", "M")
            .u(7)
            .strings(&["u", "v"])
            .s("third"),
        signal("/a", "x.y", "M").s("").s("it's"),
        signal("/a", "x.y", "M").to("org.x.nobody"),
    ]
}

const RULES: [&str; 49] = [
    "",
    " ",
    "type='signal'",
    "type='method_call'",
    "type='error'",
    "interface='x.y'",
    "interface='x.z'",
    "member='M'",
    "member='N'",
    "path='/a'",
    "path='/'",
    "path_namespace='/a'",
    "path_namespace='/'",
    "path_namespace='/a/b'",
    "sender='org.x.sender'",
    "sender='org.x.queued'",
    "sender='org.freedesktop.DBus'",
    "destination='org.x.sender'",
    "arg0='org.a'",
    "arg0=''",
    "arg0=",
    "arg0namespace='org'",
    "arg0namespace='org.a'",
    "arg0path='/q/'",
    "arg0path='/'",
    "arg1='second'",
    "arg1path='/q/'",
    "arg1path='/q/r/s/t'",
    "arg1path='/q/r/'",
    "arg1='it'\\''s'",
    "arg1=it\\'s",
    "arg2='third'",
    "arg63='x'",
    "arg1='/q/r'",
    "type='signal',interface='x.y',member='M',path='/a',arg0='org.a',arg1='second'",
    "type=signal,interface=x.y,",
    "  type = 'x'",
    " type='signal', member='M'",
    "eavesdrop='false'",
    "member='M',eavesdrop='false'",
    "path_namespace='/a',arg0namespace='org.a',sender='org.x.sender'",
    "path='/ab',interface='x.y'",
    "path_namespace='/x'",
    "arg0='org.a.b',arg1path='/q/r'",
    "arg0path='org.a'",
    "interface='x.y',sender=':1.0'",
    "type='sig''nal'",
    "member='M''",
    "arg0='a,b'",
];

#[test]
fn each_rule_brings_the_same_signals() {
    same(|stage| {
        let mut sender = stage.client("s");
        let mut other = stage.client("o");
        stage.ask(
            &mut sender,
            "name",
            Draft::bus("RequestName").s("org.x.sender").u(0),
        );
        stage.ask(
            &mut other,
            "name",
            Draft::bus("RequestName").s("org.x.queued").u(0),
        );
        stage.ask(
            &mut sender,
            "name",
            Draft::bus("RequestName").s("org.x.queued").u(0),
        );
        for rule in RULES {
            let mut receiver = stage.client("r");
            let answer = receiver.ask(Draft::bus("AddMatch").s(rule));
            stage.say(format!("{rule}: {} {}", answer.kind, answer.field(4)));
            receiver.drain();
            for signal in signals() {
                sender.send(signal);
            }
            sender.drain();
            let came = receiver.drain();
            for message in came
                .iter()
                .filter(|message| message.field(2).starts_with('x'))
            {
                stage.say(format!(
                    "{rule}: {} {} {}",
                    message.field(1),
                    message.field(3),
                    message.body
                ));
            }
            // No more than once.
            let answer = receiver.ask(Draft::bus("RemoveMatch").s(rule));
            stage.say(format!("removed: {} {}", answer.kind, answer.field(4)));
            sender.send(Draft::signal("/a", "x.y", "M").s("org.a").s("second"));
            sender.drain();
            let came = receiver.drain();
            stage.say(format!(
                "after that {}",
                came.iter()
                    .filter(|message| message.field(2) == "x.y")
                    .count()
            ));
        }
    });
}

#[test]
fn rules_are_counted_and_taken_away_one_by_one() {
    same(|stage| {
        let (mut a, mut b) = (stage.client("a"), stage.client("b"));
        let rule = |member: &str, rule: &str| Draft::bus(member).s(rule);
        stage.ask(&mut a, "add", rule("AddMatch", "member='M'"));
        stage.ask(&mut a, "add the same", rule("AddMatch", "member=M"));
        stage.ask(&mut a, "add another", rule("AddMatch", "path='/a'"));
        b.send(Draft::signal("/a", "x.y", "M"));
        b.drain();
        stage.drain(&mut a);
        stage.ask(&mut a, "remove", rule("RemoveMatch", "member='M'"));
        stage.ask(&mut a, "remove another", rule("RemoveMatch", "path='/a'"));
        b.send(Draft::signal("/a", "x.y", "M"));
        b.drain();
        stage.drain(&mut a);
        stage.ask(&mut a, "remove", rule("RemoveMatch", "member='M'"));
        stage.ask(
            &mut a,
            "remove once more",
            rule("RemoveMatch", "member='M'"),
        );
        stage.ask(&mut a, "no rule", rule("RemoveMatch", "member"));
        for number in 0..7 {
            stage.ask(
                &mut a,
                "many",
                rule("AddMatch", &format!("arg0='{number}'")),
            );
        }
        stage.ask(&mut a, "one less", rule("RemoveMatch", "arg0='3'"));
        stage.ask(&mut a, "one more", rule("AddMatch", "arg0='x'"));
        b.send(Draft::signal("/a", "x.y", "M").s("x"));
        b.drain();
        stage.drain(&mut a);
        stage.ask(
            &mut a,
            "too long",
            rule("AddMatch", &format!("arg0='{}'", "x".repeat(1030))),
        );
    });
}

#[test]
fn a_rule_for_a_well_known_name_follows_its_owner() {
    same(|stage| {
        let (mut a, mut b, mut r) = (stage.client("a"), stage.client("b"), stage.client("r"));
        stage.ask(
            &mut r,
            "rule",
            Draft::bus("AddMatch").s("sender='org.x.name',interface='x.y'"),
        );
        let both = |a: &mut super::harness::Client, b: &mut super::harness::Client| {
            a.send(Draft::signal("/", "x.y", "FromA"));
            a.drain();
            b.send(Draft::signal("/", "x.y", "FromB"));
            b.drain();
        };
        both(&mut a, &mut b);
        stage.ask(&mut a, "a", Draft::bus("RequestName").s("org.x.name").u(1));
        both(&mut a, &mut b);
        stage.ask(&mut b, "b", Draft::bus("RequestName").s("org.x.name").u(2));
        both(&mut a, &mut b);
        stage.ask(&mut b, "b", Draft::bus("ReleaseName").s("org.x.name"));
        both(&mut a, &mut b);
        stage.drain(&mut r);
    });
}

#[test]
fn texts_that_are_no_rules() {
    same(|stage| {
        let mut a = stage.client("a");
        for text in [
            "type",
            "type='signal",
            "type='signals'",
            "type='signal',type='signal'",
            "nokey='x'",
            "arg='x'",
            "arg64='x'",
            "arg0nam='x'",
            "arg1namespace='x'",
            "arg0namespace=''",
            "arg0namespace='.x'",
            "path='a'",
            "path='/',path_namespace='/'",
            "path_namespace='/a/'",
            "member='a.b'",
            "interface='a'",
            "sender='a'",
            "eavesdrop='maybe'",
            "arg0='a',arg0='b'",
            "arg0='a',arg0path='/b'",
            "arg99999999999='x'",
            ",type='signal'",
            "type='signal',,member='M'",
            "type='signal' member='M'",
        ] {
            stage.ask(&mut a, text, Draft::bus("AddMatch").s(text));
        }
    });
}

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    Limits,
    message::{Draft, RawMessage, Writer},
};

/// Two connections with names.
struct Two;

const ONE: ConnectionId = ConnectionId(1);
const OTHER: ConnectionId = ConnectionId(2);

impl Owners for Two {
    fn owns(&self, connection: ConnectionId, name: &str) -> bool {
        let mut names = self.names(connection);
        name == format!(":1.{}", connection.0) || names.any(|one| one == name)
    }

    fn names(&self, connection: ConnectionId) -> impl Iterator<Item = &str> {
        let names: &[&str] = if connection == ONE {
            &["a.b", "a.b.c"]
        } else {
            &[]
        };
        names.iter().copied()
    }

    fn names_len(&self, connection: ConnectionId) -> usize {
        self.names(connection).count()
    }
}

/// A signal with two arguments.
fn signal(path: &str, interface: &str, member: &str, args: [(&str, &str); 2]) -> RawMessage {
    let mut body = Writer::default();
    args.iter().for_each(|(_, text)| body.string(text));
    let draft = Draft {
        kind: Kind::Signal,
        serial: std::num::NonZeroU32::MIN,
        reply_serial: None,
        sender: ":1.1",
        destination: None,
        path: Some(path),
        interface: Some(interface),
        member: Some(member),
        error_name: None,
        signature: &args.map(|(kind, _)| kind).concat(),
        body,
    };
    draft.finish()
}

fn template() -> Draft<'static> {
    Draft {
        kind: Kind::Signal,
        serial: std::num::NonZeroU32::MIN,
        reply_serial: None,
        sender: ":1.1",
        destination: None,
        path: Some("/"),
        interface: Some("x.y"),
        member: Some("M"),
        error_name: None,
        signature: "",
        body: Writer::default(),
    }
}

fn is_told(rule: &str, raw: &RawMessage) -> bool {
    let limits = Limits::default();
    let message = Message::of_raw(raw, &limits).unwrap();
    let rule = Rule::parse(rule).unwrap();
    let subject = || Subject::new(&message, Some(ONE), ":1.1", None);
    let alone = rule.matches(&mut subject(), &Two, false);
    let mut index = Index::default();
    index.add(OTHER, Rule::parse("type='signal',member='Other'").unwrap());
    index.add(ONE, rule.clone());
    let found = index.find(&mut subject(), &Two, false);
    assert_eq!(
        found.contains(&ONE),
        alone,
        "the index finds what matches: {rule:?}"
    );
    assert!(index.remove(ONE, rule));
    assert!(index.find(&mut subject(), &Two, false).is_empty());
    alone
}

#[test]
fn each_key_is_compared() {
    let raw = signal("/a/b", "x.y", "M", [("s", "org.a.b"), ("o", "/q/r")]);
    let yes = [
        "",
        " ",
        "type='signal'",
        "type=signal,sender=':1.1'",
        "sender='a.b'",
        "interface='x.y',member='M',path='/a/b'",
        "path_namespace='/a'",
        "path_namespace='/'",
        "path_namespace='/a/b'",
        "arg0='org.a.b'",
        "arg0namespace='org.a'",
        "arg0namespace='org.a.b'",
        "arg1path='/q/'",
        "arg1path='/q/r'",
        "eavesdrop='true'",
        "member=M, type ='sig''nal'",
    ];
    for rule in yes {
        assert!(is_told(rule, &raw), "{rule}");
    }
    let no = [
        "type='error'",
        "sender='a.z'",
        "sender=':1.2'",
        "interface='x.z'",
        "member='N'",
        "path='/a'",
        "path_namespace='/a/b/c'",
        "path_namespace='/b'",
        "arg0='org.a'",
        "arg0namespace='org.a.b.c'",
        "arg0namespace='org',arg1='x'",
        "arg1='/q/r'",
        "arg1path='/q'",
        "arg2='x'",
        "destination=':1.1'",
    ];
    for rule in no {
        assert!(!is_told(rule, &raw), "{rule}");
    }
}

#[test]
fn quotes_are_those_of_a_shell() {
    let raw = signal("/", "x.y", "M", [("s", "it's, \\ 'x'"), ("s", "")]);
    assert!(is_told(r"arg0='it'\''s, \ '\''x'\'''", &raw));
    assert!(is_told(r"arg0=it\''s, \ '\'x\'", &raw));
    assert!(is_told("arg1=''", &raw) && is_told("arg1=", &raw));
    let raw = signal("/", "x.y", "M", [("s", "a\\b\\"), ("s", "")]);
    assert!(is_told(r"arg0=a\b\", &raw) && is_told(r"arg0='a\b\'", &raw));
}

#[test]
fn what_is_no_rule_is_refused() {
    let long = format!("arg0='{}'", "x".repeat(1020));
    let wrong = [
        "type",
        "type='signal",
        "type='signals'",
        "type='signal',type='signal'",
        "nokey='x'",
        "arg='x'",
        "arg64='x'",
        "arg0nam='x'",
        "arg1namespace='x'",
        "arg0namespace='.x'",
        "path='a'",
        "path='/',path_namespace='/'",
        "member='a.b'",
        "interface='a'",
        "sender='a'",
        "destination=':'",
        "eavesdrop='maybe'",
        "arg0='a',arg0='b'",
        "arg0='a',arg0path='/b'",
        "arg99999999999='x'",
        ",type='signal'",
        &long,
    ];
    for text in wrong {
        assert!(Rule::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_rule_that_was_added_twice_is_there_until_it_is_taken_away_twice() {
    let rule = || Rule::parse("member='M'").unwrap();
    let mut index = Index::default();
    index.add(ONE, rule());
    index.add(ONE, rule());
    assert_eq!(index.len(ONE), 2);
    assert!(index.remove(ONE, rule()) && index.remove(ONE, rule()) && !index.remove(ONE, rule()));
    assert!(index.is_empty());
}

#[test]
fn an_argument_behind_others_is_found_and_a_broken_body_has_none() {
    let limits = Limits::default();
    let mut body = Writer::default();
    body.array(8, |array| {
        array.entry("k", "v", |inner| {
            inner.variant("(sas)", |value| {
                value.align(8);
                value.string("x");
                value.strings(["y", "z"]);
            })
        })
    });
    body.variant("(sas)", |value| {
        value.align(8);
        value.string("x");
        value.strings(["y"]);
    });
    body.string("found");
    let draft = |body: Writer| Draft {
        kind: Kind::Signal,
        serial: std::num::NonZeroU32::MIN,
        reply_serial: None,
        sender: ":1.1",
        destination: None,
        path: Some("/"),
        interface: Some("x.y"),
        member: Some("M"),
        error_name: None,
        signature: "a{sv}vs",
        body,
    };
    let raw = draft(body).finish();
    assert!(is_told("arg2='found'", &raw));
    let whole = raw.octets();
    let message = Message::of_raw(&raw, &limits).unwrap();
    let len = message.body().len();
    for cut in 1..len {
        let mut octets = whole[..whole.len() - cut].to_vec();
        octets[4..8].copy_from_slice(&u32::try_from(len - cut).unwrap().to_le_bytes());
        assert!(!is_told(
            "arg2='found'",
            &RawMessage::new(Bytes::from(octets), None)
        ));
    }
}

/// A signal of a variant with as many structs and variants within it, and a string.
fn nested(depth: usize) -> RawMessage {
    let mut body = Writer::default();
    for _ in 0..depth {
        body.signature("(vy)");
        body.align(8);
    }
    body.signature("y");
    (0..=depth).for_each(|_| body.byte(0));
    body.string("x");
    let mut raw = template();
    raw.signature = "vs";
    raw.body = body;
    raw.finish()
}

#[test]
fn what_nests_too_deep_is_not_followed() {
    assert!(is_told("arg1='x'", &nested(200)));
    assert!(!is_told("arg1='x'", &nested(300)));
    assert!(!is_told("arg1='x'", &nested(100_000)));
}

proptest! {
    /// The index finds exactly those whose rules match, however many others there are.
    #[test]
    fn the_index_finds_what_matches(
        rules in prop::collection::vec((0_u64..5, prop::collection::vec(0_usize..14, 0..4)), 0..40),
        said in (0_usize..3, 0_usize..3, 0_usize..3, 0_usize..3),
    ) {
        let keys = [
            "type='signal'", "type='error'", "sender='a.b'", "sender=':1.1'", "interface='x.y'", "member='M'",
            "member='N'", "path='/a'", "path_namespace='/'", "path_namespace='/a'", "arg0='org'", "arg0namespace='org'",
            "arg1='z'", "arg0path='/'",
        ];
        let paths = ["/", "/a", "/a/b"];
        let args = ["org", "org.a", "/"];
        let raw = signal(paths[said.0], "x.y", ["M", "N", "O"][said.1], [("s", args[said.2]), ("s", ["z", "", "/"][said.3])]);
        let limits = Limits::default();
        let message = Message::of_raw(&raw, &limits).unwrap();
        let mut index = Index::default();
        let mut wanted = Vec::new();
        for (who, parts) in rules {
            let text: Vec<&str> = parts.iter().map(|part| keys[*part]).collect();
            let Ok(rule) = Rule::parse(&text.join(",")) else { continue };
            let mut subject = Subject::new(&message, Some(ONE), ":1.1", None);
            if rule.matches(&mut subject, &Two, false) {
                wanted.push(ConnectionId(who));
            }
            index.add(ConnectionId(who), rule);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut subject = Subject::new(&message, Some(ONE), ":1.1", None);
        prop_assert_eq!(index.find(&mut subject, &Two, false).to_vec(), wanted.clone());
        (0..5).for_each(|who| index.forget(ConnectionId(who)));
        prop_assert!(index.has_nothing());
    }
}

use super::*;

fn member<'a>(path: &'a str, interface: &'a str, member: &'a str) -> Member<'a> {
    Member {
        path,
        interface: Some(interface),
        member,
    }
}

fn calls(rule: &str) -> Grant {
    Grant {
        call: vec![Members::parse(rule).unwrap()],
        ..Grant::default()
    }
}

#[test]
fn a_pattern_means_a_name_what_is_below_it_or_all() {
    let exact = ServicePattern::parse("org.example.Lamp").unwrap();
    assert!(exact.matches("org.example.Lamp"));
    assert!(!exact.matches("org.example.Lamp.two") && !exact.matches("org.example.Lamps"));
    let below = ServicePattern::parse("org.example.*").unwrap();
    assert_eq!(below.tail("org.example.a.b"), Some("a.b"));
    assert_eq!(below.tail("org.example"), Some(""));
    assert_eq!(below.tail("org.examples"), None);
    let all = ServicePattern::parse("*").unwrap();
    assert_eq!(all.tail("org.example"), Some("org.example"));
    assert!(!all.matches(":1.5"), "a unique name is no service");
}

#[test]
fn a_pattern_is_shown_as_it_was_written() {
    for text in ["*", "org.example.*", "org.example.Lamp"] {
        assert_eq!(ServicePattern::parse(text).unwrap().text(), text);
    }
}

#[test]
fn a_text_that_is_no_pattern_is_refused() {
    for text in [
        "", "org", "org..a", "org.*.a", ".*", "a.b*", "a.1b", ":1.5", "a b.c",
    ] {
        assert!(ServicePattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_call_is_allowed_by_method_interface_and_path() {
    let play = member("/org/mpris/MediaPlayer2", "org.mpris.Player", "Play");
    for rule in [
        "*",
        "",
        "org.mpris.Player.*",
        "org.mpris.Player.Play",
        "org.mpris.Player.*@/org/mpris/MediaPlayer2",
        "*@/org/mpris/*",
        "@/*",
        "org.mpris.Player.Play@/org/mpris/MediaPlayer2/*",
    ] {
        assert!(calls(rule).may_call(&play), "{rule}");
    }
    for rule in [
        "org.mpris.Player.Stop",
        "org.mpris.*",
        "org.mpris.Player.*@/org/mpris",
        "*@/org/mpris/Media/*",
        "*@/",
    ] {
        assert!(!calls(rule).may_call(&play), "{rule}");
    }
}

/// What a call without an interface becomes under these rules.
fn bare(rules: &[&str], method: &str, knows: impl Fn(&str) -> Option<bool>) -> Option<String> {
    let grant = Grant {
        see: true,
        call: rules
            .iter()
            .map(|rule| Members::parse(rule).unwrap())
            .collect(),
        ..Grant::default()
    };
    let bare = Member {
        interface: None,
        ..member("/a/b", "", method)
    };
    match grant.passage(&bare, knows) {
        Passage::Denied => None,
        Passage::AsItIs => Some(String::new()),
        Passage::With(interface) => Some(interface.into()),
    }
}

#[test]
fn a_call_without_interface_is_of_the_one_that_the_rules_allow() {
    let unknown = |_: &str| None;
    for (rules, method, meant) in [
        (&["*"][..], "Play", Some("")),
        (&["*@/a/*"], "Play", Some("")),
        (&["org.a.P.*"], "Play", Some("org.a.P")),
        (&["org.a.P.Play"], "Play", Some("org.a.P")),
        (&["org.a.P.*@/a/*", "org.a.P.Play"], "Play", Some("org.a.P")),
        (&["org.a.P.Play"], "Stop", None),
        (&["org.a.P.*@/b"], "Play", None),
        // Standard interfaces have only their own methods.
        (
            &["org.a.P.*", "org.freedesktop.DBus.Properties.*"],
            "Play",
            Some("org.a.P"),
        ),
        (
            &["org.freedesktop.DBus.Properties.*"],
            "Get",
            Some("org.freedesktop.DBus.Properties"),
        ),
        (&["org.freedesktop.DBus.Introspectable.*"], "Play", None),
        // A rule that names the method knows that it is there.
        (&["org.a.P.*", "org.a.Q.Play"], "Play", Some("org.a.Q")),
        // Nobody knows which one is meant.
        (&["org.a.P.*", "org.a.Q.*"], "Play", None),
        (&["org.a.P.Play", "org.a.Q.Play"], "Play", None),
        // Whoever may see may do these.
        (
            &[],
            "Introspect",
            Some("org.freedesktop.DBus.Introspectable"),
        ),
        (&[], "Ping", Some("org.freedesktop.DBus.Peer")),
        (&[], "GetMachineId", Some("org.freedesktop.DBus.Peer")),
        (&[], "Get", None),
    ] {
        assert_eq!(
            bare(rules, method, unknown).as_deref(),
            meant,
            "{rules:?} {method}"
        );
    }
}

#[test]
fn what_an_object_is_known_to_have_decides_which_interface_is_meant() {
    let known = |interface: &str| Some(interface == "org.a.Q");
    let both = ["org.a.P.*", "org.a.Q.*"];
    assert_eq!(bare(&both, "Play", known).as_deref(), Some("org.a.Q"));
    assert_eq!(
        bare(&["org.a.P.*"], "Play", known),
        None,
        "it is of another"
    );
    let neither = |_: &str| Some(false);
    assert_eq!(bare(&both, "Play", neither), None);
}

#[test]
fn a_call_with_an_interface_that_no_rule_allows_is_denied() {
    let grant = calls("org.a.P.*");
    let other = member("/", "org.a.Q", "Play");
    assert_eq!(grant.passage(&other, |_| Some(true)), Passage::Denied);
    let back = Grant {
        call_back: vec![Members::parse("org.a.Agent.*").unwrap()],
        ..Grant::default()
    };
    assert_eq!(back.passage_back(&other), Passage::Denied);
    let bare = Member {
        interface: None,
        ..member("/", "", "Confirm")
    };
    assert_eq!(
        back.passage_back(&bare),
        Passage::With("org.a.Agent".into())
    );
}

#[test]
fn a_text_that_is_no_rule_is_refused() {
    for text in [
        "Play", "a.b.", ".b", "a..b", "*.a", "a.b@", "a.b@x", "a.b@/x/", "a.b@//", "*@/a b",
    ] {
        assert!(Members::parse(text).is_err(), "{text}");
    }
}

#[test]
fn who_may_see_may_introspect_and_ping_and_nothing_else() {
    let see = Grant {
        see: true,
        ..Grant::default()
    };
    let introspect = member("/", "org.freedesktop.DBus.Introspectable", "Introspect");
    let ping = member("/", "org.freedesktop.DBus.Peer", "Ping");
    let get = member("/", "org.freedesktop.DBus.Properties", "Get");
    for grant in [&see, &calls("org.a.B.c"), &Grant::all()] {
        assert!(grant.may_see() && grant.may_call(&introspect) && grant.may_call(&ping));
    }
    assert!(!see.may_call(&get) && !calls("org.a.B.c").may_call(&get));
    assert!(Grant::all().may_call(&get));
    assert!(!Grant::default().may_see() && !Grant::default().may_call(&ping));
}

#[test]
fn signals_have_rules_of_their_own() {
    let changed = member("/", "org.freedesktop.DBus.Properties", "PropertiesChanged");
    let grant = Grant {
        broadcast: vec![Members::parse("org.freedesktop.DBus.Properties.*@/*").unwrap()],
        ..Grant::default()
    };
    assert!(grant.may_hear(&changed) && !grant.may_call(&changed));
    assert!(!grant.hears_all() && Grant::all().hears_all());
    assert!(!calls("*").may_hear(&changed));
}

#[test]
fn rules_add_up_for_the_peers_that_they_name() {
    let rule = |service: &str, peers: &[&str], grant| ExportRule {
        service: ServicePattern::parse(service).unwrap(),
        peers: Peers::new(&peers.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap(),
        grant,
    };
    let policy = ExportPolicy {
        rules: vec![
            rule("org.a.*", &[], calls("org.a.I.x")),
            rule("org.a.B", &["foh"], Grant::all()),
            rule("org.a.B", &["0123"], calls("org.a.I.y")),
        ],
    };
    let (x, y) = (member("/", "org.a.I", "x"), member("/", "org.a.I", "y"));
    let who = |name, uuid| {
        let key = None;
        Who {
            name,
            venue: None,
            uuid,
            key,
        }
    };
    let grant = |name, uuid| policy.grant("org.a.B", who(name, uuid));
    assert!(grant("foh", "9").may_call(&y));
    assert!(grant("other", "0123").may_call(&y) && grant("other", "0123").may_call(&x));
    assert!(grant("other", "9").may_call(&x) && !grant("other", "9").may_call(&y));
    assert!(policy.offers("org.a.Z") && !policy.offers("org.b"));
    assert_eq!(policy.grant("org.b", who("foh", "9")), Grant::default());
    let everybody = Peers::new(&["foh".into(), "*".into()]).unwrap();
    assert!(everybody.matches(who("anybody", "1")));
}

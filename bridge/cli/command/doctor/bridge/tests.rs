use super::{
    super::{finding::Verdict, probe::Answer},
    *,
};

fn healthy() -> Bridge {
    Bridge {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: "stage".to_owned(),
        endpoint: "tcp://10.0.0.1:49152".to_owned(),
        peers: vec![peer("lamp"), peer("foh")],
        counts: lately(&[("beacons", "sent", 2), ("beacons", "own", 2)]),
        dialed: Some(Dialed {
            own: Answer::Open,
            peers: vec![answers(Answer::Open)],
        }),
        descriptors: Some(Descriptors {
            open: Some(20),
            max: 65_536,
        }),
        ..Bridge::default()
    }
}

fn peer(name: &str) -> PeerView {
    PeerView {
        name: name.to_owned(),
        state: "ready".to_owned(),
        ..PeerView::default()
    }
}

fn answers(answer: Answer) -> (String, String, Answer) {
    ("lamp".to_owned(), "tcp://10.0.0.2:49152".to_owned(), answer)
}

/// Nothing before, and this since then.
fn lately(all: &[(&str, &str, u64)]) -> (Counts, Counts) {
    (Counts::new(), counted(all))
}

fn counted(all: &[(&str, &str, u64)]) -> Counts {
    let mut counts = Counts::new();
    for (group, name, count) in all {
        let group = counts.entry((*group).to_owned()).or_default();
        group.insert((*name).to_owned(), *count);
    }
    counts
}

/// What is not good, of a bridge that is healthy but for one thing.
fn ailing(change: impl FnOnce(&mut Bridge)) -> Vec<(&'static str, Verdict)> {
    let mut bridge = healthy();
    change(&mut bridge);
    let machine = Machine::look(Some("/dev/null".into()));
    let findings = bridge.findings(&machine);
    let ailing = findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Good);
    ailing
        .map(|finding| (finding.check, finding.verdict))
        .collect()
}

#[test]
fn of_a_healthy_bridge_all_is_good() {
    assert_eq!(ailing(|_| {}), []);
}

#[test]
fn each_ailment_is_found_and_no_other() {
    use Verdict::{Problem, Unknown, Warning};
    let beacons = |all: &[(&str, &str, u64)]| {
        let counts = lately(all);
        ailing(move |bridge| bridge.counts = counts)
    };
    assert_eq!(
        ailing(|b| b.version = "0.0.1".to_owned()),
        [("bridge", Problem)]
    );
    assert_eq!(
        ailing(|b| b.endpoint = String::new()),
        [("network", Problem)]
    );
    let loopback = |b: &mut Bridge| b.endpoint = "tcp://127.0.0.1:5".to_owned();
    assert_eq!(ailing(loopback), [("network", Warning)]);
    assert_eq!(beacons(&[("beacons", "sent", 9)]), [("beacons", Problem)]);
    assert_eq!(beacons(&[]), [], "beacons are off");
    assert_eq!(
        ailing(|b| {
            b.peers.clear();
            b.counts = lately(&[
                ("beacons", "sent", 4),
                ("beacons", "own", 4),
                ("beacons", "heard", 4),
            ]);
        }),
        [("nodes", Problem)]
    );
    assert_eq!(
        ailing(|b| b.peers[0].state = "evasive".to_owned()),
        [("nodes", Warning)]
    );
    assert_eq!(
        ailing(|b| b.peers[0].state = "unreachable".to_owned()),
        [("nodes", Warning)]
    );
    assert_eq!(
        beacons(&[("turned away", "version", 3)]),
        [("old peers", Warning)]
    );
    assert_eq!(
        ailing(|b| b.peers.push(peer("stage"))),
        [("names", Warning)]
    );
    assert_eq!(ailing(|b| b.peers.push(peer("lamp"))), [("names", Warning)]);
    assert_eq!(ailing(|b| b.key = "k".to_owned()), [("key", Warning)]);
    assert_eq!(ailing(|b| b.strangers = 2), [("key", Warning)]);
    assert_eq!(
        beacons(&[("turned away", "links", 3)]),
        [("limits", Warning)]
    );
    let few = |max, open| {
        Some(Descriptors {
            open: Some(open),
            max,
        })
    };
    assert_eq!(
        ailing(|b| b.descriptors = few(1024, 20)),
        [("descriptors", Warning)]
    );
    assert_eq!(
        ailing(|b| b.descriptors = few(65_536, 60_000)),
        [("descriptors", Problem)]
    );
    assert_eq!(ailing(|b| b.descriptors = None), [("descriptors", Unknown)]);
}

#[test]
fn what_was_once_is_told_from_what_is_now() {
    let was = [
        ("beacons", "sent", 900),
        ("beacons", "own", 900),
        ("beacons", "heard", 900),
    ];
    let now = |all: &[(&str, &str, u64)]| {
        let counts = (counted(&was), counted(all));
        move |b: &mut Bridge| b.counts = counts
    };
    // A firewall's rule that came while it ran.
    let closed = [
        ("beacons", "sent", 904),
        ("beacons", "own", 900),
        ("beacons", "heard", 900),
    ];
    assert_eq!(ailing(now(&closed)), [("beacons", Verdict::Problem)]);
    let open = [
        ("beacons", "sent", 901),
        ("beacons", "own", 901),
        ("beacons", "heard", 902),
    ];
    assert_eq!(ailing(now(&open)), []);
    // Those that were heard have gone since: nobody is there to be met.
    let alone = [
        ("beacons", "sent", 904),
        ("beacons", "own", 904),
        ("beacons", "heard", 900),
    ];
    let alone = now(&alone);
    assert_eq!(
        ailing(|b| {
            alone(b);
            b.peers.clear();
        }),
        []
    );
}

#[test]
fn who_cannot_be_dialed_is_found() {
    use Verdict::{Problem, Unknown, Warning};
    let dialed = |own, peers: &[Answer]| {
        let peers = peers.iter().map(|answer| answers(*answer)).collect();
        ailing(move |b| b.dialed = Some(Dialed { own, peers }))
    };
    let (open, refused, silence) = (Answer::Open, Answer::Refused, Answer::Silence);
    assert_eq!(dialed(open, &[]), []);
    for own in [refused, silence] {
        assert_eq!(dialed(own, &[open]), [("tcp", Problem)]);
    }
    assert_eq!(dialed(open, &[silence, silence]), [("tcp", Problem)]);
    assert_eq!(dialed(open, &[silence, open]), [("tcp", Warning)]);
    assert_eq!(dialed(open, &[refused, open]), [("tcp", Warning)]);
    assert_eq!(ailing(|b| b.dialed = None), [("tcp", Unknown)]);
}

#[test]
fn the_limit_of_open_files_is_read() {
    let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files  1024  524288  files\n";
    assert_eq!(open_files(limits), Some(1024));
    assert_eq!(
        open_files("Max open files unlimited unlimited files"),
        Some(u64::MAX)
    );
    assert_eq!(open_files(""), None);
}

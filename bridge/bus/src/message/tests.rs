use std::fs::File;

use proptest::prelude::*;

use super::*;

const LIMITS: fn() -> Limits = || Limits {
    message_len_max: 1 << 20,
    ..Limits::default()
};

/// A field of a header: its code, its type, and its value.
type Field = (u8, &'static str, Vec<u8>);

fn text(order: Order, text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [&order.octets(len)[..], text.as_bytes(), &[0]].concat()
}

fn types(types: &str) -> Vec<u8> {
    let len = u8::try_from(types.len()).unwrap();
    [&[len][..], types.as_bytes(), &[0]].concat()
}

/// A message of its parts, by the specification and not by the code under test.
fn octets(order: Order, kind: u8, fields: &[Field], body: &[u8]) -> Vec<u8> {
    let mut array = Vec::new();
    for (code, kind, value) in fields {
        array.resize(aligned(array.len(), 8), 0);
        array.push(*code);
        array.extend(types(kind));
        if *kind == "s" || *kind == "o" || *kind == "u" {
            array.resize(aligned(array.len(), 4), 0);
        }
        array.extend(value);
    }
    let mark = if order == Order::Little { b'l' } else { b'B' };
    let mut octets = vec![mark, kind, 0, 1];
    octets.extend(order.octets(u32::try_from(body.len()).unwrap()));
    octets.extend(order.octets(7));
    octets.extend(order.octets(u32::try_from(array.len()).unwrap()));
    octets.extend(array);
    octets.resize(aligned(octets.len(), 8), 0);
    octets.extend(body);
    octets
}

fn call(order: Order) -> Vec<Field> {
    vec![
        (1, "o", text(order, "/a/b")),
        (3, "s", text(order, "Do")),
        (6, "s", text(order, "org.example.X")),
        (8, "g", types("s")),
    ]
}

fn parsed(octets: &[u8]) -> Result<RawMessage, Invalid> {
    Message::parse(&Frame::Borrowed(octets), &LIMITS()).map(|message| message.stamp(":1.9"))
}

#[test]
fn a_message_of_either_order_goes_on_with_its_sender() {
    for order in [Order::Little, Order::Big] {
        let body = text(order, "hello");
        let octets = octets(order, 1, &call(order), &body);
        let raw = parsed(&octets).unwrap();
        let message = Message::of_raw(&raw, &LIMITS()).unwrap();
        assert_eq!(message.sender(), Some(":1.9"));
        assert_eq!(message.path(), Some("/a/b"));
        assert_eq!(message.destination(), Some("org.example.X"));
        assert_eq!(message.body(), body);
        assert_eq!(message.serial().get(), 7);
        assert_eq!(Args::new(&message).get(0), Some(Arg::String("hello")));
        // What was there is still where it was.
        assert_eq!(
            raw.octets()[16..octets.len() - body.len()],
            octets[16..octets.len() - body.len()]
        );
    }
}

#[test]
fn a_forged_sender_and_unknown_fields_do_not_go_on() {
    for order in [Order::Little, Order::Big] {
        let mut fields = call(order);
        fields.insert(1, (7, "s", text(order, ":1.1")));
        fields.insert(3, (10, "s", text(order, "what")));
        // A struct with a variant in it, behind what aligns it.
        let strange = [vec![0; 2], types("s"), vec![0; 1], text(order, "in")].concat();
        fields.push((200, "(v)", strange));
        let plain = parsed(&octets(order, 1, &call(order), b"")).unwrap();
        assert_eq!(
            parsed(&octets(order, 1, &fields, b"")).unwrap().octets(),
            plain.octets()
        );
    }
}

#[test]
fn a_large_body_is_shared_and_a_small_one_is_not_held_by_its_buffer() {
    let order = Order::Little;
    let large = octets(order, 1, &call(order), &[1; 100_000]);
    let frame = Frame::Owned(large.clone().into());
    let raw = Message::parse(&frame, &LIMITS()).unwrap().stamp(":1.9");
    let Frame::Owned(owned) = &frame else {
        unreachable!()
    };
    assert_eq!(
        raw.parts()[1].as_ptr(),
        owned[owned.len() - 100_000..].as_ptr()
    );
    assert_eq!(raw.octets(), parsed(&large).unwrap().octets());
    let small = parsed(&octets(order, 1, &call(order), &[1; 100])).unwrap();
    assert!(small.parts()[1].is_empty());
}

#[test]
fn what_is_no_message_is_refused() {
    let order = Order::Little;
    let good = call(order);
    let changed = |change: &dyn Fn(&mut Vec<Field>)| {
        let mut fields = good.clone();
        change(&mut fields);
        octets(order, 1, &fields, b"\0\0\0\0\0")
    };
    assert!(parsed(&changed(&|_| ())).is_ok());
    let t = |value: &str| text(order, value);
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        ("no path", changed(&|fields| drop(fields.remove(0)))),
        ("no member", changed(&|fields| drop(fields.remove(1)))),
        (
            "no signature for a body",
            changed(&|fields| drop(fields.remove(3))),
        ),
        (
            "a field twice",
            changed(&|fields| fields.push((3, "s", t("Do")))),
        ),
        ("field 0", changed(&|fields| fields.push((0, "s", t("Do"))))),
        (
            "a path that is none",
            changed(&|fields| fields[0].2 = t("/a/")),
        ),
        (
            "a path of another type",
            changed(&|fields| fields[0].1 = "s"),
        ),
        (
            "a member that is none",
            changed(&|fields| fields[1].2 = t("a.b")),
        ),
        (
            "a name that is none",
            changed(&|fields| fields[2].2 = t("a")),
        ),
        (
            "a name with a zero octet",
            changed(&|fields| fields[2].2 = t("a.b\0c")),
        ),
        (
            "a signature that is none",
            changed(&|fields| fields[3].2 = types("a")),
        ),
        (
            "names of a library",
            changed(&|fields| fields[0].2 = t("/org/freedesktop/DBus/Local")),
        ),
        (
            "interface of a library",
            changed(&|fields| fields.push((2, "s", t("org.freedesktop.DBus.Local")))),
        ),
        (
            "reply serial 0",
            changed(&|fields| fields.push((5, "u", vec![0; 4]))),
        ),
        ("a signal without interface", octets(order, 4, &good, b"")),
        ("an error without name", octets(order, 3, &good, b"")),
        ("type 0", octets(order, 0, &good, b"")),
    ];
    for (what, octets) in wrong {
        assert!(parsed(&octets).is_err(), "{what}");
    }
    let octets = changed(&|_| ());
    for (at, octet) in [(0, b'x'), (3, 2), (8, 0), (12, 0xff)] {
        let mut octets = octets.clone();
        octets[at] = octet;
        assert!(parsed(&octets).is_err(), "octet {at}");
    }
    for len in 0..octets.len() {
        assert!(parsed(&octets[..len]).is_err(), "{len}");
    }
    let mut padding = octets.clone();
    let fields_end =
        16 + u32::from_le_bytes([padding[12], padding[13], padding[14], padding[15]]) as usize;
    assert!(!fields_end.is_multiple_of(8));
    padding[fields_end] = 1;
    assert!(parsed(&padding).is_err(), "padding");
}

#[test]
fn a_type_that_nobody_knows_is_a_message() {
    let raw = parsed(&octets(Order::Big, 77, &[], b"")).unwrap();
    assert_eq!(
        Message::of_raw(&raw, &LIMITS()).unwrap().kind(),
        Kind::Unknown(77)
    );
}

#[test]
fn a_message_above_the_limit_is_refused_when_its_length_is_read() {
    let mut octets = octets(Order::Little, 1, &call(Order::Little), b"");
    octets[4..8].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    let mut incoming = Incoming::default();
    let mut input = &octets[..16];
    assert!(incoming.next(&mut input, &LIMITS()).is_err());
    assert_eq!(incoming.kept(), 0);
    octets[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(incoming.next(&mut &octets[..], &LIMITS()).is_err());
}

#[test]
fn signatures_are_those_of_the_specification() {
    for good in [
        "",
        "s",
        "a{sv}",
        "(ii)",
        "aaay",
        "a(a{s(yv)}as)h",
        &"a".repeat(32),
    ] {
        let good = if good.len() == 32 {
            format!("{good}y")
        } else {
            good.to_owned()
        };
        assert!(signature::is_valid(good.as_bytes()), "{good}");
    }
    let deep = format!("{}y", "a".repeat(33));
    let nested = format!("{}y{}", "(".repeat(33), ")".repeat(33));
    let long = "y".repeat(256);
    let wrong = [
        "a", "()", "(", ")", "{sv}", "a{vs}", "a{s}", "a{sss}", "a{sv", "r", "e", "z", "(a)",
        "a{(s)v}", &deep, &nested, &long,
    ];
    for wrong in wrong {
        assert!(!signature::is_valid(wrong.as_bytes()), "{wrong}");
    }
    assert_eq!(
        signature::split_first(b"a(is)as"),
        Some((&b"a(is)"[..], &b"as"[..]))
    );
}

#[test]
fn the_descriptors_of_a_message_are_closed_with_the_last_of_its_copies() {
    let mut fields = call(Order::Little);
    fields.push((9, "u", 1_u32.to_le_bytes().to_vec()));
    let octets = octets(Order::Little, 1, &fields, b"");
    let frame = Frame::Borrowed(&octets);
    let mut message = Message::parse(&frame, &LIMITS()).unwrap();
    assert_eq!(message.descriptors_announced(), 1);
    message.attach(vec![File::open("/dev/null").unwrap().into()]);
    let raw = message.stamp(":1.9");
    drop(message);
    let copy = raw.clone();
    let weak = Arc::downgrade(raw.descriptors().unwrap());
    drop(raw);
    assert!(weak.upgrade().is_some());
    drop(copy);
    assert!(weak.upgrade().is_none());
}

proptest! {
    /// However a stream is split, and whether it is read to its place or not: the same messages.
    #[test]
    fn a_stream_is_split_anywhere(
        lens in prop::collection::vec(prop_oneof![0_usize..40, 20_000_usize..60_000], 1..6),
        cuts in prop::collection::vec(1_usize..30_000, 1..40),
    ) {
        let limits = LIMITS();
        let messages: Vec<Vec<u8>> = lens.iter().map(|len| octets(Order::Big, 1, &call(Order::Big), &vec![5; *len])).collect();
        let stream = messages.concat();
        let mut incoming = Incoming::default();
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let mut take = |incoming: &mut Incoming, mut input: &[u8]| {
                while let Some(frame) = incoming.next(&mut input, &limits).unwrap() {
                    found.push(frame.octets().to_vec());
                }
                assert!(input.is_empty());
            };
            let read = match incoming.room(&limits) {
                Some(mut room) => {
                    let into = room.octets();
                    let len = (*cut).min(into.len()).min(stream.len() - at);
                    into[..len].copy_from_slice(&stream[at..at + len]);
                    room.fill(len);
                    len
                }
                None => 0,
            };
            let more = (*cut).min(stream.len() - at);
            match read {
                0 => take(&mut incoming, &stream[at..at + more]),
                _ => take(&mut incoming, &[]),
            }
            at += if read > 0 { read } else { more };
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(found, messages);
        prop_assert_eq!(incoming.kept(), 0);
    }

    /// Whatever is wrong in a message, nothing panics, and what goes on is a message.
    #[test]
    fn what_is_accepted_goes_on_as_a_message(
        changes in prop::collection::vec((0_usize..130, any::<u8>()), 0..4),
        is_big in any::<bool>(),
    ) {
        let order = if is_big { Order::Big } else { Order::Little };
        let mut fields = call(order);
        fields.push((77, "a{sv}", order.octets(0).to_vec()));
        let mut octets = octets(order, 1, &fields, &text(order, "hello"));
        for (at, octet) in changes {
            let len = octets.len();
            octets[at % len] = octet;
        }
        if let Ok(raw) = parsed(&octets) {
            let again = Message::of_raw(&raw, &LIMITS());
            prop_assert!(again.is_ok(), "{:?}", again.err());
            prop_assert_eq!(again.unwrap().sender(), Some(":1.9"));
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zbus::{Array, Dict, ObjectPath, Signature, Variant, wire::StructureBuilder};

use super::{
    readable::{odd_text as text, strings},
    *,
};

/// The expected strings of several values.
fn shown(values: &[String]) -> BTreeSet<String> {
    let texts = values.iter().map(|text| Text::new(text));
    texts.map(Text::into_string).collect()
}

fn signal<'a>() -> Builder<'a> {
    Message::signal("/a", "org.a.B", "C")
}

/// A value with strings in all positions.
fn value() -> impl Strategy<Value = Variant<'static>> {
    let leaf = prop_oneof![
        text().prop_map(Variant::from),
        any::<i64>().prop_map(Variant::from),
        Just(Variant::from(ObjectPath::from_static_str_unchecked("/a/b"))),
        Just(Variant::Signature(zbus::signature!("a{sv}"))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|value| Variant::Variant(Box::new(value))),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| {
                let mut array = Array::new(&Signature::Variant);
                for value in values {
                    array.append(Variant::Variant(Box::new(value))).unwrap();
                }
                Variant::Array(array)
            }),
            prop::collection::vec((text(), inner.clone()), 0..4).prop_map(|entries| {
                let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
                for (key, value) in entries {
                    let value = Variant::Variant(Box::new(value));
                    dict.append(Variant::from(key), value).unwrap();
                }
                Variant::Dict(dict)
            }),
            prop::collection::vec(inner, 1..4).prop_map(|values| {
                let fields = values.into_iter();
                let fields = fields.fold(StructureBuilder::new(), StructureBuilder::append_field);
                Variant::Structure(fields.build().unwrap())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_body_is_made_of_its_strings_are_texts(value in value(), error in text()) {
        let message = Outgoing::build(signal(), &(&value, error.as_str())).unwrap();
        let body = message.body();
        let (back, message): (Variant<'_>, &str) = body.deserialize().unwrap();
        let (mut sent, mut read) = (vec![error], vec![message.to_owned()]);
        strings(&value, &mut sent);
        strings(&back, &mut read);
        // Keys that become equal are merged only in the dictionary of the reader.
        let legal = shown(&sent);
        for text in read {
            prop_assert!(legal.contains(&text), "{text:?}");
        }
    }

    #[test]
    fn what_is_made_is_what_zbus_makes_where_all_is_legal(value in value()) {
        let mut sent = Vec::new();
        strings(&value, &mut sent);
        prop_assume!(sent.iter().all(|text| *Text::new(text) == **text));
        let ours = Outgoing::build(signal(), &value).unwrap();
        let plain = signal().build(&value).unwrap();
        let (ours, plain) = (ours.body(), plain.body());
        prop_assert_eq!(ours.data().bytes(), plain.data().bytes());
        prop_assert_eq!(ours.signature(), plain.signature());
    }
}

#[test]
fn strings_in_plain_types_are_texts_too() {
    let map: BTreeMap<&str, Vec<String>> = [("a\0", vec!["b\u{fffe}".to_owned()])].into();
    let message = Outgoing::build(signal(), &("c\0", map, 'd', Text::new("\0"))).unwrap();
    let body = message.body();
    let (one, map, two, three): (String, BTreeMap<String, Vec<String>>, String, String) =
        body.deserialize().unwrap();
    assert_eq!((&*one, &*two, &*three), ("c\u{2400}", "d", "\u{2400}"));
    assert_eq!(
        map,
        [("a\u{2400}".to_owned(), vec!["b\u{fffd}".to_owned()])].into()
    );
}

#[test]
fn what_no_bus_takes_is_an_error_and_no_message() {
    let fields = |count: usize| {
        let fields = (0..count).map(|_| Variant::from(1u8));
        let fields = fields.fold(StructureBuilder::new(), StructureBuilder::append_field);
        fields.build().unwrap()
    };
    assert!(Outgoing::build(signal(), &fields(255)).is_ok());
    assert!(
        Outgoing::build(signal(), &fields(256)).is_err(),
        "a signature of 256"
    );
    let no_path = ObjectPath::from_str_unchecked("no path");
    assert!(Outgoing::build(signal(), &no_path).is_err());
    assert!(Outgoing::build(Message::signal("/a", "b\0", "C"), &()).is_err());
    assert!(Outgoing::build(Message::method_call("/a\u{fffe}", "C"), &()).is_err());
    let local = "org.freedesktop.DBus.Local";
    assert!(Outgoing::build(Message::signal("/a", local, "C"), &()).is_err());
    let local = Message::signal("/org/freedesktop/DBus/Local", "a.B", "C");
    assert!(Outgoing::build(local, &()).is_err());
    let mut deep = Variant::from(1u8);
    for _ in 0..70 {
        deep = Variant::Variant(Box::new(deep));
    }
    assert!(Outgoing::build(signal(), &deep).is_err());
    let long = vec![0u64; (64 << 20) / 8 + 1];
    assert!(
        Outgoing::build(signal(), &long).is_err(),
        "an array of more than 64 MiB"
    );
}

#[test]
fn octets_are_those_of_the_message() {
    let message = Outgoing::build(signal(), &"text").unwrap();
    let octets = Octets::from(message.clone());
    assert_eq!(**octets, *message.data().bytes());
}

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn decoded(text: &str) -> Result<Vec<(String, Value)>, JsonError> {
    decode(text.as_bytes(), &Limits::default()).map(|decoded| decoded.entries)
}

/// What is read although something of it is broken, and how much is.
fn mended(octets: &[u8]) -> (String, Option<Flaws>) {
    let decoded = decode(octets, &Limits::default()).unwrap();
    (as_value(decoded.entries).to_string(), decoded.flaws)
}

fn as_value(entries: Vec<(String, Value)>) -> Value {
    Value::Object(entries.into_iter().collect::<Map<_, _>>())
}

#[test]
fn verbs_keep_the_order_in_which_they_were_sent() {
    let keys: Vec<_> = decoded(r#"{"SUB": 1, "GET": null, "MOD": {}}"#)
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, ["SUB", "GET", "MOD"]);
}

#[test]
fn pythons_extra_numbers_are_numbers_but_not_within_strings() {
    let entries = decoded(r#"{"a": [NaN, Infinity, -Infinity], "b": "NaN, Infinity"}"#).unwrap();
    assert_eq!(
        as_value(entries).to_string(),
        r#"{"a":[NaN,Infinity,-Infinity],"b":"NaN, Infinity"}"#
    );
}

#[test]
fn numbers_keep_their_digits() {
    let entries = decoded(r#"{"a": [1.50, 12345678901234567890123, 1e999, -0, 2E+3]}"#).unwrap();
    assert_eq!(
        as_value(entries).to_string(),
        r#"{"a":[1.50,12345678901234567890123,1e999,-0,2E+3]}"#
    );
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let entries = decoded(r#"{"a": "\ud83d\ude00 \ud800 \udc00x \ud800\u0041"}"#).unwrap();
    assert_eq!(entries[0].1, "\u{1f600} \u{fffd} \u{fffd}x \u{fffd}A");
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    let table = [
        ("", JsonError::Truncated),
        ("[1]", JsonError::NotAnObject),
        ("{", JsonError::Truncated),
        (r#"{"a""#, JsonError::Truncated),
        (r#"{"a": 1"#, JsonError::Truncated),
        (r#"{"a": 1,}"#, JsonError::Syntax(8)),
        (r#"{"a": [1,]}"#, JsonError::Syntax(9)),
        (r#"{"a": [1}"#, JsonError::Syntax(8)),
        (r#"{"a": }"#, JsonError::Syntax(6)),
        (r#"{"a": nan"#, JsonError::Truncated),
        (r#"{"a": 1 2}"#, JsonError::Syntax(8)),
        (r#"{"a": 1"b"}"#, JsonError::Syntax(7)),
        (r#"{"a": x[1]}"#, JsonError::Syntax(6)),
        (r#"{"a": "\u12"#, JsonError::Truncated),
        (r#"{"a": "b\"#, JsonError::Truncated),
        (r#"{"a": 1} x"#, JsonError::Syntax(9)),
        (r#"{a: 1}"#, JsonError::Syntax(1)),
    ];
    for (text, error) in table {
        assert_eq!(decoded(text), Err(error), "{text}");
    }
}

// protocol.md §5.10
#[test]
fn one_broken_value_costs_nothing_but_itself() {
    let long = format!(r#"{{"a": 1{}, "b": 2}}"#, "0".repeat(5000));
    let deep = format!(
        r#"{{"a": {{"k": {}"]}}"{}}}, "c": [1, {}{}], "b": 2}}"#,
        "[".repeat(66),
        "]".repeat(66),
        "[".repeat(66),
        "]".repeat(66)
    );
    let nested = format!("{}null{}", "[".repeat(65), "]".repeat(65));
    let deep_read = format!(r#"{{"a":{{"k":{nested}}},"b":2,"c":[1,{nested}]}}"#);
    let table: &[(&[u8], &str, usize, bool)] = &[
        (b"\xef\xbb\xbf{\"a\": 1}", r#"{"a":1}"#, 0, false),
        (
            b"{\"a\": \"x\xffy\xe2\x82\", \"b\": 2}",
            "{\"a\":\"x\u{fffd}y\u{fffd}\",\"b\":2}",
            1,
            false,
        ),
        (
            b"{\"\xff\": 1, \"b\": 2}",
            "{\"b\":2,\"\u{fffd}\":1}",
            1,
            false,
        ),
        (
            b"{\"a\": \"\xed\xa0\x80\"}",
            "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}\"}",
            1,
            false,
        ),
        (b"{\"a\": \"1\n2\t3\"}", r#"{"a":"1\n2\t3"}"#, 2, false),
        (
            br#"{"a": "\x41 \u12g4 \q"}"#,
            "{\"a\":\"\u{fffd}x41 \u{fffd}12g4 \u{fffd}q\"}",
            3,
            false,
        ),
        (
            b"{\"a\": nan, \"b\": [-inf, Nan, .5, 1., +1, 007, 1e]}",
            r#"{"a":NaN,"b":[-Infinity,NaN,0.5,1.0,1,7,null]}"#,
            8,
            true,
        ),
        (b"{\"a\": undefined, \"b\": 2}", r#"{"b":2}"#, 1, true),
        (
            b"{\"a\": [0x10, True, None], \"b\": 2}",
            r#"{"a":[null,null,null],"b":2}"#,
            3,
            true,
        ),
        (
            b"{\"a\": 1, \"b\": 1, \"c\": {\"d\": 1, \"d\": 2}, \"a\": 3}",
            r#"{"a":3,"b":1,"c":{"d":2}}"#,
            0,
            false,
        ),
        (long.as_bytes(), r#"{"a":Infinity,"b":2}"#, 1, false),
        (deep.as_bytes(), &deep_read, 2, true),
    ];
    for (octets, expected, count, has_lost) in table {
        let text = String::from_utf8_lossy(octets);
        let (read, flaws) = mended(octets);
        assert_eq!(read, *expected, "{text}");
        assert_eq!(flaws.map_or(0, |flaws| flaws.count), *count, "{text}");
        assert_eq!(
            flaws.is_some_and(|flaws| flaws.has_lost),
            *has_lost,
            "{text}"
        );
    }
}

#[test]
fn depth_is_refused_without_recursion() {
    let deep = format!(r#"{{"a": {}"#, "[".repeat(1_000_000));
    assert_eq!(decoded(&deep), Err(JsonError::Truncated));
    let deep = format!(
        r#"{{"a": {}{}}}"#,
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    let (_, flaws) = mended(deep.as_bytes());
    assert_eq!(flaws.map(|flaws| flaws.first), Some(JsonError::TooDeep(67)));
    let fits = format!(r#"{{"a": {}{}}}"#, "[".repeat(66), "]".repeat(66));
    assert_eq!(mended(fits.as_bytes()).1, None);
}

#[test]
fn memory_is_refused_where_the_limit_is_passed() {
    let limits = Limits {
        message_size_max: 1000,
        ..Limits::default()
    };
    let many = format!(r#"{{"a": [{}]}}"#, ["0"; 100].join(","));
    assert_eq!(
        decode(many.as_bytes(), &limits),
        Err(JsonError::TooLarge(1000))
    );
    let text = format!(r#"{{"a": "{}"}}"#, "x".repeat(2000));
    assert_eq!(
        decode(text.as_bytes(), &limits),
        Err(JsonError::TooLarge(1000))
    );
}

#[test]
fn a_cheap_look_tells_a_message_from_other_octets() {
    let keys = ["GET", "SET"];
    assert!(starts_with_key(b" { \"GET\": nul", &keys));
    assert!(!starts_with_key(b"{\"GETX\": 1}", &keys));
    assert!(!starts_with_key(b"[\"GET\"]", &keys));
    assert!(!starts_with_key(b"", &keys));
}

proptest! {
    #[test]
    fn what_serde_json_reads_is_read_alike(value in any_json()) {
        let text = serde_json::json!({"v": value}).to_string();
        prop_assert_eq!(as_value(decoded(&text).unwrap()).to_string(), text);
    }

    #[test]
    fn what_serde_json_refuses_is_refused(text in r#"\{"a": ?[\[\]{}0-9eE+.",:\\utrfalsn -]{0,12}\}"#) {
        let ours = decode(text.as_bytes(), &Limits::default());
        let is_mended = ours.as_ref().is_ok_and(|ours| ours.flaws.is_some());
        let ours = ours.map(|ours| as_value(ours.entries));
        match serde_json::from_str::<Value>(&text) {
            // serde_json rewrites exponents, `0E0` as `0e+0`; we keep what came.
            Ok(theirs) => prop_assert!(!is_mended && ours.is_ok_and(|ours| crate::json::equal(&ours, &theirs))),
            // serde_json has no half surrogates.
            Err(_) => prop_assert!(ours.is_err() || is_mended || text.contains("\\u")),
        }
    }

    #[test]
    fn any_octets_are_survived(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&octets, &Limits::default());
        let _ = decode(&[b"{\"a\":", octets.as_slice()].concat(), &Limits::default());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn decoded(text: &str) -> Result<Vec<(String, Value)>, JsonError> {
    decode(text.as_bytes(), &Limits::default())
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
        (r#"{"a": 01}"#, JsonError::Syntax(6)),
        (r#"{"a": -}"#, JsonError::Syntax(7)),
        (r#"{"a": 1.}"#, JsonError::Syntax(8)),
        (r#"{"a": 1e}"#, JsonError::Syntax(8)),
        (r#"{"a": Nan}"#, JsonError::Syntax(6)),
        (r#"{"a": "\x"}"#, JsonError::Syntax(8)),
        (r#"{"a": "\u12g4"}"#, JsonError::Syntax(11)),
        ("{\"a\": \"\n\"}", JsonError::Syntax(7)),
        (r#"{"a": 1} x"#, JsonError::Syntax(9)),
        (r#"{a: 1}"#, JsonError::Syntax(1)),
    ];
    for (text, error) in table {
        assert_eq!(decoded(text), Err(error), "{text}");
    }
    assert_eq!(
        decode(b"{\"a\": \"\xff\"}", &Limits::default()),
        Err(JsonError::Encoding(7))
    );
    let long = format!(r#"{{"a": {}}}"#, "1".repeat(5000));
    assert_eq!(decoded(&long), Err(JsonError::NumberTooLong));
}

#[test]
fn depth_is_refused_without_recursion() {
    let deep = format!(r#"{{"a": {}"#, "[".repeat(1_000_000));
    assert_eq!(decoded(&deep), Err(JsonError::TooDeep(67)));
    let fits = format!(r#"{{"a": {}{}}}"#, "[".repeat(66), "]".repeat(66));
    assert!(decoded(&fits).is_ok());
    let over = format!(r#"{{"a": {}{}}}"#, "[".repeat(67), "]".repeat(67));
    assert_eq!(decoded(&over), Err(JsonError::TooDeep(67)));
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
        let ours = decoded(&text).map(as_value);
        match serde_json::from_str::<Value>(&text) {
            // serde_json rewrites exponents, `0E0` as `0e+0`; we keep what came.
            Ok(theirs) => prop_assert!(ours.is_ok_and(|ours| crate::json::equal(&ours, &theirs))),
            // serde_json has no half surrogates.
            Err(_) => prop_assert!(ours.is_err() || text.contains("\\u")),
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

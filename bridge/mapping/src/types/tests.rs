use proptest::prelude::*;
use zbus::Message;

use super::*;

fn json(text: &str) -> Value {
    text.parse().unwrap()
}

/// A value as the first of its member.
fn show(hint: TypeHint<'_>, value: &Value) -> Variant<'static> {
    MemberType::new(hint).take(value).shown.value
}

fn shown(hint: &str, value: &str) -> String {
    let variant = show(TypeHint::parse(hint), &json(value));
    format!("{} {}", variant.value_signature(), plain(&variant))
}

/// A value without the signatures of its parts.
fn plain(variant: &Variant<'_>) -> String {
    let list = |values: &[Variant<'_>]| values.iter().map(plain).collect::<Vec<_>>().join(",");
    match variant {
        Variant::Variant(inner) => format!("<{}>", plain(inner)),
        Variant::Str(text) => format!("{:?}", text.as_str()),
        Variant::Bool(value) => value.to_string(),
        Variant::I64(value) => value.to_string(),
        Variant::U64(value) => value.to_string(),
        Variant::U8(value) => value.to_string(),
        Variant::F64(value) => format!("{value:?}"),
        Variant::Array(array) => format!("[{}]", list(array.inner())),
        Variant::Structure(fields) => format!("({})", list(fields.fields())),
        Variant::Dict(dict) => {
            let entries = dict
                .iter()
                .map(|(key, value)| format!("{}:{}", plain(key), plain(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn values_are_shown_under_their_hint_if_they_fit() {
    for (hint, value, expected) in [
        ("int", "5", "x 5"),
        ("int", "5.0", "x 5"),
        ("int", "-9223372036854775808", "x -9223372036854775808"),
        ("flt", "5", "d 5.0"),
        ("float", "0.1", "d 0.1"),
        ("percent", "1e999", "d inf"),
        ("bool", "true", "b true"),
        ("bool", "1", "b true"),
        ("string", "\"a\\u0000b\"", "s \"a\u{2400}b\""),
        ("vec2f", "[1, 2.5]", "(dd) (1.0,2.5)"),
        ("vec3f", "[1, 2, 3]", "(ddd) (1.0,2.0,3.0)"),
        ("vec4f", "[1, 2, 3, 4]", "(dddd) (1.0,2.0,3.0,4.0)"),
        ("signature:ay", "[1, 255]", "ay [1,255]"),
        ("signature:a{ib}", "{\"-1\": true}", "a{ib} {I32(-1):true}"),
        ("signature:(sv)", "[\"x\", [1]]", "(sv) (\"x\",<[<1>]>)"),
        ("signature:v", "1", "v <1>"),
        ("signature:o", "\"/a\"", "o ObjectPath(ObjectPath(\"/a\"))"),
    ] {
        assert_eq!(shown(hint, value), expected, "{hint} {value}");
    }
}

#[test]
fn a_signature_is_one_type_or_text() {
    let shown = |text: &str| show(TypeHint::parse("signature:g"), &Value::from(text));
    for (text, signature) in [
        ("a{sv}", "g"),
        ("", "g"),
        ("(ii)", "g"),
        ("ii", "v"),
        (&*"y".repeat(255), "v"),
    ] {
        let message = Message::signal("/", "a.b", "c").build(&shown(text));
        message.unwrap().body().validate().unwrap();
        let type_of = shown(text).value_signature().to_string();
        assert_eq!(type_of, signature, "{text}");
    }
}

#[test]
fn without_a_hint_the_value_tells() {
    for hint in [
        "",
        "vec5f",
        "matrix",
        "signature:",
        "signature:ii",
        "signature:h",
        "signature:a{vs}",
    ] {
        for (value, expected) in [
            ("true", "b true"),
            ("5", "x 5"),
            ("18446744073709551615", "t 18446744073709551615"),
            ("18446744073709551616", "d 1.8446744073709552e19"),
            ("5.0", "d 5.0"),
            ("\"x\"", "s \"x\""),
            ("null", "v <\"\">"),
            ("[1, [\"a\"], null]", "av [<1>,<[<\"a\">]>,<<\"\">>]"),
            ("{\"a\": {\"b\": 1}}", "a{sv} {\"a\":<{\"b\":<1>}>}"),
            ("{}", "a{sv} {}"),
            ("[]", "av []"),
        ] {
            assert_eq!(shown(hint, value), expected, "{hint} {value}");
        }
    }
}

#[test]
fn what_is_too_deep_or_too_large_is_shown_as_its_text() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let shown = natural(&json(&deep));
    assert_eq!(shown.value_signature().to_string(), "av");
    assert!(plain(&shown).contains(&format!(
        "{:?}",
        format!("{}{}", "[".repeat(78), "]".repeat(78))
    )));

    let large = Value::Array(vec![Value::from(0); VALUE_LEN_MAX / 16]);
    assert_eq!(natural(&large).value_signature(), &Signature::Str);
    let signature = Signature::try_from("ax").unwrap();
    assert_eq!(as_type(&signature, &large), None);
}

#[test]
fn a_hint_that_is_too_deep_names_no_type() {
    let nested = |depth| format!("signature:{}y", "a".repeat(depth));
    assert!(hinted(TypeHint::parse(&nested(15))).is_some());
    assert!(hinted(TypeHint::parse(&nested(16))).is_none());
    assert!(hinted(TypeHint::parse(&nested(400))).is_none());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(zocp_model::float),
        "[^\0]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(40, 200, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_shown_is_legal_on_the_bus(
        value in any_json(),
        hint in "(int|flt|bool|string|vec[2-4]f|signature:[a(){}sixdvbog]{1,12}|.{0,6})",
    ) {
        let shown = show(TypeHint::parse(&hint), &value);
        // As deep as it gets: in the dictionary of an interface in `GetManagedObjects`, beside others.
        let properties = std::collections::BTreeMap::from([("p", &shown)]);
        let interfaces = std::collections::BTreeMap::from([("i", properties)]);
        let objects = std::collections::BTreeMap::from([("o", interfaces)]);
        let message = Message::signal("/", "a.b", "c").build(&objects).unwrap();
        message.body().validate().unwrap();
    }

    #[test]
    fn values_without_null_come_back(value in any_json()) {
        let without = without_null(value);
        let shown = natural(&without);
        prop_assume!(!plain(&shown).contains("NaN") && !plain(&shown).contains("inf"));
        let back = crate::convert::as_given(&shown).unwrap();
        prop_assert_eq!(back, without);
    }
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Null => Value::from(0),
        Value::Array(values) => values.into_iter().map(without_null).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_null(value)))
                .collect(),
        ),
        value => value,
    }
}

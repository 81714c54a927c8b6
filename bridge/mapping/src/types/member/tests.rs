use proptest::prelude::*;
use zocp_model::float;

use super::*;
use crate::types::natural;

/// Also what only Python's JSON has.
fn json(text: &str) -> Value {
    match text {
        "NaN" => float(f64::NAN),
        "Infinity" => float(f64::INFINITY),
        "-Infinity" => float(f64::NEG_INFINITY),
        text => text.parse().unwrap(),
    }
}

/// The types that a member has, one for each value, and `!` behind it where the value is marked.
fn types(hint: &str, values: &[&str]) -> Vec<String> {
    let mut member = MemberType::new(TypeHint::parse(hint));
    let take = |text: &&str| {
        let taken = member.take(&json(text));
        let mark = if taken.shown.is_converted { "!" } else { "" };
        assert_eq!(taken.shown.value.value_signature(), member.signature());
        format!("{}{mark}", member.signature())
    };
    values.iter().map(take).collect()
}

#[test]
fn a_type_holds_while_values_come() {
    let table: &[(&str, &[&str], &str)] = &[
        // Without a hint, numbers are `d` after the first one that is not an integer.
        ("", &["1", "0.5", "1", "0.25"], "x d d d"),
        ("number", &["1", "0.5", "1"], "x d d"),
        ("", &["1.0", "0.5", "1"], "d d d"),
        ("", &["1e2", "0.5", "1E0"], "d d d"),
        ("", &["0", "-0.0", "-1", "2.0"], "x x x x"),
        ("", &["1", "9223372036854775808", "1"], "x d d"),
        ("", &["1", "18446744073709551615", "1"], "x d! d"),
        ("", &["18446744073709551615", "1", "-1"], "t t d"),
        ("", &["0.5", "9007199254740993", "1"], "d d! d"),
        // The type of a hint stays for every value that can be converted to it.
        ("flt", &["0.5", "null", "1"], "d d! d"),
        ("flt", &["0.5", "true", "0.5"], "d d! d"),
        ("flt", &["0.5", "\"0.7\"", "\"70 %\""], "d d! d!"),
        ("flt", &["0.5", "9007199254740993", "1e999"], "d d! d!"),
        ("flt", &["NaN", "Infinity", "1"], "d d d"),
        ("percent", &["50", "50.5", "50"], "d d d"),
        ("int", &["1", "1.5", "2"], "x x! x"),
        ("int", &["1", "18446744073709551615", "-1e99"], "x x! x!"),
        ("int", &["null", "NaN", "-Infinity"], "x! x! x!"),
        ("int", &["true", "\" 7 \"", "5.0"], "x! x! x"),
        ("bool", &["true", "1", "0", "2", "false"], "b b b b! b"),
        ("bool", &["\"on\"", "\"No\"", "null"], "b! b! b!"),
        ("string", &["\"a\"", "1", "[1]", "null"], "s s! s! s!"),
        ("vec3f", &["[0.5,1,0.5]", "[1,1,1]"], "(ddd) (ddd)"),
        (
            "vec3f",
            &["[1,1]", "[1,null,1]", "[1,2,3,4]"],
            "(ddd)! (ddd)! (ddd)!",
        ),
        ("vec2f", &["null", "[\"1\",true]"], "(dd)! (dd)!"),
        ("signature:y", &["1", "256", "-1", "2"], "y y! y! y"),
        ("signature:as", &["[\"a\"]", "[1]", "null"], "as as! as!"),
        // Where nothing fits it is `v`, once.
        ("flt", &["0.5", "\"loud\"", "0.5", "[1]"], "d v v v"),
        ("int", &["{}", "1"], "v v"),
        ("bool", &["\"maybe\"", "true"], "v v"),
        ("vec3f", &["[1,2,\"c\"]", "[1,2,3]"], "v v"),
        ("vec3f", &["5", "[1,2,3]"], "v v"),
        ("signature:o", &["\"no path\"", "\"/a\""], "v v"),
        ("signature:a{us}", &["{\"x\": \"y\"}", "{}"], "v v"),
        // Without a hint the first value decides.
        ("", &["null", "null", "true", "1", "0"], "v v b b b"),
        ("", &["true", "2", "true"], "b v v"),
        ("", &["1", "true", "1"], "x v v"),
        ("", &["\"a\"", "1", "\"b\""], "s v v"),
        ("", &["0.5", "\"x\"", "0.5"], "d v v"),
        ("", &["1", "null", "0.5", "null"], "x x! d d!"),
        ("", &["[0.5,1]", "[1,\"a\"]", "[]", "null"], "av av av av!"),
        ("vec5f", &["[1,2,3,4,5]", "[1]", "7"], "av av v"),
        ("", &["{\"a\":1}", "{\"a\":null}", "[]"], "a{sv} a{sv} v"),
    ];
    for (hint, values, expected) in table {
        let expected: Vec<&str> = expected.split(' ').collect();
        assert_eq!(types(hint, values), expected, "{hint:?} {values:?}");
    }
}

#[test]
fn what_a_type_does_not_hold_is_shown_by_what_is_nearest() {
    let table = [
        ("int", "5.5", Variant::I64(6)),
        ("int", "-2.5", Variant::I64(-3)),
        ("int", "18446744073709551615", Variant::I64(i64::MAX)),
        ("int", "-1e99", Variant::I64(i64::MIN)),
        ("int", "\"7\"", Variant::I64(7)),
        ("int", "true", Variant::I64(1)),
        ("int", "NaN", Variant::I64(0)),
        ("int", "null", Variant::I64(0)),
        ("flt", "\"70 %\"", Variant::F64(70.0)),
        ("flt", "null", Variant::F64(0.0)),
        ("flt", "1e999", Variant::F64(f64::INFINITY)),
        (
            "flt",
            "9007199254740993",
            Variant::F64(9_007_199_254_740_992.0),
        ),
        ("bool", "2", Variant::Bool(true)),
        ("bool", "-0.0", Variant::Bool(false)),
        ("bool", "\"off\"", Variant::Bool(false)),
        ("string", "1.50", Variant::from("1.50")),
        ("string", "null", Variant::from("")),
        ("string", "{\"a\":[1]}", Variant::from("{\"a\":[1]}")),
        ("vec3f", "[1,null]", Variant::from((1.0, 0.0, 0.0))),
        ("vec2f", "[1,2,3]", Variant::from((1.0, 2.0))),
    ];
    for (hint, value, expected) in table {
        let mut member = MemberType::new(TypeHint::parse(hint));
        let taken = member.take(&json(value));
        assert!(!taken.is_retyped, "{hint} {value}");
        assert_eq!(taken.shown.value, expected, "{hint} {value}");
    }
    // What is shown as a value of any type is the value as it is by itself.
    let mut member = MemberType::new(TypeHint::Int);
    for value in ["{}", "1.5", "\"x\""].map(json) {
        let inner = Box::new(natural(&value));
        let taken = member.take(&value);
        assert_eq!(taken.shown.value, Variant::Variant(inner));
        assert!(!taken.shown.is_converted, "{value}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let numbers = "(-?[0-9]{1,22}|-?[0-9]{1,3}[.][0-9]{1,3}|[1-9]e-?[0-9]{1,3})";
    let other = prop::sample::select(vec![
        "null",
        "true",
        "NaN",
        "-Infinity",
        "\"x\"",
        "\"7\"",
        "\"on\"",
        "[]",
        "[1,2]",
        "[1,null,0.5]",
        "[\"a\",2]",
        "{}",
        "{\"a\":1.5}",
    ]);
    prop_oneof![
        numbers.prop_filter_map("leading zeros", |text| text.parse().ok()),
        other.prop_map(json),
    ]
}

proptest! {
    #[test]
    fn a_type_changes_only_along_the_table(
        hint in "(int|flt|bool|string|vec[2-5]f|signature:(y|t|ad|a[{]sv[}]|v|o)|)",
        values in prop::collection::vec(any_value(), 0..24),
    ) {
        let hint = TypeHint::parse(&hint);
        let mut member = MemberType::new(hint);
        let is_hinted = hinted(hint).is_some();
        let mut types = vec![(member.signature().clone(), member.is_any())];
        for value in &values {
            let before = member.clone();
            let taken = member.take(value);
            prop_assert_eq!(taken.shown.value.value_signature(), member.signature());
            prop_assert_eq!(taken.is_retyped, before != member);
            // MEMBER-3: once more is the same, and changes nothing.
            let again = member.take(value);
            prop_assert!(!again.is_retyped);
            prop_assert_eq!(format!("{:?}", again.shown), format!("{:?}", taken.shown));
            if taken.is_retyped {
                types.push((member.signature().clone(), member.is_any()));
            }
        }
        prop_assert!(types.len() <= if is_hinted { 2 } else { 4 }, "{:?}", types);
        for pair in types.windows(2) {
            let [(from, was_any), (to, is_any)] = pair else { unreachable!() };
            let is_none = !is_hinted && !was_any && *from == Signature::Variant;
            let is_integral = matches!(from, Signature::I64 | Signature::U64);
            let widens = !is_hinted && is_integral && *to == Signature::F64;
            prop_assert!(!was_any && (*is_any || is_none || widens), "{:?}", types);
        }
    }
}

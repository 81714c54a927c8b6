//! Conversions by example.

use serde_json::json;

use super::*;

fn side(kind: Kind, range: Option<(f64, f64)>) -> Side {
    let range = range.map(|(first, last)| Range::new(first, last).unwrap());
    Side { kind, range }
}

fn any() -> Side {
    Side::default()
}

fn scaled(text: &str) -> Conversion {
    Conversion {
        scale: Some(text.parse().unwrap()),
        ..Conversion::default()
    }
}

#[cfg(feature = "expressions")]
fn calculated(text: &str) -> Conversion {
    Conversion {
        expression: Some(Calculator::default().understand(text).unwrap()),
        ..Conversion::default()
    }
}

fn once(
    conversion: Conversion,
    source: Side,
    target: Side,
    value: Value,
) -> Result<Option<Value>, ConversionError> {
    Converter::new(conversion, source, target).convert(&value)
}

#[test]
fn a_value_becomes_what_the_target_takes() {
    for (value, kind, expected) in [
        (json!(0.6), Kind::Int, Some(json!(1))),
        (json!(-2.5), Kind::Int, Some(json!(-3))),
        (
            json!(9_007_199_254_740_993_i64),
            Kind::Int,
            Some(json!(9_007_199_254_740_993_i64)),
        ),
        (json!("12"), Kind::Int, Some(json!(12))),
        (json!(true), Kind::Int, Some(json!(1))),
        (json!(1e30), Kind::Int, None),
        (json!("lots"), Kind::Int, None),
        (json!(5), Kind::Float, Some(json!(5.0))),
        (json!(" 12.5 % "), Kind::Float, Some(json!(12.5))),
        (json!([1]), Kind::Float, None),
        (json!(null), Kind::Float, None),
        (json!("inf"), Kind::Float, None),
        (json!(0.0), Kind::Bool, Some(json!(false))),
        (json!(0.1), Kind::Bool, Some(json!(true))),
        (json!("On"), Kind::Bool, Some(json!(true))),
        (json!("maybe"), Kind::Bool, None),
        (json!(0.5), Kind::Text, Some(json!("0.5"))),
        (json!([1, 2]), Kind::Text, Some(json!("[1,2]"))),
        (json!([1, "2"]), Kind::Vector(2), Some(json!([1.0, 2.0]))),
        (json!([1, 2, 3]), Kind::Vector(2), None),
        (json!(1), Kind::Vector(2), None),
        (json!({"a": 1}), Kind::Any, Some(json!({"a": 1}))),
    ] {
        let fitted = once(
            Conversion::default(),
            any(),
            side(kind, None),
            value.clone(),
        );
        match expected {
            Some(expected) => {
                let fitted = fitted.unwrap().unwrap();
                assert!(
                    fitted == expected || number(&fitted) == number(&expected),
                    "{value} as {kind}: {fitted}"
                );
            }
            None => assert!(fitted.is_err(), "{value} as {kind}: {fitted:?}"),
        }
    }
}

#[test]
fn ends_of_a_range_map_to_ends_exactly() {
    for (scale, value, expected) in [
        ("0..1=0..255", json!(1), 255.0),
        ("0..1=0..255", json!(0.5), 127.5),
        ("0..1=255..0", json!(0.25), 191.25),
        ("-10..10=0..1", json!(10), 1.0),
        ("0..0.3=0..0.7", json!(0.3), 0.7),
        ("0..1=0..255", json!(2), 510.0),
    ] {
        let value = once(scaled(scale), any(), any(), value).unwrap().unwrap();
        assert_eq!(number(&value), Some(expected), "{scale}");
    }
    let vector = once(scaled("0..1=0..10"), any(), any(), json!([0, 0.5, 1])).unwrap();
    assert_eq!(vector.unwrap().to_string(), "[0.0,5.0,10.0]");
    assert!(once(scaled("0..1=0..10"), any(), any(), json!({})).is_err());
}

#[test]
fn the_ranges_of_the_ends_are_used_when_asked_for() {
    let (source, target) = (
        side(Kind::Int, Some((0.0, 127.0))),
        side(Kind::Float, Some((0.0, 1.0))),
    );
    let value = once(scaled("ends"), source, target, json!(127))
        .unwrap()
        .unwrap();
    assert_eq!(value, json!(1.0));
    let nowhere = once(scaled("ends"), source, any(), json!(1));
    assert_eq!(nowhere, Err(ConversionError::NoRange("target")));
}

#[test]
fn clamping_and_inverting_go_by_the_range_that_the_value_goes_to() {
    let clamped = Conversion {
        clamp: true,
        ..scaled("0..1=0..255")
    };
    assert_eq!(
        once(clamped, any(), side(Kind::Int, None), json!(7)).unwrap(),
        Some(json!(255))
    );
    let inverted = Conversion {
        invert: true,
        ..Conversion::default()
    };
    let level = side(Kind::Float, Some((0.0, 1.0)));
    assert_eq!(
        once(inverted.clone(), any(), level, json!(0.25)).unwrap(),
        Some(json!(0.75))
    );
    assert_eq!(
        once(inverted.clone(), any(), any(), json!(true)).unwrap(),
        Some(json!(false))
    );
    assert_eq!(
        once(inverted, any(), any(), json!(1)),
        Err(ConversionError::NoRange("target"))
    );
}

#[test]
fn a_threshold_triggers_once_each_time_it_is_crossed() {
    let rising = Conversion {
        threshold: Some(0.5),
        ..Conversion::default()
    };
    let passed = |conversion: Conversion| {
        let mut converter = Converter::new(conversion, any(), side(Kind::Int, None));
        let values = [0.2, 0.5, 0.9, 0.1, 0.4, 0.6];
        values.map(|value| converter.convert(&json!(value)).unwrap().is_some())
    };
    assert_eq!(
        passed(rising.clone()),
        [false, true, false, false, false, true]
    );
    let falling = Conversion {
        invert: true,
        ..rising
    };
    assert_eq!(passed(falling), [true, false, false, true, false, false]);
}

#[test]
fn what_cannot_be_converted_stops_no_later_value() {
    let mut converter = Converter::new(scaled("0..1=0..10"), any(), any());
    assert!(converter.convert(&json!("loud")).is_err());
    assert_eq!(converter.convert(&json!(1)).unwrap(), Some(json!(10.0)));
}

#[cfg(feature = "expressions")]
#[test]
fn an_expression_computes_from_the_value() {
    for (text, kind, value, expected) in [
        ("value * 2 + 1", Kind::Float, json!(3), json!(7.0)),
        ("value / 2", Kind::Int, json!(3), json!(1)),
        ("value / 2", Kind::Float, json!(3), json!(1.5)),
        (
            "if value > 0.5 { \"on\" } else { \"off\" }",
            Kind::Float,
            json!(0.7),
            json!("on"),
        ),
        ("value[1]", Kind::Vector(3), json!([1, 2, 3]), json!(2.0)),
        ("[value, 0.0]", Kind::Float, json!(1), json!([1.0, 0.0])),
        ("value.len() > 3", Kind::Text, json!("four"), json!(true)),
        ("max(value, 10)", Kind::Int, json!(3), json!(10)),
        ("sqrt(value).round()", Kind::Float, json!(10), json!(3.0)),
        ("!value", Kind::Bool, json!(true), json!(false)),
    ] {
        let result = once(calculated(text), side(kind, None), any(), value).unwrap();
        assert_eq!(result, Some(expected), "{text}");
    }
    let dropped = once(calculated("if value > 1 { value }"), any(), any(), json!(0)).unwrap();
    assert_eq!(dropped, None);
}

#[cfg(feature = "expressions")]
#[test]
fn an_expression_is_no_program() {
    let calculator = Calculator::default();
    for text in [
        "let x = 1; x",
        "while true {}",
        "loop { }",
        "fn f() { 1 }",
        "eval(\"1\")",
        "import \"a\" as b",
        "value = 1",
        "",
    ] {
        assert!(calculator.understand(text).is_err(), "{text}");
    }
    assert_eq!(
        calculator.understand(&"1+".repeat(600)).unwrap_err(),
        ExpressionError::TooLong
    );
    assert!(calculator.understand(&"(".repeat(100)).is_err());
}

#[cfg(feature = "expressions")]
#[test]
fn an_expression_without_a_result_is_an_error() {
    for (text, value) in [
        ("value / 0", json!(1)),
        ("value + 9223372036854775807", json!(1)),
        ("value / 0.0", json!(1)),
        ("#{ a: 1 }", json!(1)),
        ("value", json!({"deep": [[]]})),
        ("\"x\".pad(1000000, 'x')", json!(1)),
    ] {
        let result = once(calculated(text), any(), any(), value);
        assert!(
            matches!(result, Err(ConversionError::Expression(_))),
            "{text}: {result:?}"
        );
    }
}

#[test]
fn one_bound_means_that_the_other_is_0() {
    let info = |min: Option<i64>, max: Option<i64>, hint: &str| Info {
        min: min.map(Value::from),
        max: max.map(Value::from),
        type_hint: Some(hint.into()),
        ..Info::default()
    };
    let ends = |info: Info| Side::of(&info).range.map(Range::ends);
    assert_eq!(ends(info(None, Some(5), "flt")), Some((0.0, 5.0)));
    assert_eq!(ends(info(Some(-5), None, "int")), Some((-5.0, 0.0)));
    assert_eq!(ends(info(None, None, "percent")), Some((0.0, 100.0)));
    assert_eq!(ends(info(None, None, "int")), None);
}

#[test]
fn a_scale_is_written_as_it_is_read() {
    for text in ["0..1=0..255", "-1..1=0.5..-3", "ends"] {
        assert_eq!(text.parse::<Scale>().unwrap().to_string(), text);
    }
    for text in ["", "0..1", "0..0=1..2", "a..b=1..2", "0..inf=0..1"] {
        assert!(text.parse::<Scale>().is_err(), "{text}");
    }
}

#[cfg(not(feature = "expressions"))]
#[test]
fn a_build_without_expressions_says_so() {
    let refused = Calculator::default().understand("value + 1").unwrap_err();
    assert_eq!(refused, ExpressionError::NotBuiltIn);
    assert!(refused.to_string().contains("feature `expressions`"));
}

#[cfg(feature = "expressions")]
#[test]
fn an_expression_that_calls_or_reads_what_does_not_exist_is_refused_when_it_is_written() {
    let calculator = Calculator::default();
    for (text, word) in [
        ("foo(value)", "foo()"),
        ("if value > 3.0 { foo (value) } else { 0 }", "foo()"),
        ("value.foo()", "foo()"),
        ("1 + valeu", "valeu"),
        ("value +", "incomplete"),
        ("eval(\"1\")", "eval"),
    ] {
        let error = calculator.understand(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    for text in [
        "abs(value) + sin(value)",
        "if (value > 3) { 1 } else { (2) }",
        "value.len() + value.to_string().len()",
        "max(value, min(1, 2)).to_float()",
        "\"foo(\" + value + 'f' + \"\\\"bar(\"",
        "switch value { 1 => \"a\", _ => () }",
        "if value in [1, 2] { sqrt(4.0) } else { floor(value) }",
        "type_of(value) == \"i64\"",
        "value.sub_string(1, 2)",
        "round(value * 100.0) / 100.0",
        "value[0]",
        "[value, 1].contains(2)",
    ] {
        calculator
            .understand(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

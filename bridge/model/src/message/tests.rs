use serde_json::json;

use super::*;

#[test]
fn payloads_of_the_wrong_shape_are_malformed() {
    let table = [
        ("GET", json!(5)),
        ("GET", json!("abc")),
        ("GET", json!([1])),
        ("SET", json!(5)),
        ("MOD", json!("x")),
        ("CALL", json!({})),
        ("CALL", json!([1])),
        ("CALL", json!(["m", 5])),
        ("CALL", json!(["m", [], {"id": -1}])),
        ("CALL", json!(["m", [], {"id": 1, "object": 5}])),
        ("SUB", json!([])),
        (
            "SUB",
            json!(["zz", "myBool", "e7ba4d022f6e41dda9f13fe94cc647ab", null]),
        ),
        ("UNSUB", json!(null)),
        ("SIG", json!(["a"])),
        ("SIG", json!([1, 2])),
        ("SIG", json!(["a", 1, 2])),
    ];
    for (verb, payload) in table {
        let parsed = Verb::parse(verb, payload.clone());
        assert!(
            matches!(parsed, Err(MessageError::Shape { .. })),
            "{verb} {payload}"
        );
    }
}

#[test]
fn what_pyzocp_sends_without_meaning_means_nothing() {
    for (verb, payload) in [
        ("SET", json!(["myInt"])),
        ("MOD", json!(null)),
        ("REP", json!({})),
        ("MOD", json!([1])),
    ] {
        assert_eq!(Verb::parse(verb, payload), Ok(Verb::Nothing));
    }
    assert_eq!(Verb::parse("GET", json!({})), Ok(Verb::Get(None)));
    assert_eq!(Verb::parse("FOO", json!(1)), Ok(Verb::Unknown));
}

#[test]
fn calls_and_answers_read_back() {
    let call = || Call {
        method: "blink".into(),
        args: vec![json!(3)],
        id: Some(7),
        object: "cam.pan".into(),
    };
    let octets = call_with_answer(call());
    assert_eq!(
        octets,
        br#"{"CALL": ["blink",[3],{"id":7,"object":"cam.pan"}]}"#
    );
    let payload =
        |octets: &[u8], verb: &str| serde_json::from_slice::<Value>(octets).unwrap()[verb].clone();
    assert_eq!(
        Verb::parse("CALL", payload(&octets, "CALL")),
        Ok(Verb::Call(call()))
    );
    let broken = || Answer {
        id: 7,
        result: Err(("org.example.Error.Broken".into(), "lamp is out".into())),
    };
    let octets = rep(broken());
    assert_eq!(
        octets,
        br#"{"REP": [7,null,{"error":"org.example.Error.Broken","message":"lamp is out"}]}"#
    );
    assert_eq!(
        Verb::parse("REP", payload(&octets, "REP")),
        Ok(Verb::Rep(broken()))
    );
}

//! Calls and their ends.

use std::time::Duration;

use super::*;
use crate::{Argument, CallFailure, Method};

fn callable() -> Mesh {
    Mesh::met(2, EXTENDED, |node| {
        let blink = Method::new(
            vec![Argument::new("times", "int")],
            vec![Argument::new("ok", "bool")],
            None,
        );
        node.publish_method(&"cam.pan".parse().unwrap(), "blink", &blink)
            .unwrap();
    })
}

fn call(mesh: &mut Mesh, args: Vec<Value>) -> Result<CallId, CallError> {
    let (now, deadline) = (mesh.now, mesh.now + Duration::from_secs(20));
    mesh.node(2).call(
        now,
        id(1),
        &"cam.pan".parse().unwrap(),
        "blink",
        args,
        deadline,
    )
}

// protocol.md §6.3
#[test]
fn a_call_is_answered_by_its_number() {
    let mut mesh = callable();
    let number = call(&mut mesh, vec![3.into()]).unwrap();
    assert_eq!(
        mesh.sent(2, 1),
        [r#"{"CALL": ["blink",[3],{"id":1,"object":"cam.pan"}]}"#]
    );
    let [
        Event::Called {
            id: Some(request),
            method,
            args,
            ..
        },
    ] = &mesh.events(1)[..]
    else {
        panic!()
    };
    assert_eq!((method.as_str(), args), ("blink", &vec![Value::from(3)]));
    mesh.node(1)
        .reply(id(2), *request, Ok(vec![true.into()]))
        .unwrap();
    assert_eq!(
        mesh.node(1).reply(id(2), *request, Ok(vec![])),
        Err(ReplyError::NotOpen)
    );
    assert_eq!(
        mesh.events(2),
        [Event::CallDone {
            id: number,
            result: Ok(vec![true.into()])
        }]
    );
    assert_eq!(mesh.node(2).poll_timeout(), None);
}

#[test]
fn an_error_comes_back_as_one() {
    let mut mesh = callable();
    let number = call(&mut mesh, vec![3.into()]).unwrap();
    let [
        Event::Called {
            id: Some(request), ..
        },
    ] = mesh.events(1)[..]
    else {
        panic!()
    };
    let broken = (
        "org.example.Error.Broken".to_owned(),
        "lamp is out".to_owned(),
    );
    mesh.node(1).reply(id(2), request, Err(broken)).unwrap();
    let [
        Event::CallDone {
            id,
            result: Err(CallFailure::Remote { error, message }),
        },
    ] = &mesh.events(2)[..]
    else {
        panic!()
    };
    assert_eq!(
        (*id, error.as_str(), message.as_str()),
        (number, "org.example.Error.Broken", "lamp is out")
    );
}

#[test]
fn a_call_ends_at_its_deadline_and_a_late_answer_is_ignored() {
    let mut mesh = callable();
    let number = call(&mut mesh, vec![3.into()]).unwrap();
    mesh.settle();
    let deadline = mesh.node(2).poll_timeout().unwrap();
    mesh.node(2)
        .handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(mesh.events(2), []);
    mesh.node(2).handle_timeout(deadline);
    assert_eq!(
        mesh.events(2),
        [Event::CallDone {
            id: number,
            result: Err(CallFailure::Timeout)
        }]
    );
    mesh.hear(2, 1, r#"{"REP": [1, []]}"#).unwrap();
    assert_eq!(
        mesh.events(2),
        [Event::Ignored {
            peer: id(1),
            reason: Ignored::UnexpectedAnswer
        }]
    );
}

#[test]
fn a_call_ends_with_its_node() {
    let mut mesh = callable();
    let number = call(&mut mesh, vec![3.into()]).unwrap();
    let now = mesh.now;
    mesh.node(2).peer_left(now, id(1));
    assert!(mesh.events(2).contains(&Event::CallDone {
        id: number,
        result: Err(CallFailure::NodeGone)
    }));
    assert_eq!(mesh.node(2).poll_timeout(), None);
}

#[test]
fn what_cannot_be_called_is_refused_at_once() {
    let mut mesh = callable();
    assert_eq!(
        call(&mut mesh, vec![]),
        Err(CallError::WrongCount {
            expected: 1,
            found: 0
        })
    );
    let now = mesh.now;
    let node = mesh.node(2);
    assert_eq!(
        node.call(now, id(1), &ObjectPath::root(), "blink", vec![], now),
        Err(CallError::UnknownMethod)
    );
    assert_eq!(
        node.call(now, id(7), &ObjectPath::root(), "blink", vec![], now),
        Err(CallError::NodeGone)
    );
    node.limits.calls_max = 1;
    call(&mut mesh, vec![1.into()]).unwrap();
    assert_eq!(call(&mut mesh, vec![1.into()]), Err(CallError::Busy));
    let mut old = Mesh::met(2, OLD, |_| {});
    let now = old.now;
    assert_eq!(
        old.node(2)
            .call(now, id(1), &ObjectPath::root(), "x", vec![], now),
        Err(CallError::NotSupported)
    );
}

#[test]
fn calls_that_cannot_be_served_are_answered_with_an_error() {
    let mut mesh = callable();
    mesh.node(1).limits.calls_max = 1;
    for text in [
        r#"{"CALL": ["nope", [], {"id": 8}]}"#,
        r#"{"CALL": ["blink", [1], {"id": 9, "object": "cam.pan"}]}"#,
        r#"{"CALL": ["blink", [1], {"id": 9, "object": "cam.pan"}]}"#,
        r#"{"CALL": ["blink", [1], {"id": 10, "object": "cam.pan"}]}"#,
        r#"{"CALL": ["blink", [1], {"object": "cam.pan"}]}"#,
    ] {
        assert_eq!(mesh.hear(1, 2, text), Ok(true));
    }
    let events = mesh.events(1);
    assert!(
        matches!(
            &events[..],
            [
                Event::Ignored {
                    reason: Ignored::UnknownMethod(_),
                    ..
                },
                Event::Called { id: Some(_), .. },
                Event::Ignored {
                    reason: Ignored::TooManyCalls,
                    ..
                },
                Event::Ignored {
                    reason: Ignored::TooManyCalls,
                    ..
                },
                Event::Called { id: None, .. },
            ]
        ),
        "{events:?}"
    );
    let answers = mesh.sent(1, 2);
    assert!(
        answers[0]
            .starts_with(r#"{"REP": [8,null,{"error":"org.freedesktop.DBus.Error.UnknownMethod""#)
    );
    assert!(
        answers[1].starts_with(
            r#"{"REP": [10,null,{"error":"org.freedesktop.DBus.Error.LimitsExceeded""#
        )
    );
    assert_eq!(answers.len(), 2);
}

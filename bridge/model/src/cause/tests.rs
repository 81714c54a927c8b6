use super::*;

fn origin(number: u8) -> Origin {
    Origin::new(NodeId::new([number; 16]), 7)
}

fn touched(history: &mut History, number: u8) -> Cause {
    history.touch(origin(number), false).unwrap()
}

#[test]
fn a_cause_is_read_as_it_is_written() {
    let mut history = History::default();
    touched(&mut history, 1);
    let mut cause = touched(&mut history, 2);
    for (relayed, again) in [(false, false), (true, false), (false, true)] {
        (cause.relayed, cause.again) = (relayed, again);
        let read = Cause::from_json(&cause.to_json());
        assert_eq!(read.as_ref(), Some(&cause), "{}", cause.to_json());
    }
}

#[test]
fn what_is_no_cause_is_none() {
    let node = NodeId::new([1; 16]);
    for text in [
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"touch": ["x.1", 1]}"#.to_owned(),
        format!(r#"{{"touch": ["{node}", 1]}}"#),
        format!(r#"{{"touch": ["{node}.1", 0]}}"#),
        format!(r#"{{"touch": ["{node}.1", 1.5]}}"#),
        format!(r#"{{"touch": ["{node}.1", 9007199254740992]}}"#),
        format!(r#"{{"touch": ["{node}.99999999999", 1]}}"#),
    ] {
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(Cause::from_json(&value), None, "{text}");
    }
}

#[test]
fn a_touch_is_taken_once_and_an_echo_never() {
    let (mut here, mut there) = (History::default(), History::default());
    let cause = touched(&mut here, 1);
    assert_eq!(there.meet(&cause), Meaning::New);
    assert_eq!(there.meet(&cause), Meaning::Echo);
    assert_eq!(here.meet(&there.cause().unwrap()), Meaning::Echo);
    let newer = touched(&mut here, 1);
    assert_eq!(there.meet(&newer), Meaning::New);
    assert_eq!(there.meet(&cause), Meaning::Echo);
}

#[test]
fn touches_that_cross_end_on_the_same_one() {
    let (mut here, mut there) = (History::default(), History::default());
    let (one, other) = (touched(&mut here, 1), touched(&mut there, 2));
    assert_eq!(here.meet(&other), Meaning::New);
    assert_eq!(there.meet(&one), Meaning::New);
    let (from_here, from_there) = (here.cause().unwrap(), there.cause().unwrap());
    assert_eq!(here.meet(&from_there), Meaning::Loses);
    assert_eq!(there.meet(&from_here), Meaning::Wins);
    assert_eq!(here.cause().unwrap().touch, there.cause().unwrap().touch);
}

#[test]
fn a_touch_of_who_hears_nothing_is_taken_whatever_its_number() {
    let (mut sensor, mut fader) = (History::default(), History::default());
    for _ in 0..5 {
        touched(&mut sensor, 1);
    }
    assert_eq!(sensor.meet(&touched(&mut fader, 2)), Meaning::New);
}

#[test]
fn what_is_remembered_and_told_is_bounded() {
    let mut history = History::default();
    for number in 0..200 {
        touched(&mut history, number);
    }
    let cause = history.cause().unwrap();
    assert_eq!(cause.known.touches.len(), KNOWN_MAX);
    assert_eq!(cause.to_json()["known"].as_array().unwrap().len(), TOLD_MAX);
}

#[test]
fn there_is_no_number_behind_the_last() {
    let mut history = History::default();
    let last = Touch {
        number: LAST_NUMBER,
        origin: origin(1),
    };
    history.known.add(last);
    assert_eq!(history.touch(origin(2), false), None);
    assert_eq!(history.cause(), None);
}

//! Any octets as a JSON value of a peer, beside what serde_json makes of them.
//!
//! Input: the octets, put where a signal has its value.
//! Holds: what serde_json reads we read, to the same value and without a complaint, and nothing else without one but
//! Python's three extra numbers and halves of surrogate pairs; memory is in proportion to the input, and a few
//! times the limit for a message at most.

use std::time::Instant;

use zocp_model::{
    Event, Ignored, JsonError, Limits, MessageError, Model, NodeId, Output, PeerKind, Value,
};

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let (ours, most) = memory::peak(|| signaled(data));
    let allowed = FIXED + COPIES * SIZE_MAX.min(EACH * data.len()) + COPIES * data.len();
    assert!(most <= allowed, "{most} octets for {}", data.len());
    let theirs = serde_json::from_slice::<Value>(data).ok();
    match (ours, theirs) {
        (Ok((ours, flaws)), Some(theirs)) => match flaws {
            None => assert_same(&ours, &theirs),
            Some(JsonError::NumberTooLong) => {}
            Some(why) => panic!("{why} at {theirs}"),
        },
        (Ok((ours, flaws)), None) => assert!(flaws.is_some() || is_pythons(data, &ours), "{ours}"),
        (Err(JsonError::TooDeep(_) | JsonError::TooLarge(_) | JsonError::NumberTooLong), _) => {}
        (Err(why), Some(theirs)) => panic!("{why} at {theirs}"),
        (Err(_), None) => {}
    }
}

/// The value that a signal brings, and what was wrong with it first.
fn signaled(data: &[u8]) -> Result<(Value, Option<JsonError>), JsonError> {
    let (me, peer, now) = (NodeId::new([1; 16]), NodeId::new([2; 16]), Instant::now());
    let mut limits = Limits::default();
    limits.message_size_max = SIZE_MAX;
    let mut model = Model::new(me, limits);
    let kind = PeerKind {
        zocp: true,
        extended: false,
    };
    model.peer_entered(now, peer, kind);
    let tree = br#"{"MOD": {"a": {"access": "e"}}}"#;
    assert_eq!(model.handle_message(now, peer, tree), Ok(true));
    let message = [b"{\"SIG\":[\"a\",", data, b"]}"].concat();
    match model.handle_message(now, peer, &message) {
        Err(MessageError::Json(why)) => return Err(why),
        Err(MessageError::Tree(_)) => return Err(JsonError::TooLarge(SIZE_MAX)),
        // More values than one, or more verbs.
        Err(MessageError::Shape { .. }) => return Err(JsonError::NotAnObject),
        other => assert_eq!(other, Ok(true)),
    }
    let outputs = std::iter::from_fn(|| model.poll_output());
    let mut flaw = None;
    let mut values = outputs.filter_map(|output| match output {
        Output::Event(Event::Emitted { value, .. }) => Some(value),
        Output::Event(Event::Ignored {
            reason: Ignored::Flawed(flaws),
            ..
        }) => {
            flaw = Some(flaws.first);
            None
        }
        _ => None,
    });
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (Some(value), None) => Ok((value, flaw)),
        _ => Err(JsonError::NotAnObject),
    }
}

/// The same but for the exponents of numbers, to which serde_json adds a sign.
fn assert_same(ours: &Value, theirs: &Value) {
    let mut open = vec![(ours, theirs)];
    while let Some(pair) = open.pop() {
        match pair {
            (Value::Number(ours), Value::Number(theirs)) => {
                let signed = |text: &str| text.replace('+', "").replace('E', "e");
                assert_eq!(signed(ours.as_str()), signed(theirs.as_str()));
            }
            (Value::Array(ours), Value::Array(theirs)) => {
                assert_eq!(ours.len(), theirs.len());
                open.extend(ours.iter().zip(theirs));
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                assert!(ours.keys().eq(theirs.keys()));
                open.extend(ours.values().zip(theirs.values()));
            }
            (ours, theirs) => assert_eq!(ours, theirs),
        }
    }
}

/// Whether there is something in it that Python writes and JSON lacks.
fn is_pythons(data: &[u8], value: &Value) -> bool {
    let text = String::from_utf8_lossy(data);
    let is_extra = ["NaN", "Infinity"].iter().any(|word| text.contains(word));
    let has_half = ["\\ud", "\\uD"].iter().any(|word| text.contains(word));
    is_extra || has_half || depth(value) > SERDE_DEPTH_MAX
}

fn depth(value: &Value) -> usize {
    let mut open = vec![(value, 1)];
    let mut most = 0;
    while let Some((value, depth)) = open.pop() {
        most = most.max(depth);
        match value {
            Value::Array(values) => open.extend(values.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => open.extend(map.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    most
}

const SERDE_DEPTH_MAX: usize = 127;
const FIXED: usize = 16 << 10;
/// `message_size_max`, so that some kilobytes reach it.
const SIZE_MAX: usize = 32 << 10;
/// An object of five octets has room for eleven entries.
const EACH: usize = 256;
/// The message, its value, the value in the tree, in the change and in the event.
const COPIES: usize = 5;

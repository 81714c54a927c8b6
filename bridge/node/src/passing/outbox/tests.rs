//! What waits, in which order it goes out, and its bounds.

use zocp_model::json;

use super::*;

const NODE: PeerId = PeerId::new([1; 16]);

fn path(name: &str) -> CapPath {
    CapPath::root(name)
}

fn all(outbox: &mut Outbox) -> Vec<Item> {
    std::iter::from_fn(|| outbox.pop()).collect()
}

#[test]
fn of_a_state_the_newest_value_goes_out_and_of_events_each_in_order() {
    let mut outbox = Outbox::default();
    for value in 0..5 {
        outbox.state(NODE, path("a"), json!(value));
        outbox.event(NODE, path("b"), json!(value), None);
    }
    assert!(!outbox.set(NODE, path("c"), vec![1]));
    assert!(outbox.set(NODE, path("c"), vec![2]));
    let out = all(&mut outbox);
    assert_eq!(out[0], Item::State(NODE, path("a"), json!(4)));
    for value in 0..5 {
        let event = Item::Event(NODE, path("b"), json!(value), None);
        assert_eq!(out[1 + value], event);
    }
    assert_eq!(out[6..], [Item::Message(NODE, vec![2])]);
    assert!(outbox.is_empty());
}

#[test]
fn a_state_after_an_event_goes_out_after_it() {
    let mut outbox = Outbox::default();
    outbox.state(NODE, path("a"), json!(1));
    outbox.event(NODE, path("a"), json!(2), None);
    outbox.state(NODE, path("a"), json!(3));
    let event = Item::Event(NODE, path("a"), json!(2), None);
    let state = Item::State(NODE, path("a"), json!(3));
    assert_eq!(all(&mut outbox), [event, state], "PASSBOX-1");
}

#[test]
fn more_events_than_the_bound_become_states() {
    let mut outbox = Outbox::default();
    for value in 0..=EVENTS_MAX {
        outbox.event(NODE, path(["a", "b"][value % 2]), json!(value), None);
    }
    outbox.event(NODE, path("c"), json!("after"), None);
    assert_eq!(outbox.take_merged(), EVENTS_MAX as u64 + 1);
    let out = all(&mut outbox);
    assert_eq!(out.len(), 3, "{out:?}");
    for (name, value) in [("a", EVENTS_MAX), ("b", EVENTS_MAX - 1)] {
        assert!(out.contains(&Item::State(NODE, path(name), json!(value))));
    }
    assert!(matches!(out[2], Item::Event(..)));
}

#[test]
fn more_octets_of_events_than_the_bound_become_states() {
    let mut outbox = Outbox::default();
    let texts = json!({"list": ["x".repeat(EVENT_OCTETS_MAX / 8), null]});
    for _ in 0..7 {
        outbox.event(NODE, path("a"), texts.clone(), None);
        outbox.pop();
        outbox.event(NODE, path("a"), texts.clone(), None);
    }
    assert_eq!(outbox.take_merged(), 0);
    outbox.own_event(NODE, path("b"), vec![0; EVENT_OCTETS_MAX / 8]);
    assert_eq!(outbox.take_merged(), 8);
    assert_eq!(all(&mut outbox).len(), 2);
    outbox.own_event(NODE, path("b"), vec![0; EVENT_OCTETS_MAX]);
    assert_eq!(outbox.take_merged(), 0);
    outbox.leave(NODE);
    outbox.own_event(NODE, path("b"), vec![0; EVENT_OCTETS_MAX]);
    assert_eq!(outbox.take_merged(), 0);
}

#[test]
fn more_patches_than_the_bound_make_the_node_enter_anew() {
    let mut outbox = Outbox::default();
    let other = PeerId::new([2; 16]);
    outbox.event(other, path("a"), json!(1), None);
    for _ in 0..=PATCHES_MAX {
        outbox.patch(NODE, vec![0]);
    }
    let event = Item::Event(other, path("a"), json!(1), None);
    assert_eq!(all(&mut outbox), [event, Item::Enter(NODE)]);
}

#[test]
fn so_many_replies_wait_and_then_the_peer_does_not_keep_up() {
    let mut outbox = Outbox::default();
    for _ in 0..MESSAGES_MAX {
        outbox.message(NODE, vec![0]);
        outbox.state(NODE, path("a"), json!(1));
    }
    assert!(!outbox.is_full());
    outbox.message(NODE, vec![0]);
    assert!(outbox.is_full());
    outbox.pop();
    assert!(!outbox.is_full());
    outbox.leave(NODE);
    assert_eq!(all(&mut outbox), [Item::Leave(NODE)]);
}

#[test]
fn a_value_after_a_patch_goes_out_behind_it() {
    let mut outbox = Outbox::default();
    outbox.state(NODE, path("a"), json!(1));
    outbox.patch(NODE, vec![0]);
    outbox.state(NODE, path("a"), json!(2));
    outbox.state(NODE, path("a"), json!(3));
    let patch = Item::Patch(NODE, vec![0]);
    let state = Item::State(NODE, path("a"), json!(3));
    assert_eq!(all(&mut outbox), [patch, state], "PASSBOX-3");
}

#[test]
fn what_this_node_emits_itself_waits_as_what_others_emit() {
    let mut outbox = Outbox::default();
    for value in 0..3 {
        outbox.own_state(NODE, path("a"), vec![value]);
        outbox.own_event(NODE, path("b"), vec![value]);
    }
    outbox.own_patch(NODE, vec![9]);
    outbox.own_state(NODE, path("a"), vec![3]);
    let emission = |value: u8| Item::Emission(NODE, path("b"), vec![value]);
    let message = |value: u8| Item::Message(NODE, vec![value]);
    let expected = [
        emission(0),
        emission(1),
        emission(2),
        message(9),
        message(3),
    ];
    assert_eq!(all(&mut outbox), expected);
    for value in 0..=EVENTS_MAX {
        outbox.own_event(NODE, path("b"), vec![value as u8]);
    }
    assert_eq!(outbox.take_merged(), EVENTS_MAX as u64 + 1);
    assert_eq!(all(&mut outbox), [message((EVENTS_MAX % 256) as u8)]);
    assert!(!outbox.is_full() && outbox.is_empty());
}

#[test]
fn a_node_that_leaves_takes_what_waits_of_it_along() {
    let mut outbox = Outbox::default();
    outbox.enter(NODE);
    outbox.event(NODE, path("a"), json!(1), None);
    outbox.state(NODE, path("b"), json!(1));
    outbox.leave(NODE);
    assert_eq!(all(&mut outbox), [Item::Leave(NODE)]);
}

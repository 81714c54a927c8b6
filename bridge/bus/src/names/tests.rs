use proptest::prelude::*;

use super::*;

const A: ConnectionId = ConnectionId(0);
const B: ConnectionId = ConnectionId(1);
const C: ConnectionId = ConnectionId(2);

fn name() -> Arc<str> {
    "org.example.Name".into()
}

fn queue(names: &Names) -> Vec<ConnectionId> {
    names.queue(&name()).into_iter().flatten().collect()
}

#[test]
fn a_name_goes_to_the_first_and_then_along_its_queue() {
    let mut names = Names::default();
    assert_eq!(names.request(&name(), A, 0).0, Requested::PrimaryOwner);
    assert_eq!(names.request(&name(), B, 0).0, Requested::InQueue);
    assert_eq!(names.request(&name(), A, 0).0, Requested::AlreadyOwner);
    assert_eq!(names.request(&name(), C, DO_NOT_QUEUE).0, Requested::Exists);
    assert_eq!(queue(&names), [A, B]);
    let (released, changes) = names.release(&name(), A);
    assert_eq!(released, Released::Done);
    let owner = Change::Owner {
        old: Some(A),
        new: Some(B),
    };
    assert_eq!(changes[..], [Change::Lost(A), owner, Change::Acquired(B)]);
    assert_eq!(names.release(&name(), A).0, Released::NotOwner);
    names.release(&name(), B);
    assert_eq!(names.release(&name(), B).0, Released::NonExistent);
}

#[test]
fn who_is_replaced_waits_next_or_leaves() {
    let mut names = Names::default();
    names.request(&name(), A, ALLOW_REPLACEMENT);
    names.request(&name(), B, 0);
    let (requested, _) = names.request(&name(), C, REPLACE_EXISTING);
    assert_eq!(requested, Requested::PrimaryOwner);
    assert_eq!(queue(&names), [C, A, B]);

    let mut names = Names::default();
    names.request(&name(), A, ALLOW_REPLACEMENT | DO_NOT_QUEUE);
    names.request(&name(), C, REPLACE_EXISTING | DO_NOT_QUEUE);
    assert_eq!(queue(&names), [C]);
}

#[test]
fn who_would_replace_and_may_not_waits_before_the_others() {
    let mut names = Names::default();
    names.request(&name(), A, 0);
    names.request(&name(), B, 0);
    assert_eq!(
        names.request(&name(), C, REPLACE_EXISTING).0,
        Requested::InQueue
    );
    assert_eq!(queue(&names), [A, C, B]);
}

proptest! {
    /// Whoever asks for what: what is told is what has happened.
    #[test]
    fn owners_are_who_was_told(steps in prop::collection::vec((0_u64..4, 0_u32..9), 0..60)) {
        let mut names = Names::default();
        let mut owner = None;
        for (who, what) in steps {
            let who = ConnectionId(who);
            let changes = match what {
                8 => names.release(&name(), who).1,
                flags => names.request(&name(), who, flags).1,
            };
            for change in changes {
                match change {
                    Change::Lost(lost) => prop_assert_eq!(owner, Some(lost)),
                    Change::Owner { old, new } => {
                        prop_assert_eq!(owner, old);
                        owner = new;
                    }
                    Change::Acquired(acquired) => prop_assert_eq!(owner, Some(acquired)),
                }
            }
            prop_assert_eq!(names.owner(&name()), owner);
            let queue = queue(&names);
            let once: std::collections::BTreeSet<_> = queue.iter().collect();
            prop_assert_eq!(once.len(), queue.len());
        }
    }
}

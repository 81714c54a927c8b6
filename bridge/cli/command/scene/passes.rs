//! Values are set until they stay.
//!
//! Model: a pass sets every value that is another than wanted. What a node takes back later, since another of its
//! values does not allow it yet, is seen when everything has been steady, and set by the next pass, when that other
//! value has come. It ends when all is as wanted, or when two passes more have not made it less that is not.
//! Invariants: PASSES-1. every pass but two sets something for good, so there are at most two more than values.
//! PASSES-2. a node that does not answer is not asked again.
//! Limits: what is steady for [`STEADY_FOR`] looks counts; what never is, is looked at [`LOOKS_MAX`] times. A node
//! that takes a value back later than that is not noticed.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::{Part, targets::Targets};
use crate::{
    exit::{Exit, Failure},
    scene::is_same,
};

/// A value as it is now, and its type.
pub(super) type Present = Option<(Value, String)>;

/// Values that can be set: those of nodes, or of a test.
pub(super) trait Values {
    /// Of each, its name, the node that has it, and what it is to be.
    fn wanted(&self) -> impl Iterator<Item = (&str, &str, &Value)>;
    /// What they are now.
    async fn present(&self) -> Vec<Present>;
    /// Sets one.
    async fn set(&self, at: usize, value: &Value, signature: Option<&str>) -> Result<(), Failure>;
}

impl Values for Targets<'_> {
    fn wanted(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let all = self.all.iter();
        all.map(|it| (it.what.as_str(), it.bus_name.as_str(), &it.value))
    }

    async fn present(&self) -> Vec<Present> {
        self.present().await
    }

    async fn set(&self, at: usize, value: &Value, signature: Option<&str>) -> Result<(), Failure> {
        self.set(at, value, signature).await
    }
}

/// Sets all values, and says which of them are not what they are to be.
pub(super) async fn restore(values: &impl Values) -> Vec<Part> {
    let mut problems = vec![None; values.wanted().count()];
    let mut silent = BTreeSet::new();
    let (mut fewest, mut in_vain) = (usize::MAX, 0);
    let mut present = values.present().await;
    loop {
        let differing = differing(values, &present);
        in_vain = if differing.len() < fewest {
            0
        } else {
            in_vain + 1
        };
        fewest = fewest.min(differing.len());
        if differing.is_empty() || in_vain == IN_VAIN_MAX {
            return parts(values, &present, &differing, &problems);
        }
        for at in differing {
            problems[at] = set(values, at, &present[at], &mut silent).await;
        }
        present = steady(values).await;
    }
}

/// Which values are another than wanted.
fn differing(values: &impl Values, present: &[Present]) -> Vec<usize> {
    let differs = |((_, _, wanted), now): ((&str, &str, &Value), &Present)| match now {
        Some((now, _)) => !is_same(now, wanted),
        None => true,
    };
    let pairs = values.wanted().zip(present).enumerate();
    pairs
        .filter(|(_, pair)| differs(*pair))
        .map(|(at, _)| at)
        .collect()
}

/// Sets a value of a node that answers; why it could not be.
async fn set(
    values: &impl Values,
    at: usize,
    present: &Present,
    silent: &mut BTreeSet<String>,
) -> Option<String> {
    let (_, node, value) = values.wanted().nth(at)?;
    let (node, value) = (node.to_owned(), value.clone());
    if silent.contains(&node) {
        return Some("its node does not answer".to_owned());
    }
    let signature = present.as_ref().map(|(_, signature)| signature.as_str());
    let failure = values.set(at, &value, signature).await.err()?;
    if failure.exit == Exit::Unavailable {
        silent.insert(node);
    }
    Some(failure.message().to_owned())
}

/// What there is when nothing changes any more. That nothing comes is told by time alone.
pub(super) async fn steady(values: &impl Values) -> Vec<Present> {
    let mut now = values.present().await;
    let mut same = 1;
    for _ in 1..LOOKS_MAX {
        if same == STEADY_FOR {
            break;
        }
        sleep(LOOK_EACH).await;
        let then = std::mem::replace(&mut now, values.present().await);
        same = if then == now { same + 1 } else { 1 };
    }
    now
}

fn parts(
    values: &impl Values,
    present: &[Present],
    differing: &[usize],
    problems: &[Option<String>],
) -> Vec<Part> {
    let wanted: Vec<_> = values.wanted().collect();
    let part = |at: &usize| {
        let (what, _, value) = wanted[*at];
        let problem = match (&problems[*at], &present[*at]) {
            (Some(problem), _) => problem.clone(),
            (None, Some((now, _))) => format!("is {now}, not {value}: the node does not keep it"),
            (None, None) => "has no value any more".to_owned(),
        };
        Part {
            what: what.to_owned(),
            problem,
        }
    };
    differing.iter().map(part).collect()
}

/// After so many passes that did not help, no other will.
const IN_VAIN_MAX: usize = 2;
const LOOK_EACH: Duration = Duration::from_millis(100);
const STEADY_FOR: usize = 4;
const LOOKS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    /// A node of which a value above 1 is allowed only if the next one is 1, and the last may be anything.
    struct Chain {
        wanted: Vec<Value>,
        now: RefCell<Vec<i64>>,
        /// Which are set while they are not read: the node has not heard it yet.
        late: RefCell<Vec<(usize, i64)>>,
        sets: RefCell<usize>,
        fails: Option<(usize, Exit)>,
    }

    impl Chain {
        fn new(wanted: &[i64]) -> Self {
            Self {
                wanted: wanted.iter().map(|it| json!(it)).collect(),
                now: RefCell::new(vec![0; wanted.len()]),
                late: RefCell::default(),
                sets: RefCell::default(),
                fails: None,
            }
        }
    }

    impl Values for Chain {
        fn wanted(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
            self.wanted.iter().map(|value| ("lamp:x", "lamp", value))
        }

        async fn present(&self) -> Vec<Present> {
            let mut now = self.now.borrow_mut();
            let shown = now
                .iter()
                .map(|it| Some((json!(it), "x".to_owned())))
                .collect();
            // What was set is shown at once, and taken back when the node has heard it.
            for (at, value) in self.late.borrow_mut().drain(..) {
                now[at] = value;
            }
            shown
        }

        async fn set(&self, at: usize, value: &Value, _: Option<&str>) -> Result<(), Failure> {
            *self.sets.borrow_mut() += 1;
            if let Some((_, exit)) = self.fails.filter(|(failing, _)| *failing == at) {
                return Err(Failure::new(exit, "no"));
            }
            let mut now = self.now.borrow_mut();
            let value = value.as_i64().unwrap();
            let is_allowed = value <= 1 || now.get(at + 1).is_none_or(|next| *next > 0);
            if !is_allowed {
                self.late.borrow_mut().push((at, now[at]));
            }
            now[at] = value;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_limit_is_restored_by_a_later_pass() {
        let chain = Chain::new(&[5, 1]);
        assert!(restore(&chain).await.is_empty());
        assert_eq!(*chain.now.borrow(), [5, 1]);
        let done = Chain::new(&[0, 0]);
        assert!(restore(&done).await.is_empty());
        assert_eq!(*done.sets.borrow(), 0, "what is so already is not set");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_kept_is_told_after_two_passes_more() {
        let chain = Chain::new(&[5, 0]);
        let parts = restore(&chain).await;
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].problem, "is 0, not 5: the node does not keep it");
        assert_eq!(*chain.sets.borrow(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_and_a_node_that_does_not_answer_is_asked_once() {
        let mut chain = Chain::new(&[1, 1]);
        chain.fails = Some((1, Exit::Refused));
        let parts = restore(&chain).await;
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].problem, "no");

        let mut chain = Chain::new(&[1, 1, 1]);
        chain.fails = Some((0, Exit::Unavailable));
        let parts = restore(&chain).await;
        assert_eq!(parts.len(), 3);
        assert_eq!(*chain.sets.borrow(), 1);
    }
}

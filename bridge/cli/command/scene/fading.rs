//! Values move to those of a scene.
//!
//! Model: what has values between moves, all nodes at once, each by its own: a node that is slow has fewer steps, and
//! is where the others are with each of them. The very values are set when it has ended, with all others (`passes`).
//! Invariants: FADING-1. each value is set at most each [`STEP_MIN`], all together at most [`SETS_PER_SECOND_MAX`] times a
//! second. FADING-2. a value that is at its end already, or does not change, is not set. FADING-3. after a signal nothing
//! is set any more, and what is under way is whole: every step of a value is one message.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    passes::{Present, Values, steady},
    targets::Targets,
};
use crate::{
    args::Switch,
    exit::{Exit, Failure},
    scene::{between, is_same},
};

/// Moves what moves; an error when a signal ended it.
pub(super) async fn fade(
    targets: &Targets<'_>,
    over: Duration,
    switch: Switch,
) -> Result<(), Failure> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let part = Part::default();
    let ended = tokio::select! {
        () = move_all(targets, over, switch, &part) => return Ok(()),
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "ended",
    };
    let text = format!(
        "the fade was {ended} at {} %: values stay where they are, wires as they were",
        part.percent()
    );
    Err(Failure::new(Exit::Incomplete, text).hint("load the scene again to go on from there"))
}

async fn move_all(values: &impl Values, over: Duration, switch: Switch, part: &Part) {
    let mut present = values.present().await;
    if switch == Switch::Start && switch_all(values, &present).await {
        present = steady(values).await;
    }
    let moves: Vec<Move> = moves(values, &present);
    let mut nodes: Vec<Vec<Move>> = Vec::new();
    let step = step(moves.len());
    for one in moves {
        match nodes.iter_mut().find(|of_node| of_node[0].node == one.node) {
            Some(of_node) => of_node.push(one),
            None => nodes.push(vec![one]),
        }
    }
    let begun = Instant::now();
    join_all(nodes.into_iter().map(|of_node| {
        let way = Way { begun, over, step };
        move_node(values, of_node, way, part)
    }))
    .await;
}

/// Sets what has nothing between; whether there was anything.
async fn switch_all(values: &impl Values, present: &[Present]) -> bool {
    let mut any = false;
    let wanted: Vec<Value> = values.wanted().map(|(_, _, value)| value.clone()).collect();
    for (at, (value, now)) in wanted.iter().zip(present).enumerate() {
        let (now, signature) = match now {
            Some((now, signature)) => (now, Some(signature.as_str())),
            None => (&Value::Null, None),
        };
        if between(now, value, 0.5).is_none() && !is_same(now, value) {
            // What is refused is told at the end, when it is tried again.
            values.set(at, value, signature).await.ok();
            any = true;
        }
    }
    any
}

/// A value on its way.
struct Move {
    at: usize,
    node: String,
    signature: String,
    from: Value,
    to: Value,
    last: Value,
}

fn moves(values: &impl Values, present: &[Present]) -> Vec<Move> {
    let one = |(at, ((_, node, to), now)): (usize, ((&str, &str, &Value), &Present))| {
        let (from, signature) = now.as_ref()?;
        let moves = between(from, to, 0.5).is_some() && !is_same(from, to);
        moves.then(|| Move {
            at,
            node: node.to_owned(),
            signature: signature.clone(),
            from: from.clone(),
            to: to.clone(),
            last: from.clone(),
        })
    };
    let pairs = values.wanted().zip(present).enumerate();
    pairs.filter_map(one).collect()
}

/// How much of the way has been gone, in percent.
#[derive(Default)]
struct Part(AtomicU32);

impl Part {
    fn reach(&self, part: f64) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped"
        )]
        let percent = (part.clamp(0.0, 1.0) * 100.0) as u32;
        self.0.fetch_max(percent, Ordering::Relaxed);
    }

    fn percent(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy)]
struct Way {
    begun: Instant,
    over: Duration,
    step: Duration,
}

async fn move_node(values: &impl Values, mut moves: Vec<Move>, way: Way, part: &Part) {
    let mut steps = interval(way.step);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        let now = way.begun.elapsed().as_secs_f64() / way.over.as_secs_f64().max(f64::MIN_POSITIVE);
        part.reach(now);
        if now >= 1.0 {
            return;
        }
        for one in &mut moves {
            let Some(value) = between(&one.from, &one.to, now) else {
                continue;
            };
            if value == one.last {
                continue;
            }
            let set = values.set(one.at, &value, Some(&one.signature)).await;
            one.last = value;
            // A node that does not answer is not waited for once more; it is told at the end.
            if set.is_err_and(|failure| failure.exit == Exit::Unavailable) {
                return;
            }
        }
    }
}

/// How often values are set, if so many move.
fn step(moving: usize) -> Duration {
    let all = Duration::from_secs(1) / SETS_PER_SECOND_MAX;
    let moving = u32::try_from(moving).unwrap_or(u32::MAX);
    all.saturating_mul(moving).max(STEP_MIN)
}

const STEP_MIN: Duration = Duration::from_millis(40);
const SETS_PER_SECOND_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    /// Values of two nodes, and what was set of them when.
    struct Stage {
        wanted: Vec<(&'static str, Value)>,
        now: RefCell<Vec<Value>>,
        sets: RefCell<Vec<(Duration, usize, Value)>>,
        begun: Instant,
    }

    impl Stage {
        fn new(values: &[(&'static str, Value, Value)]) -> Self {
            Self {
                wanted: values
                    .iter()
                    .map(|(node, _, to)| (*node, to.clone()))
                    .collect(),
                now: RefCell::new(values.iter().map(|(_, from, _)| from.clone()).collect()),
                sets: RefCell::default(),
                begun: Instant::now(),
            }
        }

        async fn fade(&self, switch: Switch) {
            let part = Part::default();
            move_all(self, Duration::from_secs(2), switch, &part).await;
            assert_eq!(part.percent(), 100);
        }

        fn of(&self, wanted: usize) -> Vec<Value> {
            let sets = self.sets.borrow();
            let of = sets.iter().filter(|(_, at, _)| *at == wanted);
            of.map(|(_, _, value)| value.clone()).collect()
        }
    }

    impl Values for Stage {
        fn wanted(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
            self.wanted.iter().map(|(node, value)| ("x", *node, value))
        }

        async fn present(&self) -> Vec<Present> {
            let now = self.now.borrow();
            now.iter()
                .map(|value| Some((value.clone(), "d".to_owned())))
                .collect()
        }

        async fn set(&self, at: usize, value: &Value, _: Option<&str>) -> Result<(), Failure> {
            let when = self.begun.elapsed();
            self.sets.borrow_mut().push((when, at, value.clone()));
            self.now.borrow_mut()[at] = value.clone();
            match self.wanted[at].0 {
                "gone" => Err(Failure::new(Exit::Unavailable, "gone")),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_move_evenly_and_at_most_25_times_a_second() {
        let stage = Stage::new(&[("lamp", json!(0.0), json!(1.0))]);
        stage.fade(Switch::Start).await;
        let sets = stage.sets.borrow();
        assert!((45..=51).contains(&sets.len()), "{}", sets.len());
        for pair in sets.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= STEP_MIN);
            assert!(pair[1].2.as_f64() > pair[0].2.as_f64());
        }
        let (_, _, last) = sets.last().unwrap();
        assert!(last.as_f64() > Some(0.95) && last.as_f64() < Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_nothing_between_is_switched_when_it_is_wanted() {
        let values = [
            ("lamp", json!(false), json!(true)),
            ("lamp", json!(0), json!(2)),
            ("lamp", json!("a"), json!("a")),
        ];
        let stage = Stage::new(&values);
        stage.fade(Switch::Start).await;
        assert_eq!(stage.sets.borrow()[0].2, json!(true));
        assert_eq!(stage.of(1), [json!(1), json!(2)], "each step once");
        assert!(stage.of(2).is_empty(), "it is so already");
        let stage = Stage::new(&values);
        stage.fade(Switch::End).await;
        assert!(stage.of(0).is_empty(), "the passes after it do");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_slow_or_gone_does_not_hold_up_others() {
        let values = ["lamp", "slow", "gone"].map(|node| (node, json!(0.0), json!(1.0)));
        let stage = Stage::new(&values);
        stage.fade(Switch::Start).await;
        assert!(stage.of(0).len() >= 45);
        assert!((5..=8).contains(&stage.of(1).len()), "{:?}", stage.of(1));
        assert_eq!(stage.of(2).len(), 1);
        assert!(stage.begun.elapsed() < Duration::from_millis(2400));
    }

    #[test]
    fn all_together_are_set_a_thousand_times_a_second_at_most() {
        assert_eq!(step(1), STEP_MIN);
        assert_eq!(step(40), STEP_MIN);
        assert_eq!(step(4000), Duration::from_secs(4));
    }
}

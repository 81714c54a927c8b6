//! Who is asked when, and what is kept meanwhile. Without connections and clocks.
//!
//! Model: a *source* is a connection of the bridge, its own or a node's, known by its unique name. Somebody is *sought*
//! while its connection is to be asked for, and *due* when it is to be asked for all that it has. `M` is a message.
//! Invariants: SCHEDULE-1. Nobody is asked for all that it has twice at once: who is due meanwhile is asked behind the
//! answer. SCHEDULE-2. Who has to wait takes no place of others: only what may go out now is given.
//! Limits: [`KEPT_MAX`] messages of a source are kept while it is asked, with more it is asked once again; a node whose
//! shape changes all the time is asked at most every [`ASK_AGAIN`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

/// Whom questions and signals are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whom {
    Bridge,
    Node(String),
}

/// What is to be asked now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Which connection it is.
    Owner(Whom),
    /// All that it shows; with its unique name.
    All(Whom, String),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Schedule<M> {
    /// By unique name.
    sources: HashMap<String, Source<M>>,
    owners: BTreeMap<Whom, String>,
    /// Who is to be asked for all, and not before.
    due: BTreeMap<Whom, Instant>,
    /// Whose connection is to be asked for, and not before.
    sought: BTreeMap<Whom, Instant>,
    /// Whose connection is being asked for.
    seeking: BTreeSet<Whom>,
    /// Who was asked lately, and when.
    asked: BTreeMap<Whom, Instant>,
}

/// A connection of the bridge.
#[derive(Debug)]
struct Source<M> {
    whom: Whom,
    /// What it signalled since it was asked for all; `None` while nothing is asked.
    kept: Option<Vec<M>>,
}

impl<M> Default for Schedule<M> {
    fn default() -> Self {
        Self {
            sources: HashMap::new(),
            owners: BTreeMap::new(),
            due: BTreeMap::new(),
            sought: BTreeMap::new(),
            seeking: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }
}

impl<M> Schedule<M> {
    /// Somebody has a bus name.
    pub(super) fn meet(&mut self, now: Instant, whom: Whom) {
        if !self.owners.contains_key(&whom) {
            self.seek(now, whom);
        }
    }

    /// Somebody has no bus name any more.
    pub(super) fn part(&mut self, whom: &Whom) {
        if let Some(owner) = self.owners.remove(whom) {
            self.sources.remove(&owner);
        }
        self.due.remove(whom);
        self.sought.remove(whom);
    }

    /// The connection of somebody is to be asked for, and not before.
    pub(super) fn seek(&mut self, at: Instant, whom: Whom) {
        // The bridge may have ended since it was asked for, and another begun.
        if whom == Whom::Bridge || !self.seeking.contains(&whom) {
            self.sought.entry(whom).or_insert(at);
        }
    }

    /// The connection of somebody was asked for, whatever the answer is.
    pub(super) fn sought(&mut self, whom: &Whom) {
        self.seeking.remove(whom);
    }

    /// The connection of somebody is this one.
    pub(super) fn found_owner(&mut self, now: Instant, whom: Whom, owner: String) {
        self.part(&whom);
        self.owners.insert(whom.clone(), owner.clone());
        self.want(now, &whom);
        self.sources.insert(owner, Source { whom, kept: None });
    }

    /// Somebody is to be asked for all that it has.
    pub(super) fn want(&mut self, now: Instant, whom: &Whom) {
        let asked = self.asked.get(whom);
        let at = asked.map_or(now, |asked| (*asked + ASK_AGAIN).max(now));
        self.due.entry(whom.clone()).or_insert(at);
    }

    /// A source was asked for all that it has: what it signalled since. `None` if it is not known any more.
    pub(super) fn answered(&mut self, owner: &str) -> Option<Vec<M>> {
        let source = self.sources.get_mut(owner)?;
        Some(source.kept.take().unwrap_or_default())
    }

    /// A source did not answer, and is asked again after a while.
    pub(super) fn failed(&mut self, now: Instant, whom: &Whom) {
        self.asked.insert(whom.clone(), now + FAILED_PAUSE);
        self.due.remove(whom);
        self.want(now, whom);
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, owner: &str) {
        if let Some(source) = self.sources.remove(owner) {
            self.owners.remove(&source.whom);
            self.due.remove(&source.whom);
        }
    }

    /// The bridge is gone, with all its connections.
    pub(super) fn clear(&mut self) {
        self.sources.clear();
        self.owners.clear();
        self.due.clear();
        self.sought.clear();
    }

    /// A message of a connection: given back with whom it is about, unless it is kept, or of nobody.
    pub(super) fn heard(&mut self, owner: &str, message: M) -> Option<(Whom, M)> {
        let source = self.sources.get_mut(owner)?;
        match &mut source.kept {
            Some(kept) if kept.len() < KEPT_MAX => kept.push(message),
            Some(_) => {}
            None => return Some((source.whom.clone(), message)),
        }
        None
    }

    /// Whether the bridge's own connection is known.
    pub(super) fn has_bridge(&self) -> bool {
        self.owners.contains_key(&Whom::Bridge)
    }

    /// Forgets when those were asked that may be asked again.
    pub(super) fn forget_asked(&mut self, now: Instant) {
        self.asked.retain(|_, at| *at + ASK_AGAIN > now);
    }

    /// What is to be asked next; it counts as asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        let sought = self.sought.iter().find(|(_, at)| **at <= now);
        if let Some(whom) = sought.map(|(whom, _)| whom.clone()) {
            self.sought.remove(&whom);
            self.seeking.insert(whom.clone());
            return Some(Due::Owner(whom));
        }
        let ready = self.ready().filter(|(_, at)| *at <= now);
        let whom = ready.min_by_key(|(_, at)| *at)?.0.clone();
        let owner = self.owners.get(&whom)?.clone();
        self.due.remove(&whom);
        self.asked.insert(whom.clone(), now);
        self.sources.get_mut(&owner)?.kept = Some(Vec::new());
        Some(Due::All(whom, owner))
    }

    /// When something is to be asked next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sought = self.sought.values().copied();
        sought.chain(self.ready().map(|(_, at)| at)).min()
    }

    /// Those that are due and are not being asked. SCHEDULE-1.
    fn ready(&self) -> impl Iterator<Item = (&Whom, Instant)> {
        let is_ready = |whom: &Whom| {
            let source = self.owners.get(whom).and_then(|it| self.sources.get(it));
            source.is_some_and(|source| source.kept.is_none())
        };
        let ready = self.due.iter().filter(move |(whom, _)| is_ready(whom));
        ready.map(|(whom, at)| (whom, *at))
    }
}

/// Messages of one source that are kept while it is asked.
pub(super) const KEPT_MAX: usize = 4096;
/// How long after a question a node is asked again for all.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How much longer after a question that was not answered.
pub(super) const FAILED_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> Whom {
        Whom::Node(format!("n{number:02}"))
    }

    fn owner(number: usize) -> String {
        format!(":1.{number}")
    }

    /// So many nodes whose connections are known.
    fn schedule(now: Instant, count: usize) -> Schedule<u32> {
        let mut schedule = Schedule::default();
        for number in 0..count {
            schedule.meet(now, node(number));
            assert_eq!(schedule.next(now), Some(Due::Owner(node(number))));
            schedule.sought(&node(number));
            schedule.found_owner(now, node(number), owner(number));
        }
        schedule
    }

    fn all(schedule: &mut Schedule<u32>, now: Instant) -> Vec<Due> {
        std::iter::from_fn(|| schedule.next(now)).collect()
    }

    // SCHEDULE-2.
    #[test]
    fn who_has_to_wait_takes_no_place_of_others() {
        let now = Instant::now();
        let mut schedule = schedule(now, 40);
        assert_eq!(all(&mut schedule, now).len(), 40);
        for number in 0..39 {
            assert_eq!(schedule.answered(&owner(number)), Some(Vec::new()));
            schedule.failed(now, &node(number));
        }
        assert_eq!(schedule.next(now), None);
        schedule.answered(&owner(39));
        schedule.want(now, &node(39));
        let at = now + ASK_AGAIN;
        assert_eq!(schedule.poll_timeout(), Some(at));
        assert_eq!(schedule.next(at), Some(Due::All(node(39), owner(39))));
        let at = now + FAILED_PAUSE + ASK_AGAIN;
        assert_eq!(schedule.poll_timeout(), Some(at));
        assert_eq!(all(&mut schedule, at).len(), 39);
    }

    // SCHEDULE-1.
    #[test]
    fn who_is_being_asked_is_asked_again_behind_its_answer_and_its_signals_are_kept() {
        let now = Instant::now();
        let mut schedule = schedule(now, 1);
        assert_eq!(schedule.heard(&owner(0), 1), Some((node(0), 1)));
        assert_eq!(schedule.next(now), Some(Due::All(node(0), owner(0))));
        schedule.want(now, &node(0));
        let later = now + ASK_AGAIN;
        assert_eq!(
            (schedule.next(later), schedule.poll_timeout()),
            (None, None)
        );
        assert_eq!(schedule.heard(&owner(0), 2), None);
        assert_eq!(schedule.heard(":1.99", 3), None);
        assert_eq!(schedule.answered(&owner(0)), Some(vec![2]));
        assert_eq!(schedule.next(later), Some(Due::All(node(0), owner(0))));
        for number in 0..=KEPT_MAX as u32 {
            schedule.heard(&owner(0), number);
        }
        assert_eq!(
            schedule.answered(&owner(0)).map(|it| it.len()),
            Some(KEPT_MAX)
        );
    }

    #[test]
    fn who_has_another_connection_is_asked_there_and_who_is_gone_is_not() {
        let now = Instant::now();
        let mut schedule = schedule(now, 2);
        schedule.found_owner(now, node(0), owner(7));
        schedule.part(&node(1));
        assert_eq!(all(&mut schedule, now), [Due::All(node(0), owner(7))]);
        assert_eq!(schedule.answered(&owner(0)), None);
        schedule.lost(&owner(7));
        schedule.seek(now + FAILED_PAUSE, node(0));
        assert_eq!(schedule.next(now), None);
        assert_eq!(schedule.poll_timeout(), Some(now + FAILED_PAUSE));
        let later = now + FAILED_PAUSE;
        assert_eq!(schedule.next(later), Some(Due::Owner(node(0))));
        // Asked for already.
        schedule.meet(later, node(0));
        assert_eq!(schedule.next(later), None);
    }

    #[test]
    fn a_bridge_that_begins_is_asked_for_although_its_predecessor_was() {
        let now = Instant::now();
        let mut schedule = Schedule::<u32>::default();
        schedule.seek(now, Whom::Bridge);
        assert_eq!(schedule.next(now), Some(Due::Owner(Whom::Bridge)));
        schedule.clear();
        schedule.seek(now, Whom::Bridge);
        assert_eq!(schedule.next(now), Some(Due::Owner(Whom::Bridge)));
        assert!(!schedule.has_bridge());
        schedule.found_owner(now, Whom::Bridge, owner(1));
        assert!(schedule.has_bridge());
    }
}

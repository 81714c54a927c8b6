//! Which endpoints the names have, and when each is looked up again: without sockets and clocks.
//!
//! Model: [`Names`] has an entry for each name, with the endpoints of its newest answer. What the node is to meet is the
//! union of all entries, so an answer brings a [`Change`] of that union.
//! Invariants: SRVNAMES-1. A name that is due is looked up once at a time. SRVNAMES-2. An endpoint of the configuration
//! is in no change.
//! Limits: [`RECORDS_MAX`] endpoints of a name, those of the lowest priority and the highest weight; at least
//! [`INTERVAL_MIN`] and at most [`INTERVAL_MAX`] until a name is looked up again, at most [`PAUSE_MAX`] after failures.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{LookupError, Records, SrvName};

/// All names that are followed.
pub(crate) struct Names {
    entries: Vec<Entry>,
    /// What the configuration names itself.
    fixed: BTreeSet<String>,
}

struct Entry {
    name: SrvName,
    endpoints: BTreeSet<String>,
    /// When it is looked up; `None` while that is under way.
    due: Option<Instant>,
    /// Lookups that failed in a row.
    failures: u32,
}

/// What an answer changes for the node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) meet: Vec<String>,
    pub(crate) leave: Vec<String>,
    /// What to tell people, if it is new.
    pub(crate) news: Option<News>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The first failure after an answer, or the first at all.
    Failed(LookupError),
    /// So many endpoints, after a failure or another number.
    Found(usize),
    /// More records than are used.
    TooMany(usize),
}

impl Names {
    pub(crate) fn new(
        now: Instant,
        names: impl IntoIterator<Item = SrvName>,
        fixed: impl IntoIterator<Item = String>,
    ) -> Self {
        let entry = |name| Entry {
            name,
            endpoints: BTreeSet::new(),
            due: Some(now),
            failures: 0,
        };
        Self {
            entries: names.into_iter().map(entry).collect(),
            fixed: fixed.into_iter().collect(),
        }
    }

    /// The names to look up now, with the numbers under which their answers are expected.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(usize, SrvName)> {
        let mut due = Vec::new();
        for (number, entry) in self.entries.iter_mut().enumerate() {
            if entry.due.take_if(|due| *due <= now).is_some() {
                due.push((number, entry.name.clone()));
            }
        }
        due
    }

    /// When the next name is due; `None` while all are looked up.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.due).min()
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        number: usize,
        answer: Result<Records, LookupError>,
    ) -> Change {
        let before = self.wanted();
        let Some(entry) = self.entries.get_mut(number) else {
            return Change::default();
        };
        let news = match answer {
            Ok(records) => entry.answered(now, records),
            Err(error) => entry.failed(now, error),
        };
        let after = self.wanted();
        let without = |a: &BTreeSet<String>, b| a.difference(b).cloned().collect();
        Change {
            meet: without(&after, &before),
            leave: without(&before, &after),
            news,
        }
    }

    /// The node does not take an endpoint: it is tried again with the next answer.
    pub(crate) fn refused(&mut self, endpoint: &str) {
        for entry in &mut self.entries {
            entry.endpoints.remove(endpoint);
        }
    }

    fn wanted(&self) -> BTreeSet<String> {
        let endpoints = self.entries.iter().flat_map(|entry| &entry.endpoints);
        let endpoints = endpoints.filter(|endpoint| !self.fixed.contains(*endpoint));
        endpoints.cloned().collect()
    }
}

impl Entry {
    fn answered(&mut self, now: Instant, answer: Records) -> Option<News> {
        let holds = answer.holds.unwrap_or(INTERVAL_UNKNOWN);
        self.due = Some(now + holds.clamp(INTERVAL_MIN, INTERVAL_MAX));
        let had_failed = std::mem::take(&mut self.failures) > 0;
        let mut records = answer.records;
        // RFC 2782: a target "." says that there is no such service.
        records
            .retain(|record| record.port != 0 && !record.target.trim_end_matches('.').is_empty());
        records.sort_by_key(|it| (it.priority, Reverse(it.weight), it.target.clone(), it.port));
        let count = records.len();
        records.truncate(RECORDS_MAX);
        let endpoints = records.iter().map(|record| {
            let host = record.target.trim_end_matches('.').to_ascii_lowercase();
            self.name.endpoint(&host, record.port)
        });
        let endpoints: BTreeSet<String> = endpoints.collect();
        let is_new = endpoints != self.endpoints;
        self.endpoints = endpoints;
        match is_new || had_failed {
            true if count > RECORDS_MAX => Some(News::TooMany(count)),
            true => Some(News::Found(count)),
            false => None,
        }
    }

    fn failed(&mut self, now: Instant, error: LookupError) -> Option<News> {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(DOUBLINGS));
        self.due = Some(now + pause.min(PAUSE_MAX));
        self.failures = self.failures.saturating_add(1);
        let had_endpoints = !self.endpoints.is_empty();
        if error == LookupError::Missing {
            self.endpoints.clear();
        }
        let is_new = self.failures == 1 || (had_endpoints && self.endpoints.is_empty());
        is_new.then_some(News::Failed(error))
    }
}

/// Endpoints of one name.
pub const RECORDS_MAX: usize = 32;
/// Records that hold for a shorter time are looked up no more often than that.
pub const INTERVAL_MIN: Duration = Duration::from_secs(5);
/// And at least that often.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// The longest pause after failures.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Where the resolver does not say how long records hold. It has them in memory as long as they do.
const INTERVAL_UNKNOWN: Duration = Duration::from_secs(30);
const DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SrvRecord;

    fn records(of: &[(u16, &str)], holds: u64) -> Result<Records, LookupError> {
        let record = |(priority, target): &(u16, &str)| SrvRecord {
            priority: *priority,
            weight: 0,
            target: (*target).to_owned(),
            port: 5671,
        };
        Ok(Records {
            records: of.iter().map(record).collect(),
            holds: Some(Duration::from_secs(holds)),
        })
    }

    fn names(count: usize, fixed: &[&str]) -> (Names, Instant) {
        let now = Instant::now();
        let name = |number| format!("srv:_zocp._tcp.n{number}.example").parse().unwrap();
        let fixed = fixed.iter().map(|it| (*it).to_owned());
        (Names::new(now, (0..count).map(name), fixed), now)
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn records_that_come_are_met_and_those_that_go_are_left() {
        let (mut names, now) = names(1, &[]);
        assert_eq!(names.take_due(now).len(), 1);
        assert_eq!(names.take_due(now).len(), 0);
        let answer = records(&[(1, "A.example."), (2, "b.example")], 60);
        let change = names.handle_answer(now, 0, answer);
        assert_eq!(
            change.meet,
            ["tcp://a.example:5671", "tcp://b.example:5671"]
        );
        assert_eq!(change.news, Some(News::Found(2)));
        let change = names.handle_answer(now, 0, records(&[(1, "b.example"), (1, ".")], 60));
        assert_eq!(change.leave, ["tcp://a.example:5671"]);
        assert_eq!(change.meet, <[String; 0]>::default());
        let again = names.handle_answer(now, 0, records(&[(1, "b.example")], 60));
        assert_eq!(again, Change::default());
    }

    #[test]
    fn an_endpoint_that_somebody_else_names_stays() {
        let (mut names, now) = names(2, &["tcp://fixed:5671"]);
        names.handle_answer(now, 0, records(&[(1, "both"), (1, "fixed")], 60));
        let second = names.handle_answer(now, 1, records(&[(1, "both")], 60));
        assert_eq!(second.meet, <[String; 0]>::default());
        let change = names.handle_answer(now, 0, records(&[(1, "new")], 60));
        assert_eq!(
            (change.meet, change.leave.len()),
            (vec!["tcp://new:5671".to_owned()], 0)
        );
        let last = names.handle_answer(now, 1, Err(LookupError::Missing));
        assert_eq!(last.leave, ["tcp://both:5671"]);
    }

    #[test]
    fn a_failure_keeps_what_is_known_and_pauses_grow() {
        let (mut names, now) = names(1, &[]);
        names.handle_answer(now, 0, records(&[(1, "a")], 60));
        let failed = || Err(LookupError::Failed("timeout".to_owned()));
        for (number, pause) in [1, 2, 4, 8, 16, 32, 60, 60, 60].into_iter().enumerate() {
            let change = names.handle_answer(now, 0, failed());
            assert_eq!(
                (change.leave.len(), change.news.is_some()),
                (0, number == 0)
            );
            assert_eq!(names.poll_timeout(), Some(now + after(pause)));
        }
        let back = names.handle_answer(now, 0, records(&[(1, "a")], 60));
        assert_eq!((back.meet.len(), back.news), (0, Some(News::Found(1))));
        names.handle_answer(now, 0, failed());
        assert_eq!(names.poll_timeout(), Some(now + after(1)));
    }

    #[test]
    fn an_answer_is_asked_for_again_by_its_time_within_bounds() {
        let (mut names, now) = names(1, &[]);
        for (holds, due) in [(0, 5), (60, 60), (86_400, 3600)] {
            names.handle_answer(now, 0, records(&[(1, "a")], holds));
            assert_eq!(names.poll_timeout(), Some(now + after(due)));
        }
        assert_eq!(names.take_due(now + after(3599)).len(), 0);
        assert_eq!(names.take_due(now + after(3600)).len(), 1);
        assert_eq!(names.poll_timeout(), None);
    }

    #[test]
    fn of_too_many_records_those_that_come_first_are_used() {
        let (mut names, now) = names(1, &[]);
        let hosts: Vec<String> = (0..40).map(|number| format!("h{number:02}")).collect();
        let all: Vec<(u16, &str)> = hosts.iter().map(|host| (40, &**host)).collect();
        let mut all = all;
        all[39].0 = 1;
        let change = names.handle_answer(now, 0, records(&all, 60));
        assert_eq!(change.meet.len(), RECORDS_MAX);
        assert_eq!(change.news, Some(News::TooMany(40)));
        assert!(change.meet.contains(&"tcp://h39:5671".to_owned()));
    }

    #[test]
    fn what_the_node_refuses_is_tried_with_the_next_answer() {
        let (mut names, now) = names(1, &[]);
        names.handle_answer(now, 0, records(&[(1, "a")], 60));
        names.refused("tcp://a:5671");
        let change = names.handle_answer(now, 0, records(&[(1, "a")], 60));
        assert_eq!(change.meet, ["tcp://a:5671"]);
    }
}

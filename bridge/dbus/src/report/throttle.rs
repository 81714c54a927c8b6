//! Throttles log lines that other programs can cause: one line for each subject and interval, with the number of lines
//! left out.
//!
//! Model: a line has a *subject*, such as a service. The first line of a subject is written; further ones are counted
//! until [`PAUSE`] has passed. The next line then contains the number of lines that were left out.
//! Limits: [`SUBJECTS_MAX`] subjects at once; lines of further subjects are left out until the pause of one has
//! passed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    /// Locked because tasks of all connections log through one throttle.
    subjects: Mutex<HashMap<Box<str>, Subject>>,
}

#[derive(Debug)]
struct Subject {
    logged_at: Instant,
    left_out: u64,
}

impl LogThrottle {
    /// Whether to write a line now; `Some` is the number of lines that were left out since the last one.
    pub(crate) fn admit(&self, subject: &str) -> Option<u64> {
        let now = Instant::now();
        // The data is consistent whenever the lock is free.
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subject) = subjects.get_mut(subject) {
            if subject.is_pausing(now) {
                subject.left_out += 1;
                return None;
            }
            subject.logged_at = now;
            return Some(std::mem::take(&mut subject.left_out));
        }
        if subjects.len() >= SUBJECTS_MAX {
            subjects.retain(|_, subject| subject.is_pausing(now));
        }
        if subjects.len() >= SUBJECTS_MAX {
            return None;
        }
        let logged = Subject {
            logged_at: now,
            left_out: 0,
        };
        subjects.insert(subject.into(), logged);
        Some(0)
    }
}

impl Subject {
    fn is_pausing(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.logged_at) < PAUSE
    }
}

/// The interval between two lines of a subject.
const PAUSE: Duration = Duration::from_secs(60);
const SUBJECTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_subject_has_a_line_a_minute_which_says_how_many_were_left_out() {
        let throttle = LogThrottle::default();
        assert_eq!(throttle.admit("org.a.B"), Some(0));
        for _ in 0..1000 {
            assert_eq!(throttle.admit("org.a.B"), None);
        }
        assert_eq!(throttle.admit("org.a.C"), Some(0), "another one");
        tokio::time::advance(PAUSE).await;
        assert_eq!(throttle.admit("org.a.B"), Some(1000));
        assert_eq!(throttle.admit("org.a.B"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_subjects_are_remembered_and_room_comes_with_time() {
        let throttle = LogThrottle::default();
        for number in 0..SUBJECTS_MAX {
            assert_eq!(throttle.admit(&number.to_string()), Some(0));
        }
        assert_eq!(throttle.admit("one more"), None);
        tokio::time::advance(PAUSE).await;
        assert_eq!(throttle.admit("one more"), Some(0));
        assert_eq!(throttle.subjects.lock().unwrap().len(), 1);
    }
}

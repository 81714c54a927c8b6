//! Which addresses patterns match, while the addresses are the same.
//!
//! Limits: [`PATTERNS_MAX`] different patterns in a second are looked for, and as many are remembered.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{pattern::Pattern, space::Space};

/// The patterns that came lately.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    known: HashMap<String, Arc<[Arc<str>]>>,
    /// How many were looked for since.
    since: Option<(Instant, usize)>,
}

impl Patterns {
    /// The addresses that match; `None`: it is no pattern, or there were too many.
    pub(crate) fn matched(
        &mut self,
        now: Instant,
        space: &Space,
        pattern: &str,
    ) -> Option<Arc<[Arc<str>]>> {
        if let Some(known) = self.known.get(pattern) {
            return Some(Arc::clone(known));
        }
        let (since, count) = self.since.get_or_insert((now, 0));
        if *since + Duration::from_secs(1) <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > PATTERNS_MAX {
            return None;
        }
        let parsed = Pattern::parse(pattern).ok()?;
        let addresses = space.entries().map(|(address, _)| address);
        let matched: Arc<[Arc<str>]> = addresses
            .filter(|address| parsed.matches(address))
            .cloned()
            .collect();
        if self.known.len() >= PATTERNS_MAX {
            self.known.clear();
        }
        self.known.insert(pattern.to_owned(), Arc::clone(&matched));
        Some(matched)
    }

    /// The addresses are other ones.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

/// Different patterns in a second, and patterns that are remembered.
pub(crate) const PATTERNS_MAX: usize = 256;

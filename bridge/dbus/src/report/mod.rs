//! Counters of error replies by error name, and throttled log lines, for all connections to a bus.
//!
//! Model: all connections to a bus share one [`Report`]. An [`Observer`], which may be set once, receives each error
//! reply.
//! Invariants: REPORT-1. An error is counted where it becomes a reply, by its name; an error that a remote node
//! answered with is not counted.
//! Not here: publication of the counters, counters of the mesh.

mod throttle;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use zbus::message::Header;

use self::throttle::LogThrottle;
use crate::errors::{ErrorKind, Refusal};

/// Receives what the connections to a bus report.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// A call was answered with an error. This function must not block.
    fn refused(&self, refusal: &Refusal, call: Option<&Header<'_>>);
}

/// The report of a bus. Clones share it. See the [module](self).
#[derive(Debug, Clone, Default)]
pub struct Report {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    refusals: [AtomicU64; ErrorKind::ALL.len()],
    observer: OnceLock<Arc<dyn Observer>>,
    log: LogThrottle,
}

impl Report {
    /// Sets the observer. Only the first call has an effect.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        // A bus has one observer.
        let _ = self.shared.observer.set(observer);
    }

    /// Whether to write a log line that other programs can cause. `Some` is the number of lines of the same subject
    /// that were left out since the last one.
    #[must_use]
    pub fn log(&self, subject: &str) -> Option<u64> {
        self.shared.log.admit(subject)
    }

    /// Counts an error reply and passes it to the observer.
    pub fn refused(&self, refusal: &Refusal, call: Option<&Header<'_>>) {
        if matches!(refusal, Refusal::Remote { .. }) {
            return;
        }
        let counter = &self.shared.refusals[refusal.kind() as usize];
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = self.shared.observer.get() {
            observer.refused(refusal, call);
        }
    }

    /// The number of replies with each error; errors without any are left out.
    pub fn refusals(&self) -> impl Iterator<Item = (ErrorKind, u64)> {
        let counts = ErrorKind::ALL.into_iter().map(|kind| {
            let counter = &self.shared.refusals[kind as usize];
            (kind, counter.load(Ordering::Relaxed))
        });
        counts.filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_remote_is_not_counted() {
        let report = Report::default();
        report.refused(&Refusal::NoFileDescriptors("a file".into()), None);
        let broken = Refusal::Remote {
            error: "org.example.Broken".to_owned(),
            message: String::new(),
        };
        report.refused(&broken, None);
        let refusals: Vec<_> = report.refusals().collect();
        assert_eq!(refusals, [(ErrorKind::NoFileDescriptors, 1)]);
    }

    #[test]
    fn each_kind_is_counted_at_its_own_place() {
        for (place, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}

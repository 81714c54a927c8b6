//! What was done, what came of it, and what should not have been.
//!
//! Invariants:
//! - I1. Every call that was sent is counted once more when it ends: answered, refused, or abandoned by a caller that
//!   left before. What is left over is a finding.
//! - I2. A finding is printed at once, with the time since the start, so that the programs' output around it can be read.
//!
//! Limits: [`FINDINGS_MAX`] are kept; the rest is counted.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Instant,
};

/// The books of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    start: Instant,
    sent: Cell<u64>,
    answered: Cell<u64>,
    abandoned: Cell<u64>,
    refused: RefCell<BTreeMap<String, u64>>,
    acts: RefCell<BTreeMap<&'static str, u64>>,
    findings: RefCell<Vec<String>>,
    further_findings: Cell<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            sent: Cell::default(),
            answered: Cell::default(),
            abandoned: Cell::default(),
            refused: RefCell::default(),
            acts: RefCell::default(),
            findings: RefCell::default(),
            further_findings: Cell::default(),
        }
    }

    /// A call was sent.
    pub(crate) fn sent(&self) {
        self.sent.set(self.sent.get() + 1);
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// A call was answered with an error of this name.
    pub(crate) fn refused(&self, error: &str) {
        *self
            .refused
            .borrow_mut()
            .entry(error.to_owned())
            .or_default() += 1;
    }

    /// So many calls were under way when their caller left.
    pub(crate) fn abandoned(&self, calls: usize) {
        self.abandoned.set(self.abandoned.get() + calls as u64);
    }

    /// Something was done.
    pub(crate) fn did(&self, act: &'static str) {
        *self.acts.borrow_mut().entry(act).or_default() += 1;
    }

    /// Something is not as it should be.
    pub(crate) fn finding(&self, text: impl Into<String>) {
        let text = format!(
            "{:.3} s: {}",
            self.start.elapsed().as_secs_f64(),
            text.into()
        );
        eprintln!("FINDING {text}");
        let mut findings = self.findings.borrow_mut();
        if findings.len() < FINDINGS_MAX {
            findings.push(text);
        } else {
            self.further_findings.set(self.further_findings.get() + 1);
        }
    }

    /// Whether there is no finding.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.borrow().is_empty()
    }

    /// What was counted, as lines of Markdown.
    pub(crate) fn lines(&self) -> Vec<String> {
        let refused = self.refused.borrow();
        let all_refused: u64 = refused.values().sum();
        let mut lines = vec![format!(
            "{} calls sent = {} answered + {all_refused} answered with an error + {} of callers that left before; {} without an end",
            self.sent.get(),
            self.answered.get(),
            self.abandoned.get(),
            self.without_end(),
        )];
        let listed = |(name, count): (&String, &u64)| format!("{name} {count}");
        lines.push(format!("errors: {}", joined(refused.iter().map(listed))));
        let acts = self.acts.borrow();
        let listed = |(name, count): (&&str, &u64)| format!("{name} {count}");
        lines.push(format!("done: {}", joined(acts.iter().map(listed))));
        let findings = self.findings.borrow();
        let total = findings.len() as u64 + self.further_findings.get();
        lines.push(format!("findings: {total}"));
        lines.extend(findings.iter().map(|finding| format!("- {finding}")));
        lines
    }

    /// Calls that have neither been answered nor abandoned.
    pub(crate) fn without_end(&self) -> u64 {
        let refused: u64 = self.refused.borrow().values().sum();
        let ended = self.answered.get() + refused + self.abandoned.get();
        self.sent.get().saturating_sub(ended)
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

const FINDINGS_MAX: usize = 60;

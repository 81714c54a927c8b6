//! The rules of the exporter: those of the configuration, and those that programs lend.
//!
//! Model: `all` is always the sum of both. When it changes, what peers may do with each offered service
//! is weighed against what they might before ([`Exporter::follow_rules`]).
//! Invariants: R1. a peer whose grant is the same notices nothing; one that may do more or less than
//! before goes on, by the new rules from its next call; one that may see a service now, may no longer,
//! or may no longer answer from memory, is told to ask for it anew.
//! Limits: `exports_max` lent rules, [`LEARNING_MAX`] of them with a record; further ones are refused.
//! Spec: docs/reference/protocol.md §7.3

use std::sync::Arc;

use super::{
    Exporter,
    learning::{Learned, Note, Record},
    locked,
};
use crate::{
    link::Link,
    transport::{Control, Lane},
};
use zocp_dbus::errors::Refusal;
use zocp_policy::{ExportPolicy, ExportRule};

/// All rules. See the [module](self).
#[derive(Debug)]
pub(super) struct Rules {
    fixed: ExportPolicy,
    lent: Vec<Lent>,
    pub(super) all: Arc<ExportPolicy>,
}

/// A rule of a program.
#[derive(Debug)]
struct Lent {
    /// Its unique name.
    program: Arc<str>,
    rule: ExportRule,
    /// Where the rule says `learn`.
    record: Option<Record>,
}

impl Rules {
    pub(super) fn new(fixed: ExportPolicy) -> Self {
        Self {
            all: Arc::new(fixed.clone()),
            fixed,
            lent: Vec::new(),
        }
    }

    /// Adds a rule of a program.
    fn lend(&mut self, program: &str, rule: ExportRule, max: usize) -> Result<(), Refusal> {
        if self.lent.len() >= max {
            let text = format!("{} rules of programs are there", self.lent.len());
            return Err(Refusal::LimitsExceeded(text));
        }
        let learning = self.lent.iter().filter(|lent| lent.record.is_some());
        if rule.grant.learn && learning.count() >= LEARNING_MAX {
            let text = format!("{LEARNING_MAX} programs learn already");
            return Err(Refusal::LimitsExceeded(text));
        }
        self.lent.push(Lent {
            program: program.into(),
            record: rule.grant.learn.then(Record::default),
            rule,
        });
        self.add_up();
        Ok(())
    }

    /// Takes rules of a program back, all or those written so; whether there was one.
    fn take_back(&mut self, program: &str, service: Option<&str>) -> bool {
        let before = self.lent.len();
        self.lent.retain(|lent| {
            *lent.program != *program
                || service.is_some_and(|text| lent.rule.service.text() != text)
        });
        let is_less = self.lent.len() < before;
        if is_less {
            self.add_up();
        }
        is_less
    }

    /// Takes all rules of programs back.
    fn take_all_back(&mut self) {
        self.lent.clear();
        self.add_up();
    }

    fn replace(&mut self, fixed: ExportPolicy) {
        self.fixed = fixed;
        self.add_up();
    }

    /// What a program learned by the rule that is written so.
    fn learned(&self, program: &str, service: &str) -> Option<Learned> {
        let is_its =
            |lent: &&Lent| *lent.program == *program && lent.rule.service.text() == service;
        let mut records = self
            .lent
            .iter()
            .filter(is_its)
            .filter_map(|lent| lent.record.as_ref());
        records.next().map(Record::learned)
    }

    fn note(&mut self, link: &Link, note: &Note, is_allowed: bool) {
        for lent in &mut self.lent {
            let rule = &lent.rule;
            if let Some(record) = &mut lent.record
                && rule.names(&note.service)
                && rule.peers.matches(link.who())
            {
                record.note(note, is_allowed);
            }
        }
    }

    fn add_up(&mut self) {
        let lent = self.lent.iter().map(|lent| &lent.rule);
        let rules = self.fixed.rules.iter().chain(lent).cloned().collect();
        self.all = Arc::new(ExportPolicy { rules });
    }
}

// Who changes rules.
impl Exporter {
    /// Lets peers use more, for as long as the program of this unique name stays on the bus.
    pub fn export(&self, program: &str, rule: ExportRule) -> Result<(), Refusal> {
        let max = self.shared.limits.now().exports_max;
        self.rule(|rules| rules.lend(program, rule, max))?;
        // It may have left before we could know of it.
        self.shared.watch.ask_caller(&Arc::from(program));
        Ok(())
    }

    /// Takes back what a program exported under this text.
    pub fn unexport(&self, program: &str, service: &str) -> Result<(), Refusal> {
        if self.rule(|rules| rules.take_back(program, Some(service))) {
            return Ok(());
        }
        let text = format!("{program} exported nothing as \"{service}\"");
        Err(Refusal::InvalidArgs(text))
    }

    /// A program is gone, and with it what it exported.
    pub(crate) fn program_gone(&self, program: &str) {
        let rules = locked(&self.shared.rules);
        let has_lent = rules.lent.iter().any(|lent| *lent.program == *program);
        drop(rules);
        if has_lent {
            self.rule(|rules| rules.take_back(program, None));
        }
    }

    /// The bus is lost, and with it all programs: on the next one their names mean others.
    pub(super) fn programs_gone(&self) {
        let has_lent = !locked(&self.shared.rules).lent.is_empty();
        if has_lent {
            self.rule(Rules::take_all_back);
        }
    }

    /// The rules of the configuration are others.
    pub(crate) fn reload(&self, fixed: ExportPolicy) {
        self.rule(|rules| rules.replace(fixed));
    }

    /// What was asked while a program learned.
    pub fn learned(&self, program: &str, service: &str) -> Result<Learned, Refusal> {
        let learned = locked(&self.shared.rules).learned(program, service);
        learned.ok_or_else(|| {
            let text = format!("{program} exported nothing as \"{service}\" to learn from");
            Refusal::InvalidArgs(text)
        })
    }

    /// Notes what a peer asked of a service that a program learns of.
    pub(super) fn note(&self, link: &Link, note: &Note, is_allowed: bool) {
        locked(&self.shared.rules).note(link, note, is_allowed);
    }

    fn rule<R>(&self, change: impl FnOnce(&mut Rules) -> R) -> R {
        let mut rules = locked(&self.shared.rules);
        let before = rules.all.clone();
        let outcome = change(&mut rules);
        let now = rules.all.clone();
        drop(rules);
        if before != now {
            self.follow_rules(&before, &now);
        }
        outcome
    }

    /// Makes what is offered, and what peers may do with it, as the rules say now (R1).
    fn follow_rules(&self, before: &ExportPolicy, now: &ExportPolicy) {
        let shared = &self.shared;
        let gone = locked(&shared.offers).retain(|service| now.offers(service));
        self.withdrawn(&gone);
        let links: Vec<Arc<Link>> = locked(&shared.peers).values().cloned().collect();
        let services = locked(&shared.offers).names();
        for link in &links {
            for service in &services {
                let was = before.grant(service, link.who());
                let is = now.grant(service, link.who());
                if was == is {
                    continue;
                }
                let is_less = was.may_see() && !is.may_see();
                let is_other =
                    was.may_see() != is.may_see() || was.may_remember() != is.may_remember();
                locked(&shared.offers).regrant(service, link.peer, is);
                if is_less {
                    self.revoke(link, service);
                }
                if is_other {
                    let lane = Lane::Service(service.as_str().into());
                    link.tell(lane, &Control::Revised(service.clone()));
                }
            }
        }
        locked(&shared.refused).clear();
        if !now.rules.is_empty() {
            shared.watch.want();
            shared.watch.ask_names();
        }
    }
}

/// Records of all programs together.
const LEARNING_MAX: usize = 16;

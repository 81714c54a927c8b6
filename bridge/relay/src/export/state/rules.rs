//! The rules of the exporter: those of the configuration, and those that programs add.
//!
//! Model: `all` is always the sum of both. When it changes, what peers may do with each offered service is compared with
//! what they might do before ([`State::follow_rules`]).
//! Invariants: RULE-1. A peer whose grant is the same notices nothing. One that may do more or less than before goes on, by
//! the new rules from its next call. One that may see a service now, may no longer, or may no longer answer from memory, is
//! told to subscribe anew.
//! Limits: `exports_max` rules of programs, [`LEARNING_MAX`] of them with a record; further ones are refused.
//! Spec: docs/reference/protocol.md §7.3

use std::sync::Arc;

use super::{Output, State};
use crate::{
    export::record::{Learned, Note, Record},
    remote::Remote,
    transport::{Control, Stream},
};
use zocp_dbus::errors::Refusal;
use zocp_policy::{ExportPolicy, ExportRule};

/// A rule of the exporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInForce {
    /// The unique name of the program that added it; `None`: it is in the configuration.
    pub program: Option<Arc<str>>,
    /// What it says.
    pub rule: ExportRule,
    /// The services that it offers now, sorted.
    pub offered: Vec<String>,
}

/// All rules. See the [module](self).
#[derive(Debug)]
pub(super) struct Rules {
    fixed: ExportPolicy,
    added: Vec<AddedRule>,
    pub(super) all: Arc<ExportPolicy>,
    /// What was given last.
    given: Option<Vec<RuleInForce>>,
}

/// A rule of a program.
#[derive(Debug)]
struct AddedRule {
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
            added: Vec::new(),
            given: None,
        }
    }

    /// Adds a rule of a program.
    fn add(&mut self, program: &str, rule: ExportRule, max: usize) -> Result<(), Refusal> {
        if self.added.len() >= max {
            let text = format!("the limit of {max} rules of programs is reached");
            return Err(Refusal::LimitsExceeded(text));
        }
        let learning = self.added.iter().filter(|added| added.record.is_some());
        if rule.grant.learn && learning.count() >= LEARNING_MAX {
            let text = format!("{LEARNING_MAX} programs learn already");
            return Err(Refusal::LimitsExceeded(text));
        }
        self.added.push(AddedRule {
            program: program.into(),
            record: rule.grant.learn.then(Record::default),
            rule,
        });
        self.sum_up();
        Ok(())
    }

    /// Takes rules of a program back, all or those written so; whether there was one.
    fn take_back(&mut self, program: &str, service: Option<&str>) -> bool {
        let before = self.added.len();
        self.added.retain(|added| {
            *added.program != *program
                || service.is_some_and(|text| added.rule.service.text() != text)
        });
        let is_less = self.added.len() < before;
        if is_less {
            self.sum_up();
        }
        is_less
    }

    /// Takes all rules of programs back.
    fn take_all_back(&mut self) {
        self.added.clear();
        self.sum_up();
    }

    pub(super) fn replace(&mut self, fixed: ExportPolicy) {
        self.fixed = fixed;
        self.sum_up();
    }

    /// What a program learned by the rule that is written so.
    fn learned(&self, program: &str, service: &str) -> Option<Learned> {
        let is_its =
            |added: &&AddedRule| *added.program == *program && added.rule.service.text() == service;
        let mut records = self
            .added
            .iter()
            .filter(is_its)
            .filter_map(|added| added.record.as_ref());
        records.next().map(Record::learned)
    }

    pub(super) fn note(&mut self, remote: &Remote, note: &Note, is_allowed: bool) {
        for added in &mut self.added {
            let rule = &added.rule;
            if let Some(record) = &mut added.record
                && rule.names(&note.service)
                && rule.peers.matches(remote.who())
            {
                record.note(note, is_allowed);
            }
        }
    }

    /// All, with the programs that added them and those of the services that each offers; those of the configuration first.
    fn described(&self, services: &[String]) -> Vec<RuleInForce> {
        let fixed = self.fixed.rules.iter().map(|rule| (None, rule));
        let added = self.added.iter();
        let added = added.map(|added| (Some(added.program.clone()), &added.rule));
        let all = fixed.chain(added).map(|(program, rule)| RuleInForce {
            program,
            offered: services
                .iter()
                .filter(|it| rule.names(it))
                .cloned()
                .collect(),
            rule: rule.clone(),
        });
        all.collect()
    }

    fn sum_up(&mut self) {
        let added = self.added.iter().map(|added| &added.rule);
        let rules = self.fixed.rules.iter().chain(added).cloned().collect();
        self.all = Arc::new(ExportPolicy { rules });
    }
}

// Who changes rules.
impl State {
    /// The rules, if they are others, or offer others of these services, than those that were given last.
    pub(super) fn poll_rules(&mut self, services: &[String]) -> Option<Vec<RuleInForce>> {
        let rules = self.rules.described(services);
        if self.rules.given.as_ref() == Some(&rules) {
            return None;
        }
        self.rules.given = Some(rules.clone());
        Some(rules)
    }

    /// Lets peers use more, for as long as the program of this unique name stays on the bus.
    pub(crate) fn export(&mut self, program: &str, rule: ExportRule) -> Result<(), Refusal> {
        let max = self.limits.exports_max;
        self.change_rules(|rules| rules.add(program, rule, max))?;
        // It may have left before we could know of it.
        self.output.push_back(Output::AskProgram(program.into()));
        Ok(())
    }

    /// Takes back what a program exported under this text.
    pub(crate) fn unexport(&mut self, program: &str, service: &str) -> Result<(), Refusal> {
        if self.change_rules(|rules| rules.take_back(program, Some(service))) {
            return Ok(());
        }
        let text = format!("{program} exported nothing as \"{service}\"");
        Err(Refusal::InvalidArgs(text))
    }

    /// What was asked while a program learned.
    pub(crate) fn learned(&self, program: &str, service: &str) -> Result<Learned, Refusal> {
        self.rules.learned(program, service).ok_or_else(|| {
            let text = format!("{program} exported nothing as \"{service}\" to learn from");
            Refusal::InvalidArgs(text)
        })
    }

    /// A program is gone, and with it what it exported.
    pub(crate) fn handle_program_gone(&mut self, program: &str) {
        let mut added = self.rules.added.iter();
        if added.any(|added| *added.program == *program) {
            self.change_rules(|rules| rules.take_back(program, None));
        }
    }

    /// The bus is lost, and with it all programs: on the next one their names mean others.
    pub(super) fn programs_gone(&mut self) {
        if !self.rules.added.is_empty() {
            self.change_rules(Rules::take_all_back);
        }
    }

    pub(super) fn change_rules<R>(&mut self, change: impl FnOnce(&mut Rules) -> R) -> R {
        let before = self.rules.all.clone();
        let outcome = change(&mut self.rules);
        self.output.push_back(Output::OffersChanged);
        if before != self.rules.all {
            let now = self.rules.all.clone();
            self.follow_rules(&before, &now);
        }
        outcome
    }

    /// Makes what is offered, and what peers may do with it, as the rules say now (RULE-1).
    fn follow_rules(&mut self, before: &ExportPolicy, now: &ExportPolicy) {
        let gone = self.offers.retain(|service| now.offers(service));
        self.withdrawn(gone);
        let peers = self.peers.values();
        let remotes: Vec<Arc<Remote>> = peers.map(|peer| peer.remote.clone()).collect();
        let services = self.offers.names();
        for remote in &remotes {
            for service in &services {
                let was = before.grant(service, remote.who());
                let is = now.grant(service, remote.who());
                if was == is {
                    continue;
                }
                let is_less = was.may_see() && !is.may_see();
                let is_other =
                    was.may_see() != is.may_see() || was.may_remember() != is.may_remember();
                self.offers.regrant(service, remote.id, is);
                if is_less {
                    self.revoke(remote, service);
                }
                if is_other {
                    let stream = Stream::Service(service.as_str().into());
                    self.say(remote.id, stream, &Control::Revised(service.clone()));
                }
            }
        }
        self.denied.clear();
        if !now.rules.is_empty() {
            self.output.push_back(Output::AskNames);
        }
    }
}

/// Records of all programs together.
const LEARNING_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use zocp_policy::{Grant, Peers, ServicePattern};

    use super::*;

    #[test]
    fn each_rule_comes_with_the_services_that_it_offers() {
        let rule = |service| ExportRule {
            service: ServicePattern::parse(service).unwrap(),
            peers: Peers::default(),
            grant: Grant::default(),
        };
        let fixed = ["org.mpris.MediaPlayer2.*", "org.example.Lamp"].map(rule);
        let mut rules = Rules::new(ExportPolicy {
            rules: fixed.into(),
        });
        let exact = rule("org.mpris.MediaPlayer2.playerctld");
        rules.add(":1.7", exact, 1).unwrap();
        let services = ["playerctld", "vlc"].map(|it| format!("org.mpris.MediaPlayer2.{it}"));
        let offered = rules
            .described(&services)
            .into_iter()
            .map(|it| (it.program.as_deref().map(str::to_owned), it.offered));
        assert_eq!(
            offered.collect::<Vec<_>>(),
            [
                // What only presents other services matches no pattern.
                (None, vec![services[1].clone()]),
                (None, vec![]),
                (Some(":1.7".to_owned()), vec![services[0].clone()]),
            ]
        );
    }
}

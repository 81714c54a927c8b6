//! The rules of the exporter: those of the configuration, and those that programs lend.
//!
//! Model: plain data. `all` is always the sum.
//! Limits: [`LENT_MAX`] lent rules; further ones are refused.

use std::sync::Arc;

use crate::{
    errors::Refusal,
    policy::{ExportPolicy, ExportRule, ServicePattern},
};

/// All rules. See the [module](self).
#[derive(Debug)]
pub(super) struct Rules {
    fixed: ExportPolicy,
    /// With the unique name of the program that lent it.
    lent: Vec<(Arc<str>, ExportRule)>,
    pub(super) all: ExportPolicy,
}

impl Rules {
    pub(super) fn new(fixed: ExportPolicy) -> Self {
        Self {
            all: fixed.clone(),
            fixed,
            lent: Vec::new(),
        }
    }

    /// Adds a rule of a program.
    pub(super) fn lend(&mut self, program: &str, rule: ExportRule) -> Result<(), Refusal> {
        if self.lent.len() >= LENT_MAX {
            let text = format!("{LENT_MAX} rules of programs are there");
            return Err(Refusal::LimitsExceeded(text));
        }
        self.lent.push((program.into(), rule));
        self.add_up();
        Ok(())
    }

    /// Takes rules of a program back, all or those written so; the services that they were for.
    pub(super) fn take_back(
        &mut self,
        program: &str,
        service: Option<&str>,
    ) -> Vec<ServicePattern> {
        let is_its = |(lender, rule): &mut (Arc<str>, ExportRule)| {
            **lender == *program && service.is_none_or(|text| rule.service.text() == text)
        };
        let taken = self.lent.extract_if(.., is_its);
        let taken = taken.map(|(_, rule)| rule.service).collect();
        self.add_up();
        taken
    }

    fn add_up(&mut self) {
        let lent = self.lent.iter().map(|(_, rule)| rule);
        let rules = self.fixed.rules.iter().chain(lent).cloned().collect();
        self.all = ExportPolicy { rules };
    }
}

/// Rules of all programs together.
const LENT_MAX: usize = 1024;

//! Patterns that select services by their bus names.
//!
//! Model: a [`ServicePattern`] is a name, a name and all names below it, or all names.

use std::sync::Arc;

use super::{RuleError, is_name};

/// Selects services: a bus name, a name and all names below it (`org.example.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePattern {
    /// The name, or the beginning of all names; empty for all.
    stem: Arc<str>,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Exact,
    Below,
    All,
}

impl ServicePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The text is neither a bus name, nor a bus name followed by `.*`, nor `*`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (stem, reach) = match text.strip_suffix(".*") {
            _ if text == "*" => ("", Reach::All),
            Some(stem) => (stem, Reach::Below),
            None => (text, Reach::Exact),
        };
        let is_stem = match reach {
            Reach::All => true,
            Reach::Below => is_name(stem),
            Reach::Exact => is_name(stem) && stem.contains('.'),
        };
        if !is_stem {
            return Err(RuleError::Service(text.to_owned()));
        }
        Ok(Self {
            stem: stem.into(),
            reach,
        })
    }

    /// Whether a service matches. Unique names never match.
    #[must_use]
    pub fn matches(&self, service: &str) -> bool {
        self.tail(service).is_some()
    }

    /// The part of the name that matches `*`, which may be empty. `None` if the service does not match.
    #[must_use]
    pub fn tail<'s>(&self, service: &'s str) -> Option<&'s str> {
        if service.starts_with(':') {
            return None;
        }
        if self.reach == Reach::All {
            return Some(service);
        }
        let rest = service.strip_prefix(&*self.stem)?;
        match self.reach {
            _ if rest.is_empty() => Some(rest),
            Reach::Below => rest.strip_prefix('.'),
            _ => None,
        }
    }

    /// Whether it can match only one service.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.reach == Reach::Exact
    }

    /// The text of the pattern.
    #[must_use]
    pub fn text(&self) -> String {
        match self.reach {
            Reach::All => "*".to_owned(),
            Reach::Below => format!("{}.*", self.stem),
            Reach::Exact => self.stem.to_string(),
        }
    }
}

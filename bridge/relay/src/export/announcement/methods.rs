//! Which methods the interfaces of a service's objects have, for calls that name no interface.
//!
//! Model: made of the result of a crawl. Objects that the crawl did not reach are not known.
//! Limits: [`METHODS_MAX`] methods of a service; of one with more nothing is known.
//! Spec: docs/reference/protocol.md §7.6

use std::collections::{BTreeSet, HashMap};

use super::crawl::CrawlResult;
use zocp_policy::Member;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// By object: the interfaces and their methods.
    objects: HashMap<String, BTreeSet<(String, String)>>,
}

impl Methods {
    pub(super) fn of(findings: &CrawlResult) -> Self {
        let mut methods = Self::default();
        let mut left = METHODS_MAX;
        for (place, described) in &findings.interfaces {
            if described.methods.len() > left {
                return Self::default();
            }
            left -= described.methods.len();
            let object = methods.objects.entry(place.path.to_string()).or_default();
            let names = described.methods.iter();
            object.extend(names.map(|it| (place.interface.to_string(), it.name.clone())));
        }
        methods
    }

    /// Whether an interface of an object has a method; `None` where it is not known what the object has.
    pub(super) fn has(&self, method: &Member<'_>, interface: &str) -> Option<bool> {
        let object = self.objects.get(method.path)?;
        let is_one = |(its, name): &(String, String)| *its == interface && *name == method.member;
        // Some objects say nothing of what they have.
        let knows_it = object.iter().any(|(_, name)| name == method.member);
        knows_it.then(|| object.iter().any(is_one))
    }
}

const METHODS_MAX: usize = 4096;

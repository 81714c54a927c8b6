//! What is different between two configurations.
//!
//! Model: rules are compared as sets, in the words of the file; the rest by section. Rules and the
//! limits of services (`crate::services::ServiceLimits`) are followed while the bridge runs, everything else at its next start.

use std::fmt::Display;

use super::Config;

/// What is different. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// What is followed at once, a line for each change.
    pub followed: Vec<String>,
    /// The sections that are followed at the next start.
    pub waiting: Vec<&'static str>,
}

impl Difference {
    /// From one configuration to the next.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut followed = Vec::new();
        rules(&mut followed, &old.export, &new.export);
        rules(&mut followed, &old.import, &new.import);
        if followed.is_empty() && old.import != new.import {
            followed.push("the order of [[import]]".to_owned());
        }
        followed.extend(old.limits.followed(&new.limits));
        let sections = [
            ("[mesh]", old.mesh != new.mesh),
            ("[bus]", old.bus != new.bus),
            ("[state]", old.state != new.state),
            ("[limits]", old.limits.fixed() != new.limits.fixed()),
        ];
        let waiting = sections.iter().filter(|(_, is_other)| *is_other);
        Self {
            followed,
            waiting: waiting.map(|(section, _)| *section).collect(),
        }
    }
}

fn rules<T: PartialEq + Display>(lines: &mut Vec<String>, old: &[T], new: &[T]) {
    let gone = old.iter().filter(|rule| !new.contains(rule));
    lines.extend(gone.map(|rule| format!("- {rule}")));
    let added = new.iter().filter(|rule| !old.contains(rule));
    lines.extend(added.map(|rule| format!("+ {rule}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_one_by_one_and_the_rest_by_section() {
        let config = |text: &str| Config::parse(text).unwrap();
        let old = config(
            "[mesh]\nname = 'a'\n[[export]]\nservice = 'org.a.A'\ntalk = true\n\
             [[export]]\nservice = 'org.a.B'\nsee = true\n",
        );
        let new = config(
            "[mesh]\nname = 'b'\n[[export]]\nservice = 'org.a.B'\nsee = true\n\
             [[export]]\nservice = 'org.a.C'\ncall = ['org.a.I.x@/y']\npeers = ['foh']\n\
             [[import]]\nservice = '*'\nname = false\n[limits]\ncallers_max = 7\n",
        );
        let difference = Difference::between(&old, &new);
        assert_eq!(
            difference.followed,
            [
                "- [[export]] service = \"org.a.A\", talk = true",
                "+ [[export]] service = \"org.a.C\", call = [\"org.a.I.x@/y\"], peers = [\"foh\"]",
                "+ [[import]] service = \"*\", name = false",
                "[limits] callers_max = 7",
            ]
        );
        assert_eq!(difference.waiting, ["[mesh]"]);
        assert_eq!(Difference::between(&old, &old), Difference::default());
    }

    #[test]
    fn the_order_of_imports_counts() {
        let config = |first: &str, second: &str| {
            let text = format!(
                "[[import]]\nservice = '{first}'\n[[import]]\nservice = '{second}'\nname = false\n"
            );
            Config::parse(&text).unwrap()
        };
        let swap = |config: &Config| {
            let mut swapped = config.clone();
            swapped.import.reverse();
            swapped
        };
        let old = config("org.a.*", "*");
        assert_eq!(
            Difference::between(&old, &swap(&old)).followed,
            ["the order of [[import]]"]
        );
    }
}

//! Which nodes pass to which venues.

/// Nodes of the own venue that bridges of others are told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassRule {
    /// The names of the nodes; `*` stands for any letters.
    pub nodes: Vec<String>,
    /// The names of the venues; `None`: every other one.
    pub venues: Option<Vec<String>>,
    /// Whether the D-Bus services that they announce are passed on, too.
    pub with_services: bool,
}

impl PassRule {
    /// A rule for nodes with these names, and venues with these.
    pub fn new<N: Into<String>, V: Into<String>>(
        nodes: impl IntoIterator<Item = N>,
        venues: Option<impl IntoIterator<Item = V>>,
    ) -> Self {
        Self {
            nodes: nodes.into_iter().map(Into::into).collect(),
            venues: venues.map(|venues| venues.into_iter().map(Into::into).collect()),
            with_services: false,
        }
    }

    /// Whether a node with this name passes to this venue.
    #[must_use]
    pub fn names(&self, node: &str, venue: &str) -> bool {
        let is_for = |venues: &Vec<String>| venues.iter().any(|it| it == venue || it == "*");
        self.venues.as_ref().is_none_or(is_for)
            && self.nodes.iter().any(|pattern| matches(pattern, node))
    }
}

/// Whether a name is of a pattern in which `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place leaves most for the parts after it.
        let Some(at) = left.find(part) else {
            return false;
        };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "fader"),
            ("lamp*", "lamp"),
            ("lamp*", "lamp 2"),
            ("*r", "fader"),
            ("f*d*r", "fader"),
            ("a*a", "aa"),
            ("fader", "fader"),
            ("*ä*", "bär"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "fader"),
            ("lamp*", "a lamp"),
            ("a*a", "a"),
            ("f*d*r", "fdar1"),
            ("fader", "fader2"),
            ("*x*", "fader"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn without_venues_a_rule_is_for_every_other_one() {
        let rule = PassRule::new(["fader"], None::<[&str; 0]>);
        assert!(rule.names("fader", "south"));
        let rule = PassRule::new(["fader"], Some(["east", "south"]));
        assert!(rule.names("fader", "south"));
        assert!(!rule.names("fader", "west"));
        assert!(PassRule::new(["fader"], Some(["*"])).names("fader", "west"));
    }
}

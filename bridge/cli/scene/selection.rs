//! Which nodes and capabilities of a scene are meant.
//!
//! Model: a pattern is `NODE` or `NODE:CAPABILITY`, in which `*` stands for any text. A node is meant by its name, its
//! label or, if no node is called so, the beginning of its UUID; a capability by its dotted name. What is chosen is
//! what a pattern of `only` means, all if there is none, and no pattern of `except` does.

use zocp_mapping::label::label;
use zocp_wires::End;

use super::{Scene, SceneNode};
use crate::client::UUID_PREFIX_MIN;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Selection {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    /// Whether no node has what it says for a name.
    may_be_uuid: bool,
}

impl Selection {
    /// The patterns, about these nodes.
    pub(crate) fn new(only: &[String], except: &[String], nodes: &[SceneNode]) -> Self {
        let pattern = |text: &String| {
            let mut pattern = Pattern {
                text: text.clone(),
                may_be_uuid: false,
            };
            let is_named = |node| pattern.nodes().any(|text| pattern.is_node(text, node));
            pattern.may_be_uuid = !nodes.iter().any(is_named);
            pattern
        };
        Self {
            only: only.iter().map(pattern).collect(),
            except: except.iter().map(pattern).collect(),
        }
    }

    /// What of a scene is meant.
    pub(crate) fn of(&self, scene: Scene) -> Scene {
        let whole = scene.nodes.clone();
        let chosen = |mut node: SceneNode| {
            let as_it_was = node.clone();
            node.values.retain(|name, _| self.takes(&as_it_was, name));
            let is_empty = as_it_was.values.is_empty() && self.takes(&as_it_was, "");
            (!node.values.is_empty() || is_empty).then_some(node)
        };
        let is_chosen = |end: &str| match end.parse() {
            Ok(End::Node(end)) => {
                let is_it =
                    |node: &&SceneNode| node.name == end.node || label(&node.name) == end.node;
                let stranger = SceneNode::named(&end.node);
                let node = whole.iter().find(is_it).unwrap_or(&stranger);
                self.takes(node, &end.capability)
            }
            Ok(_) => true,
            Err(_) => false,
        };
        let wires = scene.wires.into_iter();
        Scene {
            nodes: scene.nodes.into_iter().filter_map(chosen).collect(),
            wires: wires
                .filter(|wire| is_chosen(&wire.from) && is_chosen(&wire.to))
                .collect(),
        }
    }

    /// The patterns that mean nothing of a scene: first those of `only`, then those of `except`.
    pub(crate) fn in_vain(&self, scene: &Scene) -> (Vec<&str>, Vec<&str>) {
        let in_vain = |pattern: &&Pattern| {
            !scene.nodes.iter().any(|node| {
                pattern.is_about(node) || node.values.keys().any(|name| pattern.means(node, name))
            })
        };
        let only = self.only.iter().filter(in_vain).map(|it| it.text.as_str());
        let except = self
            .except
            .iter()
            .filter(in_vain)
            .map(|it| it.text.as_str());
        (only.collect(), except.collect())
    }

    fn takes(&self, node: &SceneNode, capability: &str) -> bool {
        let means = |pattern: &Pattern| pattern.means(node, capability);
        (self.only.is_empty() || self.only.iter().any(means)) && !self.except.iter().any(means)
    }
}

impl Pattern {
    /// What of it may be a node: names may have colons.
    fn nodes(&self) -> impl Iterator<Item = &str> {
        let colons = self.text.match_indices(':').map(|(at, _)| at);
        colons
            .chain([self.text.len()])
            .filter_map(|at| self.text.get(..at))
    }

    /// Whether it means this capability of this node.
    fn means(&self, node: &SceneNode, capability: &str) -> bool {
        self.nodes().any(|text| {
            let rest = self.text[text.len()..].strip_prefix(':');
            rest.is_none_or(|rest| is_like(rest, capability)) && self.is_node(text, node)
        })
    }

    /// Whether it means this node as a whole.
    fn is_about(&self, node: &SceneNode) -> bool {
        self.is_node(&self.text, node)
    }

    fn is_node(&self, text: &str, node: &SceneNode) -> bool {
        let label = label(&node.name);
        let hex = text.replace('-', "").to_lowercase();
        let is_uuid = || hex.len() >= UUID_PREFIX_MIN && node.uuid.starts_with(&hex);
        let apart = || format!("{label}_{}", node.uuid.get(..8).unwrap_or_default());
        is_like(text, &node.name)
            || is_like(text, &label)
            || (!node.uuid.is_empty() && is_like(text, &apart()))
            || (self.may_be_uuid && is_uuid())
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scene::SceneWire;

    fn scene() -> Scene {
        let node = |name: &str, uuid: &str, values: &[&str]| SceneNode {
            name: name.to_owned(),
            uuid: uuid.to_owned(),
            values: values
                .iter()
                .map(|it| ((*it).to_owned(), json!(1)))
                .collect(),
        };
        Scene {
            nodes: vec![
                node("lamp", "aabbccdd11", &["dim", "cam.zoom", "mic"]),
                node("lamp", "ffbbccdd22", &["dim"]),
                node("a:b", "0123456789", &["c:d"]),
            ],
            wires: [("lamp:x", "fader:y"), ("lamp:x", "dbus:c.d:/e:f.g.H")]
                .map(|(from, to)| SceneWire::between(from, to))
                .into(),
        }
    }

    fn chosen(only: &[&str], except: &[&str]) -> Vec<String> {
        let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&texts(only), &texts(except), &scene().nodes);
        let chosen = selection.of(scene());
        let values = chosen.nodes.iter().flat_map(|node| {
            let values = node.values.keys();
            values.map(move |name| format!("{}/{}:{name}", node.name, &node.uuid[..2]))
        });
        let wires = chosen.wires.iter().map(|wire| wire.to.clone());
        values.chain(wires).collect()
    }

    #[test]
    fn nodes_and_capabilities_are_chosen_and_left_out() {
        let (zoom, dim, mic) = ("lamp/aa:cam.zoom", "lamp/aa:dim", "lamp/aa:mic");
        let (other, odd, bus) = ("lamp/ff:dim", "a:b/01:c:d", "dbus:c.d:/e:f.g.H");
        assert_eq!(
            chosen(&[], &[]),
            [zoom, dim, mic, other, odd, "fader:y", bus]
        );
        assert_eq!(chosen(&["lamp"], &[]), [zoom, dim, mic, other, bus]);
        assert_eq!(chosen(&["lamp:dim"], &[]), [dim, other]);
        assert_eq!(chosen(&["aabb"], &[]), [zoom, dim, mic, bus]);
        assert_eq!(chosen(&["lamp_ffbbccdd"], &[]), [other]);
        assert_eq!(chosen(&["*:cam.*"], &[]), [zoom]);
        assert_eq!(chosen(&["l*p"], &["*:mic", "ffbb:*"]), [zoom, dim, bus]);
        assert_eq!(chosen(&["a:b"], &[]), [odd]);
        assert_eq!(chosen(&["a:b:c:d"], &[]), [odd]);
        assert_eq!(chosen(&[], &["lamp", "a*"]), ["dbus:c.d:/e:f.g.H"; 0]);
    }

    #[test]
    fn patterns_that_mean_nothing_are_named() {
        let (only, except) = (
            ["lamp:dmi".to_owned(), "lamp".to_owned()],
            ["mic".to_owned()],
        );
        let selection = Selection::new(&only, &except, &scene().nodes);
        assert_eq!(selection.in_vain(&scene()), (vec!["lamp:dmi"], vec!["mic"]));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*b*", "abc"),
            ("a*c", "abc"),
            ("a**", "a"),
            ("", ""),
        ] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a*a", "a"),
            ("*ab*b", "ab"),
            ("", "a"),
            ("ä*", "a"),
        ] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }
}

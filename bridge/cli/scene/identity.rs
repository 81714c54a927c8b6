//! Which present node each node of a scene is.
//!
//! Model: the UUID decides where a node has it. A node that was started again has another one: then the name
//! decides, if of all present nodes that no UUID decided one alone is called so, and one alone of the scene.
//! Invariants: IDENTITY-1. no present node stands for two of the scene. IDENTITY-2. nothing is guessed: where more than one could be
//! meant, none is.

/// What tells a node from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    /// Empty in a scene that was saved before UUIDs were.
    pub(crate) uuid: &'a str,
}

/// For each wanted node the index of the present one, or why there is none.
pub(crate) fn resolve(
    wanted: &[Identity<'_>],
    present: &[Identity<'_>],
) -> Vec<Result<usize, String>> {
    let mut taken = vec![false; present.len()];
    let mut found: Vec<Option<usize>> = Vec::with_capacity(wanted.len());
    for node in wanted {
        let is_it = |(at, one): &(usize, &Identity<'_>)| {
            !taken[*at] && !node.uuid.is_empty() && one.uuid == node.uuid
        };
        let at = present.iter().enumerate().find(is_it).map(|(at, _)| at);
        if let Some(at) = at {
            taken[at] = true;
        }
        found.push(at);
    }
    let by_name = |node: &Identity<'_>| {
        let is_called = |other: &Identity<'_>| other.name == node.name;
        let rest = wanted.iter().zip(&found);
        let rivals = rest
            .filter(|(other, found)| found.is_none() && is_called(other))
            .count();
        let free = present.iter().zip(&taken).enumerate();
        let mut free = free.filter(|(_, (other, taken))| !**taken && is_called(other));
        let (first, more) = (free.next(), free.count());
        match (first, more, rivals) {
            (None, ..) => Err(format!("no node is called \"{}\"", node.name)),
            (Some((at, _)), 0, 1) => Ok(at),
            (Some(_), more, _) => Err(format!(
                "{} present nodes called \"{}\" have other UUIDs than in the scene, for {rivals} of the scene: which \
                 of them is meant, nothing tells",
                more + 1,
                node.name
            )),
        }
    };
    let found_or_named = |(node, found): (&Identity<'_>, &Option<usize>)| match found {
        Some(at) => Ok(*at),
        None => by_name(node),
    };
    wanted.iter().zip(&found).map(found_or_named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes<'a>(all: &[(&'a str, &'a str)]) -> Vec<Identity<'a>> {
        let identity = |(name, uuid): &(&'a str, &'a str)| Identity { name, uuid };
        all.iter().map(identity).collect()
    }

    fn found(wanted: &[(&str, &str)], present: &[(&str, &str)]) -> Vec<Option<usize>> {
        let resolved = resolve(&nodes(wanted), &nodes(present));
        resolved.into_iter().map(Result::ok).collect()
    }

    #[test]
    fn uuids_tell_namesakes_apart_in_any_order() {
        let wanted = [("lamp", "a"), ("lamp", "b")];
        let present = [("lamp", "b"), ("fader", "c"), ("lamp", "a")];
        assert_eq!(found(&wanted, &present), [Some(2), Some(0)]);
    }

    #[test]
    fn a_node_that_was_started_again_is_known_by_its_name_where_that_is_unique() {
        assert_eq!(found(&[("lamp", "a")], &[("lamp", "z")]), [Some(0)]);
        let wanted = [("lamp", "a"), ("lamp", "b")];
        let one_again = [("lamp", "a"), ("lamp", "z")];
        assert_eq!(found(&wanted, &one_again), [Some(0), Some(1)]);
        let both_again = [("lamp", "y"), ("lamp", "z")];
        assert_eq!(found(&wanted, &both_again), [None, None]);
        assert_eq!(found(&[("lamp", "a")], &both_again), [None]);
        assert_eq!(found(&wanted, &[("lamp", "z")]), [None, None]);
    }

    #[test]
    fn a_node_that_has_another_name_now_is_the_same() {
        assert_eq!(found(&[("lamp", "a")], &[("spot", "a")]), [Some(0)]);
    }

    #[test]
    fn a_scene_without_uuids_means_nodes_by_their_names() {
        let present = [("lamp", "y"), ("fader", "z")];
        assert_eq!(
            found(&[("fader", ""), ("gone", "")], &present),
            [Some(1), None]
        );
        let namesakes = [("lamp", "y"), ("lamp", "z")];
        assert_eq!(found(&[("lamp", "")], &namesakes), [None], "not guessed");
    }
}

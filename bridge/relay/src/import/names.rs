//! Under which name a service of another bus appears on this one.
//!
//! Model: the first rule that names service and peer decides; without one, or where it leaves the name
//! open, it is the customary name: `org.mpris.MediaPlayer2.NODE.PLAYER` for a player, so that
//! `playerctl -p NODE` finds all players of a node, and `SERVICE.NODE` for every other. NODE is the label of the node:
//! that of a node of another venue has the venue and a dot before it, so `playerctl -p VENUE` finds all players there.
//! Spec: docs/reference/dbus.md, "Imported services"

use zbus::names::WellKnownName;

use zocp_mapping::label::label as label_of;
use zocp_policy::{ImportName, ImportRule, PLAYERS, Who};

/// How a service appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Naming<'r> {
    /// Under this name, as this rule says.
    Shown(String, Option<&'r ImportRule>),
    /// Not at all: a rule says so.
    Hidden,
    /// Not at all: the name that this rule gives it would not be legal.
    Illegal(String, Option<&'r ImportRule>),
}

/// How a service of a peer appears; `label` is the peer's.
pub(super) fn naming<'r>(
    rules: &'r [ImportRule],
    service: &str,
    peer: Who<'_>,
    label: &str,
) -> Naming<'r> {
    let fits = |rule: &&ImportRule| {
        let is_elsewhere = peer.venue.is_some() || !names_venue(rule);
        is_elsewhere && rule.service.matches(service) && rule.from.matches(peer)
    };
    let venue = peer.venue.map(label_of).unwrap_or_default();
    let rule = rules.iter().find(fits);
    let shown = match rule.map(|rule| (&rule.name, rule.service.tail(service))) {
        Some((ImportName::Never, _)) => return Naming::Hidden,
        Some((ImportName::Template(template), tail)) => template
            .replace(VENUE, &venue)
            .replace("{node}", label)
            .replace("{tail}", tail.unwrap_or_default())
            .replace("{service}", service),
        _ => customary(service, label),
    };
    match WellKnownName::try_from(shown.as_str()) {
        Ok(_) => Naming::Shown(shown, rule),
        Err(_) => Naming::Illegal(shown, rule),
    }
}

/// Whether a rule gives a name that has the venue in it: then it is for services of other venues.
fn names_venue(rule: &ImportRule) -> bool {
    matches!(&rule.name, ImportName::Template(template) if template.contains(VENUE))
}

const VENUE: &str = "{venue}";

/// The name of a service that no rule gives another one.
pub(super) fn customary(service: &str, label: &str) -> String {
    match service.strip_prefix(PLAYERS) {
        Some(player) if !player.is_empty() => format!("{PLAYERS}{label}.{player}"),
        _ => format!("{service}.{label}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zocp_policy::{Grant, Peers, ServicePattern};

    const STAGE: Who<'static> = Who {
        name: "stage",
        venue: None,
        uuid: "0123",
        key: None,
    };
    const NORTH: Who<'static> = Who {
        name: "north-hall/stage",
        venue: Some("north-hall"),
        ..STAGE
    };

    fn rule(service: &str, from: &str, name: ImportName) -> ImportRule {
        ImportRule {
            service: ServicePattern::parse(service).unwrap(),
            from: Peers::new(&[from.to_owned()]).unwrap(),
            name,
            grant: Grant::all(),
            cache: true,
            activate: None,
            identity: None,
            files: None,
        }
    }

    fn shown(rules: &[ImportRule], service: &str) -> String {
        match naming(rules, service, STAGE, "stage") {
            Naming::Shown(name, _) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn players_are_found_by_their_node() {
        let name = shown(&[], "org.mpris.MediaPlayer2.vlc.instance7");
        assert_eq!(name, "org.mpris.MediaPlayer2.stage.vlc.instance7");
        let name = shown(&[], "org.freedesktop.Notifications");
        assert_eq!(name, "org.freedesktop.Notifications.stage");
    }

    #[test]
    fn services_of_another_venue_have_its_name_and_a_rule_with_it_is_for_them_alone() {
        let name = |rules: &[ImportRule], peer, label| match naming(rules, "org.a.B", peer, label) {
            Naming::Shown(name, _) => name,
            other => panic!("{other:?}"),
        };
        let label = "north_2dhall.stage";
        assert_eq!(name(&[], NORTH, label), format!("org.a.B.{label}"));
        let rules = [rule(
            "*",
            "*",
            ImportName::Template("of.{venue}.{service}".into()),
        )];
        assert_eq!(name(&rules, NORTH, label), "of.north_2dhall.org.a.B");
        assert_eq!(name(&rules, STAGE, "stage"), "org.a.B.stage");
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            rule("org.a.Hidden", "*", ImportName::Never),
            rule("org.a.*", "foh", ImportName::Never),
            rule(
                "org.a.*",
                "stage",
                ImportName::Template("org.b.{tail}.of.{node}".into()),
            ),
            rule("*", "*", ImportName::Template("{service}".into())),
        ];
        assert_eq!(shown(&rules, "org.a.X.y"), "org.b.X.y.of.stage");
        assert_eq!(shown(&rules, "org.c.Z"), "org.c.Z");
        assert_eq!(
            naming(&rules, "org.a.Hidden", STAGE, "stage"),
            Naming::Hidden
        );
        let bad = [rule("*", "*", ImportName::Template("{tail}..x".into()))];
        assert!(matches!(
            naming(&bad, "org.c.Z", STAGE, "l"),
            Naming::Illegal(..)
        ));
    }
}

//! Which services the registry has watched: those that its wires name, and no others.

use std::collections::BTreeSet;

use zocp_node::PeerId;

use super::super::{
    Limits,
    conversion::Conversion,
    registry::{Output, Registry, WireError},
};

/// Follows the outputs of a registry.
#[derive(Default)]
struct Watched(BTreeSet<String>);

impl Watched {
    fn follow(&mut self, registry: &mut Registry) {
        while let Some(output) = registry.poll_output() {
            match output {
                Output::Watch(service) => {
                    self.0.insert(service.to_string());
                }
                Output::Unwatch(service) => {
                    self.0.remove(&*service);
                }
                _ => {}
            }
        }
    }
}

fn connect(
    registry: &mut Registry,
    service: &str,
    conversion: Conversion,
    lasting: bool,
) -> Result<(), WireError> {
    let to = format!("dbus:{service}:/player:org.example.Player.Volume");
    let ends = ("desk:fader".parse().unwrap(), to.parse().unwrap());
    registry.connect(ends, conversion, lasting).map(|_| ())
}

#[test]
fn a_service_is_watched_while_a_wire_names_it() {
    let limits = Limits {
        wires_max: 1,
        wires_seen_max: 0,
    };
    let mut registry = Registry::new(PeerId::new([255; 16]), "bridge", limits);
    let mut watched = Watched::default();
    let clamped = || Conversion {
        clamp: true,
        ..Conversion::default()
    };
    connect(&mut registry, "org.a.One", Conversion::default(), true).unwrap();
    watched.follow(&mut registry);
    assert!(watched.0.contains("org.a.One"));

    // Another conversion replaces the wire, which names the same service.
    connect(&mut registry, "org.a.One", clamped(), true).unwrap();
    watched.follow(&mut registry);
    assert!(watched.0.contains("org.a.One"));
    assert_eq!(registry.wires().count(), 1);

    // A wire that is refused leaves nothing behind.
    let refused = connect(&mut registry, "org.a.Two", clamped(), true);
    assert_eq!(refused, Err(WireError::TooMany(1)));
    let refused = connect(&mut registry, "org.a.Three", clamped(), false);
    assert!(matches!(refused, Err(WireError::Plan(_))), "{refused:?}");
    watched.follow(&mut registry);
    assert_eq!(watched.0, BTreeSet::from(["org.a.One".to_owned()]));

    let (id, _) = registry.wires().next().unwrap();
    registry.remove(id).unwrap();
    watched.follow(&mut registry);
    assert!(watched.0.is_empty());
}

//! The limits of wires, each reached by a test.

use zocp_node::{PeerId, PeerInfo};

use super::{
    super::{
        Limits,
        conversion::Conversion,
        registry::{Registry, WireError},
    },
    simulation::tree,
};

fn registry(wires_max: usize, wires_seen_max: usize) -> Registry {
    let limits = Limits {
        wires_max,
        wires_seen_max,
    };
    Registry::new(PeerId::new([255; 16]), "bridge", limits)
}

/// Makes a lasting wire between absent nodes.
fn connect(registry: &mut Registry, number: u8, conversion: Conversion) -> Result<(), WireError> {
    let from = format!("desk:out{number}").parse().unwrap();
    let made = registry.connect((from, "lamp:in".parse().unwrap()), conversion, true);
    made.map(|_| ())
}

#[test]
fn wires_are_counted() {
    let mut registry = registry(2, 0);
    let plain = Conversion::default;
    connect(&mut registry, 1, plain()).unwrap();
    connect(&mut registry, 2, plain()).unwrap();
    assert_eq!(
        connect(&mut registry, 3, plain()),
        Err(WireError::TooMany(2))
    );
    let clamped = Conversion {
        clamp: true,
        ..plain()
    };
    connect(&mut registry, 2, clamped).unwrap();
    let ends = ("desk:out1".parse().unwrap(), "lamp:in".parse().unwrap());
    registry.disconnect(ends.0, ends.1).unwrap();
    connect(&mut registry, 3, plain()).unwrap();
}

#[test]
fn wires_of_others_are_shown_up_to_a_bound() {
    let mut registry = registry(0, 2);
    let nodes = [1, 2, 3, 4].map(|number| PeerId::new([number; 16]));
    for id in nodes {
        let mut info = PeerInfo::new(id, format!("node{id}"));
        info.zocp = true;
        registry.entered(&info);
        registry.tree_known(id, &tree(&[]));
    }
    registry.tree_known(nodes[0], &tree(&nodes[1..]));
    assert_eq!(registry.wires().count(), 2);
}

#[cfg(feature = "expressions")]
use super::super::conversion::{Calculator, ConversionError, Converter, Kind, Side};

#[cfg(feature = "expressions")]
fn evaluated(text: &str) -> Result<(), ConversionError> {
    let side = || Side {
        kind: Kind::Any,
        range: None,
    };
    let conversion = Conversion {
        expression: Some(Calculator::default().understand(text).unwrap()),
        ..Conversion::default()
    };
    let mut converter = Converter::new(conversion, side(), side());
    converter.convert(&1.into()).map(|_| ())
}

#[cfg(feature = "expressions")]
#[test]
fn an_expression_has_its_bounds() {
    let calculator = Calculator::default();
    assert!(calculator.understand(&"1".repeat(1025)).is_err());
    let nested = |depth: usize| format!("{}value{}", "(".repeat(depth), ")".repeat(depth));
    assert!(calculator.understand(&nested(10)).is_ok());
    assert!(calculator.understand(&nested(100)).is_err());
    let many = format!("[{}]", ["0"; 500].join(","));
    let doubled = format!("{many} + {many}");
    assert!(evaluated(&many).is_ok());
    assert!(calculator.understand(&doubled).is_err(), "too long");
    let sum = "[0].pad(2000, 1)";
    assert!(matches!(
        evaluated(sum),
        Err(ConversionError::Expression(_))
    ));
}

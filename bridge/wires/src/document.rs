//! The saved wires.

use serde::{Deserialize, Serialize};

use super::{
    conversion::{Calculator, Conversion},
    end::End,
    options::SavedConversion,
    registry::{Maker, Wire},
};
use zocp_state::Document;

/// The document with all lasting wires.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WiresDocument {
    wires: Vec<SavedWire>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedWire {
    from: End,
    to: End,
    #[serde(default)]
    conversion: SavedConversion,
}

impl Document for WiresDocument {
    const NAME: &'static str = "wires";
    const VERSION: u32 = 1;
}

impl WiresDocument {
    /// The document of the lasting wires among these.
    pub(super) fn of<'w>(wires: impl Iterator<Item = &'w Wire>) -> Self {
        let lasting = wires.filter(|wire| wire.lasting && wire.maker == Maker::Us);
        let saved = lasting.map(|wire| SavedWire {
            from: wire.from.clone(),
            to: wire.to.clone(),
            conversion: SavedConversion::from(&wire.conversion),
        });
        Self {
            wires: saved.collect(),
        }
    }

    /// The ends and conversions; entries that cannot be parsed are logged and left out.
    pub(super) fn read(self, calculator: &Calculator) -> Vec<((End, End), Conversion)> {
        let read = |wire: SavedWire| match wire.conversion.read(calculator) {
            Ok(conversion) => Some(((wire.from, wire.to), conversion)),
            Err(reason) => {
                let (from, to) = (wire.from, wire.to);
                tracing::error!(%from, %to, reason, "cannot parse a saved wire");
                None
            }
        };
        self.wires.into_iter().filter_map(read).collect()
    }
}

#[cfg(all(test, feature = "expressions"))]
mod tests {
    use super::*;
    use crate::{conversion::Calculator, limits::Limits, registry::Registry};

    #[test]
    fn a_saved_wire_is_read_as_it_was() {
        let mut registry =
            Registry::new(zocp_node::PeerId::new([1; 16]), "bridge", Limits::default());
        let calculator = Calculator::default();
        let conversion = crate::conversion::Conversion {
            expression: Some(calculator.understand("value + 1").unwrap()),
            clamp: true,
            threshold: Some(0.5),
            ..Default::default()
        };
        let ends = || {
            (
                "a:b:c".parse().unwrap(),
                "dbus:a.b:/c:d.e.F".parse().unwrap(),
            )
        };
        registry.connect(ends(), conversion.clone(), true).unwrap();
        let saved = WiresDocument::of(registry.wires().map(|(_, wire)| wire));
        let text = serde_json::to_string(&saved).unwrap();
        let read: WiresDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(read.read(&calculator), [(ends(), conversion)]);
    }
}

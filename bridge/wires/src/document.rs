//! The wires that outlive the bridge, as they are kept.

use serde::{Deserialize, Serialize};

use super::{
    conversion::{Calculator, Conversion},
    end::End,
    options::SavedConversion,
    registry::{Maker, Wire},
};
use zocp_state::Document;

/// The document.
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
    /// Those of these that last.
    pub(super) fn of<'w>(wires: impl Iterator<Item = &'w Wire>) -> Self {
        let lasting = wires.filter(|wire| wire.lasting && wire.maker == Maker::Us);
        let kept = lasting.map(|wire| SavedWire {
            from: wire.from.clone(),
            to: wire.to.clone(),
            conversion: SavedConversion::from(&wire.conversion),
        });
        Self {
            wires: kept.collect(),
        }
    }

    /// The ends and conversions; what cannot be understood is logged and left out.
    pub(super) fn read(self, calculator: &Calculator) -> Vec<((End, End), Conversion)> {
        let read = |wire: SavedWire| match wire.conversion.read(calculator) {
            Ok(conversion) => Some(((wire.from, wire.to), conversion)),
            Err(reason) => {
                let (from, to) = (wire.from, wire.to);
                tracing::error!(%from, %to, reason, "a wire that was kept is not understood");
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
    fn what_is_kept_is_read_as_it_was() {
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
        let kept = WiresDocument::of(registry.wires().map(|(_, wire)| wire));
        let text = serde_json::to_string(&kept).unwrap();
        let read: WiresDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(read.read(&calculator), [(ends(), conversion)]);
    }
}

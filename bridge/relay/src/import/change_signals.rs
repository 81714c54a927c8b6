//! Which properties a service declares to emit the changes of.
//!
//! Model: read from introspection data. The D-Bus specification takes a missing `EmitsChangedSignal` for `true`, but many
//! services without it emit nothing, so only an explicit declaration counts.
//! Limits: the text is limited by who keeps it.

use std::collections::{BTreeMap, HashMap};

use zocp_dbus::{interface::Emits, introspection::describe};

/// By interface and property: whether its changes are emitted.
pub(super) type ChangeSignals = HashMap<String, BTreeMap<String, bool>>;

/// Reads introspection data; a text that is not understood declares nothing.
pub(super) fn change_signals(xml: &str) -> ChangeSignals {
    let interfaces = describe(xml).interfaces.into_iter();
    let emitted = |emits| matches!(emits, Some(Emits::Value | Emits::Const));
    interfaces
        .map(|interface| {
            let properties = interface.properties.into_iter();
            let properties = properties.map(|property| (property.name, emitted(property.emits)));
            (interface.name, properties.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_counts() {
        let emitted = change_signals(
            r#"<!DOCTYPE node><node><interface name="org.a.A">
              <property name="Said" type="s" access="read">
                <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/>
              </property>
              <property name="Const" type="s" access="read">
                <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
              </property>
              <property name="Position" type="x" access="read"/>
              <method name="M"><annotation
                name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></method>
            </interface><interface name="org.a.B">
              <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/>
              <property name="Told" type="s" access="read"/>
              <property name="Not" type="s" access="read">
                <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal"
                  value="invalidates"/>
              </property>
            </interface><node name="child"/></node>"#,
        );
        let is_told = |interface: &str, name: &str| emitted[interface][name];
        assert!(is_told("org.a.A", "Said") && is_told("org.a.A", "Const"));
        assert!(!is_told("org.a.A", "Position"));
        assert!(is_told("org.a.B", "Told") && !is_told("org.a.B", "Not"));
    }

    #[test]
    fn what_is_no_introspection_data_tells_nothing() {
        for text in [
            "",
            "<node",
            "<a></b>",
            "<node><interface><property/></interface></node>",
        ] {
            assert!(change_signals(text).is_empty(), "{text}");
        }
    }
}

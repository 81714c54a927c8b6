//! Which properties a service says that it tells the changes of.
//!
//! Model: read from introspection data. The D-Bus specification takes a missing `EmitsChangedSignal` for
//! `true`, but many services that say nothing also tell nothing, so only what is said counts: at the
//! property, or else at its interface.
//! Limits: the text is bounded by who keeps it. No recursion.

use std::collections::{BTreeMap, HashMap};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// By interface and property: whether its changes are told.
pub(super) type Telling = HashMap<String, BTreeMap<String, bool>>;

/// Reads introspection data; what is not understood tells nothing.
pub(super) fn telling(xml: &str) -> Telling {
    let mut reading = Reading::default();
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => reading.open(&element),
            Ok(Event::Empty(element)) => {
                reading.open(&element);
                reading.close(element.name().as_ref());
            }
            Ok(Event::End(element)) => reading.close(element.name().as_ref()),
            Ok(Event::Eof) => return reading.telling,
            Ok(_) => {}
            Err(_) => return Telling::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Reading {
    telling: Telling,
    interface: Option<String>,
    /// What the interface says for all its properties.
    general: bool,
    properties: BTreeMap<String, Option<bool>>,
    property: Option<String>,
    /// In a method or signal, whose annotations are their own.
    is_elsewhere: bool,
}

impl Reading {
    fn open(&mut self, element: &BytesStart<'_>) {
        let name = || attribute(element, "name");
        match element.name().as_ref() {
            "interface" => self.interface = name(),
            "property" => {
                self.property = name();
                if let Some(property) = &self.property {
                    self.properties.insert(property.clone(), None);
                }
            }
            "method" | "signal" => self.is_elsewhere = true,
            "annotation" if name().as_deref() == Some(EMITS_CHANGED) && !self.is_elsewhere => {
                let value = attribute(element, "value");
                let is_told = matches!(value.as_deref(), Some("true" | "const"));
                match &self.property {
                    Some(property) => {
                        self.properties.insert(property.clone(), Some(is_told));
                    }
                    None => self.general = is_told,
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, tag: &str) {
        match tag {
            "property" => self.property = None,
            "method" | "signal" => self.is_elsewhere = false,
            "interface" => {
                let properties = std::mem::take(&mut self.properties).into_iter();
                let general = std::mem::take(&mut self.general);
                let told = properties.map(|(name, told)| (name, told.unwrap_or(general)));
                if let Some(interface) = self.interface.take() {
                    self.telling.insert(interface, told.collect());
                }
            }
            _ => {}
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

const EMITS_CHANGED: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_counts() {
        let told = telling(
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
        let is_told = |interface: &str, name: &str| told[interface][name];
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
            assert!(telling(text).is_empty(), "{text}");
        }
    }
}

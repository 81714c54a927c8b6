//! Writes the introspection XML of an object, when it is requested.
//!
//! Model: the standard interfaces, then the object's own interfaces by name, then its children. Every text from a peer
//! is a [`Text`] and escaped. Characters that XML 1.0 cannot represent, control characters other than tab and line
//! ends, become U+FFFD.
//! Spec: D-Bus specification, "Introspection Data Format".

use std::fmt::Write as _;

use super::{EMITS_CHANGED, qt};
use crate::{
    interface::{Access, Annotation, Argument, Emits, Interface, Property},
    message::Text,
};

/// The XML of an object with these interfaces and children.
pub(crate) fn xml<'a>(
    interfaces: impl Iterator<Item = &'a Interface>,
    is_manager: bool,
    children: impl Iterator<Item = &'a str>,
) -> String {
    let mut xml = String::with_capacity(2048);
    xml.push_str(DOCTYPE);
    xml.push_str("<node>\n");
    xml.push_str(STANDARD);
    if is_manager {
        xml.push_str(OBJECT_MANAGER);
    }
    for interface in interfaces {
        push_interface(&mut xml, interface);
    }
    for child in children {
        push(
            &mut xml,
            format_args!(" <node name=\"{}\"/>\n", Escaped(child)),
        );
    }
    xml.push_str("</node>\n");
    xml
}

fn push_interface(xml: &mut String, interface: &Interface) {
    let shape = &interface.shape;
    push(
        xml,
        format_args!(" <interface name=\"{}\">\n", Escaped(&shape.name)),
    );
    push_annotations(xml, "  ", &shape.annotations);
    for method in &shape.methods {
        push(
            xml,
            format_args!("  <method name=\"{}\">\n", Escaped(&method.name)),
        );
        push_arguments(xml, &method.inputs, " direction=\"in\"");
        push_arguments(xml, &method.outputs, " direction=\"out\"");
        push_annotations(xml, "   ", &method.annotations);
        let (inputs, outputs) = (types(&method.inputs), types(&method.outputs));
        let qt = qt::of_arguments("In", inputs).chain(qt::of_arguments("Out", outputs));
        push_missing(xml, qt, &method.annotations);
        xml.push_str("  </method>\n");
    }
    for signal in &shape.signals {
        push(
            xml,
            format_args!("  <signal name=\"{}\">\n", Escaped(&signal.name)),
        );
        push_arguments(xml, &signal.arguments, "");
        push_annotations(xml, "   ", &signal.annotations);
        let qt = qt::of_arguments("Out", types(&signal.arguments));
        push_missing(xml, qt, &signal.annotations);
        xml.push_str("  </signal>\n");
    }
    for property in &shape.properties {
        push_property(xml, property);
    }
    xml.push_str(" </interface>\n");
}

fn push_property(xml: &mut String, property: &Property) {
    let access = match property.access {
        Access::Read => "read",
        Access::Write => "write",
        Access::ReadWrite => "readwrite",
    };
    push(
        xml,
        format_args!(
            "  <property name=\"{}\" type=\"{}\" access=\"{access}\"",
            Escaped(&property.name),
            property.signature,
        ),
    );
    let emits = match property.emits {
        Emits::Value => None,
        Emits::Invalidation => Some("invalidates"),
        Emits::Const => Some("const"),
        Emits::Never => Some("false"),
    };
    let qt = qt::of_property(&property.signature);
    if emits.is_none() && property.annotations.is_empty() && qt.is_none() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    if let Some(emits) = emits {
        push(
            xml,
            format_args!("   <annotation name=\"{EMITS_CHANGED}\" value=\"{emits}\"/>\n"),
        );
    }
    push_annotations(xml, "   ", &property.annotations);
    push_missing(xml, qt.into_iter(), &property.annotations);
    xml.push_str("  </property>\n");
}

fn push_arguments(xml: &mut String, arguments: &[Argument], direction: &str) {
    for argument in arguments {
        xml.push_str("   <arg");
        if !argument.name.is_empty() {
            push(xml, format_args!(" name=\"{}\"", Escaped(&argument.name)));
        }
        push(
            xml,
            format_args!(" type=\"{}\"{direction}/>\n", argument.signature),
        );
    }
}

fn push_annotations(xml: &mut String, indent: &str, annotations: &[Annotation]) {
    for annotation in annotations {
        push(
            xml,
            format_args!(
                "{indent}<annotation name=\"{}\" value=\"{}\"/>\n",
                Escaped(&annotation.name),
                Escaped(&annotation.value),
            ),
        );
    }
}

/// Writes the annotations that are not among `given`.
fn push_missing(
    xml: &mut String,
    annotations: impl Iterator<Item = Annotation>,
    given: &[Annotation],
) {
    let missing = annotations.filter(|one| given.iter().all(|other| other.name != one.name));
    for annotation in missing {
        push_annotations(xml, "   ", &[annotation]);
    }
}

fn types(arguments: &[Argument]) -> impl Iterator<Item = &zbus::Signature> {
    arguments.iter().map(|argument| &argument.signature)
}

/// Appends a formatted text. Writing to a `String` does not fail.
fn push(xml: &mut String, text: std::fmt::Arguments<'_>) {
    xml.write_fmt(text).ok();
}

/// A text as the value of an attribute.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in Text::new(self.0).chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(letter))?,
                // U+FFFE and U+FFFF, which XML cannot represent either, are never in a `Text`.
                '\0'..='\u{1f}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

const DOCTYPE: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"#;

/// The interfaces of every object.
const STANDARD: &str = r#" <interface name="org.freedesktop.DBus.Peer">
  <method name="Ping"/>
  <method name="GetMachineId">
   <arg name="machine_uuid" type="s" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Introspectable">
  <method name="Introspect">
   <arg name="xml_data" type="s" direction="out"/>
  </method>
 </interface>
 <interface name="org.freedesktop.DBus.Properties">
  <method name="Get">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="property_name" type="s" direction="in"/>
   <arg name="value" type="v" direction="out"/>
  </method>
  <method name="Set">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="property_name" type="s" direction="in"/>
   <arg name="value" type="v" direction="in"/>
  </method>
  <method name="GetAll">
   <arg name="interface_name" type="s" direction="in"/>
   <arg name="properties" type="a{sv}" direction="out"/>
   <annotation name="org.qtproject.QtDBus.QtTypeName.Out0" value="QVariantMap"/>
  </method>
  <signal name="PropertiesChanged">
   <arg name="interface_name" type="s"/>
   <arg name="changed_properties" type="a{sv}"/>
   <arg name="invalidated_properties" type="as"/>
   <annotation name="org.qtproject.QtDBus.QtTypeName.Out1" value="QVariantMap"/>
  </signal>
 </interface>
"#;

const OBJECT_MANAGER: &str = r#" <interface name="org.freedesktop.DBus.ObjectManager">
  <method name="GetManagedObjects">
   <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
   <annotation name="org.qtproject.QtDBus.QtTypeName.Out0"
    value="QMap&lt;QDBusObjectPath,QMap&lt;QString,QVariantMap&gt;&gt;"/>
  </method>
  <signal name="InterfacesAdded">
   <arg name="object" type="o"/>
   <arg name="interfaces" type="a{sa{sv}}"/>
   <annotation name="org.qtproject.QtDBus.QtTypeName.Out1" value="QMap&lt;QString,QVariantMap&gt;"/>
  </signal>
  <signal name="InterfacesRemoved">
   <arg name="object" type="o"/>
   <arg name="interfaces" type="as"/>
  </signal>
 </interface>
"#;

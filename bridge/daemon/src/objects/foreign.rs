//! What the introspection data of others say.
//!
//! Model: [`describe`] reads what can be understood of a text and leaves the rest out: data of services in
//! the wild have elements of their own, members without types, objects written out within others. What
//! is understood is legal on the bus.
//! Invariants: F1. children are asked for themselves: what is written of them within their parent does
//! not count. F2. only what is said is told of `EmitsChangedSignal`: at the property, or else at its
//! interface.
//! Limits: the text is bounded by who keeps it, and what is made of it by the text. No recursion.
//! Not here: our own files, where an error is a fault (`super::parse`).

use std::ops::Range;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use zbus::{
    ObjectPath, Signature,
    names::{InterfaceName, MemberName, PropertyName},
};

use super::{parse::EMITS_CHANGED, shape::Access, shape::Emits};

/// An object as its introspection data describe it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Description {
    /// In the order of the text.
    pub(crate) interfaces: Vec<Described>,
    /// The names of the objects right below.
    pub(crate) children: Vec<String>,
}

/// An interface of such an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) properties: Vec<DescribedProperty>,
    pub(crate) signals: Vec<DescribedSignal>,
    /// Whether it has any member, methods too.
    pub(crate) has_members: bool,
    /// Where in the text it is written.
    pub(crate) span: Range<usize>,
}

/// A property of such an interface.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DescribedProperty {
    pub(crate) name: String,
    pub(crate) signature: Signature,
    pub(crate) access: Access,
    /// What is said of its changes (F2).
    pub(crate) emits: Option<Emits>,
}

/// A signal of such an interface.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DescribedSignal {
    pub(crate) name: String,
    /// The types of its arguments.
    pub(crate) arguments: Vec<Signature>,
}

/// Reads introspection data; `None` where they are no XML.
pub(crate) fn describe(xml: &str) -> Option<Description> {
    let mut reading = Reading::default();
    let mut reader = Reader::from_str(xml);
    loop {
        let start = position(&reader);
        match reader.read_event().ok()? {
            Event::Start(element) => reading.open(&element, start),
            Event::Empty(element) => {
                reading.open(&element, start);
                reading.close(element.name().as_ref(), position(&reader));
            }
            Event::End(element) => reading.close(element.name().as_ref(), position(&reader)),
            Event::Eof => return Some(reading.description),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Reading {
    description: Description,
    /// Nodes around the place.
    depth: usize,
    interface: Option<Described>,
    /// What the interface says of all its properties.
    general: Option<Emits>,
    member: Option<Member>,
}

enum Member {
    Property(DescribedProperty),
    Signal(DescribedSignal),
    /// A method, or what cannot be understood.
    Other,
}

impl Reading {
    fn open(&mut self, element: &BytesStart<'_>, start: usize) {
        match element.name().as_ref() {
            "node" => {
                self.depth += 1;
                if self.depth == 2 {
                    let child = attribute(element, "name").filter(|name| is_child(name));
                    self.description.children.extend(child);
                }
            }
            _ if self.depth > 1 => {}
            "interface" => {
                let name = attribute(element, "name");
                let legal = name.filter(|name| InterfaceName::try_from(name.as_str()).is_ok());
                self.interface = legal.map(|name| Described {
                    name,
                    span: start..start,
                    ..Described::default()
                });
            }
            "property" => {
                self.member = Some(property(element).map_or(Member::Other, Member::Property))
            }
            "signal" => self.member = Some(signal(element).map_or(Member::Other, Member::Signal)),
            "method" => self.member = Some(Member::Other),
            "arg" => self.argument(element),
            "annotation" => self.annotation(element),
            _ => {}
        }
    }

    fn argument(&mut self, element: &BytesStart<'_>) {
        let Some(Member::Signal(signal)) = &mut self.member else {
            return;
        };
        match signature(element) {
            Some(signature) => signal.arguments.push(signature),
            None => self.member = Some(Member::Other),
        }
    }

    fn annotation(&mut self, element: &BytesStart<'_>) {
        if attribute(element, "name").as_deref() != Some(EMITS_CHANGED) {
            return;
        }
        let emits = attribute(element, "value").and_then(|value| emits(&value));
        match &mut self.member {
            Some(Member::Property(property)) => property.emits = emits,
            Some(_) => {}
            None => self.general = emits,
        }
    }

    fn close(&mut self, tag: &str, end: usize) {
        match tag {
            "node" => self.depth = self.depth.saturating_sub(1),
            _ if self.depth > 1 => {}
            "property" | "signal" | "method" => {
                let (Some(member), Some(interface)) = (self.member.take(), &mut self.interface)
                else {
                    return;
                };
                interface.has_members = true;
                match member {
                    Member::Property(property) => interface.properties.push(property),
                    Member::Signal(signal) => interface.signals.push(signal),
                    Member::Other => {}
                }
            }
            "interface" => {
                let general = self.general.take();
                let Some(mut interface) = self.interface.take() else {
                    return;
                };
                interface.span.end = end;
                for property in &mut interface.properties {
                    property.emits = property.emits.or(general);
                }
                self.description.interfaces.push(interface);
            }
            _ => {}
        }
    }
}

fn property(element: &BytesStart<'_>) -> Option<DescribedProperty> {
    let name = attribute(element, "name")?;
    PropertyName::try_from(name.as_str()).ok()?;
    Some(DescribedProperty {
        name,
        signature: signature(element)?,
        access: match attribute(element, "access")?.as_str() {
            "read" => Access::Read,
            "write" => Access::Write,
            "readwrite" => Access::ReadWrite,
            _ => return None,
        },
        emits: None,
    })
}

fn signal(element: &BytesStart<'_>) -> Option<DescribedSignal> {
    let name = attribute(element, "name")?;
    MemberName::try_from(name.as_str()).ok()?;
    Some(DescribedSignal {
        name,
        arguments: Vec::new(),
    })
}

/// One complete type.
fn signature(element: &BytesStart<'_>) -> Option<Signature> {
    let text = attribute(element, "type")?;
    let signature = Signature::try_from(text.as_str()).ok()?;
    // Several types read as a structure, none as nothing.
    (signature != Signature::Unit && signature.to_string() == text).then_some(signature)
}

fn emits(value: &str) -> Option<Emits> {
    match value {
        "true" => Some(Emits::Value),
        "invalidates" => Some(Emits::Invalidation),
        "const" => Some(Emits::Const),
        "false" => Some(Emits::Never),
        _ => None,
    }
}

fn is_child(name: &str) -> bool {
    ObjectPath::try_from(format!("/{name}")).is_ok() && !name.is_empty()
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<!DOCTYPE node PUBLIC "x" "y"><node xmlns:doc="z">
      <interface name="org.a.A">
        <doc:doc><doc:para>Words &amp; words.</doc:para></doc:doc>
        <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
        <property name="Volume" type="d" access="readwrite"/>
        <property name="Name" type="s" access="read">
          <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
        </property>
        <property name="Broken" type="dd" access="read"/>
        <property name="Wrong" access="read"/>
        <method name="Stop"><arg type="s" direction="in"/></method>
        <signal name="Seeked"><arg name="to" type="x"/></signal>
        <signal name="Odd"><arg type="("/></signal>
      </interface>
      <interface name="no interface"><property name="P" type="s" access="read"/></interface>
      <interface name="org.a.Bare"/>
      <node name="child"><interface name="org.a.Inner"/><node name="grandchild"/></node>
      <node name="two/deep"/><node name="/no"/><node/>
    </node>"#;

    #[test]
    fn what_is_understood_is_taken_and_the_rest_left_out() {
        let described = describe(XML).unwrap();
        assert_eq!(described.children, ["child", "two/deep"]);
        let [a, bare] = &described.interfaces[..] else {
            panic!("{described:?}");
        };
        assert_eq!((&*a.name, &*bare.name), ("org.a.A", "org.a.Bare"));
        assert!(a.has_members && !bare.has_members);
        let properties: Vec<_> = a
            .properties
            .iter()
            .map(|it| (&*it.name, it.emits))
            .collect();
        let said = [("Volume", Some(Emits::Never)), ("Name", Some(Emits::Const))];
        assert_eq!(properties, said);
        assert_eq!(a.properties[0].access, Access::ReadWrite);
        let [seeked] = &a.signals[..] else {
            panic!("{a:?}");
        };
        assert_eq!(
            (&*seeked.name, &seeked.arguments[..]),
            ("Seeked", &[Signature::I64][..])
        );
    }

    #[test]
    fn an_interface_is_found_in_its_text() {
        let described = describe(XML).unwrap();
        let text = &XML[described.interfaces[1].span.clone()];
        assert_eq!(text, r#"<interface name="org.a.Bare"/>"#);
        let text = &XML[described.interfaces[0].span.clone()];
        assert!(text.starts_with("<interface name=\"org.a.A\">") && text.ends_with("</interface>"));
    }

    #[test]
    fn what_is_no_xml_describes_nothing() {
        for text in ["<node", "<a></b>", "</node>"] {
            assert_eq!(describe(text), None, "{text}");
        }
        assert_eq!(describe(""), Some(Description::default()));
    }
}

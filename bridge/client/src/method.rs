//! The methods of an object: what they take and give, from introspection data.
//!
//! Limits: `METHODS_MAX` of one object and `ARGUMENTS_MAX` of one method; what is beyond is not shown.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// A method of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Method {
    /// Its label, by which it is called.
    pub name: String,
    /// What it takes.
    pub inputs: Vec<Argument>,
    /// What it gives.
    pub outputs: Vec<Argument>,
}

/// An argument of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// What it is called; may be empty.
    pub name: String,
    /// Its D-Bus type.
    pub signature: String,
}

/// The methods that an interface has in introspection data; those before the first error of XML that is none.
#[must_use]
pub fn methods(xml: &str, interface: &str) -> Vec<Method> {
    let mut reader = Reader::from_str(xml);
    let (mut methods, mut is_meant) = (Vec::<Method>::new(), false);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                "interface" => is_meant = attribute(&tag, "name").as_deref() == Some(interface),
                "method" if is_meant && methods.len() < METHODS_MAX => methods.push(Method {
                    name: attribute(&tag, "name").unwrap_or_default(),
                    ..Method::default()
                }),
                "arg" if is_meant => {
                    if let Some(method) = methods.last_mut() {
                        add(method, &tag);
                    }
                }
                _ => {}
            },
            Event::End(tag) if tag.name().as_ref() == "interface" => is_meant = false,
            _ => {}
        }
    }
    methods
}

fn add(method: &mut Method, tag: &BytesStart<'_>) {
    let is_output = attribute(tag, "direction").as_deref() == Some("out");
    let arguments = match is_output {
        true => &mut method.outputs,
        false => &mut method.inputs,
    };
    if arguments.len() < ARGUMENTS_MAX {
        arguments.push(Argument {
            name: attribute(tag, "name").unwrap_or_default(),
            signature: attribute(tag, "type").unwrap_or_default(),
        });
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    let text = attribute
        .normalized_value(quick_xml::XmlVersion::Implicit1_0)
        .ok()?;
    Some(text.into_owned())
}

/// More than any node is known to have.
const METHODS_MAX: usize = 1024;
/// D-Bus has no more in one message than its signature of 255 letters can name.
const ARGUMENTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_one_interface_are_read() {
        let xml = r#"<node><interface name="a.B"><method name="no"/></interface>
            <interface name="a.C"><method name="blink"><arg name="t&amp;x" type="x" direction="in"/>
            <arg type="" direction="out"/></method><method name="off"/></interface></node>"#;
        let found = methods(xml, "a.C");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name, "blink");
        assert_eq!(found[0].inputs[0].name, "t&x");
        assert_eq!(found[0].inputs[0].signature, "x");
        assert_eq!(found[0].outputs[0].signature, "");
        assert_eq!(
            found[1],
            Method {
                name: "off".into(),
                ..Method::default()
            }
        );
        assert!(methods("<node", "a.C").is_empty());
    }
}

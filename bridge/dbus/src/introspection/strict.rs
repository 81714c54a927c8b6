//! A strict parser for introspection XML.
//!
//! Model: `interfaces/*.xml` are the source of truth for the fixed interfaces; this parser turns them into
//! [`Interface`]s. The files belong to this project, so an error is a bug that a test finds.
//! Not here: writing XML, see `super::xml`.

use std::{borrow::Cow, sync::Arc};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use zbus::Signature;

use super::EMITS_CHANGED;
use crate::interface::{
    Access, Annotation, Argument, Content, Emits, Interface, Method, Property, Signal,
};

/// Why a text cannot be parsed: the writer's mistake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// It is not well-formed XML.
    #[error("not well-formed: {0}")]
    Malformed(#[from] quick_xml::Error),
    /// An attribute is not well-formed.
    #[error("not well-formed: {0}")]
    Attribute(#[from] quick_xml::events::attributes::AttrError),
    /// An element lacks an attribute.
    #[error("<{element}> has no attribute {attribute}")]
    Missing {
        /// The element.
        element: String,
        /// The attribute.
        attribute: &'static str,
    },
    /// An attribute has an invalid value.
    #[error("the attribute {attribute} has the invalid value \"{value}\"")]
    Value {
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
    },
    /// An element is in the wrong place.
    #[error("<{0}> is in the wrong place")]
    Misplaced(String),
}

/// Parses introspection XML; returns its interfaces, with properties without values.
///
/// # Errors
///
/// The text is not well-formed, or not valid introspection data.
pub fn parse_interfaces(xml: &str) -> Result<Vec<Interface>, XmlError> {
    let mut reader = Reader::from_str(xml);
    let mut parser = Parser::default();
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(parser.interfaces),
            Event::Start(element) => parser.open(&element)?,
            Event::Empty(element) => {
                parser.open(&element)?;
                parser.close(element.name().into_inner())?;
            }
            Event::End(element) => parser.close(element.name().into_inner())?,
            _ => {}
        }
    }
}

#[derive(Default)]
struct Parser {
    interfaces: Vec<Interface>,
    interface: Option<Interface>,
    member: Option<Member>,
}

enum Member {
    Method(Method),
    Signal(Signal),
    Property(Property),
}

impl Parser {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), XmlError> {
        let tag = element.name().into_inner();
        match (tag, &mut self.interface, &mut self.member) {
            ("node", None, None) => {}
            ("interface", None, None) => {
                self.interface = Some(Interface::new(required(element, "name")?));
            }
            ("method" | "signal" | "property", Some(_), None) => {
                self.member = Some(member(tag, element)?);
            }
            ("arg", Some(_), Some(member)) => add_argument(member, element)?,
            ("annotation", Some(_), Some(member)) => annotate(member, annotation(element)?),
            ("annotation", Some(interface), None) => {
                let annotation = annotation(element)?;
                Arc::make_mut(&mut interface.shape)
                    .annotations
                    .push(annotation);
            }
            _ => return Err(XmlError::Misplaced(tag.to_owned())),
        }
        Ok(())
    }

    fn close(&mut self, tag: &str) -> Result<(), XmlError> {
        match tag {
            "interface" => self.interfaces.extend(self.interface.take()),
            "method" | "signal" | "property" => {
                let (Some(interface), Some(member)) = (&mut self.interface, self.member.take())
                else {
                    return Err(XmlError::Misplaced(tag.to_owned()));
                };
                match member {
                    Member::Method(method) => interface.add_method(method),
                    Member::Signal(signal) => interface.add_signal(signal),
                    // A property without a value cannot have the wrong type.
                    Member::Property(property) => {
                        interface.add_property(property, Content::Missing).ok();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn member(tag: &str, element: &BytesStart<'_>) -> Result<Member, XmlError> {
    let name: Arc<str> = required(element, "name")?.into();
    let annotations = Vec::new();
    Ok(match tag {
        "method" => Member::Method(Method {
            name,
            inputs: Vec::new(),
            outputs: Vec::new(),
            annotations,
        }),
        "signal" => Member::Signal(Signal {
            name,
            arguments: Vec::new(),
            annotations,
        }),
        _ => Member::Property(Property {
            name,
            signature: signature(element)?,
            access: access(element)?,
            emits: Emits::Value,
            annotations,
        }),
    })
}

fn add_argument(member: &mut Member, element: &BytesStart<'_>) -> Result<(), XmlError> {
    let argument = Argument {
        name: optional(element, "name")?.unwrap_or_default().into(),
        signature: signature(element)?,
    };
    let direction = optional(element, "direction")?;
    match (member, direction.as_deref()) {
        (Member::Method(method), None | Some("in")) => method.inputs.push(argument),
        (Member::Method(method), Some("out")) => method.outputs.push(argument),
        (Member::Signal(signal), None | Some("out")) => signal.arguments.push(argument),
        (Member::Property(_), _) => return Err(XmlError::Misplaced("arg".to_owned())),
        (_, Some(other)) => return Err(invalid("direction", other)),
    }
    Ok(())
}

/// `EmitsChangedSignal` is parsed, every other annotation is kept as it is.
fn annotate(member: &mut Member, annotation: Annotation) {
    match member {
        Member::Method(method) => method.annotations.push(annotation),
        Member::Signal(signal) => signal.annotations.push(annotation),
        Member::Property(property) if annotation.name == EMITS_CHANGED => {
            property.emits = match &*annotation.value {
                "invalidates" => Emits::Invalidation,
                "const" => Emits::Const,
                "false" => Emits::Never,
                _ => Emits::Value,
            };
        }
        Member::Property(property) => property.annotations.push(annotation),
    }
}

fn annotation(element: &BytesStart<'_>) -> Result<Annotation, XmlError> {
    Ok(Annotation {
        name: required(element, "name")?.into(),
        value: required(element, "value")?.into_boxed_str(),
    })
}

fn access(element: &BytesStart<'_>) -> Result<Access, XmlError> {
    match required(element, "access")?.as_str() {
        "read" => Ok(Access::Read),
        "write" => Ok(Access::Write),
        "readwrite" => Ok(Access::ReadWrite),
        other => Err(invalid("access", other)),
    }
}

fn signature(element: &BytesStart<'_>) -> Result<Signature, XmlError> {
    let text = required(element, "type")?;
    Signature::try_from(text.as_str()).map_err(|_| invalid("type", &text))
}

fn required(element: &BytesStart<'_>, attribute: &'static str) -> Result<String, XmlError> {
    optional(element, attribute)?.ok_or_else(|| XmlError::Missing {
        element: element.name().into_inner().to_owned(),
        attribute,
    })
}

fn optional(element: &BytesStart<'_>, attribute: &str) -> Result<Option<String>, XmlError> {
    element
        .try_get_attribute(attribute)?
        .map(|found| {
            Ok(found
                .normalized_value(XmlVersion::Implicit1_0)
                .map(Cow::into_owned)?)
        })
        .transpose()
}

fn invalid(attribute: &'static str, value: &str) -> XmlError {
    XmlError::Value {
        attribute,
        value: value.to_owned(),
    }
}

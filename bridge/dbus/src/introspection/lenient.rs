//! A lenient parser for the introspection data of other programs.
//!
//! Model: [`describe`] returns the parts of a text that it can use and ignores the rest. The data of real services
//! contains foreign elements, members without types, nested objects and duplicate interfaces, or is truncated.
//! Everything that is returned is valid on the bus.
//! Invariants: LENIENT-1. Children have introspection data of their own; what their parent contains about them is
//! ignored.
//! LENIENT-2. `EmitsChangedSignal` is returned only if it is declared, at the property or else at its interface.
//!     LENIENT-3. An unknown element is ignored with its contents. LENIENT-4. Of two members with the same name the
//!     first one counts. LENIENT-5. The default direction is `in`, the default access `readwrite`: the service rejects
//!     what it does not support. LENIENT-6. The name of a property may be any text; D-Bus has rules only for names of
//!     methods and signals.
//! Limits: the caller bounds the text, and the text bounds the result; parsing stops at [`DEPTH_MAX`] nested elements.
//! No recursion.
//! Not here: our own files, in which an error is a bug (`super::parse_interfaces`).

mod description;
mod element;

use std::collections::{HashMap, HashSet};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use zbus::names::InterfaceName;

use self::element::{attribute, emits, is_child, method, property, signal, signature};
pub use self::{
    description::{Described, DescribedMethod, DescribedProperty, DescribedSignal, Description},
    element::is_property,
};
use super::EMITS_CHANGED;
use crate::interface::Emits;

/// Parses introspection data as far as possible.
pub fn describe(xml: &str) -> Description {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut reading = Reading::default();
    loop {
        let start = position(&reader);
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                if !reading.open(&element, start) {
                    break;
                }
            }
            Ok(Event::Empty(element)) => {
                if !reading.open(&element, start) {
                    break;
                }
                reading.close_last(position(&reader));
            }
            Ok(Event::End(element)) => reading.close(element.name().as_ref(), position(&reader)),
            Ok(Event::Eof) => {
                reading.description.is_whole = reading.open.is_empty();
                break;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    while !reading.open.is_empty() {
        reading.close_last(xml.len());
    }
    reading.description
}

#[derive(Default)]
struct Reading {
    description: Description,
    /// The open elements.
    open: Vec<(Kind, String)>,
    /// The indexes of interfaces in the description, by name.
    places: HashMap<String, usize>,
    /// Members that are in the description, by the index of their interface (LENIENT-4).
    seen: HashSet<(usize, Kind, String)>,
    interface: Option<Within>,
    member: Option<Member>,
}

/// The open interface.
struct Within {
    place: usize,
    /// The `EmitsChangedSignal` of the interface, and the first property to which it applies.
    general: Option<Emits>,
    from: usize,
    is_first: bool,
}

/// The kind of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Node,
    Child,
    Interface,
    Method,
    Signal,
    Property,
    Argument,
    Annotation,
    /// Ignored with its contents (LENIENT-3).
    Unknown,
}

impl Kind {
    fn of(tag: &str, around: Option<Self>) -> Self {
        match (tag, around) {
            ("interface", None | Some(Self::Node)) => Self::Interface,
            // Some files have another root element.
            (_, None) => Self::Node,
            ("node", Some(Self::Node)) => Self::Child,
            ("method", Some(Self::Interface)) => Self::Method,
            ("signal", Some(Self::Interface)) => Self::Signal,
            ("property", Some(Self::Interface)) => Self::Property,
            ("arg", Some(Self::Method | Self::Signal)) => Self::Argument,
            (
                "annotation",
                Some(Self::Interface | Self::Method | Self::Signal | Self::Property),
            ) => Self::Annotation,
            _ => Self::Unknown,
        }
    }
}

enum Member {
    Method(DescribedMethod),
    Property(DescribedProperty),
    Signal(DescribedSignal),
    /// A member that cannot be used.
    Other,
}

impl Reading {
    /// Opens an element; returns whether parsing continues.
    fn open(&mut self, element: &BytesStart<'_>, start: usize) -> bool {
        if self.open.len() >= DEPTH_MAX {
            return false;
        }
        let name = element.name();
        let tag: &str = name.as_ref();
        let kind = Kind::of(tag, self.open.last().map(|(kind, _)| *kind));
        self.open.push((kind, tag.to_owned()));
        match kind {
            Kind::Child => {
                let child = attribute(element, "name").filter(|name| is_child(name));
                self.description.children.extend(child);
            }
            Kind::Interface => self.open_interface(element, start),
            Kind::Method => self.member = method(element).map(Member::Method),
            Kind::Signal => self.member = signal(element).map(Member::Signal),
            Kind::Property => self.member = property(element).map(Member::Property),
            Kind::Argument => self.argument(element),
            Kind::Annotation => self.annotation(element),
            Kind::Node | Kind::Unknown => {}
        }
        if matches!(kind, Kind::Method | Kind::Signal | Kind::Property) {
            self.member.get_or_insert(Member::Other);
        }
        true
    }

    fn open_interface(&mut self, element: &BytesStart<'_>, start: usize) {
        let name = attribute(element, "name");
        let legal = name.filter(|name| InterfaceName::try_from(name.as_str()).is_ok());
        let Some(name) = legal else {
            self.interface = None;
            return;
        };
        let interfaces = &mut self.description.interfaces;
        let known = self.places.get(&name).copied();
        let place = known.unwrap_or(interfaces.len());
        if known.is_none() {
            self.places.insert(name.clone(), place);
            interfaces.push(Described {
                name,
                span: start..start,
                ..Described::default()
            });
        }
        self.interface = Some(Within {
            place,
            general: None,
            from: interfaces[place].properties.len(),
            is_first: known.is_none(),
        });
    }

    fn argument(&mut self, element: &BytesStart<'_>) {
        let signature = signature(element);
        match &mut self.member {
            Some(Member::Signal(signal)) => match signature {
                Some(signature) => signal.arguments.push(signature),
                None => self.member = Some(Member::Other),
            },
            Some(Member::Method(method)) => {
                let direction = attribute(element, "direction").unwrap_or_default();
                if direction.trim().eq_ignore_ascii_case("out") {
                    return;
                }
                match (&mut method.inputs, signature) {
                    (Some(inputs), Some(signature)) => inputs.push(signature),
                    (inputs, _) => *inputs = None,
                }
            }
            _ => {}
        }
    }

    fn annotation(&mut self, element: &BytesStart<'_>) {
        if attribute(element, "name").as_deref() != Some(EMITS_CHANGED) {
            return;
        }
        let emits = attribute(element, "value").and_then(|value| emits(&value));
        match (&mut self.member, &mut self.interface) {
            (Some(Member::Property(property)), _) => property.emits = emits,
            (None, Some(interface)) => interface.general = emits,
            _ => {}
        }
    }

    /// Closes an element and all open elements within it. An end without a start is ignored.
    fn close(&mut self, tag: &str, end: usize) {
        let Some(at) = self.open.iter().rposition(|(_, open)| open == tag) else {
            return;
        };
        while self.open.len() > at {
            self.close_last(end);
        }
    }

    fn close_last(&mut self, end: usize) {
        let Some((kind, _)) = self.open.pop() else {
            return;
        };
        match kind {
            Kind::Method | Kind::Signal | Kind::Property => self.close_member(kind),
            Kind::Interface => self.close_interface(end),
            _ => {}
        }
    }

    fn close_member(&mut self, kind: Kind) {
        let (Some(member), Some(within)) = (self.member.take(), &self.interface) else {
            return;
        };
        let interface = &mut self.description.interfaces[within.place];
        interface.has_members = true;
        let name = match &member {
            Member::Method(method) => &method.name,
            Member::Property(property) => &property.name,
            Member::Signal(signal) => &signal.name,
            Member::Other => return,
        };
        if !self.seen.insert((within.place, kind, name.clone())) {
            return;
        }
        match member {
            Member::Method(method) => interface.methods.push(method),
            Member::Property(property) => interface.properties.push(property),
            Member::Signal(signal) => interface.signals.push(signal),
            Member::Other => {}
        }
    }

    fn close_interface(&mut self, end: usize) {
        let Some(within) = self.interface.take() else {
            return;
        };
        let interface = &mut self.description.interfaces[within.place];
        if within.is_first {
            interface.span.end = end;
        }
        for property in interface.properties.iter_mut().skip(within.from) {
            property.emits = property.emits.or(within.general);
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

const DEPTH_MAX: usize = 1024;

#[cfg(test)]
mod tests;

//! The two ends of a wire and their text form.
//!
//! Model: an [`End`] is a capability of a node, or a member of an object on this bus. Its text form is
//! `NODE:CAPABILITY` or `dbus:SERVICE:/PATH:INTERFACE.MEMBER`. A text that has all parts of the second form is read as
//! such; in any other text the node ends at the first colon. The last dot ends the interface. A member that contains a
//! dot, which is possible for properties, is written in double quotes, in which \" stands for " and \\ for \.
//! Invariants: END-1. The text form of an end is read as the same end: a name with a colon is written as its label.
//! Spec: docs/reference/dbus.md, "Wires".

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zbus::{
    ObjectPath,
    names::{BusName, InterfaceName},
};
use zocp_node::PeerId;

use zocp_dbus::introspection::is_property;
use zocp_mapping::label::label;

/// One end of a wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// A capability of a node.
    Node(NodeEnd),
    /// A property, method or signal of a service on this bus.
    Bus(BusEnd),
}

/// A capability of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeEnd {
    /// The node's name, or the text that the user wrote until such a node is present.
    pub node: String,
    /// Its raw name or dotted path.
    pub capability: String,
    /// The id of the node while it is present, because another node may have the same name.
    #[serde(skip)]
    pub pinned: Option<PeerId>,
}

/// A member of an object on this bus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BusEnd {
    /// The bus name.
    pub service: String,
    /// The object.
    pub path: String,
    /// The interface.
    pub interface: String,
    /// The property, the method or the signal.
    pub member: String,
}

/// Why a text is not an end: the writer's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// Neither of the two forms.
    #[error("\"{0}\" is neither NODE:CAPABILITY nor dbus:SERVICE:/PATH:INTERFACE.MEMBER")]
    Form(String),
    /// A part of the second form is not valid on D-Bus.
    #[error("\"{0}\" is not a valid {1}")]
    Part(String, &'static str),
}

impl NodeEnd {
    /// The end for a node and a capability in text form.
    #[must_use]
    pub fn new(node: &str, capability: &str) -> Self {
        Self {
            node: node.to_owned(),
            capability: capability.to_owned(),
            pinned: None,
        }
    }
}

impl From<NodeEnd> for End {
    fn from(end: NodeEnd) -> Self {
        Self::Node(end)
    }
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(parts) = text.strip_prefix(BUS_PREFIX).and_then(bus_parts) {
            return checked(parts).map(Self::Bus);
        }
        match text.split_once(':') {
            Some((node, capability)) if !node.is_empty() && !capability.is_empty() => {
                Ok(NodeEnd::new(node, capability).into())
            }
            _ => Err(EndError::Form(text.to_owned())),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(end) => {
                let (node, capability) = (&end.node, &end.capability);
                let is_plain = |text: &str| !text.is_empty() && !text.contains(':');
                if is_plain(node) && is_plain(capability) {
                    return write!(f, "{node}:{capability}");
                }
                write!(f, "{}:", label(node))?;
                if is_plain(capability) {
                    f.write_str(capability)
                } else {
                    f.write_str(&label(capability))
                }
            }
            Self::Bus(end) => write!(
                f,
                "{BUS_PREFIX}{}:{}:{}.{}",
                end.service,
                end.path,
                end.interface,
                quoted(&end.member)
            ),
        }
    }
}

/// Service, path, interface and member, if the text has all of them.
fn bus_parts(text: &str) -> Option<[Cow<'_, str>; 4]> {
    // A unique name, :1.7, begins with a colon.
    let at = text.find(":/")?;
    let (service, rest) = text.split_at(at);
    let (path, member) = rest.get(1..)?.split_once(':')?;
    let (interface, member) = match member.strip_suffix('"').and_then(|it| it.split_once(".\"")) {
        Some((interface, quoted)) => (interface, unquoted(quoted).unwrap_or_default().into()),
        None => {
            let (interface, member) = member.rsplit_once('.')?;
            (interface, member.into())
        }
    };
    Some([service.into(), path.into(), interface.into(), member])
}

/// The text form of a member.
fn quoted(member: &str) -> Cow<'_, str> {
    if !member.contains(['.', '"']) {
        return member.into();
    }
    let escaped = member.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"").into()
}

/// The text within quotes; `None` if it contains an unescaped quote.
fn unquoted(text: &str) -> Option<String> {
    let mut member = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return None,
            '\\' => member.push(letters.next()?),
            letter => member.push(letter),
        }
    }
    Some(member)
}

fn checked(parts: [Cow<'_, str>; 4]) -> Result<BusEnd, EndError> {
    let [service, path, interface, member] = parts.each_ref().map(|part| &**part);
    let check = |is_one: bool, text: &str, what| {
        if is_one {
            Ok(text.to_owned())
        } else {
            Err(EndError::Part(text.to_owned(), what))
        }
    };
    Ok(BusEnd {
        service: check(BusName::try_from(service).is_ok(), service, "bus name")?,
        path: check(ObjectPath::try_from(path).is_ok(), path, "object path")?,
        interface: check(
            InterfaceName::try_from(interface).is_ok(),
            interface,
            "interface name",
        )?,
        member: check(is_property(member), member, "member name")?,
    })
}

const BUS_PREFIX: &str = "dbus:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_is_written() {
        for text in [
            "stage:fader",
            "lamp@foh:My Float/ü",
            "cam:pan.angle",
            "dbus:org.example.Player:/org/example:org.example.Player.Volume",
            "dbus::1.7:/:a.b.C",
            "dbus:a.b:/:a.b.num-enroll-stages",
            "dbus:a.b:/:a.b.1st",
            "dbus:a.b:/:a.b.with space: and \\",
            r#"dbus:a.b:/:a.b."c.d""#,
            r#"dbus:a.b:/:a.b."c:\"\\\".""#,
            "dbus:not a bus end",
        ] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_member_with_a_dot_is_in_quotes() {
        let read = |text: &str| match text.parse::<End>().unwrap() {
            End::Bus(end) => (end.interface, end.member),
            other => panic!("{other:?}"),
        };
        let parts = |interface: &str, member: &str| (interface.to_owned(), member.to_owned());
        assert_eq!(read(r#"dbus:a.b:/:a.b."c.d""#), parts("a.b", "c.d"));
        assert_eq!(read("dbus:a.b:/:a.b.c.d"), parts("a.b.c", "d"));
        assert_eq!(read(r#"dbus:a.b:/:a.b."C""#), parts("a.b", "C"));
        let name = r#"all . of " \ it"#;
        let end = End::Bus(BusEnd {
            service: "a.b".into(),
            path: "/".into(),
            interface: "a.b".into(),
            member: name.into(),
        });
        assert_eq!(read(&end.to_string()), parts("a.b", name));
    }

    #[test]
    fn a_name_with_a_colon_is_written_as_its_label() {
        let end = End::from(NodeEnd::new("a:b", "c"));
        assert_eq!(end.to_string(), "a_3ab:c");
        assert_eq!(End::from(NodeEnd::new("a", "b:c")).to_string(), "a:b_3ac");
    }

    #[test]
    fn what_is_no_end_is_refused() {
        for text in [
            "",
            "lamp",
            ":x",
            "x:",
            "dbus:a b:/x:a.b.C",
            "dbus:a.b:/x//y:a.b.C",
            "dbus:a.b:/x:a.b.",
            "dbus:a.b:/x:a.b.\u{7}",
            r#"dbus:a.b:/x:a.b."""#,
        ] {
            assert!(text.parse::<End>().is_err(), "{text}");
        }
    }
}

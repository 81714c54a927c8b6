//! `mesh.mailbox_port`: a number, or a range as text.

use std::fmt;

use serde::{Deserializer, de};
use zocp_node::{Ports, PortsError};

use super::{ConfigError, invalid};

/// A number or a text; what it means is looked at with all else.
pub(super) fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    struct PortText;

    impl de::Visitor<'_> for PortText {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a port, or a range such as \"49152-49160\"")
        }

        fn visit_i64<E>(self, port: i64) -> Result<String, E> {
            Ok(port.to_string())
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    value.deserialize_any(PortText).map(Some)
}

pub(super) fn checked(text: String) -> Result<Ports, ConfigError> {
    text.parse()
        .map_err(|error: PortsError| invalid("mesh.mailbox_port", &format!("\"{text}\": {error}")))
}

//! Where in a file a key is.

use toml::de::{DeTable, DeValue};

/// The line, from 1, of a key such as `mesh.port` in a text that is TOML; of a key that is not there,
/// that of the part of it that is, or 1.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let Ok(table) = DeTable::parse(text) else {
        return 1;
    };
    let mut table = Some(table.get_ref());
    let mut at = 0;
    for part in key.split('.') {
        let Some((name, value)) = table.and_then(|table| table.get_key_value(part)) else {
            break;
        };
        at = name.span().start;
        table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    1 + text.as_bytes()[..at]
        .iter()
        .filter(|octet| **octet == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_section() {
        let text = "[bus]\nport = 1\n\n[mesh]\nname = 'a'\nport = 0\n";
        assert_eq!(line_of(text, "mesh.port"), 6);
        assert_eq!(line_of(text, "mesh.expiry"), 4);
        assert_eq!(line_of(text, "limits.peers_max"), 1);
        assert_eq!(line_of("mesh.port = 0", "mesh.port"), 1);
        assert_eq!(line_of("mesh = [", "mesh.port"), 1);
    }
}

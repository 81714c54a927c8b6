//! Which events a watcher gets, from the options of `Open`.
//!
//! Model: a watcher gets an event that passes every filter of its options. A filter by verb or by service
//! passes messages alone: then the watcher gets no other events.

use std::collections::HashMap;

use zbus::Variant;

use zocp_dbus::{errors::Refusal, server::strings};

/// The filters of a watcher. See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) format: Format,
    /// Names or UUIDs; if it is empty, every peer passes.
    peers: Vec<String>,
    /// In capitals; if it is empty, every verb passes.
    verbs: Vec<String>,
    /// If it is empty, every service passes, and so do other events.
    services: Vec<String>,
    /// Whether beacons pass.
    pub(super) beacons: bool,
}

fn wrong(key: &str) -> Refusal {
    let text = format!("\"{key}\" is not an option of a watcher, or has the wrong type");
    Refusal::InvalidArgs(text)
}

/// The words of an option. They are compared with each event.
fn words(key: &str, value: &Variant<'_>) -> Result<Vec<String>, Refusal> {
    let words = strings(value).ok_or_else(|| wrong(key))?;
    if words.len() > WORDS_MAX {
        let text = format!(
            "\"{key}\" has {} words; it may have {WORDS_MAX}",
            words.len()
        );
        return Err(Refusal::InvalidArgs(text));
    }
    Ok(words)
}

/// Words of one option of a watcher.
const WORDS_MAX: usize = 256;

/// The form of the events that a watcher reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines of JSON, one object a line.
    #[default]
    Json,
    /// A capture file for Wireshark.
    Pcapng,
}

/// The parts of an event that filters look at.
#[derive(Debug, Default)]
pub(super) struct Subject<'a> {
    /// The peer's name and UUID.
    pub(super) peer: Option<(&'a str, &'a str)>,
    /// Of a message: its verb on the mesh, and the type of its packet.
    pub(super) verbs: &'a [&'a str],
    /// Of a packet: its service.
    pub(super) service: Option<&'a str>,
}

impl Filter {
    pub(super) fn read(options: Option<&Variant<'_>>) -> Result<Self, Refusal> {
        let no_dictionary =
            || Refusal::InvalidArgs("the options must be a dictionary a{sv}".to_owned());
        let Some(Variant::Dict(options)) = options else {
            return Err(no_dictionary());
        };
        let mut filter = Self::default();
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                return Err(no_dictionary());
            };
            match (key.as_str(), &**value) {
                ("format", Variant::Str(format)) => {
                    let formats =
                        HashMap::from([("json", Format::Json), ("pcapng", Format::Pcapng)]);
                    let format = formats.get(format.as_str());
                    let unknown = || {
                        Refusal::InvalidArgs("\"format\" must be \"json\" or \"pcapng\"".to_owned())
                    };
                    filter.format = *format.ok_or_else(unknown)?;
                }
                ("peers", value) => filter.peers = words(key.as_str(), value)?,
                ("verbs", value) => {
                    let verbs = words(key.as_str(), value)?;
                    filter.verbs = verbs.iter().map(|verb| verb.to_uppercase()).collect();
                }
                ("services", value) => filter.services = words(key.as_str(), value)?,
                ("beacons", Variant::Bool(beacons)) => filter.beacons = *beacons,
                (key, _) => return Err(wrong(key)),
            }
        }
        Ok(filter)
    }

    /// Whether an event passes.
    pub(super) fn wants(&self, subject: &Subject<'_>) -> bool {
        let is_peer = |wanted: &String| {
            subject
                .peer
                .is_some_and(|(name, uuid)| wanted == name || wanted == uuid)
        };
        let is_verb = |wanted: &String| {
            let mut verbs = subject.verbs.iter();
            verbs.any(|verb| wanted.eq_ignore_ascii_case(verb))
        };
        let is_service = |wanted: &String| subject.service == Some(wanted);
        (self.peers.is_empty() || self.peers.iter().any(is_peer))
            && (self.verbs.is_empty() || self.verbs.iter().any(is_verb))
            && (self.services.is_empty() || self.services.iter().any(is_service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(options: &[(&str, Variant<'static>)]) -> Result<Filter, Refusal> {
        let options: HashMap<String, Variant<'static>> = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.try_clone().unwrap()))
            .collect();
        Filter::read(Some(&Variant::new(options)))
    }

    #[test]
    fn an_event_passes_every_filter_that_is_given() {
        let filter = filter(&[
            ("peers", Variant::new(vec!["lamp"])),
            ("verbs", Variant::new(vec!["sig", "Call"])),
        ])
        .unwrap();
        let subject = |name, verbs| Subject {
            peer: Some((name, "00")),
            verbs,
            service: None,
        };
        assert!(filter.wants(&subject("lamp", &["SIG"])));
        assert!(filter.wants(&subject("lamp", &["WHISPER", "call"])));
        assert!(!filter.wants(&subject("lamp", &["MOD"])));
        assert!(!filter.wants(&subject("fan", &["SIG"])));
        assert!(!filter.wants(&Subject::default()));
        assert!(Filter::default().wants(&Subject::default()));
    }

    #[test]
    fn an_option_that_is_none_is_refused() {
        for (key, value) in [
            ("colour", Variant::new(true)),
            ("beacons", Variant::new("yes")),
            ("format", Variant::new("xml")),
            ("peers", Variant::new(vec![1u32])),
            ("verbs", Variant::new(vec!["SIG"; WORDS_MAX + 1])),
        ] {
            assert!(matches!(
                filter(&[(key, value)]),
                Err(Refusal::InvalidArgs(_))
            ));
        }
        assert_eq!(
            filter(&[("format", Variant::new("pcapng"))])
                .unwrap()
                .format,
            Format::Pcapng
        );
    }
}

//! What a watcher wants to be told, as the options of `Open` say it.
//!
//! Model: an event is told when it passes every filter that is given. A filter by verb or by service is one
//! of messages: then what is no message is not told.

use std::collections::HashMap;

use zbus::Variant;

use zocp_dbus::errors::Refusal;

/// What a watcher wants. See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) format: Format,
    /// Names or UUIDs; none is every peer.
    peers: Vec<String>,
    /// In capitals; none is every verb.
    verbs: Vec<String>,
    /// None is every service, and all else.
    services: Vec<String>,
    /// Whether beacons are told.
    pub(super) beacons: bool,
}

/// How a watcher is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// An object a line.
    #[default]
    Json,
    /// As Wireshark reads it.
    Pcapng,
}

/// What of an event the filters look at.
#[derive(Debug, Default)]
pub(super) struct Subject<'a> {
    /// The peer's name and UUID.
    pub(super) peer: Option<(&'a str, &'a str)>,
    /// Of a message what it says: the verb of the mesh, and the type of a packet.
    pub(super) verbs: &'a [&'a str],
    /// Of a packet its service.
    pub(super) service: Option<&'a str>,
}

impl Order {
    pub(super) fn read(options: Option<&Variant<'_>>) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::InvalidArgs(format!("{what} is no option of a watcher"));
        let Some(Variant::Dict(options)) = options else {
            return Err(wrong("this"));
        };
        let mut order = Self::default();
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                return Err(wrong("this"));
            };
            match (key.as_str(), &**value) {
                ("format", Variant::Str(format)) => {
                    let formats =
                        HashMap::from([("json", Format::Json), ("pcapng", Format::Pcapng)]);
                    let format = formats.get(format.as_str());
                    let unknown = || wrong("a format other than \"json\" and \"pcapng\"");
                    order.format = *format.ok_or_else(unknown)?;
                }
                ("peers", value) => {
                    order.peers = texts(value).ok_or_else(|| wrong(key.as_str()))?
                }
                ("verbs", value) => {
                    let verbs = texts(value).ok_or_else(|| wrong(key.as_str()))?;
                    order.verbs = verbs.iter().map(|verb| verb.to_uppercase()).collect();
                }
                ("services", value) => {
                    order.services = texts(value).ok_or_else(|| wrong(key.as_str()))?;
                }
                ("beacons", Variant::Bool(beacons)) => order.beacons = *beacons,
                (key, _) => return Err(wrong(&format!("\"{key}\" of this type"))),
            }
        }
        Ok(order)
    }

    /// Whether an event is to be told.
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

fn texts(value: &Variant<'_>) -> Option<Vec<String>> {
    let Variant::Array(array) = value else {
        return None;
    };
    let texts = array
        .inner()
        .iter()
        .take(FILTER_MAX)
        .map(|item| match item {
            Variant::Str(text) => Some(text.to_string()),
            _ => None,
        });
    texts.collect()
}

/// As many words of a filter are looked at.
const FILTER_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(options: &[(&str, Variant<'static>)]) -> Result<Order, Refusal> {
        let options: HashMap<String, Variant<'static>> = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.try_clone().unwrap()))
            .collect();
        Order::read(Some(&Variant::new(options)))
    }

    #[test]
    fn an_event_passes_every_filter_that_is_given() {
        let order = order(&[
            ("peers", Variant::new(vec!["lamp"])),
            ("verbs", Variant::new(vec!["sig", "Call"])),
        ])
        .unwrap();
        let subject = |name, verbs| Subject {
            peer: Some((name, "00")),
            verbs,
            service: None,
        };
        assert!(order.wants(&subject("lamp", &["SIG"])));
        assert!(order.wants(&subject("lamp", &["WHISPER", "call"])));
        assert!(!order.wants(&subject("lamp", &["MOD"])));
        assert!(!order.wants(&subject("fan", &["SIG"])));
        assert!(!order.wants(&Subject::default()));
        assert!(Order::default().wants(&Subject::default()));
    }

    #[test]
    fn an_option_that_is_none_is_refused() {
        for (key, value) in [
            ("colour", Variant::new(true)),
            ("beacons", Variant::new("yes")),
            ("format", Variant::new("xml")),
            ("peers", Variant::new(vec![1u32])),
        ] {
            assert!(matches!(
                order(&[(key, value)]),
                Err(Refusal::InvalidArgs(_))
            ));
        }
        assert_eq!(
            order(&[("format", Variant::new("pcapng"))]).unwrap().format,
            Format::Pcapng
        );
    }
}

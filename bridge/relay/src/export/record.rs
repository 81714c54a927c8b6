//! What peers ask of services while a program learns which rules that needs.
//!
//! Model: a program's rule with `learn` has a [`Record`]. What a peer that the rule names asks is noted there, each thing
//! once, whether it was allowed or not. Recording changes no rule: a call that is denied stays denied.
//! Invariants: NOTE-1. A note is the narrowest rule that allows what was asked.
//! Limits: [`NOTES_MAX`] notes of [`NOTE_LEN_MAX`] octets in a record. Further notes are left out, and the record says that
//! it is incomplete.
//! Spec: docs/reference/dbus.md, "The bridge"

use std::collections::BTreeMap;

use zbus::{Message, message::Type};

use zocp_policy::Member;

/// What was asked, and whether it was allowed.
#[derive(Debug, Default)]
pub(super) struct Record {
    notes: BTreeMap<Note, bool>,
    is_incomplete: bool,
}

/// One thing that was asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Of which service.
    pub service: String,
    /// By which peer.
    pub peer: String,
    /// How.
    pub word: Word,
    /// The rule that allows it, `interface.member@/path`; empty for `see`.
    pub rule: String,
    /// The property, `interface.name`, where one was asked for.
    pub property: Option<String>,
}

/// The word of a rule that allows what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// To know of it, to introspect and to ping it.
    See,
    /// To call a method.
    Call,
    /// To receive a signal.
    Broadcast,
    /// To be called by the service.
    CallBack,
}

/// What a program learned: notes with whether they were allowed, and whether these are all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// Sorted by service, peer, word and rule.
    pub notes: Vec<(Note, bool)>,
    /// Whether nothing was left out.
    pub is_complete: bool,
}

impl Word {
    /// As rules write it.
    pub fn text(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Call => "call",
            Self::Broadcast => "broadcast",
            Self::CallBack => "call_back",
        }
    }
}

impl Record {
    pub(super) fn note(&mut self, note: &Note, is_allowed: bool) {
        if let Some(known) = self.notes.get_mut(note) {
            *known = is_allowed;
        } else if self.notes.len() < NOTES_MAX && note.len() <= NOTE_LEN_MAX {
            self.notes.insert(note.clone(), is_allowed);
        } else {
            self.is_incomplete = true;
        }
    }

    pub(super) fn learned(&self) -> Learned {
        let notes = self.notes.iter();
        Learned {
            notes: notes
                .map(|(note, allowed)| (note.clone(), *allowed))
                .collect(),
            is_complete: !self.is_incomplete,
        }
    }
}

impl Note {
    /// That a peer wants to know of a service.
    pub(super) fn see(service: &str, peer: &str) -> Self {
        Self {
            service: service.to_owned(),
            peer: peer.to_owned(),
            word: Word::See,
            rule: String::new(),
            property: None,
        }
    }

    /// A call, or a signal, of a member; `message` is it.
    pub(super) fn member(
        service: &str,
        peer: &str,
        member: &Member<'_>,
        message: &Message,
    ) -> Self {
        let is_signal = message.message_type() == Type::Signal;
        if !is_signal && member.is_seeing() {
            return Self::see(service, peer);
        }
        Self {
            word: if is_signal {
                Word::Broadcast
            } else {
                Word::Call
            },
            rule: member.rule(),
            property: property(member, message),
            ..Self::see(service, peer)
        }
    }

    /// A call of a service to one that called it.
    pub(super) fn call_back(service: &str, peer: &str, method: &Member<'_>) -> Self {
        Self {
            word: Word::CallBack,
            rule: method.rule(),
            ..Self::see(service, peer)
        }
    }

    fn len(&self) -> usize {
        let property = self.property.as_ref().map_or(0, String::len);
        self.service.len() + self.peer.len() + self.rule.len() + property
    }
}

/// The property that a call of `Properties` is for.
fn property(member: &Member<'_>, message: &Message) -> Option<String> {
    if member.interface != Some("org.freedesktop.DBus.Properties") {
        return None;
    }
    let body = message.body();
    match member.member {
        "Get" => {
            let (interface, name): (&str, &str) = body.deserialize().ok()?;
            Some(format!("{interface}.{name}"))
        }
        "Set" => {
            let (interface, name, _): (&str, &str, zbus::Variant<'_>) = body.deserialize().ok()?;
            Some(format!("{interface}.{name}"))
        }
        "GetAll" => {
            let interface: &str = body.deserialize().ok()?;
            Some(format!("{interface}.*"))
        }
        _ => None,
    }
}

const NOTES_MAX: usize = 4096;
/// Paths are as long as peers like.
const NOTE_LEN_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &'static str, interface: &'static str, member: &'static str) -> Message {
        let call = Message::method_call(path, member).interface(interface);
        call.build(&("org.a.I", "Level")).unwrap()
    }

    fn note(message: &Message) -> Note {
        let header = message.header();
        let member = Member {
            path: header.path().map_or("", |path| path.as_str()),
            interface: header.interface().map(|name| name.as_str()),
            member: header.member().map_or("", |name| name.as_str()),
        };
        Note::member("org.a.A", "foh", &member, message)
    }

    #[test]
    fn a_note_is_the_narrowest_rule() {
        let get = note(&call("/a", "org.freedesktop.DBus.Properties", "Get"));
        assert_eq!(get.rule, "org.freedesktop.DBus.Properties.Get@/a");
        assert_eq!(get.property.as_deref(), Some("org.a.I.Level"));
        let see = note(&call(
            "/a",
            "org.freedesktop.DBus.Introspectable",
            "Introspect",
        ));
        assert_eq!(see, Note::see("org.a.A", "foh"));
        let signal = Message::signal("/", "org.a.I", "Done");
        let signal = note(&signal.build(&()).unwrap());
        assert_eq!(
            (signal.word, &*signal.rule),
            (Word::Broadcast, "org.a.I.Done@/")
        );
    }

    #[test]
    fn each_thing_is_noted_once_and_what_is_too_much_is_told() {
        let mut record = Record::default();
        let note = |rule: String| Note {
            word: Word::Call,
            rule,
            ..Note::see("org.a.A", "foh")
        };
        for _ in 0..2 {
            record.note(&note("a".into()), true);
        }
        assert_eq!(record.learned().notes.len(), 1);
        assert!(record.learned().is_complete);
        record.note(&note("x".repeat(NOTE_LEN_MAX)), true);
        assert!(!record.learned().is_complete && record.notes.len() == 1);
        for number in 0..=NOTES_MAX {
            record.note(&note(number.to_string()), true);
        }
        assert_eq!(record.notes.len(), NOTES_MAX);
    }
}

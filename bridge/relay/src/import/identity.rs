//! The name that a player of another machine shows to people.
//!
//! Model: the `Identity` of a player, of the interface `org.mpris.MediaPlayer2`, is what desktops show. Where a rule has a
//! template for it, it is replaced in messages that pass: replies to `Get` and `GetAll`, and `PropertiesChanged`. No other
//! part of a body is decoded, and without such a rule no body is.
//! Invariants: PLAYER-1. A message that does not have the expected form is passed on unchanged.
//! Spec: docs/reference/configuration.md, "`[[import]]`"

use std::collections::BTreeMap;

use zbus::{Message, OwnedVariant, Variant, message::Type};

use zocp_dbus::message::Outgoing;
use zocp_policy::{ImportRule, PLAYERS};

/// The template of a rule for a service of a node, all but [`IDENTITY`] put in; `None` where it has none, or the
/// service is no player.
pub(super) fn template(rule: &ImportRule, service: &str, node: &str) -> Option<Box<str>> {
    let template = rule.identity.as_deref()?;
    service.starts_with(PLAYERS).then(|| {
        let tail = rule.service.tail(service).unwrap_or_default();
        let words = [("{node}", node), ("{service}", service), ("{tail}", tail)];
        put_in(template, &words).into()
    })
}

/// The reply to a question for the identity, with the identity that it has here; `None` if it is another question.
pub(super) fn of_answer(template: &str, call: &Message, answer: &Message) -> Option<Outgoing> {
    let header = call.header();
    let interface = header.interface().map_or(PROPERTIES, |name| name.as_str());
    if interface != PROPERTIES || answer.message_type() != Type::MethodReturn {
        return None;
    }
    let (asked, body) = (call.body(), answer.body());
    let reply = Message::method_return(&header);
    match header.member()?.as_str() {
        "Get" => {
            let (interface, name): (&str, &str) = asked.deserialize().ok()?;
            if !is_of_player(interface) || name != PROPERTY {
                return None;
            }
            let value = body.deserialize::<Variant<'_>>().ok()?;
            Outgoing::build(reply, &identity(template, &value)?).ok()
        }
        "GetAll" => {
            if !is_of_player(asked.deserialize().ok()?) {
                return None;
            }
            let mut values: BTreeMap<String, OwnedVariant> = body.deserialize().ok()?;
            let value = values.get_mut(PROPERTY)?;
            *value = identity(template, value)?;
            Outgoing::build(reply, &values).ok()
        }
        _ => None,
    }
}

/// A signal with another identity, with the identity that it has here; `None` if it is another signal.
pub(super) fn of_signal(template: &str, signal: &Message) -> Option<Outgoing> {
    type Changed = (String, BTreeMap<String, OwnedVariant>, Vec<String>);
    let header = signal.header();
    let (path, member) = (header.path()?, header.member()?);
    if header.interface()?.as_str() != PROPERTIES || member.as_str() != "PropertiesChanged" {
        return None;
    }
    let body = signal.body();
    let (interface, mut changed, invalidated): Changed = body.deserialize().ok()?;
    if interface != PLAYER {
        return None;
    }
    let value = changed.get_mut(PROPERTY)?;
    *value = identity(template, value)?;
    let told = Message::signal(path.to_owned(), PROPERTIES, member.to_owned());
    let told = match header.destination() {
        Some(caller) => told.destination(caller.to_owned()),
        None => told,
    };
    Outgoing::build(told, &(interface, changed, invalidated)).ok()
}

fn identity(template: &str, value: &Variant<'_>) -> Option<OwnedVariant> {
    let text = match value {
        Variant::Str(text) => text.as_str(),
        Variant::Variant(inner) => match &**inner {
            Variant::Str(text) => text.as_str(),
            _ => return None,
        },
        _ => return None,
    };
    let text = put_in(template, &[(IDENTITY, text)]);
    Variant::new(text).try_to_owned().ok()
}

/// Words replaced by what they stand for; in what they stand for nothing is replaced. A text on a bus has no NUL.
fn put_in(template: &str, words: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(letter) = rest.chars().next() {
        match words.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, meant)) => {
                text.push_str(&meant.replace('\0', "\u{2400}"));
                rest = &rest[word.len()..];
            }
            None => {
                text.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    text
}

/// An empty name means whichever interface has the property.
fn is_of_player(interface: &str) -> bool {
    interface == PLAYER || interface.is_empty()
}

const PLAYER: &str = "org.mpris.MediaPlayer2";
const PROPERTY: &str = "Identity";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const IDENTITY: &str = "{identity}";

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "{identity} (stage)";

    fn asked<B, A>(member: &str, question: &B, answer: &A) -> Option<Outgoing>
    where
        B: serde::Serialize + zbus::DynamicType,
        A: serde::Serialize + zbus::DynamicType,
    {
        let call = Message::method_call("/org/mpris/MediaPlayer2", member.to_owned())
            .interface(PROPERTIES)
            .build(question)
            .unwrap();
        let answer = Message::method_return(&call.header())
            .build(answer)
            .unwrap();
        of_answer(TEMPLATE, &call, &answer)
    }

    fn values() -> BTreeMap<&'static str, Variant<'static>> {
        [("CanQuit", true.into()), ("Identity", "mpv".into())].into()
    }

    #[test]
    fn answers_and_signals_say_whose_player_it_is() {
        let get = asked("Get", &(PLAYER, "Identity"), &Variant::from("mpv")).unwrap();
        let get = get.body();
        assert_eq!(
            get.deserialize::<Variant<'_>>().unwrap(),
            Variant::from("mpv (stage)")
        );
        for interface in [PLAYER, ""] {
            let all = asked("GetAll", &interface, &values()).unwrap();
            let all = all.body();
            let all: BTreeMap<String, Variant<'_>> = all.deserialize().unwrap();
            assert_eq!(all["Identity"], Variant::from("mpv (stage)"));
            assert_eq!(all["CanQuit"], Variant::from(true));
        }
        let body = (PLAYER, values(), vec!["Fullscreen"]);
        let signal = Message::signal("/org/mpris/MediaPlayer2", PROPERTIES, "PropertiesChanged")
            .build(&body)
            .unwrap();
        let told = of_signal(TEMPLATE, &signal).unwrap();
        let told = told.body();
        let (interface, changed, invalidated): (&str, BTreeMap<String, Variant<'_>>, Vec<String>) =
            told.deserialize().unwrap();
        assert_eq!(
            (interface, &*invalidated),
            (PLAYER, &["Fullscreen".to_owned()][..])
        );
        assert_eq!(changed["Identity"], Variant::from("mpv (stage)"));
    }

    #[test]
    fn everything_else_goes_on_as_it_came() {
        assert!(asked("Get", &(PLAYER, "DesktopEntry"), &Variant::from("mpv")).is_none());
        assert!(asked("Get", &("org.a.B", "Identity"), &Variant::from("mpv")).is_none());
        assert!(asked("Get", &(PLAYER, "Identity"), &Variant::from(7u32)).is_none());
        assert!(asked("GetAll", &"org.mpris.MediaPlayer2.Player", &values()).is_none());
        assert!(asked("GetAll", &PLAYER, &"no list").is_none());
        assert!(asked("Ping", &(), &()).is_none());
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        let words = [("{node}", "{identity}\0"), ("{tail}", "mpv")];
        assert_eq!(
            put_in("{identity} of {node}/{tail}", &words),
            "{identity} of {identity}\u{2400}/mpv"
        );
    }
}

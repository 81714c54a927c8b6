//! The members of interfaces that are known to name files.
//!
//! Model: cover art of players (`mpris:artUrl` in `Metadata` of `org.mpris.MediaPlayer2.Player`, in replies to `Get` and
//! `GetAll` and in `PropertiesChanged`), and icons of notifications (`app_icon` and `image-path` of
//! `org.freedesktop.Notifications.Notify`). Nothing else of a body is looked at or changed.
//! Invariants: NAMEDMEMBER-1. A message that does not have the expected form goes on unchanged.
//! Spec: MPRIS 2.2, Desktop Notifications 1.2

use std::collections::BTreeMap;

use zbus::{Message, OwnedVariant, Variant, message::Type};
use zocp_dbus::message::Outgoing;

use super::place::path_of;

/// A file that a message names, and what it is to be named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// How a message may name files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A reply to `Get`.
    Value,
    /// A reply to `GetAll`.
    Values,
    /// `PropertiesChanged`.
    Changed,
    /// `Notify`.
    Notify,
}

type Values = BTreeMap<String, OwnedVariant>;
type Changed = (String, Values, Vec<String>);
type Notify = (
    String,
    u32,
    String,
    String,
    String,
    Vec<String>,
    Values,
    i32,
);

impl Form {
    /// The form of a message, going by its header; `None` if it names no files.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        // Most messages are shorter than any of these.
        if (message.primary_header().body_len() as usize) < ART.len() {
            return None;
        }
        let header = message.header();
        let member = header.member().map(|name| name.as_str());
        let may_name = match message.message_type() {
            Type::MethodReturn => true,
            Type::Signal => member == Some("PropertiesChanged"),
            Type::MethodCall => member == Some("Notify"),
            Type::Error => false,
        };
        if !may_name {
            return None;
        }
        let signature = header.signature().to_string_no_parens();
        let form = match (message.message_type(), &*signature, member) {
            (Type::MethodReturn, "v", _) => Self::Value,
            (Type::MethodReturn, "a{sv}", _) => Self::Values,
            (Type::Signal, "sa{sv}as", Some("PropertiesChanged")) => Self::Changed,
            (Type::MethodCall, "susssasa{sv}i", Some("Notify")) => return Some(Self::Notify),
            _ => return None,
        };
        let body = message.body();
        let octets = body.data().bytes();
        let has_art = || {
            octets.len() <= BODY_LEN_MAX && octets.windows(ART.len()).any(|it| it == ART.as_bytes())
        };
        has_art().then_some(form)
    }
}

/// The files that a message names.
pub(crate) fn files_in(form: Form, message: &Message) -> Vec<String> {
    let mut files = Vec::new();
    visit(form, message, &mut |text| {
        if files.len() < FILES_MAX && path_of(text).is_some() && !files.iter().any(|it| it == text)
        {
            files.push(text.to_owned());
        }
        None
    });
    files
}

/// The message with other names; `None` if it is unchanged.
pub(crate) fn renamed(form: Form, message: &Message, renamed: &[Renamed]) -> Option<Outgoing> {
    visit(form, message, &mut |text| {
        let renamed = renamed.iter().find(|it| it.from == text)?;
        Some(renamed.to.clone())
    })
}

/// Shows each name of a file, and puts in what is given for it. A message with the new body; `None` if it is the same.
fn visit(
    form: Form,
    message: &Message,
    other: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<Outgoing> {
    let body = message.body();
    let like = Message::method_call("/", "x");
    let built = match form {
        Form::Value => {
            let mut value: OwnedVariant = body.deserialize().ok()?;
            metadata(&mut value, other).then(|| Outgoing::build_exact(like, &value))
        }
        Form::Values => {
            let mut values: Values = body.deserialize().ok()?;
            let is_changed = metadata(values.get_mut(METADATA)?, other);
            is_changed.then(|| Outgoing::build_exact(like, &values))
        }
        Form::Changed => {
            let (interface, mut changed, invalidated): Changed = body.deserialize().ok()?;
            let is_changed = interface == PLAYER && metadata(changed.get_mut(METADATA)?, other);
            is_changed.then(|| Outgoing::build_exact(like, &(interface, changed, invalidated)))
        }
        Form::Notify => {
            let mut notify: Notify = body.deserialize().ok()?;
            let icon = other(&notify.2).map(|icon| notify.2 = icon);
            let image = ["image-path", "image_path"].map(|hint| {
                let value = notify.6.get_mut(hint)?;
                text(value, other).then_some(())
            });
            let is_changed = icon.is_some() || image.iter().any(Option::is_some);
            is_changed.then(|| Outgoing::build_exact(like, &notify))
        }
    };
    built?.ok()
}

/// Whether the art of a `Metadata` was changed.
fn metadata(value: &mut OwnedVariant, other: &mut dyn FnMut(&str) -> Option<String>) -> bool {
    let Ok(mut entries) = Values::try_from(value.clone()) else {
        return false;
    };
    let is_changed = entries.get_mut(ART).is_some_and(|art| text(art, other));
    if is_changed && let Ok(entries) = Variant::new(entries).try_to_owned() {
        *value = entries;
        return true;
    }
    false
}

/// Whether a text was changed.
fn text(value: &mut OwnedVariant, other: &mut dyn FnMut(&str) -> Option<String>) -> bool {
    let Variant::Str(text) = &**value else {
        return false;
    };
    let Some(text) = other(text.as_str()) else {
        return false;
    };
    Variant::new(text)
        .try_to_owned()
        .map(|text| *value = text)
        .is_ok()
}

const PLAYER: &str = "org.mpris.MediaPlayer2.Player";
const METADATA: &str = "Metadata";
const ART: &str = "mpris:artUrl";
/// Octets of a body that is looked at.
const BODY_LEN_MAX: usize = 64 << 10;
/// Files that one message names.
const FILES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn renaming(from: &str) -> Vec<Renamed> {
        vec![Renamed {
            from: from.to_owned(),
            to: "file:///cache/1.png".to_owned(),
        }]
    }

    fn entries(url: &str) -> BTreeMap<&'static str, Variant<'static>> {
        [
            ("mpris:artUrl", url.to_owned().into()),
            ("xesam:title", "a".into()),
            ("mpris:length", 7i64.into()),
        ]
        .into()
    }

    fn reply<B: serde::Serialize + zbus::DynamicType>(body: &B) -> Message {
        let call = Message::method_call("/", "x").build(&()).unwrap();
        Message::method_return(&call.header()).build(body).unwrap()
    }

    #[test]
    fn art_is_found_and_renamed_in_replies_and_signals_and_nothing_else_changes() {
        let url = "file:///a/cover.png";
        let value = reply(&Variant::new(entries(url)));
        assert_eq!(Form::of(&value), Some(Form::Value));
        assert_eq!(files_in(Form::Value, &value), [url]);
        let here = renamed(Form::Value, &value, &renaming(url)).unwrap();
        let there: OwnedVariant = here.body().deserialize().unwrap();
        let there = Values::try_from(there).unwrap();
        let expected = entries("file:///cache/1.png");
        let expected = expected.iter().map(|(name, value)| (*name, value));
        assert!(
            there
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .eq(expected)
        );

        let all = BTreeMap::from([("Metadata", Variant::new(entries(url)))]);
        let values = reply(&all);
        assert_eq!(Form::of(&values), Some(Form::Values));
        assert_eq!(files_in(Form::Values, &values), [url]);
        let signal = Message::signal("/", "org.freedesktop.DBus.Properties", "PropertiesChanged");
        let signal = signal.build(&(PLAYER, all, Vec::<String>::new())).unwrap();
        assert_eq!(Form::of(&signal), Some(Form::Changed));
        let here = renamed(Form::Changed, &signal, &renaming(url)).unwrap();
        assert_eq!(files_in(Form::Changed, &here), ["file:///cache/1.png"]);
    }

    #[test]
    fn icons_of_notifications_are_found_in_both_places() {
        let hints = BTreeMap::from([("image-path", Variant::from("file:///b.png"))]);
        let (none, id) = (Vec::<String>::new(), 0u32);
        let notify = ("app", id, "/a.png", "summary", "body", none, hints, -1i32);
        let call = Message::method_call("/org/freedesktop/Notifications", "Notify");
        let call = call.build(&notify).unwrap();
        assert_eq!(Form::of(&call), Some(Form::Notify));
        assert_eq!(files_in(Form::Notify, &call), ["/a.png", "file:///b.png"]);
        let here = renamed(Form::Notify, &call, &renaming("file:///b.png")).unwrap();
        let files = files_in(Form::Notify, &here);
        assert_eq!(files, ["/a.png", "file:///cache/1.png"]);
    }

    #[test]
    fn everything_else_goes_on_as_it_came() {
        let other = reply(&Variant::from("mpris:artUrl"));
        assert!(files_in(Form::Value, &other).is_empty());
        assert!(renamed(Form::Value, &other, &renaming("x")).is_none());
        let web = reply(&Variant::new(entries("https://a.example/b.png")));
        assert!(files_in(Form::Value, &web).is_empty());
        assert_eq!(Form::of(&reply(&"file:///a.png")), None);
        assert_eq!(Form::of(&reply(&Variant::from("file:///a.png"))), None);
    }
}

//! What a remote caller's connection says of the caller to the services that it calls.
//!
//! Model: an object of the bridge's own on that connection, `/org/z25/Zocp1/Caller`. The bridge answers from what it knows
//! of the peer; nothing is asked on the other bus, and no value can be set.
//! Invariants: CALLER-1. Each call of the object that wants a reply gets one.
//! Spec: interfaces/org.z25.Zocp1.Caller.xml

use std::collections::BTreeMap;

use zbus::{Message, OwnedVariant, Variant};
use zocp_interfaces::{CALLER_INTERFACE, CALLER_PATH, CALLER_XML};

use crate::remote::Remote;
use zocp_dbus::{errors::Refusal, message::Outgoing};
use zocp_policy::Member;

/// The reply to a call of this object, for the program with this unique name; `None` if another object is called.
pub(super) fn answer(
    call: &Message,
    method: &Member<'_>,
    remote: &Remote,
    program: &str,
) -> Option<Result<Outgoing, Refusal>> {
    (method.path == CALLER_PATH).then(|| {
        let key = remote.key.map_or_else(String::new, |key| key.to_string());
        let properties = [
            ("Key", key.as_str()),
            ("Peer", remote.name.as_str()),
            ("Program", program),
            ("Uuid", remote.uuid.as_str()),
        ];
        answer_of(call, method, &properties)
    })
}

fn answer_of(
    call: &Message,
    method: &Member<'_>,
    properties: &[(&str, &str)],
) -> Result<Outgoing, Refusal> {
    let (header, body) = (call.header(), call.body());
    let reply = Message::method_return(&header);
    let wrong =
        |expected: &str| Refusal::InvalidArgs(format!("{} takes {expected}", method.member));
    let unmade = |error: zbus::Error| Refusal::Failed(error.to_string());
    let path = || CALLER_PATH.to_owned();
    let is_it = |interface: &str| match interface {
        "" | CALLER_INTERFACE => Ok(()),
        other => Err(Refusal::UnknownInterface {
            path: path(),
            interface: other.to_owned(),
        }),
    };
    match (method.interface, method.member) {
        (None | Some("org.freedesktop.DBus.Introspectable"), "Introspect") => {
            Outgoing::build(reply, &CALLER_XML).map_err(unmade)
        }
        (None | Some("org.freedesktop.DBus.Properties"), "Get") => {
            let asked: (String, String) = body.deserialize().map_err(|_| wrong("two texts"))?;
            is_it(&asked.0)?;
            let found = properties.iter().find(|(name, _)| *name == asked.1);
            let (_, text) = found.ok_or_else(|| Refusal::UnknownProperty {
                path: path(),
                property: asked.1.clone(),
            })?;
            Outgoing::build(reply, &value(text)?).map_err(unmade)
        }
        (None | Some("org.freedesktop.DBus.Properties"), "GetAll") => {
            let interface: String = body.deserialize().map_err(|_| wrong("a text"))?;
            is_it(&interface)?;
            let all = properties.iter();
            let all = all.map(|(name, text)| Ok((*name, value(text)?)));
            let all: BTreeMap<&str, OwnedVariant> = all.collect::<Result<_, Refusal>>()?;
            Outgoing::build(reply, &all).map_err(unmade)
        }
        (None | Some("org.freedesktop.DBus.Properties"), "Set") => {
            Err(Refusal::PropertyReadOnly(CALLER_INTERFACE.to_owned()))
        }
        (_, member) => Err(Refusal::UnknownMethod {
            path: path(),
            member: member.to_owned(),
        }),
    }
}

fn value(text: &str) -> Result<OwnedVariant, Refusal> {
    let value = Variant::new(text.to_owned()).try_to_owned();
    value.map_err(|error| Refusal::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROPERTIES: [(&str, &str); 2] = [("Peer", "foh"), ("Program", ":1.7")];

    /// The reply to a call of the object.
    fn asked<B>(interface: Option<&str>, member: &str, body: &B) -> Result<Outgoing, String>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = Message::method_call(CALLER_PATH, member.to_owned())
            .build(body)
            .unwrap();
        let method = Member {
            path: CALLER_PATH,
            interface,
            member,
        };
        answer_of(&call, &method, &PROPERTIES).map_err(|refusal| refusal.name().to_string())
    }

    #[test]
    fn a_service_is_told_who_calls() {
        let standard = Some("org.freedesktop.DBus.Properties");
        for interface in [standard, None] {
            let peer = asked(interface, "Get", &(CALLER_INTERFACE, "Peer")).unwrap();
            let peer = peer.body();
            assert_eq!(
                peer.deserialize::<Variant<'_>>().unwrap(),
                Variant::from("foh")
            );
            let all = asked(interface, "GetAll", &CALLER_INTERFACE).unwrap();
            let all = all.body();
            let all: BTreeMap<String, Variant<'_>> = all.deserialize().unwrap();
            assert_eq!(all["Program"], Variant::from(":1.7"));
        }
        let text = asked(
            Some("org.freedesktop.DBus.Introspectable"),
            "Introspect",
            &(),
        )
        .unwrap();
        let text = text.body();
        assert!(
            text.deserialize::<&str>()
                .unwrap()
                .contains("name=\"Program\"")
        );
    }

    #[test]
    fn what_it_has_not_is_refused_by_its_name() {
        let properties = Some("org.freedesktop.DBus.Properties");
        let refused = |outcome: Result<Outgoing, String>| outcome.unwrap_err();
        let get =
            |interface: &str, name: &str| refused(asked(properties, "Get", &(interface, name)));
        assert!(get(CALLER_INTERFACE, "Nothing").ends_with("UnknownProperty"));
        assert!(get("org.a.B", "Peer").ends_with("UnknownInterface"));
        assert!(refused(asked(properties, "Get", &7u32)).ends_with("InvalidArgs"));
        let set = (CALLER_INTERFACE, "Peer", Variant::from("x"));
        assert!(refused(asked(properties, "Set", &set)).ends_with("PropertyReadOnly"));
        assert!(refused(asked(Some("org.a.B"), "Confirm", &())).ends_with("UnknownMethod"));
    }
}

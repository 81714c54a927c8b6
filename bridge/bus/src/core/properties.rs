//! The properties of the bus, and how it describes itself.

use super::{
    BUS_NAME, BUS_PATH, Bus,
    call::{Answer, Call, INTROSPECTABLE, MONITORING, PEER, PROPERTIES},
    fault::Fault,
};
use crate::message::Writer;

/// Each property, and its strings.
static VALUES: [(&str, &[&str]); 2] = [
    (
        "Features",
        &["ActivatableServicesChanged", "HeaderFiltering"],
    ),
    ("Interfaces", &[MONITORING]),
];

pub(super) fn get(_: &mut Bus, call: &mut Call<'_>) -> Answer {
    let (interface, name) = (call.string()?, call.string()?);
    call.end()?;
    let values = find(interface, name)?;
    let mut body = Writer::default();
    body.variant("as", |value| value.strings(values.iter().copied()));
    Ok(Some(("v", body)))
}

pub(super) fn get_all(_: &mut Bus, call: &mut Call<'_>) -> Answer {
    let interface = call.only_string()?;
    check_interface(interface)?;
    let mut body = Writer::default();
    body.array(8, |entries| {
        let values = VALUES.iter().filter(|_| interface == BUS_NAME);
        for (name, values) in values {
            entries.entry(name, "as", |value| value.strings(values.iter().copied()));
        }
    });
    Ok(Some(("a{sv}", body)))
}

pub(super) fn set(_: &mut Bus, call: &mut Call<'_>) -> Answer {
    let (interface, name) = (call.string()?, call.string()?);
    find(interface, name)?;
    let text = format!("Property '{interface}.{name}' cannot be set");
    Err(Fault::new("PropertyReadOnly", text).into())
}

fn find(interface: &str, name: &str) -> Result<&'static [&'static str], Fault> {
    check_interface(interface)?;
    let found = VALUES
        .iter()
        .find(|(one, _)| interface == BUS_NAME && *one == name);
    found.map(|(_, values)| *values).ok_or_else(|| {
        Fault::new(
            "UnknownProperty",
            format!("Property \"{interface}.{name}\" not found"),
        )
    })
}

fn check_interface(interface: &str) -> Result<(), Fault> {
    match [BUS_NAME, PROPERTIES, INTROSPECTABLE, MONITORING, PEER].contains(&interface) {
        true => Ok(()),
        false => Err(Fault::new(
            "UnknownInterface",
            format!("Interface \"{interface}\" not found"),
        )),
    }
}

pub(super) fn introspect(_: &mut Bus, call: &mut Call<'_>) -> Answer {
    call.end()?;
    let path = call.message.path().unwrap_or_default();
    let mut xml = String::from(DOCTYPE);
    xml.push_str("<node>\n");
    xml.push_str(ANYWHERE);
    match path {
        BUS_PATH => xml.push_str(THERE),
        "/" => xml.push_str("  <node name=\"org/freedesktop/DBus\"/>\n"),
        "/org" => xml.push_str("  <node name=\"freedesktop/DBus\"/>\n"),
        "/org/freedesktop" => xml.push_str("  <node name=\"DBus\"/>\n"),
        _ => {}
    }
    xml.push_str("</node>\n");
    let mut body = Writer::default();
    body.string(&xml);
    Ok(Some(("s", body)))
}

const DOCTYPE: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"#;
/// The interfaces at every path, and those at the path of the bus.
const ANYWHERE: &str = include_str!("anywhere.xml");
const THERE: &str = include_str!("there.xml");

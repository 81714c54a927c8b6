use zbus::Signature;

use super::*;
use crate::interface::Access;

const XML: &str = r#"<!DOCTYPE node PUBLIC "x" "y"><node xmlns:doc="z">
      <interface name="org.a.A">
        <doc:doc><doc:para>Words &amp; words.</doc:para></doc:doc>
        <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
        <property name="Volume" type="d" access="readwrite"/>
        <property name="Name" type="s" access="read">
          <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
        </property>
        <property name="Broken" type="dd" access="read"/>
        <property name="Wrong" access="read"/>
        <method name="Stop"><arg type="s" direction="in"/></method>
        <signal name="Seeked"><arg name="to" type="x"/></signal>
        <signal name="Odd"><arg type="("/></signal>
      </interface>
      <interface name="no interface"><property name="P" type="s" access="read"/></interface>
      <interface name="org.a.Bare"/>
      <node name="child"><interface name="org.a.Inner"/><node name="grandchild"/></node>
      <node name="two/deep"/><node name="/no"/><node/>
    </node>"#;

#[test]
fn what_is_understood_is_taken_and_the_rest_left_out() {
    let described = describe(XML);
    assert_eq!(described.children, ["child", "two/deep"]);
    let [a, bare] = &described.interfaces[..] else {
        panic!("{described:?}");
    };
    assert_eq!((&*a.name, &*bare.name), ("org.a.A", "org.a.Bare"));
    assert!(a.has_members && !bare.has_members);
    let properties: Vec<_> = a
        .properties
        .iter()
        .map(|it| (&*it.name, it.emits))
        .collect();
    let said = [("Volume", Some(Emits::Never)), ("Name", Some(Emits::Const))];
    assert_eq!(properties, said);
    assert_eq!(a.properties[0].access, Access::ReadWrite);
    let [seeked] = &a.signals[..] else {
        panic!("{a:?}");
    };
    assert_eq!(
        (&*seeked.name, &seeked.arguments[..]),
        ("Seeked", &[Signature::I64][..])
    );
}

#[test]
fn an_interface_is_found_in_its_text() {
    let described = describe(XML);
    let text = &XML[described.interfaces[1].span.clone()];
    assert_eq!(text, r#"<interface name="org.a.Bare"/>"#);
    let text = &XML[described.interfaces[0].span.clone()];
    assert!(text.starts_with("<interface name=\"org.a.A\">") && text.ends_with("</interface>"));
}

/// What is understood of `PlayPause` and `Volume` of the interface `org.a.P`.
fn player(xml: &str) -> (Option<Option<usize>>, Option<String>) {
    let description = describe(xml);
    let player = description
        .interfaces
        .iter()
        .find(|it| it.name == "org.a.P");
    let method = player.and_then(|it| it.methods.iter().find(|it| it.name == "PlayPause"));
    let property = player.and_then(|it| it.properties.iter().find(|it| it.name == "Volume"));
    (
        method.map(|it| it.inputs.as_ref().map(Vec::len)),
        property.map(|it| format!("{} {:?}", it.signature, it.access)),
    )
}

#[test]
fn a_method_is_found_whatever_surrounds_it() {
    const PLAY: &str = r#"<method name="PlayPause"/>"#;
    const VOLUME: &str = r#"<property name="Volume" type="d" access="readwrite"/>"#;
    let node = |inner: &str| {
        format!(
            r#"<!DOCTYPE node PUBLIC "x" "y"><node><interface name="org.a.P">{inner}</interface></node>"#
        )
    };
    let both = format!("{PLAY}{VOLUME}");
    let play = |inner: &str| {
        node(&format!(
            r#"<method name="PlayPause">{inner}</method>{VOLUME}"#
        ))
    };
    let many: String = (0..40_000)
        .map(|at| format!(r#"<method name="M{at}"><arg name="x" type="a{{sv}}"/></method>"#))
        .collect();
    let whole = node(&both);
    for text in [
        whole.clone(),
        format!("\u{feff}<?xml version=\"1.0\"?>{whole}"),
        format!("hello {whole} \n\n"),
        whole.replace(
            "<!DOCTYPE node PUBLIC \"x\" \"y\">",
            "<!DOCTYPE node [<!ENTITY x \"y\">]>",
        ),
        whole.replace("</interface></node>", ""),
        whole.replace("</interface></node>", "</interface"),
        play("<tp:docstring>text <br> <arg type=\"s\"/></tp:docstring>"),
        play("<doc><![CDATA[ <b> & <arg type=\"s\"/> ]]></doc>"),
        play("<annotation name=\"a.b\" value=\"x & y\"><annotation name=\"c.d\"/></annotation>"),
        play(&format!("{}{}", "<d>".repeat(500), "</d>".repeat(500))),
        play("<arg type=\"s\" direction=\"OUT\"/>"),
        node(&format!(
            "x & y <!-- <method name=\"PlayPause\"><arg type=\"s\"/></method> --><?a b?>{both}"
        )),
        node(&format!(
            "<doc><method name=\"PlayPause\"><arg type=\"s\"/></method></doc>{both}"
        )),
        node(&format!(
            "<method name=\"foo-bar\"/><method/><property name=\"B\" type=\"ss\"/>{both}"
        )),
        node(&format!(
            "{both}<method name=\"PlayPause\"><arg type=\"s\"/></method>"
        )),
        node(&format!(
            "{VOLUME}</interface><interface name=\"org.a.P\">{PLAY}"
        )),
        node(&format!(
            "{VOLUME}</interface><interface name=\"nodot\"><method name=\"PlayPause\"><arg type=\"s\"/></method></interface><interface name=\"org.a.P\">{PLAY}"
        )),
        format!(
            "<node><node name=\"c\"><interface name=\"org.a.P\"><method name=\"PlayPause\"><arg type=\"s\"/></method></interface></node>{}",
            &whole[whole.find("<interface").unwrap()..]
        ),
        node(&format!("{many}{both}")),
    ] {
        let shown: String = text.chars().take(300).collect();
        assert_eq!(
            player(&text),
            (Some(Some(0)), Some("d ReadWrite".to_owned())),
            "{shown}"
        );
    }
}

#[test]
fn what_is_odd_means_what_it_says_or_nothing() {
    let node = |inner: &str| format!("<node><interface name='org.a.P'>{inner}</interface></node>");
    let inputs = |arguments: &str| {
        player(&node(&format!(
            "<method name='PlayPause'>{arguments}</method>"
        )))
        .0
    };
    assert_eq!(
        inputs("<arg type='s'/><arg type='i' direction='inout'/>"),
        Some(Some(2))
    );
    assert_eq!(
        inputs("<arg type='s' name='a' name='b'/><arg type=' i '/>"),
        Some(Some(2))
    );
    // Nobody knows with what to call it.
    assert_eq!(inputs("<arg type='s'/><arg name='x'/>"), Some(None));
    let volume = |attributes: &str| {
        player(&node(&format!(
            "<property name='Volume' type='d' {attributes}/>"
        )))
        .1
    };
    for (attributes, access) in [
        ("access='read'", "d Read"),
        ("access=' WRITE-only'", "d Write"),
        ("access='odd'", "d ReadWrite"),
        ("", "d ReadWrite"),
    ] {
        assert_eq!(volume(attributes).as_deref(), Some(access));
    }
    assert_eq!(
        volume("type='s'").as_deref(),
        Some("d ReadWrite"),
        "the first"
    );
}

#[test]
fn properties_have_any_text_as_name() {
    let names = ["num-enroll-stages", "1st", "with space", "a.b", "é\"'<>&"];
    let escape = |name: &str| {
        name.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;")
    };
    let properties: String = names
        .iter()
        .map(|name| {
            format!(
                "<property name=\"{}\" type='i' access='read'/>",
                escape(name)
            )
        })
        .collect();
    let text = format!("<node><interface name='org.a.P'>{properties}</interface></node>");
    let described = describe(&text);
    let read: Vec<&str> = described.interfaces[0]
        .properties
        .iter()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(read, names);
}

#[test]
fn what_is_no_xml_describes_nothing_and_is_not_whole() {
    for text in ["<node", "<node>", "<a b='"] {
        let described = describe(text);
        assert!(
            described.interfaces.is_empty() && !described.is_whole,
            "{text}"
        );
    }
    for text in ["", " \n", "{}", "</node>"] {
        let described = describe(text);
        assert!(
            described.interfaces.is_empty() && described.is_whole,
            "{text}"
        );
    }
    let deep = "<d>".repeat(1_000_000);
    assert!(!describe(&deep).is_whole);
}

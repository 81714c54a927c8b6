use super::*;
use zocp_dbus::introspection::describe;
use zocp_policy::{ExportPolicy, ExportRule, Members, Peers, ServicePattern};

const XML: &str = r#"<node><interface name="org.example.Lamp1">
  <property name="Level" type="d" access="readwrite"/>
  <property name="Model" type="s" access="read">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/></property>
  <property name="Code" type="s" access="write"/>
  <property name="Socket" type="h" access="read"/>
  <property name="type" type="s" access="read"/>
  <signal name="Struck"><arg type="x"/></signal>
  <signal name="Level"/>
  <signal name="Opened"><arg type="h"/></signal>
  </interface></node>"#;

fn findings() -> CrawlResult {
    let described = describe(XML).interfaces.remove(0);
    let place = Place::new("/lamp", "org.example.Lamp1");
    CrawlResult {
        interfaces: [(place, described)].into(),
        ..CrawlResult::default()
    }
}

fn grant(call: &[&str], broadcast: &[&str]) -> Grant {
    let members = |rules: &[&str]| {
        let rules = rules.iter().map(|rule| Members::parse(rule).unwrap());
        rules.collect()
    };
    Grant {
        call: members(call),
        broadcast: members(broadcast),
        ..Grant::default()
    }
}

/// The members under a grant, each as its name and access.
fn shown(grant: &Grant) -> Vec<String> {
    let (shapes, is_whole) = shapes(&findings(), grant, usize::MAX);
    assert!(is_whole);
    let Some(mut shape) = shapes.into_values().next() else {
        return Vec::new();
    };
    let properties = shape.properties.iter_mut().map(|(name, property)| {
        property.value = Some(Value::from(""));
        (name, property.capability().unwrap())
    });
    let signals = shape
        .signals
        .iter()
        .map(|(name, it)| (name, it.capability()));
    let members = properties.chain(signals);
    members
        .map(|(name, capability)| format!("{name} {}", capability.info.access))
        .collect()
}

#[test]
fn what_everybody_may_do_is_what_is_shown() {
    assert_eq!(shown(&Grant::all()), ["Level rwe", "Model r", "Struck e"]);
    assert!(shown(&grant(&[], &[])).is_empty());
    let properties = "org.freedesktop.DBus.Properties";
    let get = format!("{properties}.Get");
    assert_eq!(shown(&grant(&[&get], &[])), ["Level r", "Model r"]);
    let (all, changed) = (
        format!("{properties}.*"),
        format!("{properties}.PropertiesChanged"),
    );
    assert_eq!(
        shown(&grant(&[&all], &[&changed])),
        ["Level rwe", "Model r"]
    );
    assert!(shown(&grant(&[&format!("{all}@/other")], &[])).is_empty());
    let signal = "org.example.Lamp1.*@/lamp";
    assert_eq!(shown(&grant(&[], &[signal])), ["Level e", "Struck e"]);
}

#[test]
fn what_there_is_no_room_for_is_left_out() {
    let (shapes, is_whole) = shapes(&findings(), &Grant::all(), 2);
    assert!(!is_whole);
    let shape = shapes.into_values().next().unwrap();
    assert_eq!((shape.properties.len(), shape.signals.len()), (2, 0));
    assert!(!super::shapes(&findings(), &Grant::all(), 0).1);
}

#[test]
fn what_is_for_some_peers_is_for_nobody_here() {
    let rule = |peers: &[&str]| ExportRule {
        service: ServicePattern::parse("org.example.*").unwrap(),
        peers: Peers::new(
            &peers
                .iter()
                .map(|&peer| peer.to_owned())
                .collect::<Vec<_>>(),
        )
        .unwrap(),
        grant: Grant::all(),
    };
    let public = |rules| ExportPolicy { rules }.public_grant("org.example.Lamp");
    assert!(!public(vec![rule(&["foh"])]).may_see());
    assert!(public(vec![rule(&["foh"]), rule(&["*"])]).talk);
    assert!(public(vec![rule(&[])]).talk);
}

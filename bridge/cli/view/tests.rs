//! Names that find capabilities, and the JSON of a node.

use super::*;

fn node() -> NodeView {
    let capability = |name: &str, member: &str| CapabilityView {
        name: name.to_owned(),
        member: member.to_owned(),
        value: Some((json!(1), String::from("x"))),
        ..CapabilityView::default()
    };
    let object = |name: &str, capabilities: &[(&str, &str)]| ObjectView {
        name: name.to_owned(),
        capabilities: capabilities
            .iter()
            .map(|(name, member)| ((*name).to_owned(), capability(name, member)))
            .collect(),
        ..ObjectView::default()
    };
    let objects = [
        (
            vec![],
            object(
                "stage",
                &[("My Float", "My_20Float"), ("cam.pan", "cam_2epan")],
            ),
        ),
        (
            vec![String::from("cam")],
            object("cam", &[("pan", "pan"), ("zoom", "zoom")]),
        ),
    ];
    NodeView {
        bus_name: String::from("n"),
        objects: objects.into_iter().collect(),
    }
}

#[test]
fn a_capability_is_found_by_name_label_and_dotted_path() {
    let node = node();
    let find = |wanted: &str| node.find(wanted).map(|(_, found)| found.member.as_str());
    assert_eq!(find("My Float"), Some("My_20Float"));
    assert_eq!(find("My_20Float"), Some("My_20Float"));
    assert_eq!(find("cam.zoom"), Some("zoom"));
    assert_eq!(find("cam/zoom"), Some("zoom"));
    assert_eq!(
        find("cam.pan"),
        Some("cam_2epan"),
        "the root's own name goes first"
    );
    assert_eq!(find("cam/pan"), Some("pan"));
    assert_eq!(find("zoom"), None);
}

#[test]
fn objects_are_inside_each_other_in_json() {
    let json = node().to_json();
    assert_eq!(json["name"], "stage");
    assert_eq!(json["objects"]["cam"]["capabilities"]["zoom"]["value"], 1);
}

#[test]
fn paths_below_the_node_are_labels() {
    assert_eq!(
        labels("org.z25.Zocp1.Node.a", "/org/z25/Zocp1/Node"),
        Some(vec![])
    );
    assert_eq!(
        labels("org.z25.Zocp1.Node.a", "/org/z25/Zocp1/Node/a/b").unwrap(),
        ["a", "b"]
    );
    assert_eq!(labels("org.z25.Zocp1.Node.a", "/org/z25/Zocp1/NodeX"), None);
    assert_eq!(labels("org.z25.Zocp1.Node.a", "/org"), None);
    // The bridge's own objects are elsewhere.
    let own = |path| labels("org.z25.Zocp1", path);
    assert_eq!(own("/org/z25/Zocp1/Local/a").unwrap(), ["a"]);
    assert_eq!(own("/org/z25/Zocp1/Node/a"), None);
}

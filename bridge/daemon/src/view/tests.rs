//! Any text at any place of a tree, read by everybody.

use proptest::prelude::*;
use serde_json::json;
use zbus::Message;
use zocp_interfaces::NODE_PATH;
use zocp_node::model::Limits;

use super::*;
use zocp_dbus::{
    errors::Refusal,
    message::readable::{assert_readable, odd_text},
    objects::Dispatch,
};

/// A tree with a text at each place that has one.
fn tree(texts: &[String]) -> Value {
    let mut texts = texts.iter().cycle().cloned();
    let mut next = || texts.next().unwrap_or_default();
    let capability = json!({
        "value": next(), "access": next(), "typeHint": next(), "unit": next(), next(): next(),
        "min": next(), "max": next(), "step": next(),
        "subscribers": [[next(), next()], [next()]],
    });
    let methods = json!({ next(): {
        "in": [{ "name": next(), "typeHint": next() }],
        "out": [{ "name": next(), "typeHint": "string" }],
        "doc": next(),
    }});
    json!({
        next(): capability,
        next(): { "value": [next(), { next(): next() }], "access": "rwe" },
        next(): { "value": next(), "access": "re", "typeHint": format!("signature:{}", next()) },
        next(): { "value": next(), "access": "re", "typeHint": "signature:o" },
        next(): { "value": next(), "access": "re", "typeHint": "signature:g" },
        next(): { "value": { next(): [next()], next(): null }, "access": "rw", "typeHint": "signature:a{sas}" },
        "methods": methods,
        "objects": { next(): {
            "type": next(),
            next(): { "value": next(), "access": "rwe" },
            "objects": { next(): { "type": next() } },
        }},
        next(): { next(): [next(), { next(): next() }] },
        next(): next(),
    })
}

/// Asks what anybody would ask of every path, and looks at all that goes out.
fn read(table: &ObjectTable) {
    let paths: Vec<Arc<str>> = table.with(|objects| objects.paths().cloned().collect());
    for path in &paths {
        for (interface, member) in [
            ("org.freedesktop.DBus.Introspectable", "Introspect"),
            ("org.freedesktop.DBus.Properties", "GetAll"),
            ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"),
        ] {
            let call = Message::method_call(&**path, member).interface(interface);
            let call = match member {
                "GetAll" => call.build(&""),
                _ => call.build(&()),
            };
            let call = call.unwrap();
            table.with(|objects| assert!(matches!(objects.handle(&call), Dispatch::Done)));
        }
    }
    table.with(|objects| {
        objects.flush_changes();
        let out = objects.take_outgoing();
        assert!(out.len() >= 3 * paths.len(), "every question is answered");
        out.iter().for_each(|message| assert_readable(message));
    });
}

fn view(name: &str) -> (View, ObjectTable) {
    let table = ObjectTable::new(Objects::new(None));
    table.with(|objects| {
        objects.add_manager(NODE_PATH).unwrap();
        objects.set_announcing(true);
    });
    let shape = shape().unwrap();
    (
        View::new(name, Side::Remote, NODE_PATH, table.clone(), shape),
        table,
    )
}

proptest! {
    // Each case reads a whole tree twice.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_of_any_texts_is_read_by_everybody(
        name in odd_text(),
        texts in prop::collection::vec(odd_text(), 1..50),
        patch in prop::collection::vec(odd_text(), 1..50),
        value in odd_text(),
    ) {
        let mut tree_of_node = Tree::from_json(tree(&texts), &Limits::default()).unwrap();
        let (mut view, table) = view(&name);
        view.adopt(&tree_of_node);
        read(&table);
        let changes = tree_of_node.merge(&tree(&patch), &Limits::default()).unwrap();
        view.follow(&changes);
        for (path, object) in tree_of_node.root().walk() {
            for name in object.capabilities.keys() {
                view.emit(&path.capability(name), &json!([value, { value.as_str(): 1 }]));
                view.emit(&path.capability(name), &json!(value));
            }
        }
        read(&table);
        view.remove_object(&ObjectPath::root());
        table.with(|objects| objects.take_outgoing().iter().for_each(|it| assert_readable(it)));
    }

    #[test]
    fn an_error_of_any_name_and_text_is_read_by_everybody(
        error in odd_text(), message in odd_text(), path in odd_text()
    ) {
        let mut objects = Objects::new(None);
        let remote = Refusal::Remote { error, message: message.clone() };
        for refusal in [remote, Refusal::Failed(message), Refusal::NodeGone(path)] {
            let call = Message::method_call("/", "Do").build(&()).unwrap();
            objects.refuse(call, refusal);
        }
        let out = objects.take_outgoing();
        prop_assert_eq!(out.len(), 3);
        out.iter().for_each(|message| assert_readable(message));
    }
}

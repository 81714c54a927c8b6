use proptest::prelude::*;
use serde_json::json;

use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn tree(value: Value) -> Tree {
    Tree::from_json(value, &limits()).unwrap()
}

fn stage() -> Tree {
    tree(json!({
        "dim": {"value": 1, "typeHint": "int", "access": "rwe", "subscribers": []},
        "_location": [1, 2, 3],
        "objects": {
            "cam": {"type": "camera", "zoom": {"value": 5, "access": "rw"},
                "objects": {"pan": {"angle": {"value": 0.5, "access": "re"}}}},
            "desk": {"type": "desk"},
        },
    }))
}

fn merged(tree: &mut Tree, patch: Value) -> Vec<Change> {
    let changes = tree.merge(&patch, &limits()).unwrap();
    assert_eq!(tree.totals.capabilities, tree.count().capabilities);
    assert_eq!(tree.totals.objects, tree.count().objects);
    assert!(tree.totals.size >= tree.count().size);
    changes
}

fn value(path: &str, value: Value) -> Change {
    Change::Value {
        path: path.parse().unwrap(),
        value,
    }
}

fn data(object: ObjectPath, name: &str, value: Option<Value>) -> Change {
    let name = name.to_owned();
    Change::Data {
        object,
        name,
        value,
    }
}

#[test]
fn every_shape_on_record_reads_and_writes_back() {
    let shapes = include_str!("../../../../tests/vectors/zocp/shapes.jsonl");
    for line in shapes.lines() {
        let entries = json::decode(line.as_bytes(), &limits()).unwrap().entries;
        let whole = entries[0].1.clone();
        assert_eq!(tree(whole.clone()).to_json(), whole, "{line}");
    }
}

// protocol.md §4.2
#[test]
fn entries_are_told_apart() {
    let tree = stage();
    assert_eq!(tree.capability_count(), 3);
    assert_eq!(tree.object_count(), 3);
    assert_eq!(tree.root().data["_location"], json!([1, 2, 3]));
    let cam = tree.object(&"cam".parse().unwrap()).unwrap();
    assert_eq!(cam.kind(), Some("camera"));
    assert!(
        tree.capability(&"cam.pan.angle".parse().unwrap())
            .unwrap()
            .info
            .access
            .emit
    );
    let paths: Vec<_> = tree
        .capabilities()
        .map(|(path, _)| path.to_string())
        .collect();
    assert_eq!(paths, ["dim", "cam.zoom", "cam.pan.angle"]);
}

#[test]
fn neighbours_that_are_alike_share_their_description() {
    let entry = || json!({"value": 1, "typeHint": "int", "access": "rw", "min": -10});
    let tree = tree(json!({"fader 1": entry(), "fader 2": entry(), "other": {"value": 1}}));
    let info = |name: &str| tree.root().capabilities[name].info.clone();
    assert!(std::sync::Arc::ptr_eq(&info("fader 1"), &info("fader 2")));
    assert_ne!(info("fader 2"), info("other"));
}

#[test]
fn a_new_value_is_one_change_and_an_equal_one_is_none() {
    let mut tree = stage();
    assert_eq!(
        merged(&mut tree, json!({"dim": {"value": 2}})),
        [value("dim", json!(2))]
    );
    assert_eq!(merged(&mut tree, json!({"dim": {"value": 2}})), []);
    let nested = json!({"objects": {"cam": {"objects": {"pan": {"angle": {"value": 1.5}}}}}});
    assert_eq!(
        merged(&mut tree, nested),
        [value("cam.pan.angle", json!(1.5))]
    );
}

#[test]
fn a_value_of_another_type_is_a_value_and_a_description_is_told_as_such() {
    let mut tree = stage();
    assert_eq!(
        merged(&mut tree, json!({"dim": {"value": "high"}})),
        [value("dim", json!("high"))]
    );
    let changes = merged(&mut tree, json!({"dim": {"access": "r"}}));
    assert!(matches!(&changes[..], [Change::CapabilityChanged { .. }]));
}

#[test]
fn a_new_object_is_told_with_its_parts_parents_first() {
    let mut tree = stage();
    let patch = json!({"objects": {"rig": {"objects": {"l": {"on": {"value": true}, "x": null}}, "type": "rig"}}});
    let rig = ObjectPath::root().child("rig");
    let capability = Capability::from_json(json!({"value": true}).as_object().unwrap().clone());
    let expected = [
        Change::ObjectAdded(rig.clone()),
        Change::ObjectAdded(rig.child("l")),
        Change::CapabilityAdded {
            path: rig.child("l").capability("on"),
            capability,
        },
    ];
    let changes = merged(&mut tree, patch.clone());
    assert_eq!(
        changes
            .iter()
            .filter(|change| !matches!(change, Change::Data { .. }))
            .cloned()
            .collect::<Vec<_>>(),
        expected
    );
    assert!(changes.contains(&data(rig, "type", Some(json!("rig")))));
    assert_eq!(merged(&mut tree, patch), []);
}

// protocol.md §4.5
#[test]
fn null_removes_entries_objects_and_methods_and_is_nothing_to_the_unknown() {
    let mut tree = stage();
    assert_eq!(
        merged(&mut tree, json!({"nope": null, "objects": {"nope": null}})),
        []
    );
    let gone = merged(&mut tree, json!({"dim": null}));
    assert_eq!(
        gone,
        [Change::CapabilityRemoved {
            path: CapPath::root("dim")
        }]
    );
    let gone = merged(&mut tree, json!({"objects": {"cam": null}}));
    assert_eq!(
        gone,
        [Change::ObjectRemoved(ObjectPath::root().child("cam"))]
    );
    assert_eq!(tree.capability_count(), 0);
    assert_eq!(
        merged(&mut tree, json!({"_location": null})),
        [data(ObjectPath::root(), "_location", None)]
    );
    merged(
        &mut tree,
        json!({"methods": {"a": {"in": [], "out": []}, "b": {"in": [], "out": []}}}),
    );
    let changes = merged(&mut tree, json!({"methods": {"a": null}}));
    assert_eq!(
        changes,
        [Change::Method {
            object: ObjectPath::root(),
            name: "a".to_owned(),
            method: None,
        }]
    );
    assert_eq!(tree.root().methods.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn entries_may_become_of_another_kind() {
    let mut tree = stage();
    merged(&mut tree, json!({"dim": 5}));
    assert_eq!(tree.root().data["dim"], 5);
    merged(&mut tree, json!({"dim": {"value": 1}}));
    assert!(tree.resolve("dim").is_some());
    merged(&mut tree, json!({"objects": 5}));
    assert_eq!(tree.object_count(), 0);
    merged(
        &mut tree,
        json!({"objects": {"a": {"x": {"value": 1}}, "b": 3}}),
    );
    assert_eq!(
        tree.to_json()["objects"],
        json!({"a": {"x": {"value": 1}}, "b": 3})
    );
    merged(&mut tree, json!({"e": {"access": "e"}}));
    merged(&mut tree, json!({"e": {"access": 5}}));
    assert_eq!(tree.root().data["e"], json!({"access": 5}));
}

// protocol.md §4.6
#[test]
fn what_pyzocp_tells_in_the_wrong_object_reaches_the_root() {
    let mut tree = stage();
    let told = |inner: Value| {
        json!({"objects": {"cam": inner}})
            .as_object()
            .unwrap()
            .clone()
    };
    let patch = straighten(
        &tree,
        told(json!({"dim": {"subscribers": [["ba", null]]}, "_location": [0, 0, 0]})),
    );
    let changes = merged(&mut tree, Value::Object(patch));
    assert!(changes.iter().any(|change| matches!(change, Change::CapabilityChanged { path, .. } if *path == CapPath::root("dim"))));
    let location = data(ObjectPath::root(), "_location", Some(json!([0, 0, 0])));
    assert!(changes.contains(&location));
    assert!(!tree.root().objects["cam"].has("dim"));
    // Another object's notice.
    let patch = straighten(&tree, told(json!({"objects": {"desk": {"type": "other"}}})));
    merged(&mut tree, Value::Object(patch));
    assert_eq!(tree.root().objects["desk"].kind(), Some("other"));
}

#[test]
fn what_belongs_to_the_object_stays_there() {
    let tree = stage();
    for inner in [
        json!({"dim": {"value": 1, "access": "r"}}), // registered there
        json!({"zoom": {"value": 6}}),               // known there
        json!({"new": {"value": 6}}),                // known nowhere
        json!({"objects": {"pan": {"angle": {"value": 1}}}}),
    ] {
        let patch = json!({"objects": {"cam": inner}})
            .as_object()
            .unwrap()
            .clone();
        assert_eq!(straighten(&tree, patch.clone()), patch);
    }
    let whole = stage().to_json().as_object().unwrap().clone();
    assert_eq!(straighten(&tree, whole.clone()), whole);
}

#[test]
fn a_name_resolves_exactly_before_it_is_taken_apart() {
    let tree = tree(json!({
        "cam.zoom": {"value": 0},
        "objects": {
            "cam": {"zoom": {"value": 1}, "pan": {"value": 2}, "a.b": {"value": 3}},
            "cam.a": {"b": {"value": 4}, "c": {"value": 5}},
        },
    }));
    let found = |text: &str| {
        tree.resolve(text)
            .map(|path| tree.capability(&path).unwrap().value.clone().unwrap())
    };
    assert_eq!(found("cam.zoom"), Some(json!(0)));
    assert_eq!(found("cam.pan"), Some(json!(2)));
    assert_eq!(found("cam.a.b"), Some(json!(4)));
    assert_eq!(found("cam.a.c"), Some(json!(5)));
    assert_eq!(found("cam"), None);
    assert_eq!(found(""), None);
    assert_eq!(tree.resolve_object("cam.a").unwrap().segments().len(), 1);
    assert_eq!(tree.resolve_object(""), Some(ObjectPath::root()));
    assert_eq!(tree.resolve_object("nope"), None);
}

#[test]
fn a_patch_that_breaks_a_limit_changes_nothing() {
    let base = json!({"a": {"value": 1, "access": "rw"}, "objects": {"o": {}}});
    type Set = fn(&mut Limits);
    let table: [(Value, Set, TreeError); 6] = [
        (
            json!({"b": {"value": 1}}),
            |l| l.capabilities_max = 1,
            TreeError::TooManyCapabilities { max: 1 },
        ),
        (
            json!({"objects": {"p": {}}}),
            |l| l.objects_max = 1,
            TreeError::TooManyObjects { max: 1 },
        ),
        (
            json!({"a": {"value": "x".repeat(3000)}}),
            |l| l.tree_size_max = 2000,
            TreeError::TooLarge { max: 2000 },
        ),
        (
            json!({"a": {"value": [[[1]]]}}),
            |l| l.depth_max = 4,
            TreeError::TooDeep { max: 4 },
        ),
        (
            json!({"abcdef": 1}),
            |l| l.name_len_max = 5,
            TreeError::NameTooLong { max: 5 },
        ),
        (json!([1]), |_| {}, TreeError::NotAnObject),
    ];
    for (patch, set, error) in table {
        let mut limits = limits();
        set(&mut limits);
        limits.depth_max = limits.depth_max.max(4);
        let mut tree = tree(base.clone());
        assert_eq!(tree.merge(&patch, &limits), Err(error));
        assert_eq!(tree.to_json(), base);
    }
}

#[test]
fn no_way_leads_to_a_tree_that_is_deeper_than_one_that_is_read() {
    let limits = Limits {
        depth_max: 6,
        ..limits()
    };
    let deep = json!({"objects": {"o": {"a": {"value": [1]}}}});
    let deeper = json!({"objects": {"o": {"a": {"value": [[1]]}}}});
    let too_deep = || TreeError::TooDeep { max: 6 };
    assert_eq!(
        Tree::from_json(deeper.clone(), &limits).unwrap_err(),
        too_deep()
    );
    let mut tree = Tree::new();
    assert_eq!(tree.merge(&deeper, &limits), Err(too_deep()));
    tree.merge(&deep, &limits).unwrap();
    let path = "o.a".parse().unwrap();
    let replaced = tree.replace_value(&path, json!([[1]]), &limits);
    assert_eq!(replaced.unwrap_err(), too_deep());
    assert!(tree.replace_value(&path, json!([2]), &limits).is_ok());
}

#[test]
fn what_is_merged_is_told_apart_like_what_is_read() {
    let parts = [
        (json!({"m": {"in": []}}), json!({"value": 5})),
        (json!({"m": {"in": []}}), json!({"access": "rw"})),
        (json!({"value": 5, "m": {}}), json!({"value": {"in": []}})),
    ];
    for (first, second) in parts {
        let mut tree = tree(json!({"methods": first}));
        merged(&mut tree, json!({"methods": second}));
        let read = Tree::from_json(tree.to_json(), &limits());
        assert_eq!(read.as_ref(), Ok(&tree), "{second}");
    }
}

#[test]
fn a_full_tree_still_takes_what_replaces() {
    let limits = Limits {
        tree_size_max: 1700,
        capabilities_max: 1,
        objects_max: 1,
        ..limits()
    };
    let mut tree = Tree::from_json(json!({"a": {"value": "x".repeat(700)}}), &limits).unwrap();
    for i in 0..100 {
        tree.merge(&json!({"a": {"value": format!("{i:700}")}}), &limits)
            .unwrap();
    }
    assert!(
        tree.replace_value(&CapPath::root("a"), json!("y".repeat(900)), &limits)
            .is_err()
    );
    assert!(
        tree.replace_value(&CapPath::root("a"), json!("y"), &limits)
            .is_ok()
    );
}

/// Trees that are likely to hit what is special.
fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        Just(json!("rw")),
        Just(json!([1, 2])),
        Just(json!([["ba", null]])),
    ];
    let key = prop_oneof![
        Just("value"),
        Just("access"),
        Just("objects"),
        Just("methods"),
        Just("type"),
        Just("a"),
        Just("b"),
        Just("subscribers"),
        Just("typeHint"),
        Just("in"),
    ];
    let map = move |value: BoxedStrategy<Value>| {
        proptest::collection::btree_map(key.clone(), value, 0..5).prop_map(|map| {
            Value::Object(
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            )
        })
    };
    let inner = leaf.prop_recursive(5, 64, 5, {
        let map = map.clone();
        move |inner| map(inner.boxed())
    });
    map(inner.boxed())
}

proptest! {
    #[test]
    fn what_came_in_is_what_comes_out(whole in any_tree()) {
        prop_assert_eq!(tree(whole.clone()).to_json(), whole);
    }

    #[test]
    fn merging_again_changes_nothing(whole in any_tree(), patch in any_tree()) {
        let mut tree = tree(whole);
        merged(&mut tree, patch.clone());
        let after = tree.clone();
        prop_assert_eq!(merged(&mut tree, patch), vec![]);
        prop_assert_eq!(tree, after);
    }

    #[test]
    fn a_mirror_that_follows_the_changes_has_the_same_tree(whole in any_tree(), patch in any_tree()) {
        let mut tree = tree(whole);
        let mut mirror = tree.root().clone();
        for change in merged(&mut tree, patch) {
            follow(&mut mirror, change);
        }
        prop_assert_eq!(&mirror, tree.root());
    }
}

/// Does to a mirror what a change tells.
fn follow(mirror: &mut Object, change: Change) {
    match change {
        Change::ObjectAdded(path) => {
            let above = mirror.at_mut(&path.parent().unwrap()).unwrap();
            above
                .objects
                .insert(path.name().unwrap().to_owned(), Object::default());
        }
        Change::ObjectRemoved(path) => {
            let above = mirror.at_mut(&path.parent().unwrap()).unwrap();
            above.objects.remove(path.name().unwrap());
        }
        Change::CapabilityAdded { path, capability }
        | Change::CapabilityChanged { path, capability } => {
            let object = mirror.at_mut(&path.object).unwrap();
            object
                .capabilities
                .insert(path.name.to_string(), capability);
        }
        Change::CapabilityRemoved { path } => {
            mirror
                .at_mut(&path.object)
                .unwrap()
                .capabilities
                .remove(&*path.name);
        }
        Change::Value { path, value } => {
            let object = mirror.at_mut(&path.object).unwrap();
            object.capabilities.get_mut(&*path.name).unwrap().value = Some(value);
        }
        Change::Method {
            object,
            name,
            method,
        } => {
            let methods = &mut mirror.at_mut(&object).unwrap().methods;
            methods.remove(&name);
            methods.extend(method.map(|method| (name, method)));
        }
        Change::Data {
            object,
            name,
            value,
        } => {
            let data = &mut mirror.at_mut(&object).unwrap().data;
            data.remove(&name);
            data.extend(value.map(|value| (name, value)));
        }
    }
}

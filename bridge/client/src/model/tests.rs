use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tree::{Capability, Object};

fn tree(names: &[(&str, &str)]) -> Tree {
    let capabilities = names.iter().map(|(name, member)| {
        let capability = Capability {
            member: (*member).to_owned(),
            ..Capability::default()
        };
        ((*name).to_owned(), capability)
    });
    let object = |name: &str, capabilities| Object {
        name: name.to_owned(),
        capabilities,
        ..Object::default()
    };
    let inner = BTreeMap::from([(
        "z".to_owned(),
        Capability {
            member: "z".into(),
            ..Capability::default()
        },
    )]);
    Tree {
        objects: [
            (vec![], object("", capabilities.collect())),
            (vec!["c_20m".to_owned()], object("c m", inner)),
        ]
        .into(),
    }
}

fn properties(name: &str) -> Map<String, Value> {
    [
        ("Name".to_owned(), json!(name)),
        ("Uuid".to_owned(), json!("abcd")),
    ]
    .into_iter()
    .collect()
}

fn with_lamp() -> Model {
    let mut model = Model::default();
    model.set_peer("lamp", properties("lamp"));
    let readings = vec![
        ("lamp/b".to_owned(), json!(1)),
        ("lamp/a_3ab".to_owned(), json!(2)),
    ];
    model.set_tree("lamp", tree(&[("b", "b"), ("a:b", "a_3ab")]), readings);
    model
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn whoever_is_slow_is_told_each_thing_once() {
    let mut model = with_lamp();
    let seen = model.version();
    for value in 0..1000 {
        model.set_value("lamp/b", json!(value));
        model.set_wire(3, Map::new());
    }
    let changes = model.since(seen);
    assert_eq!(
        changes,
        Changes::Keys(vec![Key::Value("lamp/b".into()), Key::Wire(3)])
    );
    assert_eq!(model.value("lamp/b"), Some(&json!(999)));
    assert_eq!(model.since(model.version()), Changes::Keys(vec![]));
}

#[test]
fn a_value_that_no_tree_has_is_not_taken() {
    let mut model = with_lamp();
    let version = model.version();
    model.set_value("lamp/nope", json!(1));
    model.set_value("nobody/b", json!(1));
    assert_eq!(model.version(), version);
}

#[test]
fn a_node_that_left_is_kept_a_while_and_comes_back_as_it_is() {
    let mut model = with_lamp();
    model.lose_node("lamp", seconds(10));
    model.expire(seconds(10) + GONE_KEPT - seconds(1));
    assert_eq!(model.nodes()["lamp"].left, Some(seconds(10)));
    model.set_peer("lamp", properties("lamp"));
    model.expire(seconds(1000));
    assert_eq!(model.nodes()["lamp"].left, None);
    model.lose_node("lamp", seconds(1000));
    let version = model.version();
    model.expire(seconds(1000) + GONE_KEPT);
    assert!(model.nodes().is_empty());
    assert_eq!(
        model.since(version),
        Changes::Keys(vec![Key::Node("lamp".into())])
    );
}

#[test]
fn only_so_many_nodes_that_left_are_kept() {
    let mut model = Model::default();
    for number in 0..GONE_MAX as u64 + 10 {
        let label = format!("n{number}");
        model.set_peer(&label, Map::new());
        model.lose_node(&label, seconds(number));
    }
    assert_eq!(model.nodes().len(), GONE_MAX);
    assert!(!model.nodes().contains_key("n9") && model.nodes().contains_key("n10"));
}

#[test]
fn whoever_missed_a_removal_starts_from_the_whole() {
    let mut model = Model::default();
    model.set_wire(0, Map::new());
    let seen = model.version();
    for number in 1..=REMOVED_MAX as u32 + 1 {
        model.set_wire(number, Map::new());
        model.lose_wire(number);
    }
    assert_eq!(model.since(seen), Changes::Everything);
    assert!(matches!(model.since(model.version() - 1), Changes::Keys(_)));
    assert!(
        model.changed.len() <= REMOVED_MAX + 1,
        "what is gone is forgotten"
    );
    assert_eq!(model.changed.len(), model.versions.len());
}

#[test]
fn a_day_of_thirty_updates_a_second_leaves_nothing() {
    let mut model = with_lamp();
    for number in 0..86_400 * 30_u32 {
        model.set_value("lamp/b", json!(number));
        if number % 1000 == 0 {
            model.set_wire(number, Map::new());
            model.lose_wire(number);
        }
    }
    assert!(
        model.changed.len() <= REMOVED_MAX + 4,
        "{}",
        model.changed.len()
    );
    assert_eq!(model.changed.len(), model.versions.len());
    assert!(model.removed.len() <= REMOVED_MAX);
}

#[test]
fn ends_of_wires_are_capabilities() {
    let mut model = with_lamp();
    assert_eq!(model.capability("lamp:b"), Some("lamp/b"));
    assert_eq!(model.capability("lamp:a_3ab"), Some("lamp/a_3ab"));
    assert_eq!(model.capability("lamp:c m.z"), Some("lamp/c_20m/z"));
    assert_eq!(model.capability("dbus:a.b:/c:d.e"), None);
    assert_eq!(model.end("lamp/b").as_deref(), Some("lamp:b"));
    assert_eq!(model.end("lamp/a_3ab").as_deref(), Some("lamp:a_3ab"));
    assert_eq!(model.end("lamp/c_20m/z").as_deref(), Some("lamp:c m.z"));
    assert_eq!(model.end("lamp/nope"), None);
    // Of namesakes the label tells which.
    model.set_peer("lamp_0123", properties("lamp"));
    model.set_tree("lamp_0123", tree(&[("b", "b")]), vec![]);
    assert_eq!(model.end("lamp_0123/b").as_deref(), Some("lamp_0123:b"));
    assert_eq!(model.capability("lamp_0123:b"), Some("lamp_0123/b"));
}

#[test]
fn a_wire_is_told_again_when_a_node_of_it_has_told_its_tree() {
    let mut model = with_lamp();
    let ends = [
        ("From".to_owned(), json!("fader:level")),
        ("To".to_owned(), json!("lamp:b")),
    ];
    model.set_wire(1, ends.into_iter().collect());
    model.set_peer("fader", properties("fader"));
    let seen = model.version();
    model.set_tree("fader", tree(&[("level", "level")]), vec![]);
    assert_eq!(
        model.since(seen),
        Changes::Keys(vec![Key::Node("fader".into()), Key::Wire(1)])
    );
}

#[derive(Debug, Clone)]
enum Step {
    Peer(u8),
    Tree(u8, Vec<u8>),
    Value(u8, u8, i32),
    Lose(u8),
    Wire(u32),
    Unwire(u32),
    Expire,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8).prop_map(Step::Peer),
        (0..4u8, prop::collection::vec(0..4u8, 0..4))
            .prop_map(|(node, names)| Step::Tree(node, names)),
        (0..4u8, 0..4u8, any::<i32>())
            .prop_map(|(node, name, value)| Step::Value(node, name, value)),
        (0..4u8).prop_map(Step::Lose),
        (0..5u32).prop_map(Step::Wire),
        (0..5u32).prop_map(Step::Unwire),
        Just(Step::Expire),
        Just(Step::Look),
    ]
}

/// What somebody shows who has the whole once and then only changes.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    nodes: BTreeMap<String, (bool, HashMap<String, Value>)>,
    wires: Vec<u32>,
}

impl Shown {
    fn whole(model: &Model) -> Self {
        let node = |node: &Node| (node.left.is_some(), node.values.clone());
        Self {
            nodes: model
                .nodes()
                .iter()
                .map(|(label, it)| (label.clone(), node(it)))
                .collect(),
            wires: model.wires().keys().copied().collect(),
        }
    }

    fn apply(&mut self, model: &Model, key: Key) {
        match key {
            Key::Node(label) => match model.nodes().get(&label) {
                Some(node) => {
                    self.nodes
                        .insert(label, (node.left.is_some(), node.values.clone()));
                }
                None => {
                    self.nodes.remove(&label);
                }
            },
            Key::Value(id) => {
                // A node that is new comes with all its values, perhaps behind this.
                if let Some(node) = self.nodes.get_mut(node_of(&id)) {
                    let value = model.value(&id).expect("a value").clone();
                    node.1.insert(id.clone(), value);
                }
            }
            Key::Wire(number) => {
                self.wires.retain(|it| *it != number);
                if model.wires().contains_key(&number) {
                    self.wires.push(number);
                    self.wires.sort_unstable();
                }
            }
            Key::Bridge | Key::Statistics => {}
        }
    }
}

proptest! {
    #[test]
    fn the_whole_and_the_changes_are_the_whole(steps in prop::collection::vec(step(), 0..60)) {
        let (mut model, mut shown, mut seen, mut now) = (Model::default(), Shown::default(), 0, seconds(0));
        for step in steps {
            match step {
                Step::Peer(node) => model.set_peer(&format!("n{node}"), Map::new()),
                Step::Tree(node, names) => {
                    let label = format!("n{node}");
                    let readings = names.iter().map(|name| (format!("{label}/v{name}"), json!(0)));
                    model.set_tree(&label, Tree::default(), readings.collect());
                }
                Step::Value(node, name, value) => model.set_value(&format!("n{node}/v{name}"), json!(value)),
                Step::Lose(node) => model.lose_node(&format!("n{node}"), now),
                Step::Wire(number) => model.set_wire(number, Map::new()),
                Step::Unwire(number) => model.lose_wire(number),
                Step::Expire => {
                    now += GONE_KEPT / 2;
                    model.expire(now);
                }
                Step::Look => {
                    let Changes::Keys(keys) = model.since(seen) else {
                        panic!("a few removals are remembered");
                    };
                    for key in keys {
                        shown.apply(&model, key);
                    }
                    seen = model.version();
                    prop_assert_eq!(&shown, &Shown::whole(&model));
                }
            }
        }
    }
}

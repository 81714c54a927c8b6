//! How others hear of what is published and taken away.

use super::*;

// protocol.md §6.1
#[test]
fn what_is_published_later_is_told_and_what_goes_is_told_to_extended_peers() {
    for kind in [OLD, EXTENDED] {
        let mut mesh = Mesh::met(2, kind, |_| {});
        let lamp = ObjectPath::root().child("lamp");
        let node = mesh.node(1);
        node.publish(lamp.capability("on"), Capability::new("rw", true))
            .unwrap();
        node.set_object(&lamp, "lamp").unwrap();
        node.publish_method(&lamp, "blink", &Method::default())
            .unwrap();
        node.set_data(&ObjectPath::root(), "_location", json!([1, 2, 3]))
            .unwrap();
        mesh.settle();
        let seen = mesh.nodes[1].remote(id(1)).unwrap().to_json();
        let mut whole = mesh.nodes[0].local().to_json();
        if kind == OLD {
            whole["objects"]["lamp"]
                .as_object_mut()
                .unwrap()
                .remove("methods");
        }
        assert_eq!(seen, whole);
        mesh.clear();
        assert!(mesh.node(1).remove_object(&lamp));
        assert!(!mesh.node(1).remove_object(&lamp));
        assert_eq!(mesh.sent(1, 2).len(), usize::from(kind == EXTENDED));
        assert_eq!(
            mesh.nodes[0].local().to_json(),
            json!({"_location": [1, 2, 3]})
        );
    }
}

#[test]
fn a_capability_described_anew_keeps_its_subscribers() {
    let mut mesh = Mesh::met(2, EXTENDED, |node| {
        node.publish(root("dim"), int("rwe", 5).with_range(0, 10))
            .unwrap()
    });
    mesh.node(2).publish(root("in"), int("rws", 0)).unwrap();
    mesh.node(2)
        .subscribe(id(1), Some("dim"), id(2), Some("in"))
        .unwrap();
    mesh.settle();
    mesh.node(1).publish(root("dim"), int("re", 6)).unwrap();
    mesh.settle();
    let local = mesh.nodes[0].local().capability(&root("dim")).unwrap();
    assert_eq!(local.info.max, None);
    assert_eq!(local.info.subscribers.as_ref().unwrap().len(), 1);
}

#[test]
fn names_with_a_meaning_of_their_own_are_refused() {
    let mut model = Model::new(id(1), Limits::default());
    assert_eq!(
        model.publish(root("objects"), int("r", 1)),
        Err(PublishError::ReservedName)
    );
    model.publish(root("x"), int("r", 1)).unwrap();
    let data = model.set_data(&ObjectPath::root(), "x", Value::from(1));
    assert_eq!(data, Err(PublishError::IsCapability));
    assert_eq!(
        model.emit(&root("x"), 1.into()),
        Err(PublishError::NotAnEmitter)
    );
    assert!(model.unpublish(&root("x")));
    assert!(!model.unpublish(&root("x")));
}

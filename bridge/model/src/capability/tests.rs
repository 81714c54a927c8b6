use serde_json::json;

use super::*;

fn read(entry: Value) -> Capability {
    let Value::Object(entry) = entry else {
        panic!("not an object")
    };
    Capability::from_json(entry)
}

#[test]
fn every_way_of_writing_a_capability_survives() {
    let table = [
        json!({"value": 1}),
        json!({"value": null, "access": ""}),
        json!({"value": 10, "typeHint": "int", "access": "rwes", "subscribers": [], "min": -10, "max": 10, "step": 1}),
        json!({"access": "ewr"}),
        json!({"access": "rwx", "value": [1]}),
        json!({"access": 5, "value": 1, "typeHint": ["int"], "min": null}),
        json!({"value": {"a": 1}, "subscribers": [["ba", null], ["bb", "x"]]}),
        json!({"value": 1, "subscribers": [["ba", null, 1]]}),
        json!({"value": 1, "subscribers": {"a": 1}, "unit": "dB", "control": "rw"}),
    ];
    for entry in table {
        assert_eq!(Value::Object(read(entry.clone()).to_json()), entry);
    }
}

#[test]
fn access_is_understood_in_any_order() {
    let access = read(json!({"access": "ewr"})).info.access;
    assert!(access.read && access.write && access.emit && !access.sense);
}

#[test]
fn a_new_value_leaves_the_description_shared() {
    let mut capability = read(json!({"value": 1, "access": "rw", "typeHint": "int"}));
    let before = capability.info.clone();
    capability.merge(json!({"value": 2}).as_object().unwrap(), Dialect::Python);
    capability.merge(
        json!({"value": 2, "access": "rw"}).as_object().unwrap(),
        Dialect::Python,
    );
    assert_eq!(capability.value, Some(json!(2)));
    assert!(Arc::ptr_eq(&before, &capability.info));
    capability.merge(json!({"access": "r"}).as_object().unwrap(), Dialect::Python);
    assert!(!capability.info.access.write);
}

#[test]
fn values_that_are_objects_merge_as_pyzocp_does() {
    let mut capability = read(json!({"value": {"a": 1, "b": 2}}));
    capability.merge(
        json!({"value": {"a": 3}}).as_object().unwrap(),
        Dialect::Python,
    );
    assert_eq!(capability.value, Some(json!({"a": 3, "b": 2})));
}

#[test]
fn a_value_is_checked_against_type_and_range() {
    let int = read(json!({"value": 1, "typeHint": "int", "access": "rw", "min": -10, "max": 10}));
    assert_eq!(int.check_set(&json!(10.0)), Ok(json!(10)));
    assert_eq!(
        int.check_set(&json!(5.5)),
        Err(CheckError::WrongType {
            expected: Shape::Int
        })
    );
    let range = CheckError::OutOfRange {
        min: Some(json!(-10)),
        max: Some(json!(10)),
    };
    assert_eq!(int.check_set(&json!(11)), Err(range.clone()));
    assert_eq!(int.check_set(&json!(-11)), Err(range));
    assert_eq!(
        read(json!({"value": 1, "access": "r"})).check_set(&json!(1)),
        Err(CheckError::NotWritable)
    );
}

// protocol.md §4.3
#[test]
fn the_bounds_of_a_vector_are_a_number_or_a_list() {
    let list = read(json!({"value": [0, 0], "typeHint": "vec2f", "access": "w", "min": [0, 5]}));
    assert!(list.check(&json!([0, 5])).is_ok());
    assert!(list.check(&json!([0, 4])).is_err());
    let number = read(json!({"value": [0, 0], "typeHint": "vec2f", "max": 1}));
    assert!(number.check(&json!([1, 1.5])).is_err());
    let odd = read(json!({"value": 0, "typeHint": "int", "min": "low", "max": [7]}));
    assert!(odd.check(&json!(7)).is_ok());
    assert!(odd.check(&json!(8)).is_err());
}

#[test]
fn large_integers_are_compared_exactly() {
    let max: Value = serde_json::from_str("9007199254740992").unwrap();
    let above: Value = serde_json::from_str("9007199254740993").unwrap();
    let capability = read(json!({"value": 0, "typeHint": "int", "max": max}));
    assert!(capability.check(&max).is_ok());
    assert!(capability.check(&above).is_err());
}

#[test]
fn nan_is_never_in_a_range() {
    let bounded = Capability::new(Access::WRITE, 0.5).with_range(0, 1);
    assert!(matches!(
        bounded.check(&crate::float(f64::NAN)),
        Err(CheckError::OutOfRange { .. })
    ));
    assert!(
        Capability::new(Access::WRITE, 0.5)
            .check(&crate::float(f64::NAN))
            .is_ok()
    );
}

#[test]
fn without_a_hint_the_present_value_tells_the_type() {
    let text = read(json!({"value": "x", "access": "w"}));
    assert!(text.check(&json!(1)).is_err());
    assert!(text.check(&json!("y")).is_ok());
    assert!(read(json!({"value": null})).check(&json!({"a": 1})).is_ok());
    assert!(read(json!({"value": 5})).check(&json!(5.5)).is_ok());
    assert!(read(json!({"access": "w"})).check(&json!([1])).is_ok());
}

use proptest::prelude::*;
use zbus::{Array, wire::StructureBuilder};

use super::*;

fn wanted(signature: &str, given: impl Into<Variant<'static>>) -> Result<String, Mismatch> {
    let signature = Signature::try_from(signature).unwrap();
    as_wanted(&signature, &given.into()).map(|value| value.to_string())
}

fn tuple(values: Vec<Variant<'static>>) -> Variant<'static> {
    let fields = values
        .into_iter()
        .fold(StructureBuilder::new(), StructureBuilder::append_field);
    Variant::Structure(fields.build().unwrap())
}

#[test]
fn any_number_is_taken_for_a_number() {
    for given in [
        Variant::U8(5),
        Variant::I16(5),
        Variant::U16(5),
        Variant::I32(5),
        Variant::U32(5),
        Variant::I64(5),
        Variant::U64(5),
        Variant::F64(5.0),
        Variant::Variant(Box::new(Variant::U8(5))),
    ] {
        assert_eq!(wanted("x", given.clone()).unwrap(), "5");
        assert_eq!(wanted("d", given.clone()).unwrap(), "5.0");
        assert!(wanted("b", given.clone()).is_err());
        assert!(wanted("s", given).is_err());
    }
}

#[test]
fn a_number_that_the_type_does_not_hold_is_refused() {
    for (signature, given) in [
        ("x", Variant::F64(5.5)),
        ("x", Variant::U64(u64::MAX)),
        ("x", Variant::F64(f64::NAN)),
        ("x", Variant::F64(1e300)),
        ("y", Variant::I64(256)),
        ("d", Variant::F64(f64::INFINITY)),
        ("d", Variant::F64(f64::NAN)),
    ] {
        let refused = wanted(signature, given.clone());
        assert!(
            matches!(refused, Err(Mismatch::Number { .. })),
            "{signature} {given:?}"
        );
    }
    assert_eq!(wanted("t", u64::MAX).unwrap(), u64::MAX.to_string());
}

#[test]
fn vectors_are_taken_from_structures_and_arrays() {
    let integers = Variant::from(vec![1i32, 2]);
    let floats = tuple(vec![Variant::F64(1.0), Variant::F64(2.0)]);
    let mixed = tuple(vec![Variant::F64(1.0), Variant::U8(2)]);
    let mut variants = Array::new(&Signature::Variant);
    for value in [1.0, 2.0] {
        let inner = Box::new(Variant::F64(value));
        variants.append(Variant::Variant(inner)).unwrap();
    }
    for given in [integers, floats, mixed, Variant::Array(variants)] {
        assert_eq!(wanted("(dd)", given.clone()).unwrap(), "[1.0,2.0]");
        assert_eq!(
            wanted("av", given.clone()).unwrap().replace(".0", ""),
            "[1,2]"
        );
        let refused = wanted("(ddd)", given);
        assert_eq!(
            refused,
            Err(Mismatch::Count {
                expected: 3,
                found: 2
            })
        );
    }
    assert!(wanted("(dd)", 1.0).is_err());
}

#[test]
fn a_refusal_says_what_was_expected_and_what_was_found() {
    let refused = wanted("x", "five").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "expected a value of type \"x\", found one of type \"s\""
    );
}

#[test]
fn text_is_taken_where_it_says_the_same() {
    let path = ObjectPath::try_from("/a/b").unwrap();
    assert_eq!(wanted("s", path).unwrap(), "\"/a/b\"");
    assert_eq!(wanted("o", "/a/b").unwrap(), "\"/a/b\"");
    assert!(wanted("o", "a b").is_err());
    assert!(wanted("g", "a{").is_err());
    assert_eq!(wanted("g", "a{sv}").unwrap(), "\"a{sv}\"");
}

#[test]
fn dictionaries_keep_their_keys_as_text() {
    let given = Variant::from(std::collections::HashMap::from([(1u32, true)]));
    assert_eq!(wanted("a{ub}", given.clone()).unwrap(), "{\"1\":true}");
    assert_eq!(wanted("v", given.clone()).unwrap(), "{\"1\":true}");
    assert!(wanted("a{us}", given).is_err());
}

#[test]
fn a_file_descriptor_cannot_be_sent() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let given = Variant::from(zbus::Fd::from(std::os::fd::OwnedFd::from(file)));
    assert_eq!(as_given(&given), Err(Mismatch::Unknown("h".to_owned())));
    assert!(wanted("v", given).is_err());
}

proptest! {
    #[test]
    fn integers_are_exact(value in any::<i64>()) {
        prop_assert_eq!(wanted("x", value).unwrap(), value.to_string());
        prop_assert_eq!(wanted("v", value).unwrap(), value.to_string());
    }

    #[test]
    fn floats_are_exact(value in any::<f64>()) {
        prop_assume!(value.is_finite());
        let text = wanted("d", value).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
    }
}

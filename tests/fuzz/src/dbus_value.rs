//! Values of the mesh on the bus, under any hint, and back.
//!
//! Input: a hint and a value (`arbitrary`, in ZOCP's words).
//! Holds: what is shown can be sent (T1): our own check and the reference take the message, also deep
//! inside what `GetManagedObjects` puts around it; what was shown under a type comes back as a value that
//! is shown the same; the type is the hint's if the value fits it.

use std::num::NonZeroU32;

use arbitrary::{Result, Unstructured};
use zbus::{Message, Signature, Variant};
use zocp_daemon::{convert, transport, types};
use zocp_model::TypeHint;

use crate::{json, reference};

/// Runs the target.
pub fn run(data: &[u8]) {
    // An input that ends early has been enough.
    let _ = show(&mut Unstructured::new(data));
}

fn show(input: &mut Unstructured<'_>) -> Result<()> {
    let hint = hint(input)?;
    let value = json::value(input)?;
    let hint = TypeHint::parse(&hint);
    let shown = types::show(hint, &value);
    assert_can_be_sent(&shown);
    if let Some(signature) = types::hinted(hint) {
        match types::as_type(&signature, &value) {
            Some(typed) => {
                assert_eq!(*typed.value_signature(), signature);
                assert_eq!(octets(&typed), octets(&shown));
                comes_back(&signature, &typed);
            }
            None => assert_eq!(octets(&shown), octets(&types::natural(&value))),
        }
    }
    Ok(())
}

fn hint(input: &mut Unstructured<'_>) -> Result<String> {
    if input.ratio(1, 2)? {
        return Ok((*input.choose(HINTS)?).to_owned());
    }
    let len = input.int_in_range(0..=24)?;
    let letters = (0..len).map(|_| input.choose(LETTERS).copied().map(char::from));
    let signature: String = letters.collect::<Result<_>>()?;
    Ok(format!("signature:{signature}"))
}

/// What a client that reads a value sends back is the same value.
fn comes_back(signature: &Signature, typed: &Variant<'_>) {
    if has_unsayable(typed) {
        return;
    }
    let back = match convert::as_wanted(signature, typed) {
        Ok(back) => back,
        Err(why) => panic!("{why}: {typed:?}"),
    };
    let again = types::as_type(signature, &back);
    let again = again.unwrap_or_else(|| panic!("{back} is not {signature}, {typed:?}"));
    assert_eq!(octets(&again), octets(typed), "{back}");
}

/// NaN and the infinities, which nobody can set, and what stands for null.
fn has_unsayable(value: &Variant<'_>) -> bool {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Variant::F64(number) if !number.is_finite() => return true,
            Variant::Variant(inner) if matches!(**inner, Variant::Variant(_)) => return true,
            Variant::Variant(inner) => open.push(inner),
            Variant::Array(array) => open.extend(array.inner()),
            Variant::Structure(structure) => open.extend(structure.fields()),
            Variant::Dict(dict) => dict.iter().for_each(|(key, held)| open.extend([key, held])),
            _ => {}
        }
    }
    false
}

fn assert_can_be_sent(value: &Variant<'_>) {
    let octets = octets(value);
    assert_ne!(reference::takes(&octets), Some(false), "{octets:02x?}");
    let message = transport::read(&octets, 64 << 20).expect("we take it ourselves");
    let outgoing = transport::outgoing_signal(&message, NonZeroU32::MIN, None);
    assert!(outgoing.is_ok());
}

/// A signal that carries the value as `GetManagedObjects` does.
fn octets(value: &Variant<'_>) -> Vec<u8> {
    let signal = Message::signal("/a", "org.a.B", "Went").serial(NonZeroU32::MIN);
    let held = std::collections::BTreeMap::from([("p", value)]);
    let held = std::collections::BTreeMap::from([("org.a.B", held)]);
    let message = signal.build(&held).expect("it fits");
    message.data().bytes().to_vec()
}

const HINTS: &[&str] = &[
    "int",
    "flt",
    "float",
    "percent",
    "bool",
    "string",
    "vec2f",
    "vec3f",
    "vec4f",
    "vec5f",
    "",
    "signature:a{sv}",
    "signature:(sid)",
    "signature:aay",
    "signature:v",
    "signature:a{yv}",
    "signature:h",
    "signature:ah",
    "signature:(ah)",
    "signature:g",
    "signature:o",
    "signature:ss",
];

const LETTERS: &[u8] = b"ybnqiuxtdsogvhaaaa(){}(){}";

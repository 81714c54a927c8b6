//! Values of the mesh on the bus, one after the other under any hint, and back.
//!
//! Input: a hint and values (`arbitrary`, in ZOCP's words).
//! Holds: what is shown can be sent (T1): our own check and the reference take the message, also deep
//! inside what `GetManagedObjects` puts around it; what was shown under a type comes back as a value that
//! is shown the same; the type of the member changes along the table of `types::member` and not otherwise (Y1), is
//! that of what is shown (Y2), and a value that it holds is shown as it is.

use std::num::NonZeroU32;

use arbitrary::{Result, Unstructured};
use zbus::{Message, Signature, Variant};
use zocp_mapping::{
    convert,
    types::{self, MemberType},
};
use zocp_model::TypeHint;
use zocp_relay::transport;

use crate::{json, reference};

/// Runs the target.
pub fn run(data: &[u8]) {
    // An input that ends early has been enough.
    let _ = show(&mut Unstructured::new(data));
}

fn show(input: &mut Unstructured<'_>) -> Result<()> {
    let hint = hint(input)?;
    let hint = TypeHint::parse(&hint);
    let hinted = types::hinted(hint);
    let mut member = MemberType::new(hint);
    let mut changes = 0;
    for _ in 0..input.int_in_range(1..=8)? {
        let value = json::value(input)?;
        let before = member.clone();
        let taken = member.take(&value);
        let shown = &taken.shown.value;
        assert_can_be_sent(shown);
        assert_eq!(shown.value_signature(), member.signature());
        assert_eq!(taken.is_retyped, before != member);
        if taken.is_retyped {
            changes += 1;
            assert_may_change(hinted.is_some(), &before, &member);
        }
        if !member.is_any() && *member.signature() != Signature::Variant {
            if let Some(typed) = types::as_type(member.signature(), &value) {
                assert_eq!(octets(&typed), octets(shown));
                comes_back(member.signature(), shown);
            }
        } else if !value.is_null() && member.is_any() {
            let held = Variant::Variant(Box::new(types::natural(&value)));
            assert_eq!(octets(&held), octets(shown));
        }
    }
    assert!(changes <= if hinted.is_some() { 1 } else { 3 });
    Ok(())
}

/// Only so does a type change: from none, from an integer to all numbers, to any.
fn assert_may_change(is_hinted: bool, before: &MemberType, after: &MemberType) {
    assert!(!before.is_any(), "{after:?}");
    let from = before.signature();
    let is_none = !is_hinted && *from == Signature::Variant;
    let is_integral = matches!(from, Signature::I64 | Signature::U64);
    let widens = !is_hinted && is_integral && *after.signature() == Signature::F64;
    assert!(after.is_any() || is_none || widens, "{before:?} {after:?}");
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

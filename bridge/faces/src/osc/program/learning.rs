//! What a program sends of which nothing is known is learned.

use super::{
    super::{
        face::Now,
        map::{Direction, Entry, is_address},
        packet::Arg,
        types::{Kind, vector_hint},
    },
    Program,
    addresses::Origin,
};
use crate::mesh::Value;

impl Program {
    pub(super) fn learn(&mut self, now: Now, address: &str, args: &[Arg]) -> Result<(), String> {
        if !self.learns {
            return Err("it is not in the map".to_owned());
        }
        if !is_address(address) {
            return Err("it is no address".to_owned());
        }
        let value = match args {
            [] | [Arg::Impulse] => Value::Bool(true),
            args => Kind::Free.value(args).map_err(|error| error.to_string())?,
        };
        let hint = hint_of(&value).ok_or("its arguments have no type of the mesh")?;
        let entry = Entry {
            address: address.to_owned(),
            name: None,
            direction: Direction::Out,
            hint,
            min: None,
            max: None,
            value: None,
        };
        self.know(entry, Some(value), Origin::Learned)
            .map_err(|error| error.to_string())?;
        self.has_learned = true;
        if let Some((address, known)) = self.addresses.at(address)
            && let Some(value) = &known.capability.value
        {
            let sent = known.kind.args(value);
            self.outbox.touched(now.instant, address, sent);
        }
        Ok(())
    }
}

/// The `typeHint` of a value.
fn hint_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) => Some("bool".to_owned()),
        Value::Number(number) if number.is_i64() => Some("int".to_owned()),
        Value::Number(_) => Some("flt".to_owned()),
        Value::String(_) => Some("string".to_owned()),
        Value::Array(parts) if parts.iter().all(Value::is_number) => vector_hint(parts.len()),
        _ => None,
    }
}

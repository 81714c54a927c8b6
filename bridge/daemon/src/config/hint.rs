//! What to write instead, where the file says something in a form that the key does not take.
//!
//! Model: the reader of TOML says which form it has found and which it has expected; a [hint](of) is added for the forms
//! that people mix up.

use std::fmt::{self, Display, Formatter};

/// What to write instead; prints nothing where that is not known, else a line.
pub(super) fn of(error: &toml::de::Error) -> impl Display + use<> {
    Hint(find(error.message()))
}

struct Hint(Option<&'static str>);

impl Display for Hint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hint) => write!(f, "\n{hint}"),
            None => Ok(()),
        }
    }
}

fn find(message: &str) -> Option<&'static str> {
    let (found, expected) = message
        .strip_prefix("invalid type: ")?
        .split_once(", expected ")?;
    let is_number = ["u8", "u16", "u32", "u64", "usize", "i64", "f64"].contains(&expected);
    Some(match found.split(' ').next()? {
        "string" if is_number => "write a number without quotes",
        "string" if expected == "a boolean" => "write true or false without quotes",
        "string" if expected == "a sequence" => "write a list, with brackets: [\"…\"]",
        "integer" | "floating" | "boolean" if expected == "a string" => "write it in quotes",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn what_is_written_in_another_form_is_said_with_the_right_one() {
        for (text, hint) in [
            ("[mesh]\nport = \"5670\"", "a number without quotes"),
            ("[mesh]\nloopback = \"yes\"", "true or false without quotes"),
            ("[mesh]\npeers = \"tcp://a:1\"", "a list, with brackets"),
            ("[mesh]\nname = 7", "in quotes"),
            ("[export]\nservice = \"a.b\"", "write [[export]]"),
            ("[import]\nservice = \"a.b\"", "write [[import]]"),
        ] {
            let error = Config::parse(text).unwrap_err();
            let said = format!("{error}{}", super::of(&error));
            assert!(said.contains(hint), "{text}: {said}");
            assert!(said.contains("line "), "{said}");
        }
        let error = Config::parse("[mesh]\nnmae = \"a\"").unwrap_err();
        assert_eq!(super::of(&error).to_string(), "");
    }
}

//! The page of limits has every bound of the program, each with its value and a test that is there.
//!
//! Model: a bound is a field of a struct `…Limits`, or a constant whose name ends in `_MAX`, in the sources
//! of the crates below the command line. The page names it by its file and its name, `zmtp/limits
//! frames_max`, or it is a key of the configuration, of which `config/limits.rs` says which field it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{between, files, has_ending, read, rows, section, unticked};

const PAGE: &str = "docs/reference/limits.md";
const CRATES: [&str; 18] = [
    "zmtp", "zre", "model", "node", "srv", "bus", "dbus", "mapping", "policy", "state", "relay",
    "wires", "daemon", "faces", "client", "web", "top", "iroh",
];

/// Each bound with the expression of its value, where there is one.
type Bounds = BTreeMap<String, Option<String>>;

fn is_test(file: &Path) -> bool {
    file.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

/// The sources that have bounds, with how the page names them.
fn sources() -> Vec<(String, PathBuf)> {
    let named = |name: &str| {
        let below = format!("bridge/{name}/src");
        let files = files(&below).into_iter();
        let files = files.filter(|file| has_ending(file, &["rs"]) && !is_test(file));
        let named = files.map(|file| {
            let place = file.strip_prefix(&below).unwrap().with_extension("");
            let place = place.to_str().unwrap().trim_end_matches("/mod");
            (format!("{name}/{place}"), file.clone())
        });
        named.collect::<Vec<_>>()
    };
    CRATES.iter().flat_map(|name| named(name)).collect()
}

/// The constants of a source, each with its value. What only names a range of numbers is none.
fn constants(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter_map(|line| {
        let (_, declared) = line.split_once("const ")?;
        let (name, rest) = declared.split_once(": ")?;
        let (kind, value) = rest.trim_end_matches(';').split_once(" = ")?;
        (name.ends_with("_MAX") && kind != "f64").then_some((name, value))
    });
    lines.collect()
}

/// The fields of the structs of limits of a source.
fn fields(text: &str) -> Vec<&str> {
    let structs = text.split("pub struct ").skip(1);
    let limits = structs.filter_map(|rest| {
        let (name, rest) = rest.split_once(" {\n")?;
        let (fields, _) = rest.split_once("\n}")?;
        name.ends_with("Limits").then_some(fields)
    });
    let fields = limits.flat_map(str::lines).filter_map(|line| {
        let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
        // Limits within limits are looked at where they are.
        (!kind.contains("Limits")).then_some(name)
    });
    fields.collect()
}

/// What a `Default` gives a field.
fn default_of(text: &str, field: &str) -> Option<String> {
    let (_, made) = text.split_once("impl Default for")?;
    let line = made
        .lines()
        .find(|line| line.trim().starts_with(&format!("{field}: ")))?;
    let (_, value) = line.trim().split_once(": ")?;
    Some(value.trim_end_matches(',').to_owned())
}

fn bounds() -> Bounds {
    let mut bounds = Bounds::new();
    for (place, file) in sources() {
        let text = read(file);
        for (name, value) in constants(&text) {
            bounds.insert(format!("{place} {name}"), Some(value.to_owned()));
        }
        for name in fields(&text) {
            bounds.insert(format!("{place} {name}"), default_of(&text, name));
        }
    }
    bounds
}

/// The number that an expression of the sources says, times in milliseconds.
fn number(expression: &str) -> Option<u128> {
    let expression = expression.trim();
    for (name, scale) in [("from_secs(", 1000), ("from_millis(", 1)] {
        if let Some((_, rest)) = expression.split_once(name) {
            return Some(number(rest.strip_suffix(')')?)? * scale);
        }
    }
    if let Some((number_of, shift)) = expression.split_once(" << ") {
        return Some(number(number_of)? << number(shift)?);
    }
    if let Some((left, right)) = expression.rsplit_once(" * ") {
        return Some(number(left)? * number(right)?);
    }
    match expression {
        "MIB" => Some(1 << 20),
        digits => digits.replace('_', "").parse().ok(),
    }
}

/// The number that a cell of the page says.
fn told(cell: &str) -> Option<u128> {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let scale = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    Some(number.parse::<u128>().ok()? * scale)
}

/// The names of all functions of the tests.
fn tests() -> BTreeSet<String> {
    let places = ["bridge", "tests"].into_iter().flat_map(files);
    let sources = places.filter(|file| has_ending(file, &["rs"]));
    let names = sources.flat_map(|file| {
        let text = read(file);
        let names = between(&text, "fn ", "(").into_iter().map(str::to_owned);
        names.collect::<Vec<_>>()
    });
    names.collect()
}

/// The bounds that the configuration moves, by their fields: `config/limits.rs` says which.
fn configured() -> BTreeSet<String> {
    let text = read("bridge/daemon/src/config/limits.rs");
    let lines = text.lines().filter_map(|line| {
        let (_, field) = line.trim().strip_suffix(';')?.split_once(" => ")?;
        let (_, name) = field.rsplit_once('.')?;
        let place = match field.split('.').collect::<Vec<_>>()[..] {
            ["node", "zre", "hello", _] => "zre/command/hello",
            ["node", "zre", _] => "zre/config",
            ["node", "zmtp", _] => "zmtp/limits",
            ["node", "model", _] => "model/limits",
            ["node", _] => "node/config",
            ["local", _] => "daemon/local/registry",
            ["wires", _] => "wires/limits",
            ["services", _] => "relay/limits",
            _ => return None,
        };
        Some(format!("{place} {name}"))
    });
    let times = ["node/config handshake_max", "relay/limits answer_max"];
    lines.chain(times.map(str::to_owned)).collect()
}

#[test]
fn every_bound_of_the_program_is_on_the_page_of_limits_with_its_value() {
    let page = read(PAGE);
    let bounds = bounds();
    let mut listed = configured();
    let mut wrong = Vec::new();
    for heading in between(&page, "\n## ", "\n").into_iter().skip(1) {
        for row in rows(section(&page, heading)).into_iter().skip(2) {
            let (name, value) = match row[..] {
                [_, value, _, _, name] => (name, value),
                [name, value] => (name, value),
                _ => panic!("a row of {heading} has another number of cells: {row:?}"),
            };
            let Some(name) = Some(name).filter(|name| !name.is_empty()) else {
                continue;
            };
            let Some(expression) = bounds.get(name) else {
                wrong.push(format!("{name} is not in the sources"));
                continue;
            };
            let number = expression.as_deref().and_then(number);
            if number.is_some_and(|number| told(value) != Some(number)) {
                wrong.push(format!("{name} is {number:?}, not {value}"));
            }
            listed.insert(name.to_owned());
        }
    }
    let missing = bounds.keys().filter(|name| !listed.contains(*name));
    wrong.extend(missing.map(|name| format!("{name} has no row")));
    assert!(wrong.is_empty(), "{PAGE}: {wrong:#?}");
}

#[test]
fn every_row_of_the_page_of_limits_names_a_test_that_is_there() {
    let page = read(PAGE);
    let tests = tests();
    let mut checked = 0;
    for heading in between(&page, "\n## ", "\n") {
        for row in rows(section(&page, heading)).into_iter().skip(2) {
            let cell = match (heading, &row[..]) {
                ("In the configuration", [_, _, _, _, test]) => *test,
                (_, [_, _, _, test, _]) => *test,
                _ => continue,
            };
            let Some(name) = unticked(cell) else {
                panic!("no test for {row:?}");
            };
            assert!(tests.contains(name), "there is no test {name}");
            checked += 1;
        }
    }
    assert!(checked > 60, "the tables are understood: {checked}");
}
